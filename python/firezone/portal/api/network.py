"""Sites, resources, Clients and Gateways."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from firezone.portal.inputs import DeviceChange, ResourceChange, ResourceInput, SiteInput
from firezone.portal.model import TokenKind
from firezone.portal.outputs import DeviceOutput, ResourceOutput, SiteOutput
from firezone.portal.store import devices, network

from .caller import Id, Reading, Writing

router = APIRouter(tags=["network"])


class Sites(BaseModel):
    """Sites, by name."""

    sites: list[SiteOutput]


class Resources(BaseModel):
    """Resources, by name."""

    resources: list[ResourceOutput]


class Devices(BaseModel):
    """Clients and Gateways, by name."""

    devices: list[DeviceOutput]


@router.get("/sites")
async def list_sites(scope: Reading) -> Sites:
    """Show all sites."""
    return Sites(sites=[SiteOutput.of(one) for one in await network.list_sites(scope)])


@router.post("/sites", status_code=201)
async def create_site(given: SiteInput, scope: Writing) -> SiteOutput:
    """Make a site."""
    return SiteOutput.of(await network.create_site(scope, given))


@router.patch("/sites/{site_id}")
async def rename_site(site_id: Id, given: SiteInput, scope: Writing) -> SiteOutput:
    """Give a site another name."""
    return SiteOutput.of(await network.rename_site(scope, str(site_id), given))


@router.delete("/sites/{site_id}", status_code=204)
async def delete_site(site_id: Id, scope: Writing) -> None:
    """Delete a site with its Gateways and tokens; its resources stay, without a way to them."""
    await network.delete_site(scope, str(site_id))


@router.get("/resources")
async def list_resources(scope: Reading) -> Resources:
    """Show all resources."""
    found = await network.list_resources(scope)
    return Resources(resources=[ResourceOutput.of(one) for one in found])


@router.post("/resources", status_code=201)
async def create_resource(given: ResourceInput, scope: Writing) -> ResourceOutput:
    """Make a resource; nobody reaches it before there is a policy."""
    return ResourceOutput.of(await network.create_resource(scope, given))


@router.get("/resources/{resource_id}")
async def read_resource(resource_id: Id, scope: Reading) -> ResourceOutput:
    """Show a resource."""
    return ResourceOutput.of(await network.find_resource(scope, str(resource_id)))


@router.patch("/resources/{resource_id}")
async def change_resource(resource_id: Id, given: ResourceChange, scope: Writing) -> ResourceOutput:
    """Change a resource; another address, IP stack or site ends every access to it."""
    return ResourceOutput.of(await network.change_resource(scope, str(resource_id), given))


@router.delete("/resources/{resource_id}", status_code=204)
async def delete_resource(resource_id: Id, scope: Writing) -> None:
    """Delete a resource with its policies: every access to it ends."""
    await network.delete_resource(scope, str(resource_id))


@router.get("/devices")
async def list_devices(scope: Reading, kind: Literal["client", "gateway"] | None = None) -> Devices:
    """Show Clients and Gateways."""
    found = await devices.list_devices(scope, None if kind is None else TokenKind(kind))
    return Devices(devices=[DeviceOutput.of(one) for one in found])


@router.get("/devices/{device_id}")
async def read_device(device_id: Id, scope: Reading) -> DeviceOutput:
    """Show a Client or Gateway."""
    return DeviceOutput.of(await devices.find_device(scope, str(device_id)))


@router.patch("/devices/{device_id}")
async def change_device(device_id: Id, given: DeviceChange, scope: Writing) -> DeviceOutput:
    """Change a device's name, or vouch for a Client."""
    return DeviceOutput.of(await devices.change_device(scope, str(device_id), given))


@router.delete("/devices/{device_id}", status_code=204)
async def delete_device(device_id: Id, scope: Writing) -> None:
    """Delete a device: its session closes, its accesses end; who comes back is another."""
    await devices.remove_devices(scope, str(device_id))
