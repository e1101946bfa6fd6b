"""The page: who gets in, what a form may do, and what a browser is told."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.portal.world import NOW, World

from firezone.portal import create_app
from firezone.portal.inputs import DeviceChange, SiteInput, UserChange
from firezone.portal.page.attempts import MOST_OF_ADDRESS, WINDOW, Attempts
from firezone.portal.store import access, devices, network, people

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PASSWORD = "correct horse battery"  # noqa: S105 - the test's
# No database has a part in this.
pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


class Browser:
    """Somebody at the page.

    Args:
        client: What calls.
        world: Their account.
    """

    def __init__(self, client: httpx2.AsyncClient, world: World) -> None:
        self.client = client
        self.world = world
        self.now = NOW

    async def sign_in(self, email: str = "root@example.net", password: str = PASSWORD) -> Any:
        """Try to sign in."""
        return await self.post("/sign-in", email=email, password=password)

    async def post(self, path: str, **form: str) -> Any:
        """Send a form."""
        return await self.client.post(path, data=form)

    async def page(self, path: str = "/") -> str:
        """Load a page."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    async def csrf(self) -> str:
        """Return what forms carry."""
        found = re.search(r'name="csrf" value="(\w+)"', await self.page("/tokens"))
        assert found
        return found[1]

    async def allow(self, email: str, role: str) -> None:
        """Let a user sign in."""
        async with self.world.change() as scope:
            user = await people.find_user(scope, email)
            given = UserChange.model_validate({"password": PASSWORD, "role": role})
            await people.change_user(scope, user.id, given)


@asynccontextmanager
async def opened(url: str, base: str) -> AsyncIterator[Browser]:
    made: list[Browser] = []
    app = create_app(url, clock=lambda: made[0].now if made else NOW)
    async with app.router.lifespan_context(app):
        world = await World.find(app.state.store, "corp")
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
            made.append(Browser(client, world))
            await made[0].allow("root@example.net", "admin")
            yield made[0]


@pytest.fixture
async def browser(url: str) -> AsyncIterator[Browser]:
    async with opened(url, "http://portal.example") as made:
        yield made


async def test_from_signing_in_to_revocation(browser: Browser) -> None:
    answer = await browser.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await browser.sign_in()).headers["location"] == "/"
    csrf = await browser.csrf()
    given = {"kind": "dns", "name": "git", "address": "git.corp.example", "site": "main"}
    await browser.post("/resources", csrf=csrf, filters="tcp/443 icmp", **given)
    await browser.post("/policies", csrf=csrf, group="staff", resource="git")
    text = await browser.page()
    assert "git.corp.example" in text
    assert "tcp/443, icmp" in text

    shown = (
        await browser.post("/tokens", csrf=csrf, kind="client", name="x", user="ann@example.net")
    ).text
    secret = re.search(r'<pre id="token">(\S+)</pre>', shown)
    assert secret
    line = f"FIREZONE_API_URL=ws://portal.example FIREZONE_TOKEN={secret[1]} firezone client up"
    assert line in shown
    assert secret[1] not in await browser.page("/tokens")
    client = await browser.world.client(secret=secret[1])
    gateway = await browser.world.gateway()
    await browser.world.granted(client, gateway)
    assert "Nobody reaches anything" not in await browser.page()

    async with browser.world.change() as scope:
        [policy] = [
            one
            for one in await access.list_policies(scope)
            if one.resource_id == browser.world.resource.id
        ]
    answer = await browser.post(f"/policies/{policy.id}/disable", csrf=csrf)

    assert answer.status_code == 303
    assert await browser.world.store.authorizations_of(gateway, NOW) == ()
    assert "Nobody reaches anything" in await browser.page()
    assert "policy.changed" in await browser.page("/audit")


@pytest.mark.parametrize("base", ["http://portal.example", "https://portal.example"])
async def test_the_cookie_is_for_this_site_alone(url: str, base: str) -> None:
    async with opened(url, base) as browser:
        cookie = (await browser.sign_in()).headers["set-cookie"]

        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "samesite=strict", "path=/"} <= parts
        assert ("secure" in parts) == base.startswith("https")
        assert cookie.startswith("__Host-") == base.startswith("https")
        assert not any(part.startswith("domain") for part in parts)


async def test_every_page_says_what_it_may_load(browser: Browser) -> None:
    await browser.sign_in()
    for path in ("/", "/tokens", "/audit", "/sign-in"):
        answer = await browser.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in answer.text
        assert "style=" not in answer.text
    style = await browser.client.get("/style.css")
    assert style.headers["content-type"].startswith("text/css")


async def test_a_form_of_somebody_else_does_nothing(browser: Browser) -> None:
    await browser.sign_in()
    csrf = await browser.csrf()
    given = {"kind": "gateway", "name": "x", "site": "main"}
    for form in (given, {**given, "csrf": ""}, {**given, "csrf": "0" * 64}):
        assert (await browser.post("/tokens", **form)).status_code == 403
    for foreign in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await browser.client.post("/tokens", data={**given, "csrf": csrf}, headers=foreign)
        assert answer.status_code == 403
        answer = await browser.client.post("/sign-in", data={"email": "x"}, headers=foreign)
        assert answer.status_code == 403
    own = {"Origin": "http://portal.example", "Sec-Fetch-Site": "same-origin"}
    answer = await browser.client.post("/tokens", data={**given, "csrf": csrf}, headers=own)
    assert answer.status_code == 200


