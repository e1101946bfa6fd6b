"""Sites and the resources that are reached through them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from firezone.portal.database import Conflict
from firezone.portal.events import ResourceUpdated
from firezone.portal.inputs import canonical_address, filter_of
from firezone.portal.revocation import ResourceMoved
from firezone.portal.revoke import clients_of_groups, end_access
from firezone.portal.rows import json_of_filters, resource_of, site_of
from firezone.portal.tables import authorizations, devices, policies, resources, sites

from .devices import remove_devices

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

    from firezone.portal.database import Scope
    from firezone.portal.inputs import ResourceChange, ResourceInput, SiteInput
    from firezone.portal.model import Resource, Site

__all__ = [
    "change_resource",
    "create_resource",
    "create_site",
    "delete_resource",
    "delete_site",
    "find_resource",
    "find_site",
    "list_resources",
    "list_sites",
    "rename_site",
]

_MOVES: Final = frozenset({"address", "ip_stack", "site_id"})
"""Fields of a resource whose change ends every access to it (signaling §7.7)."""


async def list_sites(scope: Scope) -> list[Site]:
    """Return all sites, by name."""
    return [site_of(row) for row in await scope.rows(scope.select(sites).order_by(sites.c.name))]


async def find_site(scope: Scope, wanted: str) -> Site:
    """Return the site with an id or a name.

    Raises:
        NotFound: There is none.
    """
    return site_of(await scope.named(sites, sites.c.name, wanted, "site"))


async def create_site(scope: Scope, given: SiteInput) -> Site:
    """Make a site without Gateways.

    Raises:
        Conflict: The name is taken.
    """
    await _free_name(scope, sites, "site", given.name)
    new = str(uuid.uuid4())
    await scope.run(scope.insert(sites, id=new, name=given.name, created_at=scope.now))
    await scope.note("site.created", new, name=given.name)
    return await find_site(scope, new)


async def rename_site(scope: Scope, site_id: str, given: SiteInput) -> Site:
    """Give a site another name; Clients are told."""
    await scope.must(sites, site_id, "site")
    await scope.run(scope.update(sites, site_id).values(name=given.name))
    await scope.note("site.renamed", site_id, name=given.name)
    of_it = scope.select(resources, resources.c.id).where(resources.c.site_id == site_id)
    for row in await scope.rows(of_it):
        await end_access(scope, watching=await _watching(scope, row.id))
    return await find_site(scope, site_id)


async def delete_site(scope: Scope, site_id: str) -> None:
    """Delete a site with its Gateways and tokens; its resources stay, without a way to them.

    Raises:
        NotFound: There is none.
    """
    site = site_of(await scope.must(sites, site_id, "site"))
    of_it = scope.select(resources, resources.c.id).where(resources.c.site_id == site_id)
    for row in await scope.rows(of_it):
        await scope.run(scope.update(resources, row.id).values(site_id=None))
        await end_access(scope, ResourceMoved(row.id), watching=await _watching(scope, row.id))
    gateways = scope.select(devices, devices.c.id).where(devices.c.site_id == site_id)
    await remove_devices(scope, *[row.id for row in await scope.rows(gateways)])
    await scope.run(scope.delete(sites, site_id))
    await scope.note("site.deleted", site_id, name=site.name)


async def list_resources(scope: Scope) -> list[Resource]:
    """Return all resources, by name."""
    known = {site.id: site for site in await list_sites(scope)}
    rows = await scope.rows(scope.select(resources).order_by(resources.c.name))
    return [resource_of(row, known.get(row.site_id)) for row in rows]


async def find_resource(scope: Scope, wanted: str) -> Resource:
    """Return the resource with an id or a name.

    Raises:
        NotFound: There is none.
    """
    found = await scope.named(resources, resources.c.name, wanted, "resource")
    return await _with_site(scope, found)


async def _with_site(scope: Scope, row: Row[Any]) -> Resource:
    site = None if row.site_id is None else site_of(await scope.must(sites, row.site_id, "site"))
    return resource_of(row, site)


async def create_resource(scope: Scope, given: ResourceInput) -> Resource:
    """Make a resource; nobody reaches it before there is a policy.

    Raises:
        Conflict: The name is taken.
        NotFound: There is no such site.
    """
    await _free_name(scope, resources, "resource", given.name)
    new = str(uuid.uuid4())
    site = None if given.site is None else await find_site(scope, given.site)
    await scope.run(
        scope.insert(
            resources,
            id=new,
            kind=given.kind.value,
            name=given.name,
            address=given.address,
            description=given.description,
            ip_stack=given.ip_stack,
            filters=json_of_filters(tuple(map(filter_of, given.filters))),
            site_id=site and site.id,
            created_at=scope.now,
        )
    )
    told = {"name": given.name, "kind": given.kind.value, "address": given.address}
    await scope.note("resource.created", new, **told, filters=list(given.filters))
    return await find_resource(scope, new)


async def change_resource(scope: Scope, resource_id: str, given: ResourceChange) -> Resource:
    """Change a resource.

    Another address, IP stack or site ends every access to it. Other filters or another name are
    told to Gateways and Clients, and access goes on.

    Raises:
        NotFound: There is no such resource or site.
        Conflict: The name is taken, or the address does not fit the kind.
    """
    before = await find_resource(scope, resource_id)
    values = await _changed(scope, before, given)
    if not values:
        return before
    await scope.run(scope.update(resources, before.id).values(**values))
    await scope.note("resource.changed", before.id, **values)
    watching = await _watching(scope, before.id)
    if _MOVES & values.keys():
        await end_access(scope, ResourceMoved(before.id), watching=watching)
    else:
        await end_access(scope, watching=watching)
        if {"filters", "name"} & values.keys():
            await _tell_gateways(scope, before.id)
    return await find_resource(scope, before.id)


async def _changed(scope: Scope, before: Resource, given: ResourceChange) -> dict[str, Any]:
    """Return the columns that get another value."""
    values: dict[str, Any] = {}
    for name in ("name", "description", "ip_stack"):
        value = getattr(given, name)
        if value is not None and value != getattr(before, name):
            values[name] = value
    if "name" in values:
        await _free_name(scope, resources, "resource", values["name"])
    if given.address is not None:
        try:
            address = canonical_address(before.kind, given.address)
        except ValueError as error:
            raise Conflict(f"address: {error}") from error
        values |= {"address": address} if address != before.address else {}
    if given.filters is not None:
        filters = tuple(map(filter_of, given.filters))
        values |= {"filters": json_of_filters(filters)} if filters != before.filters else {}
    if given.site is not None:
        site = await find_site(scope, given.site)
        values |= {"site_id": site.id} if before.site is None or site.id != before.site.id else {}
    return values


async def delete_resource(scope: Scope, resource_id: str) -> None:
    """Delete a resource with its policies: every access ends.

    Raises:
        NotFound: There is none.
    """
    resource = await find_resource(scope, resource_id)
    watching = await _watching(scope, resource.id)
    await end_access(scope, ResourceMoved(resource.id), watching=watching)
    await scope.run(scope.delete(resources, resource.id))
    await scope.note("resource.deleted", resource.id, name=resource.name)


async def _tell_gateways(scope: Scope, resource_id: str) -> None:
    query = (
        scope.select(authorizations, authorizations.c.gateway_id)
        .where(authorizations.c.resource_id == resource_id, authorizations.c.expires_at > scope.now)
        .distinct()
    )
    gateways = tuple(sorted(row[0] for row in await scope.rows(query)))
    if gateways:
        scope.publish(ResourceUpdated(gateways, resource_id))


async def _watching(scope: Scope, resource_id: str) -> list[str]:
    """Return the Clients that are online and have a policy for a resource."""
    query = scope.select(policies, policies.c.group_id).where(
        policies.c.resource_id == resource_id, policies.c.disabled_at.is_(None)
    )
    return await clients_of_groups(scope, *[row.group_id for row in await scope.rows(query)])


async def _free_name(scope: Scope, table: Any, what: str, name: str) -> None:
    if await scope.first(scope.select(table).where(table.c.name == name)) is not None:
        raise Conflict(f"there is a {what} {name!r} already", hint="choose another name")
