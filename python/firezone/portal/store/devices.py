"""Clients and Gateways as they are kept, whether they are online or not."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from firezone.errors import InvalidArgument
from firezone.portal.addresses import FIRST_HOST, LAST_HOST
from firezone.portal.database import Conflict
from firezone.portal.events import DeviceRemoved
from firezone.portal.model import TokenKind
from firezone.portal.presence import is_alive
from firezone.portal.revocation import DeviceGone, VerificationEnded
from firezone.portal.revoke import end_access
from firezone.portal.rows import device_of
from firezone.portal.tables import accounts, devices, presences, processes

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

    from firezone.portal.database import Scope
    from firezone.portal.inputs import DeviceChange
    from firezone.portal.interface import Hello, Identity
    from firezone.portal.model import Device

__all__ = ["change_device", "find_device", "list_devices", "remove_devices", "seen_device"]

_PSK_BYTES: Final = 32
_LONGEST: Final = 255


async def list_devices(scope: Scope, kind: TokenKind | None = None) -> list[Device]:
    """Return all Clients and Gateways, by name."""
    query = scope.select(devices).order_by(devices.c.name, devices.c.id)
    if kind is not None:
        query = query.where(devices.c.kind == kind.value)
    online = await _online(scope)
    return [device_of(row, online=row.id in online) for row in await scope.rows(query)]


async def find_device(scope: Scope, device_id: str) -> Device:
    """Return a Client or Gateway.

    Raises:
        NotFound: There is none with this id.
    """
    row = await scope.must(devices, device_id, "device")
    return device_of(row, online=device_id in await _online(scope))


async def _online(scope: Scope) -> set[str]:
    query = (
        scope.select(presences, presences.c.device_id)
        .join(processes, processes.c.id == presences.c.process_id)
        .where(is_alive(scope.now))
    )
    return {row.device_id for row in await scope.rows(query)}


async def change_device(scope: Scope, device_id: str, given: DeviceChange) -> Device:
    """Change a device's name, or whether an administrator vouches for it.

    Raises:
        NotFound: There is none.
        Conflict: A Gateway needs nobody who vouches for it.
    """
    device = await find_device(scope, device_id)
    values: dict[str, object] = {}
    if given.name is not None:
        values["name"] = given.name
    if given.verified is not None:
        if device.kind is not TokenKind.CLIENT:
            raise Conflict("only Clients are verified", hint="a Gateway proves itself by its token")
        values["verified_at"] = scope.now if given.verified else None
    if values:
        await scope.run(scope.update(devices, device_id).values(**values))
        await scope.note("device.changed", device_id, **values)
    if given.verified is not None:
        ended = [] if given.verified else [VerificationEnded(device_id)]
        await end_access(scope, *ended, watching=[device_id])
    return await find_device(scope, device_id)


async def remove_devices(scope: Scope, *device_ids: str) -> None:
    """Delete devices: every access ends, their sessions close, their keys are forgotten.

    Raises:
        NotFound: There is none.
    """
    for device_id in device_ids:
        row = await scope.must(devices, device_id, "device")
        await end_access(scope, DeviceGone(device_id))
        await scope.run(scope.delete(devices, device_id))
        await scope.note("device.deleted", device_id, name=row.name, kind=row.kind)
        scope.publish(DeviceRemoved(device_id))


async def seen_device(scope: Scope, identity: Identity, hello: Hello) -> Device:
    """Find the device that speaks, or make it (signaling §2.5), and keep what it says of itself.

    Raises:
        Conflict: A token for one Gateway is used by another, or no address is left.
        InvalidArgument: Its `external_id` cannot be one.
    """
    hello = _readable(hello)
    token = identity.token
    if token.kind is TokenKind.CLIENT:
        owner: dict[str, Any] = {"user_id": token.user_id}
    else:
        owner = {"site_id": token.site_id}
    [(column, value)] = owner.items()
    alike = (devices.c[column] == value, devices.c.external_id == hello.external_id)
    row = await scope.first(scope.select(devices).where(*alike))
    if token.device_id is not None and (row is None or row.id != token.device_id):
        raise Conflict("this token is another Gateway's", hint="make one for the site")
    device_id = row.id if row is not None else await _new_device(scope, token.kind, owner, hello)
    told = {
        "public_key": hello.public_key,
        "version": hello.version,
        "user_agent": hello.user_agent,
        "remote_ip": None if hello.remote_ip is None else str(hello.remote_ip),
        "last_seen_at": scope.now,
    }
    await scope.run(scope.update(devices, device_id).values(**told))
    return device_of(await scope.must(devices, device_id, "device"))


def _readable(hello: Hello) -> Hello:
    """Return what a device says of itself without what cannot be shown or kept."""
    if not hello.external_id or not hello.external_id.isprintable():
        raise InvalidArgument("the external_id is empty or cannot be shown")
    return replace(
        hello,
        external_id=hello.external_id[:_LONGEST],
        name=_shown(hello.name) or hello.external_id[:_LONGEST],
        user_agent=hello.user_agent and _shown(hello.user_agent),
        version=hello.version and _shown(hello.version)[:64],
    )


def _shown(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]


async def _new_device(scope: Scope, kind: TokenKind, owner: dict[str, Any], hello: Hello) -> str:
    new = str(uuid.uuid4())
    await scope.run(
        scope.insert(
            devices,
            id=new,
            kind=kind.value,
            external_id=hello.external_id,
            name=hello.name,
            host=await _free_host(scope),
            psk_base=secrets.token_bytes(_PSK_BYTES),
            created_at=scope.now,
            **owner,
        )
    )
    await scope.note("device.created", new, name=hello.name, kind=kind.value)
    return new


async def _free_host(scope: Scope) -> int:
    """Take the next number that no device has.

    Numbers are handed out in turn, so that one that was given up is not soon another's: somebody
    may still send to it.
    """
    own = accounts.c.id == scope.account
    start: int = (await scope.run(select(accounts.c.next_host).where(own))).scalar_one()
    for first in (start, FIRST_HOST):
        host = await _free_from(scope, first)
        if host is not None:
            following = FIRST_HOST if host == LAST_HOST else host + 1
            await scope.run(update(accounts).where(own).values(next_host=following))
            return host
    raise Conflict("every tunnel address is taken", hint="delete devices that are gone for good")


async def _free_from(scope: Scope, first: int) -> int | None:
    if await _has(scope, first) is None:
        return first
    other = devices.alias()
    taken_after = (
        select(other.c.id)
        .where(other.c.account_id == devices.c.account_id, other.c.host == devices.c.host + 1)
        .exists()
    )
    query = (
        scope.select(devices, devices.c.host + 1)
        .where(devices.c.host >= first, devices.c.host < LAST_HOST, ~taken_after)
        .order_by(devices.c.host)
    )
    row = await scope.first(query)
    return None if row is None else int(row[0])


async def _has(scope: Scope, host: int) -> Row[Any] | None:
    return await scope.first(scope.select(devices, devices.c.id).where(devices.c.host == host))
