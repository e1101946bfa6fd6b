"""What one part of a portal tells the others, over the bus: ids and little else.

An event says that something is to be looked at again; who gets it reads the store, and so tells
what is true then. Only candidates travel whole: they are stored nowhere.

Every event has the devices or tokens that it is for. A session subscribes to the topics of its own
device and token; events to one topic arrive in the order in which they were committed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeAlias

__all__ = [
    "AccessRejected",
    "AuthorizationConfirmed",
    "AuthorizationRequested",
    "Candidates",
    "ConfigChanged",
    "DeviceRemoved",
    "Event",
    "Missed",
    "RelaysChanged",
    "ResourceUpdated",
    "SessionReplaced",
    "TokenRevoked",
    "ViewChanged",
    "account_topic",
    "decode",
    "device_topic",
    "encode",
    "token_topic",
    "topics",
]

EVERYBODY: Final = "*"
"""The topic of what concerns every session."""


def device_topic(device_id: str) -> str:
    """Return the topic of a device."""
    return f"device:{device_id}"


def token_topic(token_id: str) -> str:
    """Return the topic of the sessions that came with a token."""
    return f"token:{token_id}"


def account_topic(account_id: str) -> str:
    """Return the topic of an account's sessions."""
    return f"account:{account_id}"


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """To Clients: compute what they see anew and tell the difference.

    Args:
        devices: The Clients.
        reset: Resources whose access ended; where they are still seen, the Client is told to drop
            them and then of them again, so that it asks anew (§7.7).
    """

    devices: tuple[str, ...]
    reset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """To an account's Clients: the DNS servers or the search domain have changed."""

    account: str


@dataclass(frozen=True, slots=True)
class AuthorizationRequested:
    """To a Gateway: send `create_authorization`; what is in it is `Sessions.grant(ref)`."""

    gateway: str
    ref: str


@dataclass(frozen=True, slots=True)
class AuthorizationConfirmed:
    """To a Client: send `authorization_created`; what is in it is `Sessions.grant(ref)`."""

    client: str
    ref: str


@dataclass(frozen=True, slots=True)
class AccessRejected:
    """To a Gateway: send `reject_access` for each pair.

    Args:
        gateway: The Gateway.
        accesses: (Client's id, resource's id).
    """

    gateway: str
    accesses: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ResourceUpdated:
    """To Gateways: the filters or the name of a resource have changed."""

    devices: tuple[str, ...]
    resource: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """To a device: candidates of a peer.

    Args:
        device: For whom.
        sender: Of whom.
        candidates: As they came.
        invalidated: Whether they are gone.
    """

    device: str
    sender: str
    candidates: tuple[str, ...]
    invalidated: bool = False


@dataclass(frozen=True, slots=True)
class SessionReplaced:
    """To the sessions of a device: close, unless you are this one (§4: the newest wins)."""

    device: str
    session: str


@dataclass(frozen=True, slots=True)
class DeviceRemoved:
    """To the session of a device: close the channel; what comes back is a new device."""

    device: str


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """To the sessions of a token: say `disconnect` with `token_expired`, and close."""

    token: str


@dataclass(frozen=True, slots=True)
class RelaysChanged:
    """To everybody: a relay came or went; wait a second, then look (§8.1)."""

    relay: str


@dataclass(frozen=True, slots=True)
class Missed:
    """To everybody here: events may be lost, so look at everything again; never sent by others."""


Event: TypeAlias = (
    ViewChanged
    | ConfigChanged
    | AuthorizationRequested
    | AuthorizationConfirmed
    | AccessRejected
    | ResourceUpdated
    | Candidates
    | SessionReplaced
    | DeviceRemoved
    | TokenRevoked
    | RelaysChanged
    | Missed
)

_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        ViewChanged,
        ConfigChanged,
        AuthorizationRequested,
        AuthorizationConfirmed,
        AccessRejected,
        ResourceUpdated,
        Candidates,
        SessionReplaced,
        DeviceRemoved,
        TokenRevoked,
        RelaysChanged,
        Missed,
    )
}


_ADDRESSEES: Final = ("device", "gateway", "client")
"""Fields that name the one device that an event is for."""


def topics(event: Event) -> tuple[str, ...]:
    """Return the topics whose subscribers get an event."""
    if isinstance(event, ViewChanged | ResourceUpdated):
        return tuple(map(device_topic, event.devices))
    if isinstance(event, ConfigChanged):
        return (account_topic(event.account),)
    if isinstance(event, TokenRevoked):
        return (token_topic(event.token),)
    if isinstance(event, RelaysChanged | Missed):
        return (EVERYBODY,)
    named = (getattr(event, name, None) for name in _ADDRESSEES)
    return tuple(device_topic(device) for device in named if device is not None)


def encode(event: Event) -> str:
    """Return an event as one line of JSON."""
    return json.dumps([type(event).__name__, asdict(event)], separators=(",", ":"))


def decode(text: str) -> Event:
    """Return the event of a line.

    Raises:
        ValueError: It is none; another version of the portal may have sent it.
    """
    try:
        name, given = json.loads(text)
        kind = _KINDS[name]
        known = {field.name for field in fields(kind)}
        event: Event = kind(**{key: _tuples(given[key]) for key in known & set(given)})
    except (KeyError, TypeError, ValueError) as error:
        message = f"no event of a portal: {text[:200]!r}"
        raise ValueError(message) from error
    return event


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
