"""The JSON API: what it does, for whom, and what it refuses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.portal.world import NOW, World

from firezone.portal import create_app, events
from firezone.portal.app import LARGEST_BODY
from firezone.portal.inputs import TokenInput, UserInput
from firezone.portal.model import Role
from firezone.portal.store import people, tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOSTILE = [
    "'; DROP TABLE users; --",
    '" OR ""="',
    "<script>alert(1)</script>",
    "{{7*7}} %s %n",
    "../../etc/passwd",
    "Zoë Ünïcode 日本語",
]


class Api:
    """Calls of an administrator.

    Args:
        client: What calls.
        world: Their account.
    """

    def __init__(self, client: httpx2.AsyncClient, world: World) -> None:
        self.client = client
        self.world = world

    async def call(self, method: str, path: str, *, status: int = 200, **given: Any) -> Any:
        """Call, and return what the answer holds."""
        answer = await self.client.request(method, f"/api/v1{path}", **given)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        return answer.json() if answer.content else None

    async def token(self, role: Role, *scopes: str) -> str:
        """Return a token of a user with a role."""
        async with self.world.change() as scope:
            name = f"{role.value}-{'-'.join(scopes)}"
            given = UserInput(name=name, email=f"{name}@example.net", role=role)
            user = await people.create_user(scope, given)
            wanted = TokenInput(kind="api", name="x", user=user.id, scopes=frozenset(scopes))  # type: ignore[arg-type]
            return (await tokens.create_token(scope, wanted))[1]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Api]:
    app = create_app(url, clock=lambda: NOW)
    async with app.router.lifespan_context(app):
        world = await World.find(app.state.store, "corp")
        transport = httpx2.ASGITransport(app)
        _, secret = await world.token("api", user="root@example.net")
        async with httpx2.AsyncClient(
            transport=transport,
            base_url="http://portal.example",
            headers={"Authorization": f"Bearer {secret}"},
        ) as client:
            yield Api(client, world)


once = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


@pytest.fixture
async def api(url: str) -> AsyncIterator[Api]:
    async with opened(url) as made:
        yield made


async def test_what_no_database_takes_as_text_signs_nobody_in(api: Api) -> None:
    for name in ("email", "account"):
        form = {"email": "root@example.net", "password": "x", "account": "corp", name: "\0"}
        answer = await api.client.post("/sign-in", data=form)

        assert answer.status_code == 401, answer.text


async def test_from_nothing_to_access_and_back(api: Api) -> None:
    site = await api.call("POST", "/sites", status=201, json={"name": "branch"})
    given = {
        "kind": "dns",
        "name": "git",
        "address": "Git.Corp.Example.",
        "site": "branch",
        "filters": ["tcp/443", "tcp/8000-8100", "icmp"],
    }
    resource = await api.call("POST", "/resources", status=201, json=given)
    assert resource["address"] == "git.corp.example"
    assert resource["filters"] == ["tcp/443", "tcp/8000-8100", "icmp"]
    assert resource["site"] == site
    windows = ["mon-fri 08:00-18:00 Europe/Berlin"]
    policy = await api.call(
        "POST",
        "/policies",
        status=201,
        json={"group": "staff", "resource": "git", "conditions": {"time_windows": windows}},
    )
    assert policy["conditions"]["time_windows"] == ["mon,tue,wed,thu,fri 08:00-18:00 Europe/Berlin"]
    token = await api.call(
        "POST",
        "/tokens",
        status=201,
        json={"kind": "client", "name": "laptop", "user": "ann@example.net"},
    )
    assert token["token"].startswith("fzc_")
    client = await api.world.client(secret=token["token"])
    assert "git" in [one.name for one in await api.world.store.view(client, NOW)]
    told = await api.world.listen(client)

    path = f"/policies/{policy['id']}"
    changed = await api.call("PATCH", path, json={"disabled": True})

    assert changed["disabled_at"] == "2027-01-15T08:00:00Z"
    assert await api.world.seen(told) == [events.ViewChanged((client.device.id,))]
    assert "git" not in [one.name for one in await api.world.store.view(client, NOW)]
    await api.call("DELETE", path, status=204)
    await api.call("GET", path, status=404)


async def test_who_reaches_what_and_who_changed_what(api: Api) -> None:
    client, gateway = await api.world.client(), await api.world.gateway()
    await api.world.granted(client, gateway)

    [access] = (await api.call("GET", "/access"))["access"]
    assert access["client_id"] == client.device.id
    assert access["resource_id"] == api.world.resource.id

    await api.call("DELETE", f"/devices/{client.device.id}", status=204)
    assert (await api.call("GET", "/access"))["access"] == []
    audit = (await api.call("GET", "/audit", params={"limit": 1}))["audit"]
    assert [one["action"] for one in audit] == ["device.deleted"]
    assert audit[0]["actor"] == "user root@example.net"
    older = await api.call("GET", "/audit", params={"before": audit[0]["id"], "limit": 1})
    assert older["audit"][0]["id"] < audit[0]["id"]


async def test_devices_show_whether_they_are_online_and_no_secret(api: Api) -> None:
    client = await api.world.client()
    gone = await api.world.gateway()
    await api.world.store.leave(gone, NOW)

    listed = (await api.call("GET", "/devices"))["devices"]

    assert {one["id"]: one["online"] for one in listed} == {
        client.device.id: True,
        gone.device.id: False,
    }
    assert not [name for one in listed for name in one if "psk" in name]
    assert (await api.call("GET", "/devices", params={"kind": "gateway"}))["devices"][0][
        "ipv4"
    ].startswith("100.64.")


@pytest.mark.parametrize(
    ("role", "scopes", "reads", "writes"),
    [
        (Role.ADMIN, ("read", "write"), 200, 201),
        (Role.ADMIN, ("read",), 200, 403),
        (Role.ADMIN, ("write",), 403, 201),
        (Role.VIEWER, ("read", "write"), 200, 403),
    ],
)
async def test_a_token_may_what_its_user_and_its_scopes_may(
    api: Api, role: Role, scopes: tuple[str, ...], reads: int, writes: int
) -> None:
    bearer = {"Authorization": f"Bearer {await api.token(role, *scopes)}"}

    await api.call("GET", "/users", status=reads, headers=bearer)
    await api.call("POST", "/sites", status=writes, headers=bearer, json={"name": "new"})


@once
async def test_every_change_needs_an_administrator(api: Api) -> None:
    viewer = {"Authorization": f"Bearer {await api.token(Role.VIEWER, 'read', 'write')}"}
    described = (await api.client.get("/api/v1/openapi.json")).json()["paths"]
    number = "00000000-0000-4000-8000-000000000000"

    tried = 0
    for path, methods in described.items():
        for method in set(methods) - {"get"}:
            where = path.removeprefix("/api/v1")
            for name in ("user", "group", "site", "resource", "policy", "token", "device"):
                where = where.replace(f"{{{name}_id}}", number)
            for headers, status in ((viewer, 403), ({"Authorization": ""}, 401)):
                # What is asked is looked at only after who asks.
                answer = await api.client.request(
                    method, f"/api/v1{where}", headers=headers, json={"name": "x"}
                )
                assert answer.status_code in {status, 422}, (method, where, answer.text)
            tried += 1
    assert tried >= 20


async def test_a_member_or_a_revoked_token_gets_nowhere(api: Api) -> None:
    secret = await api.token(Role.VIEWER, "read")
    bearer = {"Authorization": f"Bearer {secret}"}
    users = (await api.call("GET", "/users", headers=bearer))["users"]
    [viewer] = [one for one in users if one["role"] == "viewer"]

    await api.call("PATCH", f"/users/{viewer['id']}", json={"role": "member"})
    await api.call("GET", "/users", status=403, headers=bearer)
    await api.call("PATCH", f"/users/{viewer['id']}", json={"role": "viewer"})
    listed = (await api.call("GET", "/tokens"))["tokens"]
    [mine] = [one for one in listed if one["user_id"] == viewer["id"]]
    await api.call("POST", f"/tokens/{mine['id']}/revoke")
    body = await api.call("GET", "/users", status=401, headers=bearer)
    assert body["code"] == "invalid_token"
    token = {"kind": "api", "name": "x", "user": "ann@example.net"}
    await api.call("POST", "/tokens", status=409, json=token)


@once
@pytest.mark.parametrize("kind", ["client", "gateway", "none", "basic", "rubbish"])
async def test_a_token_of_another_kind_is_refused(api: Api, kind: str) -> None:
    given = {"none": "", "basic": "Basic cm9vdDpyb290", "rubbish": "Bearer x"}.get(kind)
    if given is None:
        given = f"Bearer {(await api.world.token(kind))[1]}"

    body = await api.call("GET", "/users", status=401, headers={"Authorization": given})

    missing = kind in {"none", "basic"}
    assert body["code"] == ("missing_token" if missing else "invalid_token")


async def test_another_accounts_objects_do_not_exist(api: Api) -> None:
    rival = await World.make(api.world.store, "rival")
    client, gateway = await rival.client(), await rival.gateway()
    await rival.granted(client, gateway)
    token, _ = await rival.token("client")
    tries = [
        ("GET", f"/users/{rival.user.id}", None),
        ("PATCH", f"/users/{rival.user.id}", {"role": "admin"}),
        ("DELETE", f"/users/{rival.user.id}", None),
        ("PATCH", f"/groups/{rival.group.id}", {"name": "mine"}),
        ("DELETE", f"/groups/{rival.group.id}", None),
        ("GET", f"/groups/{rival.group.id}/members", None),
        ("PUT", f"/groups/{rival.group.id}/members/{rival.user.id}", None),
        ("PUT", f"/groups/{api.world.group.id}/members/{rival.user.id}", None),
        ("PUT", f"/groups/{rival.group.id}/members/{api.world.user.id}", None),
        ("PATCH", f"/sites/{rival.site.id}", {"name": "mine"}),
        ("DELETE", f"/sites/{rival.site.id}", None),
        ("GET", f"/resources/{rival.resource.id}", None),
        ("PATCH", f"/resources/{rival.resource.id}", {"name": "mine"}),
        ("PATCH", f"/resources/{api.world.resource.id}", {"site": rival.site.id}),
        ("DELETE", f"/resources/{rival.resource.id}", None),
        ("GET", f"/policies/{rival.policy.id}", None),
        ("PATCH", f"/policies/{rival.policy.id}", {"disabled": True}),
        ("DELETE", f"/policies/{rival.policy.id}", None),
        ("POST", "/policies", {"group": rival.group.id, "resource": api.world.resource.id}),
        ("POST", "/policies", {"group": api.world.group.id, "resource": rival.resource.id}),
        ("GET", f"/devices/{client.device.id}", None),
        ("PATCH", f"/devices/{client.device.id}", {"verified": True}),
        ("DELETE", f"/devices/{gateway.device.id}", None),
        ("POST", f"/tokens/{token.id}/revoke", None),
        ("POST", "/tokens", {"kind": "client", "name": "x", "user": rival.user.id}),
        ("POST", "/tokens", {"kind": "gateway", "name": "x", "site": rival.site.id}),
    ]

    for method, path, body in tries:
        await api.call(method, path, status=404, json=body)

    for path in ("/users", "/groups", "/sites", "/resources", "/policies", "/devices", "/tokens"):
        text = str(await api.call("GET", path))
        for foreign in (rival.user.id, rival.site.id, rival.resource.id, client.device.id):
            assert foreign not in text
    assert (await api.call("GET", "/access"))["access"] == []
    assert len(await rival.store.authorizations_of(gateway, NOW)) == 1


async def test_hostile_texts_are_kept_and_given_back_as_they_are(api: Api) -> None:
    for text in HOSTILE:
        await keeps(api, text)
    assert len((await api.call("GET", "/users"))["users"]) == 2


async def keeps(api: Api, text: str) -> None:
    site = await api.call("POST", "/sites", status=201, json={"name": text})
    group = await api.call("POST", "/groups", status=201, json={"name": text})
    given = {"kind": "cidr", "name": text, "address": "10.0.0.0/8", "description": text}
    resource = await api.call("POST", "/resources", status=201, json={**given, "site": text})
    policy = {"group": text, "resource": text, "description": text}
    await api.call("POST", "/policies", status=201, json=policy)

    assert site["name"] == group["name"] == resource["name"] == text
    assert resource["description"] == text


UNSEEN = ["", " ", "a\x00b", "a\nb", "a\x1b[2Jb", "a\u202eb", "x" * 256]


async def test_texts_that_cannot_be_seen_are_refused(api: Api) -> None:
    for text in UNSEEN:
        for path in ("/sites", "/groups"):
            body = await api.call("POST", path, status=422, json={"name": text})
            assert body["errors"][0]["field"] == "name"
        await api.call("POST", "/policies", status=422, json={"group": text, "resource": "wiki"})
    await api.call("GET", f"/sites/{'%00'}", status=405)
    await api.call("GET", "/users/%00", status=422)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "cidr", "address": "10.0.0.1/8"}, "10.0.0.1/8"),
    ({"kind": "cidr", "address": "0.0.0.0/0"}, "internet"),
    ({"kind": "cidr", "address": "100.64.1.0/24"}, "tunnel"),
    ({"kind": "ip", "address": "fd00:2021:1111::7"}, "tunnel"),
    ({"kind": "ip", "address": "10.0.0.0/8"}, "IP address"),
    ({"kind": "dns", "address": "-bad-.example"}, "name"),
    ({"kind": "dns", "address": "**"}, "last label"),
    ({"kind": "dns", "address": ""}, "name"),
    ({"kind": "internet", "address": "x"}, "no address"),
    ({"kind": "dns", "address": "a.example", "filters": ["tcp/0-70000"]}, "range"),
    ({"kind": "dns", "address": "a.example", "filters": ["gre"]}, "gre"),
    ({"kind": "dns", "address": "a.example", "ip_stack": "five"}, "ip_stack"),
    ({"kind": "dns", "address": "a.example", "adress": "b"}, "adress"),
]
"""A resource, and what its refusal speaks of."""


@once
async def test_a_wrong_resource_is_refused_in_words(api: Api) -> None:
    for given, field in WRONG:
        body = await api.call("POST", "/resources", status=422, json={"name": "x", **given})
        assert field in body["detail"]


async def test_what_is_there_already_is_a_conflict(api: Api) -> None:
    await api.call("POST", "/sites", status=409, json={"name": "main"})
    await api.call("POST", "/groups", status=409, json={"name": "staff"})
    user = {"name": "Ann", "email": "ANN@example.net"}
    await api.call("POST", "/users", status=409, json=user)
    policy = {"group": "staff", "resource": "wiki"}
    body = await api.call("POST", "/policies", status=409, json=policy)
    assert body["code"] == "conflict"
    assert "hint" in body


async def test_the_last_administrator_stays(api: Api) -> None:
    users = (await api.call("GET", "/users"))["users"]
    [root] = [one for one in users if one["role"] == "admin"]

    for change in ({"role": "viewer"}, {"disabled": True}):
        await api.call("PATCH", f"/users/{root['id']}", status=409, json=change)
    await api.call("DELETE", f"/users/{root['id']}", status=409)
    assert len((await api.call("GET", "/users"))["users"]) == 2


async def test_no_secret_is_in_an_error_or_the_audit_log(api: Api) -> None:
    short = "canary-1"
    body = {"name": "x", "email": "x@example.net", "password": short}
    refused = await api.client.post("/api/v1/users", json=body)
    assert refused.status_code == 422
    assert short not in refused.text
    password = "canary-of-a-password"  # noqa: S105 - the test's
    made = await api.client.post("/api/v1/users", json={**body, "password": password})
    assert made.status_code == 201
    assert made.json()["has_password"] is True
    token = await api.call(
        "POST", "/tokens", status=201, json={"kind": "gateway", "name": "gw", "site": "main"}
    )

    everything = [
        str(await api.call("GET", path)) for path in ("/audit", "/tokens", "/users", "/devices")
    ]

    assert not [text for text in everything if password in text or token["token"] in text]


@once
async def test_answers_have_headers_and_bodies_have_an_end(api: Api) -> None:
    answer = await api.client.get("/api/v1/users")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    body = {"name": "x" * LARGEST_BODY}
    await api.call("POST", "/sites", status=413, json=body)
    await api.call("GET", "/nothing", status=404)
    await api.call("POST", "/sites", status=422, content=b"{not json")
    health = await api.client.get("/healthz", headers={"Authorization": ""})
    assert health.json()["status"] == "ok"
    assert (await api.client.get("/docs")).status_code == 404
