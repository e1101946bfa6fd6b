"""`firezone portal site`, `resource` and `device`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from .portal_store import Portal, checked, done, installed, show, show_one
from .roles import json_option

if TYPE_CHECKING:
    from firezone.portal.database import Scope
    from firezone.portal.model import Device, Resource

__all__ = ["COMMANDS"]

_SITE: Final = ("name", "id")
_RESOURCE: Final = ("name", "kind", "address", "filters", "id")
_DEVICE: Final = ("name", "kind", "online", "ipv4", "version", "remote_ip", "last_seen_at", "id")
_KINDS: Final = ("dns", "cidr", "ip", "internet")


@click.group()
def site() -> None:
    """Show and change sites: networks behind Gateways that are equal."""


@site.command("list")
@json_option
@click.pass_obj
def list_sites(portal: Portal, *, as_json: bool) -> None:
    """Show all sites."""
    with installed():
        from firezone.portal.outputs import SiteOutput
        from firezone.portal.store import network

    found = portal.read(network.list_sites)
    show("sites", map(SiteOutput.of, found), _SITE, as_json=as_json)


@site.command("create")
@click.argument("name")
@json_option
@click.pass_obj
def create_site(portal: Portal, name: str, *, as_json: bool) -> None:
    """Make a site; its Gateways come by a token of it."""
    with installed():
        from firezone.portal.inputs import SiteInput
        from firezone.portal.outputs import SiteOutput
        from firezone.portal.store import network

    given = checked(SiteInput, name=name)
    made = portal.change(lambda scope: network.create_site(scope, given))
    show_one("site", SiteOutput.of(made), as_json=as_json)


@site.command("delete")
@click.argument("name")
@json_option
@click.pass_obj
def delete_site(portal: Portal, name: str, *, as_json: bool) -> None:
    """Delete a site with its Gateways; its resources stay, without a way to them."""
    with installed():
        from firezone.portal.store import network

    async def work(scope: Scope) -> None:
        await network.delete_site(scope, (await network.find_site(scope, name)).id)

    portal.change(work)
    done("site.delete", as_json=as_json)


@click.group()
def resource() -> None:
    """Show and change resources: names, networks and the internet."""


@resource.command("list")
@json_option
@click.pass_obj
def list_resources(portal: Portal, *, as_json: bool) -> None:
    """Show all resources."""
    with installed():
        from firezone.portal.outputs import ResourceOutput
        from firezone.portal.store import network

    found = portal.read(network.list_resources)
    show("resources", map(ResourceOutput.of, found), _RESOURCE, as_json=as_json)


@resource.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), default="dns", show_default=True)
@click.option("--address", default="", help="Like *.corp.example, 10.0.0.0/8 or 192.0.2.7.")
@click.option("--site", "site_name", help="Name of the site through which it is reached.")
@click.option("--allow", "filters", multiple=True, help="Like tcp/443 or icmp; all by default.")
@click.option("--ip-stack", type=click.Choice(["dual", "ipv4_only", "ipv6_only"]), default="dual")
@click.option("--description", help="What Clients show instead of the address.")
@json_option
@click.pass_obj
def create_resource(
    portal: Portal,
    name: str,
    kind: str,
    address: str,
    site_name: str | None,
    filters: tuple[str, ...],
    ip_stack: str,
    description: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a resource; nobody reaches it before there is a policy."""
    with installed():
        from firezone.portal.inputs import ResourceInput
        from firezone.portal.store import network

    given = checked(
        ResourceInput,
        kind=kind,
        name=name,
        address=address,
        site=site_name,
        filters=filters,
        ip_stack=ip_stack,
        description=description,
    )
    made = portal.change(lambda scope: network.create_resource(scope, given))
    _tell_resource(made, as_json=as_json)


