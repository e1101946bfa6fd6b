"""The command line: exit codes, one line per error, and the commands that read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click
import pytest

from firezone import __version__, cli, errors
from firezone.cli import LazyGroup, main
from firezone.control import ControlServer
from firezone.log_lines import Record, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOMENT = 1_795_622_400_000_000_000
ROWS: list[dict[str, Any]] = [
    {"name": "app.site.example", "gateway": None, "ipv4": "ready", "proxies": ["a", "b"]},
    {"name": "\x1b[2Jevil", "gateway": "g", "ipv4": "stale", "proxies": []},
]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"firezone {__version__}\n")

    assert main(["version", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "firezone.version/1"
    assert document["firezone"] == __version__

    assert main(["--version"]) == 0


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    assert all(name in out for name in ("config", "demo", "logs", "nat", "version"))


@pytest.mark.parametrize("name", list(cli._COMMANDS))
def test_every_command_can_be_loaded_and_tells_of_itself(name: str) -> None:
    assert main([name, "--help"]) == 0


def commands_without_json(command: click.Command, path: str, ctx: click.Context) -> set[str]:
    if isinstance(command, click.Group):
        found = {name: command.get_command(ctx, name) for name in command.list_commands(ctx)}
        below = (
            commands_without_json(c, f"{path} {n}".strip(), ctx) for n, c in found.items() if c
        )
        return set().union(*below)
    has_json = any("--json" in parameter.opts for parameter in command.params)
    return set() if has_json else {path}


def test_every_command_writes_json_but_those_that_log() -> None:
    ctx = click.Context(cli._firezone)

    # They write a log, as JSON by log_format.
    assert commands_without_json(cli._firezone, "", ctx) == {
        "client up",
        "gateway run",
        "portal run",
    }


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["version", "--nothing"], ["nat", "x"], ["logs", "--since", "soon"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Error:" in capsys.readouterr().err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command `version` fail."""

    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FirezoneError("no\ngood"), 1),
        (errors.ConfigError("no good"), 3),
        (errors.AuthError("no good"), 4),
        (errors.AccessDenied("no good"), 4),
        (errors.PortalUnreachable("no good"), 5),
        (errors.NeedsPrivilege("no good", hint="use\nsudo"), 6),
        (errors.TunnelTimeout("no good"), 7),
        (OSError(28, "no good"), 1),
        (RuntimeError("no good"), 1),
    ],
)
def test_each_failure_has_its_code_and_one_line(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)

    assert main(["version"]) == code

    captured = capsys.readouterr()
    first, *others = captured.err.splitlines()
    assert first.startswith("error: ")
    assert first.endswith("no good")
    assert "Traceback" not in captured.err
    assert captured.out == ""
    if isinstance(error, errors.NeedsPrivilege):
        assert others == ["hint: use sudo"]


