"""What the sessions of Clients, Gateways and relays ask of the store, and what they get.

    identity = await store.authenticate(token, TokenKind.CLIENT, now)
    session = await store.connect(identity, hello, now)           on the upgrade
    await store.join(session, now)                                on phx_join; the newest wins
    events = store.bus.subscribe(*session.topics)                 before the first look
    view = await store.view(session, now)
    ref = await store.authorize(session, resource, connected, now)      a Gateway gets an event
    await store.confirm(gateway_session, ref, now)                      the Client gets an event
    grant = await store.grant(ref, now)                           both sides' messages follow
    await store.leave(session, now)

A session takes its events one after the other, and asks the store when it sends: the order of
messages (signaling §7.6) follows from the order of events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from firezone.errors import AuthError

from .events import EVERYBODY, account_topic, device_topic, token_topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from .derive import IceCredentials, TurnCredentials
    from .events import Event
    from .model import Account, Authorization, Device, IpAddress, Resource, Token, TokenKind

__all__ = [
    "Bus",
    "Grant",
    "Hello",
    "Identity",
    "Refused",
    "RelayAddress",
    "Session",
    "Sessions",
    "Subscription",
    "TokenRefused",
]


class TokenRefused(AuthError):
    """A token is missing, unknown, of another kind, expired or revoked.

    Args:
        message: What happened.
        code: The problem's code: `missing_token` or `invalid_token` (signaling §2.6).
    """

    def __init__(self, message: str, *, code: str = "invalid_token") -> None:
        super().__init__(message, hint="make a new one: firezone portal token create")
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for.

    Args:
        token: Which token.
        account: Of which account; None for a relay.
    """

    token: Token
    account: Account | None


@dataclass(frozen=True, slots=True)
class Hello:
    """What a Client or a Gateway says of itself on the upgrade (signaling §2.2), checked.

    Args:
        external_id: What it calls itself.
        name: For people.
        public_key: Of this session, base64.
        remote_ip: Where it comes from.
        user_agent: As sent.
        version: Out of the user agent; None if it has none.
    """

    external_id: str
    name: str
    public_key: str
    remote_ip: IpAddress | None = None
    user_agent: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A device at a portal, from the upgrade to the end of the socket.

    Args:
        id: Its own id.
        identity: By which token.
        device: As it was at the beginning; its addresses never change.
        public_key: Of this session, base64.
        remote_ip: Where it comes from.
        version: Of the program.
    """

    id: str
    identity: Identity
    device: Device
    public_key: str
    remote_ip: IpAddress | None = None
    version: str | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """What it listens to."""
        return (
            device_topic(self.device.id),
            token_topic(self.identity.token.id),
            account_topic(self.device.account_id),
            EVERYBODY,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no authorization (signaling §6.5).

    Args:
        reason: `offline`, `version_mismatch`, `not_found` or `forbidden`.
        violated_properties: Conditions that did not hold: `remote_ip`, `current_utc_datetime`,
            `client_verified`.
    """

    reason: str
    violated_properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """All that the two messages about an authorization are made of (signaling §6.4, §7.2).

    Args:
        authorization: What was granted.
        client: The Client.
        client_public_key: Of its session.
        gateway: The Gateway.
        gateway_public_key: Of its session.
        resource: What is reached; its `site` is never None.
        preshared_key: Base64.
        client_ice: The Client's credentials.
        gateway_ice: The Gateway's credentials.
        initiator_token: The Client's flow-log token.
        responder_token: The Gateway's flow-log token.
    """

    authorization: Authorization
    client: Device
    client_public_key: str
    gateway: Device
    gateway_public_key: str
    resource: Resource
    preshared_key: str = field(repr=False)
    client_ice: IceCredentials
    gateway_ice: IceCredentials
    initiator_token: str = field(repr=False)
    responder_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay as one peer uses it; two of these follow each other for one with two addresses.

    Args:
        id: The relay's.
        address: IP address and port, like `203.0.113.10:3478` or `[2001:db8::1]:3478`.
        credentials: This peer's.
    """

    id: str
    address: str
    credentials: TurnCredentials


class Subscription(Protocol):
    """Events of some topics, in order; used as a context and iterated."""

    def __enter__(self) -> Self:
        """Listen from here on."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        ...

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give one after the other, waiting for the next; without an end."""
        ...


class Bus(Protocol):
    """Carries events to every process of a portal, this one included."""

    async def publish(self, *events: Event) -> None:
        """Send events that belong to no change of the database."""
        ...

    def subscribe(self, *topics: str) -> Subscription:
        """Listen from now on; who does not keep up gets `Missed` instead of what was lost."""
        ...


class Sessions(Protocol):
    """The store, as sessions see it. `now` is in seconds since 1970."""

    @property
    def bus(self) -> Bus:
        """Where events come from."""
        ...

    async def authenticate(self, token: str | None, kind: TokenKind, now: int) -> Identity:
        """Return whom a token speaks for.

        Raises:
            TokenRefused: It is missing, unknown, of another kind, expired or revoked.
        """
        ...

    async def connect(self, identity: Identity, hello: Hello, now: int) -> Session:
        """Find or make the device of a Client's or Gateway's token, and begin a session."""
        ...

    async def join(self, session: Session, now: int) -> None:
        """Let a device be online by this session; an older one is told to close."""
        ...

    async def leave(self, session: Session, now: int) -> None:
        """End a session; if a newer one has taken its place, nothing changes."""
        ...

    async def set_iceless(self, session: Session, *, iceless: bool) -> None:
        """Remember what `set_snownet_capabilities` said."""
        ...

    async def account(self, session: Session) -> Account:
        """Return the account as it is now: its DNS servers and search domain."""
        ...

    async def view(self, session: Session, now: int) -> tuple[Resource, ...]:
        """Return what a Client sees now, in the order of ids: allowed, and with a site."""
        ...

    async def authorize(
        self, session: Session, resource_id: str, connected: Sequence[str], now: int
    ) -> Refused | str:
        """Grant a Client what it asks for, and tell the Gateway.

        Args:
            session: The Client's.
            resource_id: What it asks for; any text.
            connected: Gateways that it would rather use, the most wanted first.
            now: The time.

        Returns:
            The `ref` of the authorization, or why there is none.
        """
        ...

    async def confirm(self, session: Session, ref: str, now: int) -> bool:
        """Take a Gateway's acknowledgement and tell the Client; False if it is not its own."""
        ...

    async def grant(self, ref: str, now: int) -> Grant | None:
        """Return what the messages of an authorization are made of; None if it has ended."""
        ...

    async def authorizations_of(self, session: Session, now: int) -> tuple[Authorization, ...]:
        """Return all that holds at a Gateway: what its `init` must list (§7.1)."""
        ...

    async def gateway_resource(self, session: Session, resource_id: str) -> Resource | None:
        """Return a resource that somebody may reach through this Gateway."""
        ...

    async def may_signal(self, session: Session, peer_id: str, now: int) -> bool:
        """Tell whether an authorization joins the two: only then are candidates carried."""
        ...

    async def join_relay(
        self, identity: Identity, stamp_secret: str, addresses: Sequence[str], now: int
    ) -> str:
        """Let a relay be online; return its id.

        Args:
            identity: Its token's.
            stamp_secret: What its join said.
            addresses: With ports, as `RelayAddress.address`; at least one.
            now: The time.
        """
        ...

    async def leave_relay(self, relay_id: str, now: int) -> None:
        """Let a relay be offline."""
        ...

    async def relays(self, session: Session, now: int) -> tuple[RelayAddress, ...]:
        """Return at most two relays for a peer, with its credentials."""
        ...
