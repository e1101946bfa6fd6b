"""nginx before files of a test: what it gives out, and where it puts what is uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_settings"]

_SETTINGS: Final = """
daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  client_max_body_size 0;
  # Whether a transfer survives a silence is up to the tunnel and TCP.
  send_timeout 1h;
  client_body_timeout 1h;
  server {{
    {server}
    root {www};
    location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
    location = /whoami {{ return 200 "$server_addr\\n"; }}
  }}
}}
"""


def write_settings(folder: Path, www: Path, *server: str) -> str:
    """Write its settings; return the path of them.

    Args:
        folder: For what it writes itself.
        www: What it serves.
        server: Where it listens, and as what.
    """
    file = folder / "nginx.conf"
    file.write_text(_SETTINGS.format(folder=folder, www=www, server=" ".join(server)))
    return str(file)
