"""`firezone portal`: the commands, what they print and how they fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from tests.portal.world import NOW

from firezone.cli import main
from firezone.portal.database import SYSTEM
from firezone.portal.inputs import GroupInput
from firezone.portal.model import TokenKind
from firezone.portal.store import Store, people

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)


@pytest.fixture
def run(
    empty_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run a command on a database that is not there yet; return what it prints."""
    monkeypatch.setenv("FIREZONE_PORTAL_DATABASE", empty_url)

    def running(*arguments: str, code: int = 0) -> Any:
        assert main(["portal", *arguments]) == code, capsys.readouterr().err
        said = capsys.readouterr()
        if code:
            return said.err
        return json.loads(said.out) if "--json" in arguments else said.out

    return running


@pytest.fixture
def made(run: Callable[..., Any]) -> dict[str, Any]:
    """What `init` has made."""
    document: dict[str, Any] = run("init", "--email", "ann@example.net", "--json")
    return document


def test_init_makes_a_private_database_and_says_what_comes_next(
    run: Callable[..., Any], empty_url: str
) -> None:
    before = os.umask(0)
    try:
        said = run("init", "--email", "ann@example.net", "--url", "wss://portal.example")
    finally:
        os.umask(before)

    file = Path(empty_url.removeprefix("sqlite:///"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "firezone portal run" in said
    assert "FIREZONE_API_URL=wss://portal.example FIREZONE_TOKEN=fzg_" in said
    assert "firezone client up" in said
    assert "there is an account already" in run("init", "--email", "b@example.net", code=1)
    for token in (word for word in said.split() if word.startswith("fz")):
        assert token.encode() not in file.read_bytes()


def test_the_tokens_of_init_are_valid_and_of_their_kinds(
    made: dict[str, Any], empty_url: str
) -> None:
    async def look() -> None:
        store = await Store.open(empty_url)
        for kind, token in made["tokens"].items():
            identity = await store.authenticate(token, TokenKind(kind), int(time.time()))
            assert identity.account is not None
            assert identity.account.slug == "main"
        await store.close()

    asyncio.run(look())


def test_a_name_is_granted_and_taken_away(run: Callable[..., Any], made: dict[str, Any]) -> None:
    assert made["schema"] == "firezone.portal.init/1"
    where = ("--address", "wiki.corp.example", "--site", "main")
    wiki = run("resource", "create", "wiki", *where, "--allow", "tcp/443", "--json")["resource"]
    assert wiki["filters"] == ["tcp/443"]
    run("group", "create", "staff")
    run("user", "create", "bob@example.net", "--name", "Bob")
    run("group", "add", "staff", "bob@example.net")
    assert [one["name"] for one in run("group", "members", "staff", "--json")["users"]] == ["Bob"]
    policy = run(
        *("policy", "create", "--group", "staff", "--resource", "wiki", "--json"),
        *("--when", "mon-fri 08:00-18:00 Europe/Berlin", "--from", "10.0.0.0/8", "--verified"),
    )["policy"]
    assert policy["conditions"]["client_verified"] is True
    assert run("policy", "disable", policy["id"], "--json")["policy"]["disabled_at"] is not None
    assert run("policy", "enable", policy["id"], "--json")["policy"]["disabled_at"] is None
    run("resource", "change", "wiki", "--name", "docs", "--allow-all")
    [listed] = run("resource", "list", "--json")["resources"]
    assert (listed["name"], listed["filters"]) == ("docs", [])
    run("resource", "delete", "docs")
    run("group", "remove", "staff", "bob@example.net")
    run("user", "delete", "bob@example.net")
    actions = [one["action"] for one in run("audit", "--json")["audit"]]
    assert actions[:3] == ["user.deleted", "group.left", "resource.deleted"]
    assert "staff" in run("group", "list")


@pytest.mark.parametrize(
    "words", ["user list", "group list", "site list", "resource list", "policy list",
              "token list", "device list", "access", "audit"]
)  # fmt: skip
def test_every_reading_command_has_json_with_a_schema(
    run: Callable[..., Any], made: dict[str, Any], words: str
) -> None:
    assert made
    document = run(*words.split(), "--json")
    name = document["schema"].removeprefix("firezone.portal.").removesuffix("/1")
    assert isinstance(document[name], list)
    run(*words.split())


def test_tokens_are_shown_once(run: Callable[..., Any], made: dict[str, Any]) -> None:
    assert made
    secret = run("token", "create", "gateway", "--site", "main", "--name", "second").strip()
    assert secret.startswith("fzg_")
    relay = run("token", "create", "relay", "--json")
    assert relay["token"].startswith("fzr_")
    [of_relay] = [one for one in run("token", "list", "--json")["tokens"] if one["kind"] == "relay"]
    assert of_relay["id"] == relay["id"]
    assert run("token", "revoke", relay["id"], "--json")["token"]["revoked_at"] is not None
    assert "no token" in run("token", "revoke", "x", code=1)
    listed = run("token", "list", "--json")["tokens"]
    assert secret not in str(listed)
    [second] = [one for one in listed if one["name"] == "second"]
    assert run("token", "revoke", second["id"], "--json")["token"]["revoked_at"] is not None
    api = run("token", "create", "api", "--user", "ann@example.net", "--read-only", "--days", "1")
    assert api.startswith("fza_")


def test_mistakes_are_told_in_words(run: Callable[..., Any], made: dict[str, Any]) -> None:
    assert made
    assert "address like" in run("user", "create", "nobody", code=2)
    assert "no user 'x@example.net'" in run("user", "disable", "x@example.net", code=1)
    assert "last administrator" in run("user", "disable", "ann@example.net", code=1)
    assert "no site 'x'" in run("token", "create", "gateway", "--site", "x", code=1)
    assert "is of a site" in run("token", "create", "gateway", code=1)
    windows = ("--group", "everyone", "--resource", "x", "--when", "someday")
    assert "no window" in run("policy", "create", *windows, code=2)
    assert "no account 'x'" in run("--account", "x", "user", "list", code=1)
    wrong = ("--database", "mysql://x:canary@y/z", "user", "list")
    error = run(*wrong, code=3)
    assert "canary" not in error
    assert "postgresql" in error


def test_the_account_has_dns_of_its_own(run: Callable[..., Any], made: dict[str, Any]) -> None:
    shown = run("account", "--json")["account"]
    assert (shown["id"], shown["upstream_dns"]) == (made["account"], [])

    given = ("--dns", "1.1.1.1", "--dns", "2606:4700::1111", "--search-domain", "Corp.Example")
    changed = run("account", *given, "--json")["account"]

    assert changed["upstream_dns"] == ["1.1.1.1", "2606:4700::1111"]
    assert changed["search_domain"] == "corp.example"
    assert run("account", "--system-dns", "--json")["account"]["upstream_dns"] == []
    assert "no IP address" in run("account", "--dns", "dns.example", code=2)
    assert "no domain" in run("account", "--search-domain", "a b", code=1)


def test_a_database_that_others_can_read_is_refused(
    run: Callable[..., Any], made: dict[str, Any], empty_url: str
) -> None:
    assert made
    file = Path(empty_url.removeprefix("sqlite:///"))
    file.chmod(0o644)

    error = run("user", "list", code=3)

    assert f"chmod 600 {file}" in error


def test_a_setting_that_is_none_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "portal.toml"
    file.write_text('databse = "sqlite:///x"\n')
    assert "databse is no setting" in run("--config", str(file), "user", "list", code=3)
    file.write_text('log_level = "loud"\n')
    assert "log_level" in run("--config", str(file), "user", "list", code=3)
    file.write_text('database = "postgresql://a:canary@h/d"\n')
    file.chmod(0o644)
    error = run("--config", str(file), "user", "list", code=3)
    assert "chmod 600" in error
    assert "canary" not in error


def test_a_backup_is_whole_while_the_database_is_written(
    run: Callable[..., Any], made: dict[str, Any], empty_url: str, tmp_path: Path
) -> None:
    file = Path(empty_url.removeprefix("sqlite:///"))
    written = threading.Event()
    ended = threading.Event()

    async def write() -> None:
        store = await Store.open(empty_url)
        number = 0
        while not ended.is_set():
            async with store.change(made["account"], SYSTEM, NOW) as scope:
                # Both or none: a backup has as many of the one as of the other.
                await people.create_group(scope, GroupInput(name=f"a{number}"))
                await people.create_group(scope, GroupInput(name=f"b{number}"))
            number += 1
            written.set()
        await store.close()

    writer = threading.Thread(target=asyncio.run, args=(write(),))
    writer.start()
    try:
        assert written.wait(30)
        # Restored from, too: a path is not a URI.
        folder = tmp_path / "50% of? #1"
        folder.mkdir()
        copies = [folder / f"copy{number}.db" for number in range(3)]
        for copy in copies:
            assert run("backup", str(copy), "--json")["bytes"] > 0
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    finally:
        ended.set()
        writer.join()
    assert "is there already" in run("backup", str(copies[0]), code=1)

    for copy in copies:
        said = run("restore", "--replace", str(copy), "--json")
        assert said == {"schema": "firezone.portal.restore/1", "done": True}
        names = [one["name"] for one in run("group", "list", "--json")["groups"]]
        firsts, seconds = (
            sorted(name[1:] for name in names if name[0] == letter and name[1:].isdigit())
            for letter in "ab"
        )
        assert firsts
        assert firsts == seconds
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_no_backup_replaces_nothing(
    run: Callable[..., Any], made: dict[str, Any], tmp_path: Path
) -> None:
    assert made
    other = tmp_path / "other"
    other.write_bytes(b"SQLite format 3\x00" + b"x" * 4096)

    assert "no backup" in run("restore", "--replace", str(other), code=3)
    assert "no backup" in run("restore", "--replace", str(tmp_path / "none"), code=3)
    assert run("user", "list", "--json")["users"]


def test_a_portal_runs_and_ends_in_order(
    run: Callable[..., Any], made: dict[str, Any], empty_url: str, tmp_path: Path
) -> None:
    assert made
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = run("run", "--listen", f"127.0.0.1:{port}", code=3)
        assert "nobody can listen" in error
    environment = {**os.environ, "LOG_DIR": str(tmp_path / "log")}
    environment |= {"FIREZONE_PORTAL_DATABASE": empty_url, "FIREZONE_PORTAL_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "firezone", "portal", "run", "--listen", f"127.0.0.1:{port}"]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert _answers(f"http://127.0.0.1:{port}/healthz") == {"status": "ok", "sessions": 0}
        copy = tmp_path / "copy"
        run("backup", str(copy))
        assert "a portal uses" in run("restore", "--replace", str(copy), code=1)
    finally:
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0, said
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events == ["portal.listens", "portal.ended"]


def _answers(url: str) -> Any:
    for _ in range(300):
        try:
            with urlopen(url, timeout=5) as answer:  # noqa: S310 - the test's own
                return json.loads(answer.read())
        except OSError:
            time.sleep(0.1)
    message = "the portal does not answer"
    raise AssertionError(message)
