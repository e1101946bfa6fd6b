"""Servers of the site that people use through a tunnel: sshd, PostgreSQL, nginx with HTTP/2.

Their programs come from Debian's packages, unpacked beside the build where installing them would
start a service on the host. Each writes into the folder of the test alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.system.nginx import write_settings
from tests.system.two_machines import NAME, SITE

if TYPE_CHECKING:
    from tests.system.two_machines import TwoMachines

__all__ = ["POSTGRES", "Http2Server", "Postgres", "SshServer", "unpacked"]

PORTS: Final = {"sshd": 22, "postgres": 5432, "http2": 443}

_USERS: Final = """\
root:*:0:0:root:{home}:/bin/sh
sshd:*:65533:65534::/run/sshd:/usr/sbin/nologin
"""
_SHADOW: Final = "root:*:19000:0:99999:7:::\n"
_SSHD: Final = """\
ListenAddress {ipv4}
ListenAddress [{ipv6}]
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""
# `ip netns exec` gives the program mounts of its own: nothing of this is seen outside.
_IN_OWN_MOUNTS: Final = """
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/shadow /etc/shadow
mount -t tmpfs tmpfs /run
mkdir /run/sshd
exec {program} -D -e -f {folder}/sshd_config
"""


def unpacked(*path: str) -> Path:
    """Return where `make setup` has unpacked a program."""
    target = os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target")
    return Path(target, "peers", *path)


POSTGRES: Final = ("usr", "lib", "postgresql", "15", "bin")


def wait_until_it_listens(machines: TwoMachines, name: str) -> None:
    """Wait until a server of the site takes connections."""
    port = str(PORTS[name])
    look = ("ss", "-Hltn", "sport", "=", port)

    def listens() -> bool:
        assert machines.running[name].poll() is None, machines.output(name)
        return bool(machines.inside(machines.site, *look).stdout)

    machines.wait(listens, f"{name} listens at port {port}")


class SshServer:
    """An sshd to which the user root gets in by a key that is made for it.

    Args:
        machines: Where.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self._machines = machines
        self.folder = machines.folder / "ssh"
        (self.folder / "home").mkdir(parents=True)
        for key in ("host", "user"):
            made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key))
            assert machines.inside(machines.site, *made).returncode == 0
        kind, host_key, *_ = (self.folder / "host.pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"{NAME} {kind} {host_key}\n")
        text = _SSHD.format(ipv4=SITE[0], ipv6=SITE[1], folder=self.folder)
        (self.folder / "sshd_config").write_text(text)
        (self.folder / "passwd").write_text(_USERS.format(home=self.folder / "home"))
        (self.folder / "shadow").write_text(_SHADOW)

    def begin(self) -> None:
        """Start it."""
        program = unpacked("usr", "sbin", "sshd")
        script = _IN_OWN_MOUNTS.format(folder=self.folder, program=program)
        libraries = f"LD_LIBRARY_PATH={unpacked('usr', 'lib', f'{os.uname().machine}-linux-gnu')}"
        self._machines.start(
            "sshd", self._machines.site, "env", libraries, "sh", "-e", "-c", script
        )
        wait_until_it_listens(self._machines, "sshd")

    @property
    def client(self) -> tuple[str, ...]:
        """What begins an ssh command of a user who has the key and knows the host's."""
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = (known, "GlobalKnownHostsFile=none", "StrictHostKeyChecking=yes")
        given = [word for option in (*options, "BatchMode=yes") for word in ("-o", option)]
        return ("ssh", "-F", "none", "-l", "root", "-i", str(self.folder / "user"), *given)


class Postgres:
    """A PostgreSQL server with data of its own, run by nobody.

    Args:
        machines: Where.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self._machines = machines
        self.folder = machines.folder / "postgres"
        self.folder.mkdir()
        shutil.chown(self.folder, "nobody", "nogroup")
        # Its programs may lie below a folder that only root enters.
        reach = ("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search")
        nobody = ("--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *reach)
        self._as_nobody = ("setpriv", *nobody, "--")

    def begin(self) -> None:
        """Make the data and start it."""
        machines, data = self._machines, str(self.folder / "data")
        flags = ("--no-sync", "--auth=trust", "--username=people", "--encoding=UTF8", "--locale=C")
        initdb = (str(unpacked(*POSTGRES, "initdb")), "-D", data, *flags)
        made = machines.inside(machines.site, *self._as_nobody, *initdb)
        assert made.returncode == 0, made.stderr
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all people 10.77.0.0/24 trust\nhost all people fd77::/64 trust\n")
        settings = {
            "listen_addresses": ",".join(SITE),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "jit": "off",
        }
        given = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        server = (str(unpacked(*POSTGRES, "postgres")), "-D", data, *given)
        machines.start("postgres", machines.site, *self._as_nobody, *server)
        wait_until_it_listens(machines, "postgres")


class Http2Server:
    """nginx with TLS and HTTP/2, and a certificate of a CA of its own for the site's name.

    Args:
        machines: Where; what it serves is `www` in their folder.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self._machines = machines
        self.folder = machines.folder / "http2"
        self.folder.mkdir()
        self.ca = self.folder / "ca.crt"

    def begin(self) -> None:
        """Make the certificates and start it."""
        machines, folder = self._machines, self.folder
        new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        new = (*new, "-nodes", "-days", "2")
        ca = ("-keyout", str(folder / "ca.key"), "-out", str(self.ca), "-subj", "/CN=the site's CA")
        site = ("-keyout", str(folder / "site.key"), "-out", str(folder / "site.crt"))
        signed = ("-CA", str(self.ca), "-CAkey", str(folder / "ca.key"), "-subj", f"/CN={NAME}")
        named = ("-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=CA:FALSE")
        for command in ((*new, *ca), (*new, *site, *signed, *named)):
            made = machines.inside(machines.site, *command)
            assert made.returncode == 0, made.stderr
        listen = ("listen 443 ssl http2;", "listen [::]:443 ssl http2;")
        own = f"ssl_certificate {folder}/site.crt; ssl_certificate_key {folder}/site.key;"
        settings = write_settings(folder, machines.folder / "www", *listen, own)
        machines.start("http2", machines.site, "nginx", "-c", settings)
        wait_until_it_listens(machines, "http2")
