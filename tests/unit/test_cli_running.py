"""Commands that ask a running endpoint: explain, dns, ping, debug."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.test_cli import endpoint

from firezone.cli import main
from firezone.errors import TunnelTimeout
from firezone.sentinel import Reply

if TYPE_CHECKING:
    from pathlib import Path

PERMITTED: dict[str, Any] = {
    "target": "app.site.example",
    "port": 443,
    "protocol": "tcp",
    "resources": [
        {"resource": "r1", "resource_name": "web", "covers": "*.site.example", "permits": True},
        {"resource": "r2", "resource_name": "all", "covers": "**", "permits": False},
    ],
    "verdict": "permitted",
    "resource": "r1",
    "resource_name": "web",
    "covers": "*.site.example",
    "gateway": "g",
    "gateway_name": "office",
    "gateway_alive": True,
    "access": "authorized",
    "name": "app.site.example",
    "proxies": ["100.96.0.1", "fd00::1"],
    "ipv4": "active",
    "ipv6": None,
    "flows": 2,
    "held_packets": 0,
}
NOTHING: dict[str, Any] = {
    "resources": [],
    "verdict": "no_resource",
    "name": "x",
    "flows": 0,
    "held_packets": 0,
}
AT_GATEWAY: dict[str, Any] = {
    "client": "c",
    "client_name": "laptop",
    "resource": "r1",
    "resource_name": "web",
    "verdict": "permitted",
    "name": "app.site.example",
    "proxies": [{"proxy": "100.96.0.1", "real": "10.0.0.1", "state": "active"}],
    "ipv4": {"addresses": ["10.0.0.1"], "age": 1.5, "state": "good", "looking_up": True},
    "ipv6": {"addresses": [], "age": None, "state": "unknown", "looking_up": False},
    "flows": 1,
    "held_packets": 3,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "client.sock"


def answers(**results: Any) -> dict[str, Any]:
    """Return methods that give these results."""

    def method(result: Any) -> Any:
        async def answer(_params: dict[str, Any]) -> Any:
            return result

        return answer

    return {name: method(result) for name, result in results.items()}


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([PERMITTED], ["app.site.example tcp/443 would pass",
            "resource: web (*.site.example) permits it, chosen",
            "resource: all (**) does not permit it", "access: may be used",
            "gateway: office, answers", "name: app.site.example", "proxies: 100.96.0.1, fd00::1",
            "ipv4: active", "ipv6: not announced yet: the first packet does", "flows: 2",
            "held: 0 packets"]),
        ([NOTHING], ["app.site.example tcp/443 does not go into the tunnel: no resource covers it",
            "flows: 0", "held: 0 packets"]),
        ([{**NOTHING, "why": "the portal took web away"}],
            ["app.site.example tcp/443 does not go into the tunnel: no resource covers it",
            "why: the portal took web away", "flows: 0", "held: 0 packets"]),
        ([{**NOTHING, "verdict": "permitted", "why": "no Gateway of main is online"}],
            ["app.site.example tcp/443 is permitted, but would not arrive now",
            "why: no Gateway of main is online", "name: x",
            "proxies: none yet: the first query does",
            "ipv4: not announced yet: the first packet does",
            "ipv6: not announced yet: the first packet does", "flows: 0", "held: 0 packets"]),
        ([AT_GATEWAY], ["app.site.example tcp/443 from laptop would pass", "resource: web",
            "name: app.site.example", "proxy: 100.96.0.1 -> 10.0.0.1 (active)",
            "ipv4: 10.0.0.1 (good, 1.5 s old, being looked up)", "ipv6: no address (unknown)",
            "flows: 1", "held: 3 packets"]),
        ([], ["app.site.example tcp/443: no Client asked for it yet"]),
    ],
)  # fmt: skip
def test_r40_explain_tells_why(
    rows: list[dict[str, Any]], lines: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(path, answers(explain=rows)):
        assert main(["explain", "app.site.example", "--socket", str(path)]) == 0
        shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert main(["explain", "app.site.example", "--json", "--socket", str(path)]) == 0
        document = json.loads(capsys.readouterr().out)

    assert shown == lines
    assert document == {"schema": "firezone.explain/1", "rows": rows}


def test_dns_query(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(*question: str) -> Reply:
        asked.append(question)
        return Reply("NOERROR", ("a.example. 60 MX 10 mail.",), (), 1.25)

    monkeypatch.setattr("firezone.sentinel.ask", ask)
    with endpoint(path, answers(status={"sentinels": ["100.100.111.1"]})):
        assert main(["dns", "query", "a.example", "mx", "--socket", str(path)]) == 0
        shown = capsys.readouterr()
        assert main(["dns", "query", "a.example", "--json", "--socket", str(path)]) == 0
        document = json.loads(capsys.readouterr().out)

    assert asked == [("100.100.111.1", "a.example", "mx"), ("100.100.111.1", "a.example", "A")]
    assert shown.out == "a.example. 60 MX 10 mail.\n"
    assert shown.err == "NOERROR, 1.2 ms, from 100.100.111.1\n"
    assert (document["rcode"], document["milliseconds"]) == ("NOERROR", 1.25)


@pytest.mark.parametrize(("name", "kind"), [("a.example", "NONSENSE"), ("a..b", "A")])
def test_a_wrong_question_is_3(
    name: str, kind: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(path, answers(status={"sentinels": ["127.0.0.1"]})):
        assert main(["dns", "query", name, kind, "--socket", str(path)]) == 3

    assert f"{name} {kind} cannot be asked for" in capsys.readouterr().err


def test_no_answer_is_7(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: str) -> Reply:
        raise TunnelTimeout("no answer")

    monkeypatch.setattr("firezone.sentinel.ask", ask)
    with endpoint(path, answers(status={"sentinels": ["127.0.0.1"]})):
        assert main(["dns", "query", "a.example", "--socket", str(path)]) == 7
    assert "error: no answer" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "code"), [("no_resource", 1), ("prohibited", 4)])
def test_ping_goes_through_the_tunnel_or_not_at_all(
    verdict: str, code: int, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(path, answers(explain=[{"verdict": verdict}])):
        assert main(["ping", "192.0.2.1", "--socket", str(path)]) == code
    assert "192.0.2.1" in capsys.readouterr().err


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_the_exit_code_is_that_of_ping(
    ended: int, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ping"
    program.write_text(f'#!/bin/sh\nprintf "%s " "$@" > {tmp_path}/arguments\nexit {ended}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("firezone.sentinel.ask", lambda *_: Reply("NOERROR", (), ("1.2.3.4",), 1))
    results = answers(explain=[PERMITTED], status={"sentinels": ["127.0.0.1"]})
    with endpoint(path, results):
        assert main(["ping", "a.example", "-c", "2", "--socket", str(path)]) == ended

    assert (tmp_path / "arguments").read_text() == "-n -c 2 1.2.3.4 "


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (None, "portal: portal.example:443, connected"),
        ("no route", "portal: portal.example:443, not reached: no route"),
    ],
)
def test_status_tells_what_the_portal_said(
    problem: str | None, line: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = {"address": "portal.example:443", "connected": problem is None, "problem": problem}
    web = {"name": "web", "address": "web.example", "ports": ["tcp/443"], "refused": "no Gateway"}
    gone = {"name": "lab", "address": "10.0.0.0/8", "reason": "no policy grants it any more"}
    status = {"portal": portal, "resources": [web], "withdrawn": [gone], "peers": []}

    with endpoint(path, answers(status=status)):
        assert main(["client", "status", "--socket", str(path)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        line,
        "resource: web (web.example, tcp/443): no Gateway",
        "taken away: lab (10.0.0.0/8): no policy grants it any more",
        "no peers yet",
    ]


def test_debug_shows_peers_and_metrics(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = {"name": "office", "connected": True, "public_key": "key="}
    results = answers(status={"peers": [peer]}, metrics="# text\n", counters=[{"forwarded": 1}])
    with endpoint(path, results):
        assert main(["debug", "peers", "--socket", str(path)]) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[0] == "office"
        assert main(["debug", "peers", "--json", "--socket", str(path)]) == 0
        assert json.loads(capsys.readouterr().out)["peers"] == [peer]
        assert main(["debug", "metrics", "--socket", str(path)]) == 0
        assert capsys.readouterr().out == "# text\n"
        assert main(["debug", "metrics", "--json", "--socket", str(path)]) == 0
        assert json.loads(capsys.readouterr().out)["counters"] == {"forwarded": 1}


def test_a_gateway_is_asked_where_no_client_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firezone.control.socket_path", lambda role: tmp_path / f"{role}.sock")
    with endpoint(tmp_path / "gateway.sock", answers(metrics="of the gateway\n")):
        assert main(["debug", "metrics"]) == 0
    assert capsys.readouterr().out == "of the gateway\n"