def test_debug_shows_where_it_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, errors.ConfigError("no good"))

    assert main(["--debug", "version"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted_is_130(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, error)

    assert main(["version"]) == 130


def test_a_reader_that_has_seen_enough_is_no_traceback() -> None:
    command = f"{sys.executable} -m firezone config show | true"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert ended.stderr == ""


def test_settings_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text("refresh_floor = 0\n")
    assert main(["config", "check", "--file", str(path)]) == 0
    assert main(["config", "check", "--file", str(path), "--json"]) == 0
    capsys.readouterr()

    path.write_text("refresh_flor = 0\n")
    assert main(["config", "check", "--file", str(path)]) == 3
    assert capsys.readouterr().err == (
        f"error: {path}: refresh_flor is no setting of the Client\n"
        "hint: did you mean refresh_floor?\n"
    )


@pytest.mark.parametrize("role", ["client", "gateway"])
@pytest.mark.parametrize(("field", "reason"), [("dnss", "no such field"), ("dns", "no pattern")])
def test_config_check_finds_what_is_wrong_in_a_table(
    role: str, field: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "role.toml"
    path.write_text(f'[[resource]]\nname = "intranet"\n{field} = "a..example"\n')

    assert main(["config", "check", "--role", role, "--config", str(path)]) == 3

    said = capsys.readouterr().err
    assert f"{path}: [[resource]] intranet: {field}: " in said
    assert reason in said


def test_settings_are_shown_with_their_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("cache_floor = 2\n")
    monkeypatch.setenv("FIREZONE_TOKEN", "hunter2")
    monkeypatch.setenv("FIREZONE_LOG_LEVL", "x")
    show = ["config", "show", "--role", "gateway", "--file", str(path)]

    assert main(show) == 0
    captured = capsys.readouterr()
    lines = {line.split()[0]: line for line in captured.out.splitlines()}
    assert lines["cache_floor"].split(maxsplit=3)[1:3] == ["2.0", "seconds"]
    assert lines["cache_floor"].endswith(str(path))
    assert lines["token"].endswith("environment FIREZONE_TOKEN")
    assert "FIREZONE_LOG_LEVL" in captured.err
    assert "hunter2" not in captured.out

    assert main([*show, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "firezone.config/1"
    floor = next(row for row in document["settings"] if row["name"] == "cache_floor")
    assert floor["value"] == 2.0
    assert floor["unit"] == "seconds"
    assert floor["origin"] == str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client = [
        Record(MOMENT, "INFO", "first", {"event": "a.b", "name": "app"}),
        Record(MOMENT + 2, "DEBUG", "third \udc80"),
    ]
    gateway = [Record(MOMENT + 1, "WARN", "second"), Record(MOMENT + 10**10, "ERROR", "last")]
    (tmp_path / "client.20261125T160000.000000000Z.log").write_bytes(
        b"".join(map(to_json, client)) + b'{"torn \x1b[2J'
    )
    (tmp_path / "gateway.20261125T160000.000000000Z.log").write_bytes(
        b"\n".join([*map(to_json, gateway)])
    )
    return tmp_path


def test_logs_of_all_roles_are_merged_and_a_bad_line_is_shown_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "--path", str(folder)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "2026-11-25 16:00:00.000 INFO  first name=app",
        "2026-11-25 16:00:00.000 WARN  second",
        "2026-11-25 16:00:00.000 DEBUG third \\udc80",
        '{"torn \\x1b[2J',
        "2026-11-25 16:00:10.000 ERROR last",
    ]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--level", "warn"], ["second", None, "last"]),
        (["--since", "2026-11-25T16:00:05Z"], ["last"]),
        (["--since", "2100-01-01T00:00:00Z"], []),
    ],
)
def test_logs_are_chosen_and_given_as_json(
    options: list[str],
    messages: list[str | None],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["logs", "--path", str(folder), "--json", *options]) == 0

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document.get("message") for document in documents] == messages
    assert all(document["schema"] == "firezone.log/1" for document in documents)


def test_since_may_be_a_duration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time_ns()
    old, new = Record(now - 3600 * 10**9, "INFO", "old"), Record(now, "INFO", "new")
    (tmp_path / "client.log").write_bytes(to_json(old) + to_json(new))

    assert main(["logs", "--path", str(tmp_path), "--since", "10min"]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("new")


def test_one_file_can_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--path", str(min(folder.iterdir()))]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_no_logs_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--path", str(tmp_path)]) == 1
    assert main(["logs", "--path", str(tmp_path / "nothing")]) == 1
    assert "LOG_DIR" in capsys.readouterr().err


def test_logs_are_followed_into_new_files_until_interrupted(folder: Path) -> None:
    command = [sys.executable, "-u", "-m", "firezone", "logs", "--follow", "--path", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The torn line waits for its rest.
        seen = [process.stdout.readline() for _ in range(4)]
        assert seen[-1].endswith("last\n")
        line = to_json(Record(MOMENT, "INFO", "in a new file"))
        with (folder / "client.20261125T170000.000000000Z.log").open("wb", buffering=0) as file:
            file.write(line[:20])
            file.write(line[20:])
        assert process.stdout.readline().endswith("in a new file\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@contextlib.contextmanager
def endpoint(path: Path, methods: dict[str, Any]) -> Iterator[None]:
    """Serve a control socket on a thread."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        async with ControlServer(path, methods):
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


async def rows(_params: dict[str, Any]) -> list[dict[str, Any]]:
    return ROWS


def test_a_running_endpoint_is_looked_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client.sock"
    monkeypatch.setattr("firezone.control.socket_path", lambda role: tmp_path / f"{role}.sock")
    with endpoint(path, {"nat.resources": rows}):
        assert main(["nat", "resources"]) == 0
        table = capsys.readouterr().out.splitlines()
        assert main(["nat", "resources", "--socket", str(path), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert main(["nat", "flows", "--socket", str(path)]) == 1
        assert "no method 'nat.flows'" in capsys.readouterr().err

    assert table[0].split() == ["name", "resource", "name", "gateway", "ipv4", "ipv6", "proxies"]
    assert table[1].split() == ["app.site.example", "-", "-", "ready", "-", "a,b"]
    assert "\x1b" not in table[2]
    assert document == {"schema": "firezone.nat.resources/1", "resources": ROWS}


def test_rows_are_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from firezone.cli import table  # noqa: PLC0415

    table._print_rich(["name"], [["[red]not markup"]])

    assert "[red]not markup" in capsys.readouterr().out


def test_no_endpoint_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nat", "flows", "--socket", str(tmp_path / "none.sock")]) == 1

    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: nothing answers at")
    assert hint.startswith("hint: start the endpoint")


def test_python_minus_m() -> None:
    command = [sys.executable, "-m", "firezone", "version"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"}
    )

    assert ended.stdout.startswith(f"firezone {__version__}")


def test_keys_are_told_as_json_and_a_private_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "client.key"

    assert main(["keys", "new", str(file), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["keys", "show", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert main(["keys", "psk", "--json"]) == 0
    secret = json.loads(capsys.readouterr().out)

    assert made == shown
    assert made.keys() == {"schema", "file", "public_key"}
    assert file.read_text().strip() not in json.dumps(made)
    assert len(secret["preshared_key"]) == 44
