"""Where the portal is, and what the request to it says.

The scheme may be ws, wss, http or https; a path is kept as a prefix and a query dropped. Without a
port it is 443, whatever the scheme: that is what Firezone's components dial.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from .messages import Role

__all__ = ["Device", "PortalAddress", "request_url", "user_agent"]

_SCHEMES: Final = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_PATHS: Final[dict[Role, str]] = {
    "client": "/client/v2/websocket",
    "gateway": "/gateway/v2/websocket",
    "relay": "/relay/websocket",
}
_COMPONENTS: Final[dict[Role, str]] = {
    "client": "headless-client/1.5.12",
    "gateway": "gateway/1.6.1",
    "relay": "relay/0.1.0",
}
"""Whose protocol we speak: portals choose names of fields, and Gateways for Clients, by it."""
DEFAULT_PORT: Final = 443
_HTTP_PORT: Final = 80
LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class PortalAddress:
    """A portal's address.

    Args:
        secure: Whether TLS is spoken.
        host: A name or an address, without brackets.
        port: Where it is dialled.
        prefix: The path before those of the protocol, without a slash at its end.
    """

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> PortalAddress:
        """Read the address that somebody has configured.

        Raises:
            ConfigError: It is none.
        """
        try:
            parts = urlsplit(url.strip())
            scheme, host, port = _SCHEMES.get(parts.scheme), parts.hostname, parts.port
        except ValueError as error:
            raise _wrong(str(error)) from None
        if scheme is None or not host:
            raise _wrong("expected ws, wss, http or https, and a host")
        if parts.username is not None or parts.password is not None:
            raise _wrong("a name or password does not belong here")
        if scheme == "ws" and port == _HTTP_PORT:
            raise _wrong("without TLS, Firezone's components dial 443 instead of 80")
        return cls(scheme == "wss", host, port or DEFAULT_PORT, parts.path.rstrip("/"))

    @property
    def netloc(self) -> str:
        """The host and the port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Device:
    """What a component says of itself.

    Args:
        role: What it is.
        name: What people call it, 1 to 255 characters; a Relay may have none.
        external_id: Tells it from other devices of its owner; see `firezone.signaling.identity`.
        more: Further parameters of the query: a Relay's addresses and port.
    """

    role: Role
    name: str = ""
    external_id: str = ""
    more: tuple[tuple[str, str], ...] = ()


def request_url(address: PortalAddress, device: Device, public_key: str = "") -> str:
    """Return the URL that is asked for.

    Args:
        address: The portal.
        device: Who asks.
        public_key: The WireGuard key of this session; a Relay has none.

    Raises:
        ConfigError: The portal would refuse the name or the id.
    """
    for setting, value in (("name", device.name), ("external_id", device.external_id)):
        if len(value) > LONGEST_NAME or (not value and device.role != "relay"):
            text = f"{setting} must have 1 to {LONGEST_NAME} characters"
            raise ConfigError(text, setting=setting)
    fields = [
        ("external_id", device.external_id),
        ("name", device.name),
        *device.more,
        ("public_key", public_key),
    ]
    query = urlencode([(name, value) for name, value in fields if value])
    scheme = "wss" if address.secure else "ws"
    path = address.prefix + _PATHS[device.role]
    return urlunsplit((scheme, address.netloc, path, query, ""))


def user_agent(role: Role) -> str:
    """Return what we call ourselves: the system, the component, the machine."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    system = release.get("ID", platform.system()).replace(" ", "-").capitalize() or "Linux"
    version = release.get("VERSION_ID") or "0"
    machine = f"({platform.machine() or 'unknown'}; {platform.release() or '0'})"
    text = f"{system}/{version} {_COMPONENTS[role]} {machine}"
    return text.encode("ascii", "ignore").decode()


def _wrong(why: str) -> ConfigError:
    # The URL is not repeated: somebody may have put a token into it.
    hint = "the form is wss://portal.example.net or ws://192.0.2.1:8081"
    return ConfigError(f"the portal's address: {why}", setting="api_url", hint=hint)
