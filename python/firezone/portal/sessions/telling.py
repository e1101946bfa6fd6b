"""The portal's records as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from firezone.portal.model import ResourceKind
from firezone.signaling import messages as say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firezone.portal.derive import IceCredentials
    from firezone.portal.interface import Grant, RelayAddress
    from firezone.portal.model import Account, Authorization, Device, Filter, Resource

__all__ = [
    "authorization",
    "client_grant",
    "client_resource",
    "flow_logs",
    "gateway_grant",
    "gateway_interface",
    "gateway_resource",
    "interface",
    "relays",
]


def flow_logs(origin: str) -> say.FlowLogsConfig:
    """Return that no reports of flows are wanted."""
    return say.FlowLogsConfig(api_url=origin, upload_interval_secs=0, upload_batch_size=0)


def interface(device: Device, account: Account) -> say.Interface:
    """Return a Client's addresses and its account's resolver."""
    return say.Interface(
        ipv4=device.ipv4,
        ipv6=device.ipv6,
        search_domain=account.search_domain or None,
        upstream_do53=tuple(say.DnsServer(ip=ip) for ip in account.upstream_dns),
    )


def gateway_interface(device: Device) -> say.GatewayInterface:
    """Return a Gateway's addresses."""
    return say.GatewayInterface(ipv4=device.ipv4, ipv6=device.ipv6)


def relays(found: Iterable[RelayAddress]) -> tuple[say.TurnRelay, ...]:
    """Return Relays; those of one id stay next to each other."""
    return tuple(
        say.TurnRelay(
            id=UUID(one.id),
            addr=one.address,
            username=one.credentials.username,
            password=one.credentials.password,  # type: ignore[arg-type] # pydantic makes it secret
            expires_at=one.credentials.expires_at,
        )
        for one in found
    )


def authorization(found: Authorization) -> say.Authorization:
    """Return an entry of a Gateway's `init`."""
    return say.Authorization(
        client_id=UUID(found.client_id),
        resource_id=UUID(found.resource_id),
        expires_at=found.expires_at,
    )


def client_resource(found: Resource) -> say.ClientResource:
    """Return a resource as a Client is told of it."""
    sites = () if found.site is None else (say.Site(id=UUID(found.site.id), name=found.site.name),)
    fields: dict[str, Any] = {"id": found.id, "name": found.name, "sites": sites}
    if found.kind is ResourceKind.INTERNET:
        return say.ClientInternetResource(**fields)
    fields |= {"address_description": found.description, "filters": _filters(found.filters)}
    if found.kind is ResourceKind.DNS:
        return say.ClientDnsResource(address=found.address, ip_stack=found.ip_stack, **fields)
    return say.ClientCidrResource(address=_network(found), **fields)


def gateway_resource(found: Resource) -> say.GatewayResource:
    """Return a resource as a Gateway is told of it."""
    if found.kind is ResourceKind.INTERNET:
        return say.GatewayInternetResource(id=UUID(found.id))
    fields: dict[str, Any] = {"id": found.id, "name": found.name}
    fields["filters"] = _filters(found.filters)
    if found.kind is ResourceKind.DNS:
        return say.GatewayDnsResource(address=found.address, **fields)
    return say.GatewayCidrResource(address=_network(found), **fields)


def client_grant(grant: Grant, site_id: str) -> say.ClientAuthorizationCreated:
    """Return what a Client is told of its access."""
    fields: dict[str, Any] = {
        "resource_id": grant.resource.id,
        "gateway_id": grant.gateway.id,
        "gateway_public_key": grant.gateway_public_key,
        "gateway_ipv4": grant.gateway.ipv4,
        "gateway_ipv6": grant.gateway.ipv6,
        "site_id": site_id,
        "preshared_key": grant.preshared_key,
        "client_ice_credentials": _ice(grant.client_ice),
        "gateway_ice_credentials": _ice(grant.gateway_ice),
        "flow_logs_ingest_token": grant.initiator_token,
    }
    return say.ClientAuthorizationCreated(**fields)


def gateway_grant(grant: Grant) -> say.CreateAuthorization:
    """Return what a Gateway is told of a Client's access."""
    client: dict[str, Any] = {
        "id": grant.client.id,
        "public_key": grant.client_public_key,
        "preshared_key": grant.preshared_key,
        "ipv4": grant.client.ipv4,
        "ipv6": grant.client.ipv6,
    }
    fields: dict[str, Any] = {
        "ref": grant.authorization.id,
        "client": say.AuthorizedClient(**client),
        "resource": gateway_resource(grant.resource),
        "client_ice_credentials": _ice(grant.client_ice),
        "gateway_ice_credentials": _ice(grant.gateway_ice),
        "expires_at": grant.authorization.expires_at,
        "flow_logs_ingest_token": grant.responder_token,
    }
    return say.CreateAuthorization(**fields)


def _ice(found: IceCredentials) -> say.IceCredentials:
    fields: dict[str, Any] = {"username": found.username, "password": found.password}
    return say.IceCredentials(**fields)


def _network(found: Resource) -> Any:
    """Return a network; a single address is one with its whole length as prefix."""
    if "/" in found.address:
        return found.address
    return f"{found.address}/{128 if ':' in found.address else 32}"


def _filters(found: Iterable[Filter]) -> tuple[say.Filter, ...]:
    return tuple(
        say.IcmpFilter()
        if one.protocol == "icmp"
        else say.PortFilter(
            protocol=one.protocol, port_range_start=one.first, port_range_end=one.last
        )
        for one in found
    )