@resource.command("change")
@click.argument("name")
@click.option("--name", "new_name", help="Another name.")
@click.option("--address", help="Another address: ends every access.")
@click.option("--site", "site_name", help="Another site: ends every access.")
@click.option("--allow", "filters", multiple=True, help="What passes from now on.")
@click.option("--allow-all", is_flag=True, help="Let everything pass from now on.")
@click.option("--ip-stack", type=click.Choice(["dual", "ipv4_only", "ipv6_only"]))
@click.option("--description", help="What Clients show instead of the address.")
@json_option
@click.pass_obj
def change_resource(
    portal: Portal,
    name: str,
    new_name: str | None,
    address: str | None,
    site_name: str | None,
    filters: tuple[str, ...],
    ip_stack: str | None,
    description: str | None,
    *,
    allow_all: bool,
    as_json: bool,
) -> None:
    """Change a resource; what is not given stays."""
    with installed():
        from firezone.portal.inputs import ResourceChange
        from firezone.portal.store import network

    given = checked(
        ResourceChange,
        name=new_name,
        address=address,
        site=site_name,
        filters=() if allow_all else filters or None,
        ip_stack=ip_stack,
        description=description,
    )
    changed = portal.change(lambda scope: network.change_resource(scope, name, given))
    _tell_resource(changed, as_json=as_json)


@resource.command("delete")
@click.argument("name")
@json_option
@click.pass_obj
def delete_resource(portal: Portal, name: str, *, as_json: bool) -> None:
    """Delete a resource with its policies: every access to it ends."""
    with installed():
        from firezone.portal.store import network

    portal.change(lambda scope: network.delete_resource(scope, name))
    done("resource.delete", as_json=as_json)


def _tell_resource(made: Resource, *, as_json: bool) -> None:
    from firezone.portal.outputs import ResourceOutput

    show_one("resource", ResourceOutput.of(made), as_json=as_json)


@click.group()
def device() -> None:
    """Show and change Clients and Gateways."""


@device.command("list")
@click.option("--kind", type=click.Choice(["client", "gateway"]))
@json_option
@click.pass_obj
def list_devices(portal: Portal, kind: str | None, *, as_json: bool) -> None:
    """Show Clients and Gateways, and whether they are online."""
    with installed():
        from firezone.portal.model import TokenKind
        from firezone.portal.outputs import DeviceOutput
        from firezone.portal.store import devices

    wanted = None if kind is None else TokenKind(kind)
    found = portal.read(lambda scope: devices.list_devices(scope, wanted))
    show("devices", map(DeviceOutput.of, found), _DEVICE, as_json=as_json)


@device.command()
@click.argument("device_id", metavar="ID")
@json_option
@click.pass_obj
def verify(portal: Portal, device_id: str, *, as_json: bool) -> None:
    """Vouch for a Client: policies for verified Clients hold for it."""
    _tell_device(_changed(portal, device_id, verified=True), as_json=as_json)


@device.command()
@click.argument("device_id", metavar="ID")
@json_option
@click.pass_obj
def unverify(portal: Portal, device_id: str, *, as_json: bool) -> None:
    """Vouch for a Client no more: what it reached by that ends."""
    _tell_device(_changed(portal, device_id, verified=False), as_json=as_json)


@device.command()
@click.argument("device_id", metavar="ID")
@click.argument("name")
@json_option
@click.pass_obj
def rename(portal: Portal, device_id: str, name: str, *, as_json: bool) -> None:
    """Give a device another name."""
    _tell_device(_changed(portal, device_id, name=name), as_json=as_json)


@device.command("delete")
@click.argument("device_id", metavar="ID")
@json_option
@click.pass_obj
def delete_device(portal: Portal, device_id: str, *, as_json: bool) -> None:
    """Delete a device: its session closes; who comes back is another."""
    with installed():
        from firezone.portal.store import devices

    portal.change(lambda scope: devices.remove_devices(scope, device_id))
    done("device.delete", as_json=as_json)


def _changed(portal: Portal, device_id: str, **given: object) -> Device:
    with installed():
        from firezone.portal.inputs import DeviceChange
        from firezone.portal.store import devices

    wanted = checked(DeviceChange, **given)
    return portal.change(lambda scope: devices.change_device(scope, device_id, wanted))


def _tell_device(changed: Device, *, as_json: bool) -> None:
    from firezone.portal.outputs import DeviceOutput

    show_one("device", DeviceOutput.of(changed), as_json=as_json)


COMMANDS: Final = (site, resource, device)
