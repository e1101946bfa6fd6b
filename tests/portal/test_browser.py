"""The page in a real browser, from signing in to taking access away."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tests.portal.running import Running, join, wait_for

from firezone.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

# No database has a part in this.
pytestmark = pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
CHROMIUM = "/usr/bin/chromium"
PASSWORD = "correct horse battery"  # noqa: S105 - the test's
REFUSED = "Failed to load resource: the server responded with a status of 401"
# The machine's browser starts as root here, and speaks to the portal alone.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture
def page(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The portal's page, in a window; what the browser complains of is an error, but refusals."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    assert main(["portal", "user", "set-password", "ann@example.net"]) == 0
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        running.wait()
        page.goto(f"http://127.0.0.1:{running.port}/")
        yield page
        browser.close()
    assert [one for one in complaints if not one.startswith(REFUSED)] == []


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail address").fill("ann@example.net")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_told_and_a_right_one_lets_in_until_signing_out(page: Page) -> None:
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()

    sign_in(page)
    expect(page.get_by_role("heading", name="Gateways and Clients")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    page.goto(page.url)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_access_is_granted_and_taken_away_by_pressing_buttons(page: Page, running: Running) -> None:
    sign_in(page)
    page.get_by_label("Name").fill("wiki")
    page.get_by_label("Address").fill("wiki.corp.example")
    page.get_by_role("button", name="Create resource").click()
    page.get_by_label("Resource").select_option("wiki")
    page.get_by_role("button", name="Create policy").click()
    expect(page.locator("#policies")).to_contain_text("enabled")

    with running.client(running.tokens["client"], 2) as client:
        [wiki] = join(client)["resources"]
        assert wiki["address"] == "wiki.corp.example"
        page.reload()
        expect(page.locator("#devices")).to_contain_text("online")

        page.get_by_role("button", name="Disable").click()
        assert wait_for(client, "resource_deleted") == wiki["id"]
        expect(page.locator("#policies")).to_contain_text("disabled")

        page.get_by_role("button", name="Enable").click()
        assert wait_for(client, "resource_created_or_updated")["id"] == wiki["id"]


def test_a_token_is_shown_once_with_the_line_to_paste(page: Page, running: Running) -> None:
    sign_in(page)
    page.get_by_role("link", name="Tokens").click()
    form = page.locator("form", has=page.get_by_role("button", name="Create a Client's token"))
    form.get_by_label("Name").fill("laptop")
    form.get_by_role("button").click()
    token = page.locator("#token").inner_text()
    assert token in page.locator("#line").inner_text()

    with running.client(token, 3) as client:
        assert join(client)["resources"] == []
    page.get_by_role("link", name="Tokens").click()
    expect(page.locator("#tokens")).to_contain_text("laptop")
    assert token not in page.content()
