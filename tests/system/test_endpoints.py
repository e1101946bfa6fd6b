"""A Client and a Gateway on real TUN devices, asked by real programs: dig, curl, ping, tcpdump."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from firezone.lab.demo import run_demo
from firezone.lab.endpoints import CLIENT_ID, RESOURCE, Endpoints
from firezone.lab.observation import Observation
from firezone.lab.settings import DemoSettings, LinkSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from firezone.lab.namespaces import Namespace
    from firezone.lab.run import Run
    from firezone.lab.topology import Laboratory

NAME = "app.site.example"


class Silent:
    """Hears how a demo goes and says nothing."""

    def began(self, policy: str, attempt: int) -> None: ...

    def sampled(self, policy: str, sample: object) -> None: ...

    def judged(self, run: object) -> None: ...


def looked_at(
    monkeypatch: pytest.MonkeyPatch,
    logs: Path,
    look: Callable[[Laboratory, Run], Any],
    *,
    bystander: bool = False,
) -> None:
    """Run a demo without a transfer of note, then look at its running laboratory."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    monkeypatch.setenv("LOG_DIR", str(logs))
    settings = DemoSettings(
        policies=(),
        seconds=1.0,
        direction="up",
        queries_per_second=10.0,
        records="same",
        link=LinkSettings(latency=0.001, bandwidth=200_000_000, control_loss=0.0, seed=1),
        idle_queries=False,
        path="process",
    )

    async def go(lab: Laboratory, run: Run) -> None:
        await look(lab, run)

    async def main() -> None:
        with Observation() as observation:
            await run_demo(settings, observation, Silent(), go, bystander=bystander)

    asyncio.run(main())


def inside_this_process(run: Run) -> Endpoints:
    assert isinstance(run.endpoints, Endpoints)
    return run.endpoints


async def inside(namespace: Namespace, *argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *namespace.command(*argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def test_dig_gets_proxies_over_udp_and_tcp_and_other_names_by_the_site(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def look(lab: Laboratory, _run: Run) -> None:
        for transport in ("+notcp", "+tcp"):
            dig = ("dig", "+short", "+tries=1", "+time=3", transport)
            _, ipv4 = await inside(lab.app, *dig, NAME, "A")
            _, ipv6 = await inside(lab.app, *dig, NAME, "AAAA")
            assert len(ipv4.split()) == len(ipv6.split()) == 4
            assert all(address.startswith("100.96.") for address in ipv4.split())
            _, back = await inside(lab.app, *dig, "-x", ipv4.split()[0])
            assert back.strip() == f"{NAME}."
            _, https = await inside(lab.app, *dig, NAME, "HTTPS")
            assert https == ""
            _, canary = await inside(lab.app, "dig", transport, "use-application-dns.net")
            assert "status: NXDOMAIN" in canary
            _, foreign = await inside(lab.app, "dig", transport, "+time=3", "www.elsewhere.example")
            assert "status: REFUSED" in foreign or "status: NXDOMAIN" in foreign, foreign

    looked_at(monkeypatch, tmp_path, look)


def test_curl_and_ping_reach_the_site_by_both_families(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def look(lab: Laboratory, _run: Run) -> None:
        for family, prefix in (("-4", "10.77."), ("-6", "fd77::")):
            code, real = await inside(
                lab.app, "curl", family, "-s", "-m", "10", f"http://{NAME}/whoami"
            )
            assert (code, real.startswith(prefix)) == (0, True), real
            code, out = await inside(lab.app, "ping", family, "-c", "2", "-W", "3", NAME)
            assert code == 0, out

    looked_at(monkeypatch, tmp_path, look)


def test_r26_j_nothing_passes_after_a_revocation_in_mid_transfer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def look(lab: Laboratory, run: Run) -> None:
        curl = asyncio.create_task(
            inside(lab.app, "curl", "-s", "-m", "6", "-o", "/dev/null", f"http://{NAME}/file")
        )
        endpoints = inside_this_process(run)
        # The transfer runs.
        async with asyncio.timeout(20):
            while (await endpoints.counters())[1]["to_clients"] <= 100:  # noqa: ASYNC110 - a counter wakes nobody
                await asyncio.sleep(0.05)

        endpoints.tell_gateway({"type": "revoke", "client": CLIENT_ID, "resource": RESOURCE["id"]})
        _, revoked = await endpoints.counters()
        capture = ("tcpdump", "-c", "1", "-ni", "fz-gateway", "src", "host", "100.64.0.1")
        heard, _ = await inside(lab.gateway, "timeout", "2", *capture)
        assert heard == 124, "no packet of the Client reaches the site"
        code, _ = await curl
        assert code != 0
        client, after = await endpoints.counters()
        assert after["to_site"] == revoked["to_site"]
        assert after["refused"]["prohibited"] + after["refused"]["not_allowed"] > 0
        assert client["refused"]["prohibited"] == 0, "the Gateway says no, not the Client"

    looked_at(monkeypatch, tmp_path, look)


def test_r23_i_a_client_restarts_with_renumbered_proxies_and_nobody_else_notices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hash what the bystander loads while the other Client begins anew and its proxies move."""
    dig = ("dig", "+short", "+tries=1", "+time=3")
    first, second = "first.site.example", "second.site.example"

    async def look(lab: Laboratory, run: Run) -> None:
        endpoints = inside_this_process(run)
        fetch = f"curl -sS --limit-rate 8M -m 40 http://{NAME}/file | sha256sum"
        loading = asyncio.create_task(inside(lab.other, "sh", "-c", fetch))
        _, before = await inside(lab.app, *dig, first, "A")
        # Who only receives says nothing by itself and would wait for ever: this one sends.
        sending = (
            f"head -c 60M /dev/zero | curl -s -m 30 --limit-rate 1M -T - http://{first}/upload/x"
        )
        old = asyncio.create_task(inside(lab.app, "sh", "-c", sending))
        async with asyncio.timeout(20):
            while (await endpoints.client.inspect("counters"))[0]["forwarded"] < 500:  # noqa: ASYNC110 - a counter wakes nobody
                await asyncio.sleep(0.1)

        endpoints.restart_client(0)
        _, after = await inside(lab.app, *dig, second, "A")
        assert sorted(after.split()) == sorted(before.split()), "another name has the addresses"
        code, real = await inside(
            lab.app, "curl", "-4", "-sS", "-m", "10", f"http://{second}/whoami"
        )
        assert (code, real.startswith("10.77.")) == (0, True), real
        code, out = await old
        assert code in (55, 56), f"the connection of the former process was reset, {out}"

        _, loaded = await loading
        whole = hashlib.sha256((lab.folder / "www" / "file").read_bytes()).hexdigest()
        assert loaded.split()[0] == whole, loaded

    looked_at(monkeypatch, tmp_path, look, bystander=True)
