"""What a component says of itself when it asks for the upgrade, and how it is turned away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from firezone.portal.interface import Hello
from firezone.signaling.messages import is_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firezone.portal.model import IpAddress

__all__ = ["BadConnectParams", "hello_of", "problem", "relay_addresses", "token_of"]

LONGEST: Final = 255
"""Characters of a name and of an id."""
DEFAULT_RELAY_PORT: Final = 3478
_HIGHEST_PORT: Final = 65535
_PORT: Final = re.compile(r"[0-9]{1,5}")
_VERSION: Final = re.compile(
    r"(?:^|\s)(?:gateway|headless-client|gui-client|apple-client|android-client|connlib|relay)"
    r"/(?P<version>\d+\.\d+\.\d+(?:[-+.][0-9A-Za-z.+-]*)?)(?=\s|$)"
)
_TITLES: Final = {400: "Bad Request", 401: "Unauthorized", 500: "Error", 503: "Unavailable"}


class BadConnectParams(ValueError):
    """What a component says of itself cannot be; the text says what."""


@dataclass(frozen=True, slots=True)
class _Text:
    name: str
    value: str | None

    def checked(self) -> str:
        """Return it.

        Raises:
            BadConnectParams: It is missing, too long, or has what cannot be shown.
        """
        text = (self.value or "").strip()
        if not text or len(text) > LONGEST or not text.isprintable():
            raise BadConnectParams(f"{self.name} must have 1 to {LONGEST} visible characters")
        return text


def token_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the token; very old components have it in the query."""
    scheme, _, token = headers.get("x-authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return query.get("token") or None


def hello_of(
    headers: Mapping[str, str], query: Mapping[str, str], peer: str | None, *, needs_version: bool
) -> Hello:
    """Return what a Client or a Gateway says of itself.

    Args:
        headers: Of the request, looked up in lower case.
        query: Of the request.
        peer: The address that it comes from.
        needs_version: Whether it must name its version.

    Raises:
        BadConnectParams: Something is missing or wrong.
    """
    external_id = _Text("external_id", query.get("external_id") or query.get("firezone_id"))
    public_key = query.get("public_key", "")
    if not is_key(public_key):
        raise BadConnectParams("public_key must be a key in base64")
    agent = headers.get("user-agent", "")[:LONGEST]
    found = _VERSION.search(agent)
    if found is None and needs_version:
        raise BadConnectParams("the User-Agent names no component and version")
    return Hello(
        external_id.checked(),
        _Text("name", query.get("name")).checked(),
        public_key,
        _address(peer),
        agent or None,
        found["version"] if found else None,
    )


def relay_addresses(query: Mapping[str, str]) -> tuple[str, ...]:
    """Return where a Relay is reached, IPv4 first.

    Raises:
        BadConnectParams: It says no address, or a wrong one.
    """
    # What stands here is told to everybody's Clients and Gateways: nothing that is no address.
    digits = query.get("port") or str(DEFAULT_RELAY_PORT)
    if not (_PORT.fullmatch(digits) and 0 < int(digits) <= _HIGHEST_PORT):
        raise BadConnectParams("port must be a number from 1 to 65535")
    found: list[str] = []
    try:
        if query.get("ipv4"):
            found.append(f"{IPv4Address(query['ipv4'])}:{int(digits)}")
        if query.get("ipv6"):
            found.append(f"[{IPv6Address(query['ipv6'])}]:{int(digits)}")
    except ValueError:
        raise BadConnectParams("ipv4 and ipv6 must be addresses") from None
    if "%" in query.get("ipv6", ""):
        raise BadConnectParams("ipv6 must be an address of more than one link")
    if not found:
        raise BadConnectParams("ipv4 or ipv6 must be there")
    return tuple(found)


def problem(status: int, code: str, detail: str, *, retry_after: int | None = None) -> JSONResponse:
    """Return the answer that turns a component away.

    Only for a token that is none it is 401: components take that as the end.
    """
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return JSONResponse(body, status, headers, "application/problem+json")


def _address(peer: str | None) -> IpAddress | None:
    try:
        found = ip_address(peer or "")
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
