"""What people give the portal, checked: the same for the API, the page and the command line.

Each field says what it wants when it is wrong. Unknown fields are refused: a word misspelt must not
silently grant more than was meant.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address, ip_network
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from .addresses import IPV4, IPV6, RESERVED
from .model import Conditions, Filter, ResourceKind, Role, TimeWindow

__all__ = [
    "AccountChange",
    "ConditionsInput",
    "DeviceChange",
    "GroupInput",
    "Password",
    "PolicyChange",
    "PolicyInput",
    "ResourceChange",
    "ResourceInput",
    "SiteInput",
    "TokenInput",
    "UserChange",
    "UserInput",
    "filter_of",
    "window_of",
]

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_LABEL: Final = re.compile(r"[a-z0-9_*?](?:[a-z0-9_*?-]{0,61}[a-z0-9_*?])?")
_PORTS: Final = re.compile(r"(?P<protocol>tcp|udp)(?:/(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?")
_WINDOW: Final = re.compile(
    r"(?P<days>[A-Za-z,-]+) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?"
)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = 1440
_LONGEST: Final = 255
_SHORTEST_PASSWORD: Final = 12
_HIGHEST_PORT: Final = 65535


def _text(value: object) -> object:
    """Refuse what cannot be seen: control characters, and those that turn a line around."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    hidden = [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}]
    if hidden:
        message = f"character U+{ord(hidden[0]):04X} cannot be part of it"
        raise ValueError(message)
    return text


def _email(value: object) -> object:
    text = _text(value)
    if not isinstance(text, str) or not _EMAIL.fullmatch(text):
        message = "expected an address like ann@example.net"
        raise ValueError(message)
    return text.lower()


def filter_of(text: str) -> Filter:
    """Return the filter of a text like `tcp/8000-8100`, `udp` or `icmp`.

    Raises:
        ValueError: It is none.
    """
    match = _PORTS.fullmatch(text)
    if text == "icmp":
        return Filter("icmp")
    if match is None:
        message = f"{text[:64]!r} is none of tcp, tcp/443, tcp/8000-8100, udp, udp/..., icmp"
        raise ValueError(message)
    first = int(match["first"] or 0)
    last = int(match["last"] or match["first"] or _HIGHEST_PORT)
    if not first <= last <= _HIGHEST_PORT:
        message = f"{text[:64]!r} is no range of ports"
        raise ValueError(message)
    return Filter("tcp" if match["protocol"] == "tcp" else "udp", first, last)


def window_of(text: str) -> TimeWindow:
    """Return the time window of a text like `mon-fri 08:00-18:00 Europe/Berlin`.

    Raises:
        ValueError: It is none.
    """
    match = _WINDOW.fullmatch(text)
    if match is None:
        message = f"{text[:64]!r} is no window, like: mon-fri 08:00-18:00 Europe/Berlin"
        raise ValueError(message)
    zone = match["zone"] or "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"{zone[:64]!r} is no time zone, like UTC or Europe/Berlin"
        raise ValueError(message) from None
    start, end = (_minutes(match[name]) for name in ("start", "end"))
    if not start < end <= _DAY:
        message = f"{text[:64]!r}: a window ends after it starts, at 24:00 at the latest; write two"
        raise ValueError(message)
    return TimeWindow(_days(match["days"].lower()), start, end, zone)


def _minutes(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59:  # noqa: PLR2004 - minutes of an hour
        message = f"{text!r} is no time of a day"
        raise ValueError(message)
    return hours * 60 + minutes


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            message = f"{part[:16]!r} is no day: {', '.join(_DAYS)}, or a range of these"
            raise ValueError(message)
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {number % 7 for number in range(begin, end + (7 if end < begin else 0) + 1)}
    return frozenset(days)


def _network(value: object) -> object:
    try:
        return str(ip_network(str(value).strip()))
    except ValueError as error:
        message = f"{str(value)[:64]!r} is no network, like 10.0.0.0/8 or 2001:db8::/32: {error}"
        raise ValueError(message) from None


def _address(value: object) -> object:
    try:
        return str(ip_address(str(value).strip()))
    except ValueError:
        message = f"{str(value)[:64]!r} is no IP address"
        raise ValueError(message) from None


def _checked_ports(value: object) -> object:
    filter_of(str(value))
    return value


def _checked_window(value: object) -> object:
    window_of(str(value))
    return value


Name = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=_LONGEST)]
Description = Annotated[str, BeforeValidator(_text), Field(max_length=_LONGEST)]
Email = Annotated[str, BeforeValidator(_email)]
Id = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=_LONGEST)]
Ports = Annotated[str, BeforeValidator(_checked_ports)]
Window = Annotated[str, BeforeValidator(_checked_window)]
Network = Annotated[str, BeforeValidator(_network)]
Address = Annotated[str, BeforeValidator(_address)]
Password = Annotated[SecretStr, Field(min_length=_SHORTEST_PASSWORD, max_length=1024)]
Stack = Literal["dual", "ipv4_only", "ipv6_only"]


