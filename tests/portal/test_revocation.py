"""What a change takes away, exactly: the pure rules, and the database against them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from tests.portal.world import NOW, World

from firezone.portal import events, revocation
from firezone.portal.bus import LARGEST_PAYLOAD, payloads
from firezone.portal.inputs import (
    ConditionsInput,
    DeviceChange,
    GroupInput,
    PolicyChange,
    PolicyInput,
    ResourceChange,
    ResourceInput,
    UserChange,
)
from firezone.portal.model import Authorization, ResourceKind
from firezone.portal.revocation import consequences, revoked
from firezone.portal.store import access, devices, network, people, tokens

if TYPE_CHECKING:
    from firezone.portal.interface import Session


def authorization(number: int, **given: object) -> Authorization:
    texts = {f.name: f"{f.name}{number}" for f in fields(Authorization) if f.type == "str"}
    return Authorization(**{**texts, "needs_verified": False, "expires_at": NOW + 60, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        revocation.PolicyWithdrawn("policy_id1"),
        revocation.ResourceMoved("resource_id1"),
        revocation.MembershipEnded("user_id1", "group_id1"),
        revocation.TokenEnded("token_id1"),
        revocation.DeviceGone("client_id1"),
        revocation.DeviceGone("gateway_id1"),
        revocation.UserGone("user_id1"),
        revocation.VerificationEnded("client_id1"),
    ],
)
def test_a_change_takes_what_stands_on_it_and_nothing_else(change: revocation.Change) -> None:
    one = authorization(1, needs_verified=True)
    others = [authorization(number, needs_verified=True) for number in (2, 3)]

    assert revoked(change, [*others, one]) == [one]


def test_leaving_a_group_takes_what_was_granted_by_it_alone() -> None:
    by_other = authorization(1, group_id="other")
    of_other = authorization(1, user_id="other")

    change = revocation.MembershipEnded("user_id1", "group_id1")

    assert revoked(change, [by_other, of_other]) == []


def test_a_client_nobody_vouches_for_keeps_what_needs_no_verification() -> None:
    plain = authorization(1)

    assert revoked(revocation.VerificationEnded("client_id1"), [plain]) == []


def test_gateways_are_told_first_and_each_once() -> None:
    ended = [
        authorization(1, gateway_id="g", client_id="a", resource_id="r"),
        authorization(2, gateway_id="g", client_id="b", resource_id="r"),
        authorization(3, gateway_id="h", client_id="a", resource_id="q"),
        authorization(4, gateway_id="h", client_id="c", resource_id="q", expires_at=NOW),
    ]

    told = consequences(ended, ["b", "d"], NOW)

    assert told == [
        events.AccessRejected("g", (("a", "r"), ("b", "r"))),
        events.AccessRejected("h", (("a", "q"),)),
        events.ViewChanged(("b",), ("r",)),
        events.ViewChanged(("d",), ()),
        events.ViewChanged(("a",), ("q", "r")),
        events.ViewChanged(("c",), ("q",)),
    ]


class Scene:
    """Two Clients of two users reach two resources by two groups through one Gateway."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        self.ids: dict[str, str] = {}

    async def set_up(self) -> None:
        world = self.world
        async with world.change() as scope:
            group = await people.create_group(scope, GroupInput(name="admins"))
            root = await people.find_user(scope, "root@example.net")
            for user in (world.user.id, root.id):
                await people.join_group(scope, group.id, user)
            given = ResourceInput(
                kind=ResourceKind.CIDR, name="lab", address="10.0.0.0/8", site="main"
            )
            lab = await network.create_resource(scope, given)
            policy = await access.create_policy(scope, PolicyInput(group="admins", resource="lab"))
        self.ids = {"admins": group.id, "root": root.id, "lab": lab.id, "lab policy": policy.id}
        _, secret = await world.token("client", user="root@example.net")
        self.sessions["gw"] = await world.gateway()
        self.sessions["ann"] = await world.client("ann")
        self.sessions["root"] = await world.client("root", 2, secret=secret)
        await world.granted(self.sessions["ann"], self.sessions["gw"])
        await world.granted(self.sessions["ann"], self.sessions["gw"], lab.id)
        await world.granted(self.sessions["root"], self.sessions["gw"], lab.id)

    async def left(self) -> set[tuple[str, str]]:
        """Return what still holds: (Client, resource)."""
        names = {session.device.id: name for name, session in self.sessions.items()}
        held = await self.world.store.authorizations_of(self.sessions["gw"], NOW)
        resources = {self.world.resource.id: "wiki", self.ids["lab"]: "lab"}
        return {(names[one.client_id], resources[one.resource_id]) for one in held}


@pytest.fixture
async def scene(world: World) -> Scene:
    made = Scene(world)
    await made.set_up()
    return made


ALL = {("ann", "wiki"), ("ann", "lab"), ("root", "lab")}


async def test_disabling_a_policy_ends_what_it_granted_and_tells_those_concerned(
    scene: Scene,
) -> None:
    world, ann, root, gateway = scene.world, *(scene.sessions[n] for n in ("ann", "root", "gw"))
    told = {name: await world.listen(session) for name, session in scene.sessions.items()}
    assert await scene.left() == ALL

    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))

    assert await scene.left() == ALL - {("ann", "wiki")}
    pair = (ann.device.id, world.resource.id)
    assert await world.seen(told["gw"]) == [events.AccessRejected(gateway.device.id, (pair,))]
    assert await world.seen(told["ann"]) == [
        events.ViewChanged((ann.device.id,), (world.resource.id,))
    ]
    assert await world.seen(told["root"]) == []
    assert [one.name for one in await world.store.view(ann, NOW)] == ["lab"]
    assert root.device.id != ann.device.id

    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, PolicyChange(disabled=False))
    assert await world.seen(told["ann"]) == [events.ViewChanged((ann.device.id,))]
    assert isinstance(await world.store.authorize(ann, world.resource.id, (), NOW), str)


