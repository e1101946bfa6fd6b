"""Objects that stand in several messages."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool, StrictStr, ValidationInfo, model_validator

from .message import Part
from .wire import (
    Count,
    Domain,
    HttpsUrl,
    Ipv4,
    Ipv6,
    Lenient,
    LenientList,
    Port,
    Reading,
    Secret,
    SocketAddress,
    UnixSeconds,
)

__all__ = [
    "Authorization",
    "DnsServer",
    "DohServer",
    "Filter",
    "FlowLogsConfig",
    "GatewayConfig",
    "GatewayInterface",
    "IceCredentials",
    "IcmpFilter",
    "Interface",
    "LegacyDnsServer",
    "PortFilter",
    "Relay",
    "Site",
    "StunRelay",
    "TurnRelay",
]


class GatewayInterface(Part):
    """The tunnel addresses of a device."""

    ipv4: Ipv4
    ipv6: Ipv6


class DnsServer(Part):
    """A DNS server, asked on port 53."""

    ip: Ipv4 | Ipv6


class DohServer(Part):
    """A DNS server that is asked over HTTPS."""

    url: HttpsUrl


class LegacyDnsServer(Part):
    """A DNS server as older portals write it; the port means nothing."""

    protocol: Literal["ip_port"]
    address: SocketAddress


class Interface(GatewayInterface):
    """A Client's tunnel addresses and what its resolver uses.

    Args:
        upstream_do53: Servers for names that no resource has; without any, those of the system.
        upstream_doh: Such servers, asked over HTTPS. Only one of the two lists has entries.
        upstream_dns: Counts if `upstream_do53` is empty.
        search_domain: Appended to names of one label.
    """

    upstream_do53: LenientList[DnsServer] = ()
    upstream_doh: LenientList[DohServer] = ()
    upstream_dns: LenientList[LegacyDnsServer] = ()
    search_domain: Lenient[Domain | None] = None


class TurnRelay(Part):
    """A Relay and what it takes to use it. One with two addresses is two adjacent entries."""

    type: Literal["turn"] = "turn"
    id: UUID
    addr: SocketAddress
    username: StrictStr
    password: Secret
    expires_at: UnixSeconds


class StunRelay(Part):
    """A server that tells addresses; not used."""

    type: Literal["stun"] = "stun"
    id: UUID
    addr: SocketAddress


Relay = Annotated[TurnRelay | StunRelay, Field(discriminator="type")]


class PortFilter(Part):
    """Lets ports of a protocol pass, from the first to the last."""

    protocol: Literal["tcp", "udp"]
    port_range_start: Port = 0
    port_range_end: Port = 2**16 - 1

    @model_validator(mode="after")
    def _runs_forwards(self, info: ValidationInfo) -> PortFilter:
        # One that runs backwards lets nothing pass, which is no reason to refuse what is read.
        if not isinstance(info.context, Reading) and self.port_range_start > self.port_range_end:
            raise ValueError("the range of ports runs backwards")
        return self


class IcmpFilter(Part):
    """Lets echo requests pass."""

    protocol: Literal["icmp"] = "icmp"


Filter = Annotated[PortFilter | IcmpFilter, Field(discriminator="protocol")]
"""A list of filters lets pass what one of them names; an empty list lets everything pass."""


class Site(Part):
    """A place with Gateways."""

    id: UUID
    name: StrictStr


class IceCredentials(Part):
    """What one side of an ICE connection proves itself with."""

    username: StrictStr
    password: Secret


class Authorization(Part):
    """A Client's access to a resource, until a time."""

    client_id: UUID
    resource_id: UUID
    expires_at: UnixSeconds


class FlowLogsConfig(Part):
    """Where reports of flows go. An interval of 0 seconds is never; a batch of 0 the default."""

    api_url: StrictStr
    upload_interval_secs: Count
    upload_batch_size: Count


class GatewayConfig(Part):
    """Required in a Gateway's `init`, and without effect."""

    ipv4_masquerade_enabled: StrictBool
    ipv6_masquerade_enabled: StrictBool