class _Input(BaseModel):
    # What was given is not repeated in errors: it may be a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UserInput(_Input):
    """A new user."""

    name: Name
    email: Email
    role: Role = Role.MEMBER
    password: Password | None = None


class UserChange(_Input):
    """What changes of a user; what is not given stays."""

    name: Name | None = None
    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = None


class GroupInput(_Input):
    """A group, new or with another name."""

    name: Name


class SiteInput(_Input):
    """A site, new or with another name."""

    name: Name


class ResourceInput(_Input):
    """A new resource."""

    kind: ResourceKind
    name: Name
    address: Annotated[str, BeforeValidator(_text), Field(max_length=_LONGEST)] = ""
    description: Description | None = None
    ip_stack: Stack = "dual"
    filters: tuple[Ports, ...] = Field(default=(), max_length=100)
    site: Id | None = Field(default=None, description="The id or the name of its site.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # Frozen, but not yet seen by anybody.
        object.__setattr__(self, "address", canonical_address(self.kind, self.address))
        return self


class ResourceChange(_Input):
    """What changes of a resource; what is not given stays."""

    name: Name | None = None
    address: Annotated[str, BeforeValidator(_text), Field(max_length=_LONGEST)] | None = None
    description: Description | None = None
    ip_stack: Stack | None = None
    filters: tuple[Ports, ...] | None = Field(default=None, max_length=100)
    site: Id | None = Field(default=None, description="The id or the name of another site.")


def canonical_address(kind: ResourceKind, address: str) -> str:
    """Return a resource's address as it is stored.

    Raises:
        ValueError: It does not fit its kind; the text says what would.
    """
    if kind is ResourceKind.INTERNET:
        if address:
            message = "the internet has no address"
            raise ValueError(message)
        return ""
    if kind is ResourceKind.DNS:
        return _pattern(address)
    if kind is ResourceKind.IP:
        _not_ours(_address_text := str(_address(address)))
        return _address_text
    _not_ours(network := str(_network(address)))
    if network.endswith("/0"):
        message = "everything is no network; make a resource of kind internet"
        raise ValueError(message)
    return network


def _pattern(address: str) -> str:
    pattern = address.lower().removesuffix(".")
    labels = pattern.split(".")
    if not pattern or not all(_LABEL.fullmatch(label) for label in labels):
        message = "expected a name like gitlab.corp.example, *.corp.example or **.corp.example"
        raise ValueError(message)
    if not set("".join(labels[-1:])) - set("*?"):
        message = "the last label of a pattern must be a name: everything is of kind internet"
        raise ValueError(message)
    return pattern


def _not_ours(network: str) -> None:
    """Refuse what overlaps the tunnel's own addresses: it would never leave the Client."""
    given = ip_network(network)
    for own in (IPV4, IPV6, *RESERVED):
        inside = own.version == given.version and given.subnet_of(own)  # type: ignore[arg-type] # same version
        if inside:
            message = f"{network} is within {own}, which are addresses of the tunnel itself"
            raise ValueError(message)


class ConditionsInput(_Input):
    """When a policy applies; what is not given asks nothing."""

    time_windows: tuple[Window, ...] = Field(
        default=(), max_length=50, description="Like: mon-fri 08:00-18:00 Europe/Berlin."
    )
    remote_ip: tuple[Network, ...] = Field(default=(), max_length=100)
    client_verified: bool = False

    def conditions(self) -> Conditions:
        """Return them as the portal uses them."""
        return Conditions(
            tuple(map(window_of, self.time_windows)),
            tuple(map(ip_network, self.remote_ip)),
            self.client_verified,
        )


class PolicyInput(_Input):
    """A new policy."""

    group: Id = Field(description="The id or the name of the group.")
    resource: Id = Field(description="The id or the name of the resource.")
    conditions: ConditionsInput = ConditionsInput()
    description: Description | None = None


class PolicyChange(_Input):
    """What changes of a policy; what is not given stays."""

    conditions: ConditionsInput | None = None
    description: Description | None = None
    disabled: bool | None = None


class TokenInput(_Input):
    """A new token: of a user for a Client or the API, of a site for its Gateways."""

    kind: Literal["client", "gateway", "api"]
    name: Name
    user: Id | None = Field(default=None, description="Id or e-mail address; for client and api.")
    site: Id | None = Field(default=None, description="The id or the name; for gateway.")
    device: Id | None = Field(default=None, description="Id of the one Gateway that may use it.")
    scopes: frozenset[Literal["read", "write"]] = frozenset({"read", "write"})
    lifetime: int | None = Field(
        default=None,
        ge=60,
        le=10 * 366 * 86400,
        description="Seconds; 90 days if a user's, else endless.",
    )


class DeviceChange(_Input):
    """What changes of a Client or Gateway; what is not given stays."""

    name: Name | None = None
    verified: bool | None = None


class AccountChange(_Input):
    """What changes of the account; what is not given stays."""

    name: Name | None = None
    search_domain: Annotated[str, Field(max_length=_LONGEST)] | None = None
    upstream_dns: tuple[Address, ...] | None = Field(default=None, max_length=10)