async def test_each_change_ends_exactly_what_stands_on_it(scene: Scene) -> None:
    world = scene.world
    asks = PolicyChange(conditions=ConditionsInput(remote_ip=("192.0.2.0/24",)))
    ann = scene.sessions["ann"].device.id

    async with world.change() as scope:
        await access.change_policy(scope, scene.ids["lab policy"], PolicyChange(description="why"))
        await network.change_resource(scope, "lab", ResourceChange(name="laboratory"))
        await people.rename_group(scope, scene.ids["admins"], GroupInput(name="others"))
        await devices.change_device(scope, ann, DeviceChange(verified=True))
        await devices.change_device(scope, ann, DeviceChange(verified=False))
    assert await scene.left() == ALL

    async with world.change() as scope:
        await access.change_policy(scope, scene.ids["lab policy"], asks)
    assert await scene.left() == {("ann", "wiki")}


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("leave", {("ann", "wiki"), ("ann", "lab")}),
        ("token", {("root", "lab")}),
        ("device", {("root", "lab")}),
        ("gateway", set()),
        ("user", {("root", "lab")}),
        ("move", {("ann", "wiki")}),
        ("stack", {("ann", "lab"), ("root", "lab")}),
        ("group", {("ann", "wiki")}),
        ("resource", {("ann", "wiki")}),
        ("site", set()),
    ],
)
async def test_a_change_ends(scene: Scene, what: str, left: set[tuple[str, str]]) -> None:
    world, ann = scene.world, scene.sessions["ann"]

    async with world.change() as scope:
        if what == "leave":
            await people.leave_group(scope, scene.ids["admins"], scene.ids["root"])
        elif what == "token":
            await tokens.revoke_token(scope, ann.identity.token.id)
        elif what == "device":
            await devices.remove_devices(scope, ann.device.id)
        elif what == "gateway":
            await devices.remove_devices(scope, scene.sessions["gw"].device.id)
        elif what == "user":
            await people.change_user(scope, world.user.id, UserChange(disabled=True))
        elif what == "move":
            await network.change_resource(scope, "lab", ResourceChange(address="10.1.0.0/16"))
        elif what == "stack":
            await network.change_resource(scope, "wiki", ResourceChange(ip_stack="ipv4_only"))
        elif what == "group":
            await people.delete_group(scope, scene.ids["admins"])
        elif what == "resource":
            await network.delete_resource(scope, "lab")
        else:
            await network.delete_site(scope, world.site.id)

    assert await scene.left() == left


async def test_a_change_of_filters_alone_is_told_and_ends_nothing(scene: Scene) -> None:
    world, gateway = scene.world, scene.sessions["gw"]
    told = {name: await world.listen(session) for name, session in scene.sessions.items()}

    async with world.change() as scope:
        await network.change_resource(scope, "wiki", ResourceChange(filters=("tcp/443",)))

    assert await scene.left() == ALL
    wiki = world.resource.id
    assert await world.seen(told["gw"]) == [events.ResourceUpdated((gateway.device.id,), wiki)]
    ann = scene.sessions["ann"].device.id
    assert await world.seen(told["ann"]) == [events.ViewChanged((ann,))]
    assert await world.seen(told["root"]) == []
    resource = await world.store.gateway_resource(gateway, wiki)
    assert resource is not None
    assert [(one.protocol, one.first, one.last) for one in resource.filters] == [("tcp", 443, 443)]


async def test_what_has_expired_goes_and_its_client_is_told_to_ask_again(scene: Scene) -> None:
    world, ann = scene.world, scene.sessions["ann"]
    told = {name: await world.listen(session) for name, session in scene.sessions.items()}
    ends = ann.identity.token.expires_at
    assert ends is not None

    assert await world.store.expire(ends - 1) == 0
    assert await world.store.expire(ends) == 3

    assert await scene.left() == set()
    assert await world.seen(told["gw"]) == []
    assert await world.seen(told["ann"]) == [
        events.ViewChanged((ann.device.id,), tuple(sorted((world.resource.id, scene.ids["lab"]))))
    ]


def test_a_large_event_is_cut_into_payloads_that_fit() -> None:
    many = tuple(f"{number:036d}" for number in range(3000))
    for event in (
        events.ViewChanged(many, many[:20]),
        events.ResourceUpdated(many, "r"),
        events.AccessRejected("g", tuple((one, one) for one in many)),
        events.Candidates("d", "s", tuple("candidate:" + "x" * 300 for _ in range(100))),
    ):
        parts = payloads(event)
        assert max(len(part.encode()) for part in parts) <= LARGEST_PAYLOAD
        assert len(parts) > 1
        decoded = [events.decode(part) for part in parts]
        for name in ("devices", "accesses", "candidates"):
            if hasattr(event, name):
                joined = [one for part in decoded for one in getattr(part, name)]
                assert joined == list(getattr(event, name))
    assert payloads(events.Candidates("d", "s", ("x" * 9000,))) == []