async def test_signing_in_makes_a_new_session_and_signing_out_ends_it(browser: Browser) -> None:
    browser.client.cookies.set("firezone", "chosen-by-somebody-else")
    assert (await browser.client.get("/")).status_code == 303
    browser.client.cookies.clear()
    await browser.sign_in()
    first = browser.client.cookies["firezone"]
    first_csrf = await browser.csrf()
    await browser.sign_in()
    assert browser.client.cookies["firezone"] != first
    assert await browser.csrf() != first_csrf
    last = browser.client.cookies["firezone"]

    await browser.post("/sign-out")

    browser.client.cookies.set("firezone", last)
    assert (await browser.client.get("/")).status_code == 303


async def test_a_session_ends_with_its_user_and_its_hours(browser: Browser) -> None:
    await browser.allow("ann@example.net", "viewer")
    await browser.sign_in("ann@example.net")
    await browser.page()
    async with browser.world.change() as scope:
        await people.change_user(scope, browser.world.user.id, UserChange(disabled=True))
    assert (await browser.client.get("/")).status_code == 303

    await browser.sign_in()
    browser.now += 12 * 3600 - 1
    await browser.page()
    browser.now += 1
    assert (await browser.client.get("/")).status_code == 303


async def test_a_viewer_looks_and_a_member_stays_outside(browser: Browser) -> None:
    await browser.allow("ann@example.net", "viewer")
    assert (await browser.sign_in("ann@example.net")).status_code == 303
    assert 'name="csrf"' not in await browser.page()
    answer = await browser.post(f"/policies/{browser.world.policy.id}/disable", csrf="x")
    assert answer.status_code == 403
    async with browser.world.change() as scope:
        assert (await access.find_policy(scope, browser.world.policy.id)).disabled_at is None
    await browser.allow("ann@example.net", "member")
    assert (await browser.client.get("/")).status_code == 303
    assert (await browser.sign_in("ann@example.net")).status_code == 401


async def test_a_token_of_another_kind_opens_nothing(browser: Browser) -> None:
    await browser.sign_in()
    page = browser.client.cookies["firezone"]
    browser.client.cookies.clear()
    for kind, owner in (("api", {"user": "root@example.net"}), ("client", {}), ("gateway", {})):
        _, secret = await browser.world.token(kind, **owner)
        browser.client.cookies.set("firezone", secret)
        assert (await browser.client.get("/")).status_code == 303
        browser.client.cookies.clear()
    bearer = {"Authorization": f"Bearer {page}"}
    assert (await browser.client.get("/api/v1/users", headers=bearer)).status_code == 401


async def test_a_hundred_wrong_passwords_are_not_a_hundred_tries(browser: Browser) -> None:
    codes = [(await browser.sign_in(password=f"wrong {n}")).status_code for n in range(100)]

    assert codes == [401] * MOST_OF_ADDRESS + [429] * (100 - MOST_OF_ADDRESS)
    assert (await browser.sign_in()).status_code == 429
    browser.now += WINDOW
    assert (await browser.sign_in()).status_code == 303


async def test_who_is_not_there_is_answered_alike(browser: Browser) -> None:
    answers = [
        await browser.sign_in("root@example.net", "wrong"),
        await browser.sign_in("nobody@example.net", "wrong"),
        await browser.sign_in("ann@example.net", "wrong"),
        await browser.sign_in("' OR 1=1 --", "wrong"),
        await browser.sign_in("a\x00b", "wrong"),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


async def test_hostile_names_are_shown_as_text(browser: Browser) -> None:
    text = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    async with browser.world.change() as scope:
        await network.create_site(scope, SiteInput(name=text))
    client = await browser.world.client()
    async with browser.world.change() as scope:
        await devices.change_device(scope, client.device.id, DeviceChange(name=text))
    await browser.sign_in()

    for path in ("/", "/tokens", "/audit"):
        page = await browser.page(path)
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page


async def test_nobody_is_sent_elsewhere(browser: Browser) -> None:
    for path in ("/sign-in?next=https://evil.example", "/sign-in?next=//evil.example"):
        answer = await browser.client.post(
            path, data={"email": "root@example.net", "password": PASSWORD}
        )
        assert answer.headers["location"] == "/"


async def test_mistakes_are_told_on_a_page(browser: Browser) -> None:
    await browser.sign_in()
    csrf = await browser.csrf()
    given = {"kind": "dns", "name": "x", "address": "not a name", "csrf": csrf}
    answer = await browser.post("/resources", **given)
    assert answer.status_code == 422
    assert "expected a name like" in answer.text
    answer = await browser.post("/policies", csrf=csrf, group="staff", resource="wiki")
    assert answer.status_code == 409
    assert "has a policy for" in answer.text
    answer = await browser.post("/policies/x/disable", csrf=csrf)
    assert answer.status_code == 409


def test_attempts_are_counted_within_a_window_and_within_bounds(url: str) -> None:
    assert url
    attempts = Attempts(2)
    for now in (0, 10):
        attempts.failed(now, "a")
    assert attempts.wait(10, "a") == WINDOW - 10
    assert attempts.wait(10, "b") == 0
    assert attempts.wait(WINDOW, "a") == 0
    attempts.failed(WINDOW, "a")
    assert attempts.wait(WINDOW, "a") == 10
    attempts.succeeded("a")
    assert attempts.wait(WINDOW, "a") == 0
    for number in range(20_000):
        attempts.failed(0, str(number))
    assert len(attempts._wrong) == 10_000
