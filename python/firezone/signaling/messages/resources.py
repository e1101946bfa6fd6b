"""Resources, as a Client and as a Gateway are told of them.

A Client passes over resources that it cannot read, alone: a portal may be newer. A Gateway lets
pass what a resource says, so that it reads all of it or nothing.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Field,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from .message import Part
from .shared import Filter, Site
from .wire import Lenient, LenientList, Network, Reading

__all__ = [
    "ClientCidrResource",
    "ClientDnsResource",
    "ClientInternetResource",
    "ClientResource",
    "ClientResources",
    "Device",
    "DynamicDevicePool",
    "GatewayCidrResource",
    "GatewayDnsResource",
    "GatewayInternetResource",
    "GatewayResource",
    "IpStack",
    "StaticDevicePool",
]

IpStack = Literal["dual", "ipv4_only", "ipv6_only"]

Filters = tuple[Filter, ...]
"""Never passed over if wrong: without filters everything may pass."""


class _AtSites(Part):
    """A resource that Gateways of sites serve.

    Args:
        id: Its id.
        sites: Where; older portals say `gateway_groups`.
    """

    id: UUID
    sites: tuple[Site, ...]

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, value: Any) -> Any:
        return renamed(value, "gateway_groups", "sites")


class ClientDnsResource(_AtSites):
    """Names.

    Args:
        address: A pattern: `*` is any part of a label, `**` any labels, `?` one character.
    """

    type: Literal["dns"] = "dns"
    name: StrictStr
    address: StrictStr
    address_description: Lenient[StrictStr | None] = None
    ip_stack: IpStack | None = None
    filters: Filters = ()


class ClientCidrResource(_AtSites):
    """A network, or one address with its whole length as prefix."""

    type: Literal["cidr"] = "cidr"
    name: StrictStr
    address: Network
    address_description: Lenient[StrictStr | None] = None
    filters: Filters = ()


class ClientInternetResource(_AtSites):
    """Everything that no other resource is. Used when the Client says so."""

    type: Literal["internet"] = "internet"
    name: Lenient[StrictStr] = "Internet Resource"


def _one_address(value: object) -> object:
    return value if not isinstance(value, str) or "/" in value else f"{value}/{_length(value)}"


def _length(address: str) -> int:
    return 128 if ":" in address else 32


class Device(Part):
    """Another Client of a pool; its addresses have their whole length as prefix."""

    client_id: UUID
    ipv4: Annotated[IPv4Network, BeforeValidator(_one_address)]
    ipv6: Annotated[IPv6Network, BeforeValidator(_one_address)]


class StaticDevicePool(Part):
    """Other Clients."""

    type: Literal["static_device_pool"] = "static_device_pool"
    id: UUID
    name: StrictStr
    devices: LenientList[Device] = ()
    filters: Filters = ()


class DynamicDevicePool(Part):
    """Other Clients, by names that a pattern tells."""

    type: Literal["dynamic_device_pool"] = "dynamic_device_pool"
    id: UUID
    name: StrictStr
    address: StrictStr
    filters: Filters = ()


ClientResource = Annotated[
    ClientDnsResource
    | ClientCidrResource
    | ClientInternetResource
    | StaticDevicePool
    | DynamicDevicePool,
    Field(discriminator="type"),
]
_ONE: Final[TypeAdapter[Any]] = TypeAdapter(ClientResource)


def _readable(value: Any, info: ValidationInfo) -> Any:
    """Return those resources of a list that can be read."""
    if not isinstance(info.context, Reading) or not isinstance(value, list):
        return value
    good = []
    for place, item in enumerate(value):
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise ValueError("a resource has a type")
        try:
            good.append(_ONE.validate_python(item, context=info.context))
        except ValidationError:
            info.context.ignored.append(f"resources.{place}")
    return good


ClientResources = Annotated[LenientList[ClientResource], BeforeValidator(_readable)]


class GatewayDnsResource(Part):
    """Names that a Gateway looks up."""

    type: Literal["dns"] = "dns"
    id: UUID
    name: StrictStr
    address: StrictStr
    filters: tuple[Filter, ...]


class GatewayCidrResource(Part):
    """A network, or one address with its whole length as prefix."""

    type: Literal["cidr"] = "cidr"
    id: UUID
    name: StrictStr
    address: Network
    filters: tuple[Filter, ...]


class GatewayInternetResource(Part):
    """Everything that the Gateway can reach."""

    type: Literal["internet"] = "internet"
    id: UUID


GatewayResource = Annotated[
    GatewayDnsResource | GatewayCidrResource | GatewayInternetResource,
    Field(discriminator="type"),
]


def renamed(value: Any, old: str, new: str) -> Any:
    """Return an object's fields with a field of an older name under its newer one.

    Raises:
        ValueError: It has both.
    """
    if not isinstance(value, dict) or old not in value:
        return value
    if new in value:
        raise ValueError(f"{old} and {new} are the same; one of them stands")
    return {(new if name == old else name): item for name, item in value.items()}
