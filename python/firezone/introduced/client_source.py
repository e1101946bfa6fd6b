"""What a portal says to a Client, as commands to its core; and what the core asks of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from firezone.errors import ConfigError
from firezone.signaling.messages import (
    AuthorizationCreationFailed,
    ClientAuthorizationCreated,
    ClientInit,
    IceCandidatesOfGateway,
    InvalidateGatewayIceCandidates,
    InvalidateIceCandidatesOfGateway,
    NewGatewayIceCandidates,
    RequestAuthorization,
    ResourceCreatedOrUpdated,
    ResourceDeleted,
)

from .refusals import Refusals
from .resources import AtSites, covers, ice_endpoint, of_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from structlog.typing import FilteringBoundLogger

    from firezone.signaling.messages import ClientResource, Message

__all__ = ["PortalClientSource"]

REPEAT: Final = 2.0
"""Seconds between two requests for one resource."""
PATIENCE: Final = 20.0
"""Seconds that an answer may take; the portal itself waits 15 s for a Gateway."""
AWAY_PATIENCE: Final = 5.0
"""Seconds that a request waits for a portal that is not there."""


@dataclass(slots=True)
class _Request:
    gateways: tuple[str, ...]
    is_asked: bool = False
    answer: asyncio.Future[str | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class PortalClientSource:
    """Says what a Client may reach, and through which Gateway.

    Args:
        say: Sends the portal a message.
        log: Where events go.
        activates_internet: Whether the Internet resource counts.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        say: Callable[[Message], None],
        log: FilteringBoundLogger,
        *,
        activates_internet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._log = log
        self._activates_internet = activates_internet
        self._clock = clock
        self._resources: dict[str, AtSites] = {}
        self._requests: dict[str, _Request] = {}
        self._asked: dict[str, float] = {}
        self._serving: dict[str, str] = {}
        """Resource id to the id of the Gateway that was given for it last."""
        self._sites: dict[str, str] = {}
        """Gateway id to the id of its site."""
        self._is_connected = True
        self.refusals = Refusals(clock)

    # What a Client on a host asks of any source.

    def commands(self) -> list[dict[str, Any]]:
        """Return none: `take` gave those of the first `init`."""
        return []

    def facts(self, addresses: Mapping[str, str | None]) -> dict[str, Any]:
        """Return nothing: keys end with the process, and nobody goes on without them."""
        del addresses
        return {}

    def resume(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return none; see `facts`."""
        del facts
        return []

    async def first_authorizations(self) -> AsyncIterator[dict[str, Any]]:
        """Yield none: Gateways are introduced when they are needed."""
        nothing: tuple[dict[str, Any], ...] = ()
        for command in nothing:
            yield command

    def gateway_failed(self, gateway: str) -> None:
        """Note that a Gateway does not answer; the core names those that do when it asks."""

    def gateway_answered(self, gateway: str) -> None:
        """Note that a Gateway answers: its site is online."""
        self.refusals.site_answers(self._sites.get(gateway, ""))

    def name_of(self, identity: str | None) -> str | None:
        """Return what people call a resource, or a Gateway by its site; else the id."""
        if identity is None or identity not in {*self._resources, *self._sites}:
            return identity
        if identity in self._resources:
            return self._resources[identity].name
        names = {str(s.id): s.name for r in self._resources.values() for s in r.sites}
        site = names.get(self._sites[identity])
        return identity if site is None else f"{site} ({identity[:8]})"

    # What people ask.

    @property
    def routes(self) -> frozenset[IPv4Network | IPv6Network]:
        """The networks of resources."""
        return frozenset(r.address for r in self._resources.values() if r.type == "cidr")

    @property
    def has_internet(self) -> bool:
        """Whether what no other resource covers goes into the tunnel."""
        return any(r.type == "internet" for r in self._resources.values())

    def status(self) -> list[dict[str, Any]]:
        """Return each resource, and why it cannot be used if so."""
        return [
            {
                "name": resource.name,
                "address": covers(resource),
                "ports": [_port(rule) for rule in getattr(resource, "filters", ())],
                "sites": [site.name for site in resource.sites],
                "gateway": self.name_of(self._serving.get(identity)),
                "refused": self.refusals.why_not(resource),
            }
            for identity, resource in self._resources.items()
        ]

    def why(self, row: Mapping[str, Any]) -> str | None:
        """Return why the packet of a row of `explain` would not arrive, by what the portal said."""
        resource = self._resources.get(row.get("resource") or "")
        if resource is not None:
            return self.refusals.why_not(resource)
        if row["verdict"] == "no_resource":
            return self.refusals.why_nothing_covers(row.get("name") or row["target"])
        return None

    # What the core asks.

    async def authorize(
        self, resource: str, connected: Sequence[str] = ()
    ) -> Mapping[str, object] | str | None:
        """Ask the portal, at most every 2 s for each resource.

        Args:
            resource: Its id.
            connected: Ids of Gateways that answer, the most wanted first.

        Returns:
            None if access was given, of which the core knows by then: candidates come right after
            it. Else why not.
        """
        if resource not in self._resources:
            return "not_found"
        request = self._requests[resource] = _Request(tuple(connected))
        try:
            early = self._asked.get(resource, -REPEAT) + REPEAT - self._clock()
            if early > 0:
                await asyncio.wait({request.answer}, timeout=early)
            if not request.answer.done():
                self._ask(resource, request)
            async with asyncio.timeout(PATIENCE if self._is_connected else AWAY_PATIENCE):
                return await request.answer
        except TimeoutError:
            if self._is_connected and resource in self._resources:
                self.refusals.refused(self._resources[resource], "offline")
            return "offline"
        finally:
            if self._requests.get(resource) is request:
                del self._requests[resource]

    def told(self, event: Mapping[str, Any]) -> list[Message]:
        """Take candidates of the core's; return what the portal is told."""
        gateway = event["gateway"]
        said: list[Message] = []
        if event["new"]:
            said.append(NewGatewayIceCandidates(gateway_id=gateway, candidates=event["new"]))
        if event["invalidated"]:
            gone = event["invalidated"]
            said.append(InvalidateGatewayIceCandidates(gateway_id=gateway, candidates=gone))
        return said

    # What the portal says.

    def lost(self) -> None:
        """Note that there is no connection to the portal; what is allowed goes on."""
        self._is_connected = False

    def take(self, message: Message) -> list[dict[str, Any]]:
        """Take a message; return the commands that it means, in order."""
        match message:
            case ClientInit(resources=resources):
                return self._take_all(resources)
            case ResourceCreatedOrUpdated(resource=resource):
                return self._set(resource)
            case ResourceDeleted(id=identity):
                return self._remove(str(identity))
            case ClientAuthorizationCreated():
                return self._given(message)
            case AuthorizationCreationFailed():
                return self._refused(message)
        return _carried(message)

    def _ask(self, resource: str, request: _Request) -> None:
        self._asked[resource], request.is_asked = self._clock(), True
        gateways = tuple(UUID(gateway) for gateway in request.gateways)
        wanted = RequestAuthorization(resource_id=UUID(resource), connected_gateway_ids=gateways)
        self._say(wanted)

    def _take_all(self, resources: Sequence[ClientResource]) -> list[dict[str, Any]]:
        self._is_connected = True
        gone = self._resources.keys() - {str(resource.id) for resource in resources}
        commands = [command for identity in sorted(gone) for command in self._remove(identity)]
        commands += [command for resource in resources for command in self._set(resource)]
        for resource, request in self._requests.items():
            if request.is_asked:
                # The connection that it was asked on is gone; there will be no answer.
                self._ask(resource, request)
        return commands

    def _set(self, given: ClientResource) -> list[dict[str, Any]]:
        identity = str(given.id)
        known = self._resources.get(identity)
        try:
            usable = of_client(given)
        except ConfigError as error:
            self._log.warning(
                "a resource cannot be used",
                event_name="resource.unusable",
                resource=identity,
                reason=str(error),
            )
            usable = None
        if usable is None or (usable[0].type == "internet" and not self._activates_internet):
            return self._remove(identity)
        resource, command = usable
        self.refusals.there_again(identity)
        self._resources[identity] = resource
        if known is None:
            self._log.info(
                "a resource was granted", event_name="resource.granted", name=resource.name
            )
        elif _is_reset(known, resource):
            # Its sites are not the core's business, but its Gateway may not serve it any more.
            self._serving.pop(identity, None)
            removed = {"type": "remove_resource", "resource": identity}
            return [removed, {"type": "set_resource", "resource": command}]
        elif known == resource:
            return []
        return [{"type": "set_resource", "resource": command}]

    def _remove(self, identity: str) -> list[dict[str, Any]]:
        resource = self._resources.pop(identity, None)
        if resource is None:
            return []
        self._serving.pop(identity, None)
        self._asked.pop(identity, None)
        self.refusals.withdrawn(resource)
        self._answer(identity, "not_found")
        self._log.info(
            "a resource was taken away", event_name="resource.withdrawn", name=resource.name
        )
        return [{"type": "remove_resource", "resource": identity}]

    def _given(self, message: ClientAuthorizationCreated) -> list[dict[str, Any]]:
        resource, gateway = str(message.resource_id), str(message.gateway_id)
        if resource not in self._requests or resource not in self._resources:
            self._log.debug("nobody asked for it", event_name="access.unasked", resource=resource)
            return []
        if message.use_iceless:
            self._log.warning(
                "the portal wants a path without ICE",
                event_name="access.unusable",
                resource=resource,
            )
            self._answer(resource, "offline")
            return []
        self._serving[resource] = gateway
        self._sites[gateway] = str(message.site_id)
        self.refusals.given(resource)
        self._answer(resource, None)
        endpoint = ice_endpoint(
            message.gateway_public_key,
            message.preshared_key.get_secret_value(),
            local=message.client_ice_credentials,
            remote=message.gateway_ice_credentials,
        )
        peer = {
            "id": gateway,
            "ipv4": str(message.gateway_ipv4),
            "ipv6": str(message.gateway_ipv6),
            "endpoint": endpoint,
            "site": str(message.site_id),
        }
        return [{"type": "authorize", "resource": resource, "gateway": peer}]

    def _refused(self, message: AuthorizationCreationFailed) -> list[dict[str, Any]]:
        identity = str(message.resource_id)
        resource = self._resources.get(identity)
        if resource is None:
            return []
        properties = message.violated_properties
        self.refusals.refused(resource, message.reason, properties)
        known = message.reason in ("offline", "forbidden", "not_found")
        self._answer(identity, message.reason if known else "offline")
        gateway = self._serving.pop(identity, None)
        if message.reason != "offline" or gateway is None:
            return []
        # It serves nothing of this Client's any more.
        self._serving = {r: other for r, other in self._serving.items() if other != gateway}
        return [{"type": "remove_gateway", "gateway": gateway}]

    def _answer(self, resource: str, answer: str | None) -> None:
        request = self._requests.pop(resource, None)
        if request is not None and not request.answer.done():
            request.answer.set_result(answer)


def _is_reset(before: AtSites, after: AtSites) -> bool:
    """Whether it is to be asked for anew; what people call it does not count."""
    hidden = {"name", "address_description"}
    is_same = before.model_dump(exclude={*hidden, "sites"}) == after.model_dump(
        exclude={*hidden, "sites"}
    )
    return not is_same or {s.id for s in before.sites} != {s.id for s in after.sites}


def _port(rule: Any) -> str:
    if rule.protocol == "icmp":
        return "icmp"
    first, last = rule.port_range_start, rule.port_range_end
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{rule.protocol}/{ports}"


def _carried(message: Message) -> list[dict[str, Any]]:
    """Return the commands of a message that carries a Gateway's candidates."""
    match message:
        case IceCandidatesOfGateway(gateway_id=gateway, candidates=lines):
            return [_candidates("add", str(gateway), lines)]
        case InvalidateIceCandidatesOfGateway(gateway_id=gateway, candidates=lines):
            return [_candidates("remove", str(gateway), lines)]
    return []


def _candidates(verb: str, gateway: str, lines: tuple[str, ...]) -> dict[str, Any]:
    return {"type": f"{verb}_remote_candidates", "gateway": gateway, "candidates": list(lines)}
