"""Portal, Gateway and Client as three processes that have nothing but a token each."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.system.portal_between import PortalBetween
from tests.system.transfers import MIB, Loading, fetch
from tests.system.two_machines import NAME, Role, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = f"http://{NAME}/file"
PATIENTLY = ("--retry", "10", "--retry-all-errors", "--retry-delay", "1")


@pytest.fixture
def portal(machines: TwoMachines) -> Iterator[PortalBetween]:
    with PortalBetween(machines) as portal:
        portal.begin()
        portal.begin_roles()
        yield portal


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_token_each_gives_access_by_name(portal: PortalBetween, family: str) -> None:
    digest = portal.machines.payload(8 * MIB)

    assert fetch(portal.machines, FILE, family) == digest

    status = portal.machines.call("client", "status")
    assert [resource["name"] for resource in status["resources"]] == ["web"]
    assert status["peers"][0]["name"].startswith("main (")


def test_a_policy_that_is_disabled_takes_access_away_and_gives_it_again(
    portal: PortalBetween,
) -> None:
    machines = portal.machines
    digest = machines.payload(32 * MIB)
    loading = Loading(machines, FILE, rate="2M")

    portal.command("policy", "disable", portal.policy)
    # The promise is one second.
    time.sleep(1)
    passed = portal.passed()
    refused = ("curl", "-sS", "-m", "3", FILE)
    assert machines.inside(machines.client, *refused).returncode != 0
    assert portal.passed() == passed
    assert not loading.is_over or machines.running["loading"].returncode != 0
    (gone,) = machines.call("client", "status")["withdrawn"]
    assert (gone["name"], gone["reason"]) == ("web", "no policy grants it any more")
    (row,) = machines.call("client", "explain", target=NAME)
    assert row["verdict"] == "no_resource"
    assert "no policy grants it any more" in row["why"]
    machines.end("loading")

    portal.command("policy", "enable", portal.policy)

    assert fetch(machines, FILE, *PATIENTLY) == digest
    assert machines.call("client", "status")["withdrawn"] == []


def test_a_portal_that_is_killed_and_comes_back_harms_no_transfer(portal: PortalBetween) -> None:
    machines = portal.machines
    digest = machines.payload(32 * MIB)
    loading = Loading(machines, FILE, rate="2M")
    before = machines.call("client", "status")["peers"]

    portal.end(signal.SIGKILL)
    for role in ("client", "gateway"):
        machines.wait(lambda role=role: not portal.is_known(role), f"{role} without a portal")
    portal.begin()
    for role in ("client", "gateway"):
        machines.wait(lambda role=role: portal.is_known(role), f"{role} with its portal")

    assert loading.ended() == digest
    after = machines.call("client", "status")["peers"]
    assert [peer["gateway"] for peer in after] == [peer["gateway"] for peer in before]


def test_without_a_gateway_the_client_says_so_and_a_new_one_serves(portal: PortalBetween) -> None:
    machines = portal.machines
    digest = machines.payload(MIB)
    assert fetch(machines, FILE) == digest

    machines.end("gateway")
    assert machines.inside(machines.client, "curl", "-sS", "-m", "5", FILE).returncode != 0
    (row,) = machines.call("client", "explain", target=NAME)
    assert row["why"] == "no Gateway of main is online"
    (resource,) = machines.call("client", "status")["resources"]
    assert resource["refused"] == "no Gateway of main is online"

    machines.begin("gateway")
    assert fetch(machines, FILE, *PATIENTLY) == digest
    (resource,) = machines.call("client", "status")["resources"]
    assert resource["refused"] is None


@pytest.mark.parametrize("role", ["client", "gateway"])
def test_an_end_that_is_killed_and_begins_anew_is_introduced_again(
    portal: PortalBetween, role: Role
) -> None:
    machines = portal.machines
    digest = machines.payload(MIB)
    assert fetch(machines, FILE) == digest
    former = machines.call(role, "status")

    machines.end(role, signal.SIGKILL)
    machines.begin(role)

    assert fetch(machines, FILE, *PATIENTLY) == digest
    now = machines.call(role, "status")
    assert now["public_key"] != former["public_key"]
    assert now["addresses"] == former["addresses"]


def test_the_portal_is_not_reached_through_the_tunnel_that_it_gives(portal: PortalBetween) -> None:
    machines = portal.machines
    network = ("--kind", "cidr", "--address", "198.51.100.0/24", "--site", "main")
    portal.command("resource", "create", "beside", *network)
    portal.command("policy", "create", "--group", "everyone", "--resource", "beside")
    names = {"web", "beside"}
    machines.wait(
        lambda: {r["name"] for r in machines.call("client", "status")["resources"]} == names,
        "the new resource",
    )

    portal.end(signal.SIGKILL)
    machines.wait(lambda: not portal.is_known("client"), "the Client without a portal")
    portal.begin()

    machines.wait(lambda: portal.is_known("client"), "the Client with its portal")


def test_a_token_that_is_taken_back_ends_the_role_and_says_so(portal: PortalBetween) -> None:
    machines = portal.machines
    process = machines.running["client"]
    tokens = portal.command("token", "list")["tokens"]
    (own,) = (token["id"] for token in tokens if token["kind"] == "client")

    portal.command("token", "revoke", own)

    machines.wait(lambda: process.poll() is not None, "the Client's end")
    assert process.returncode == 4, machines.output("client")
    assert "the token has expired or was taken back" in machines.output("client")


def test_no_token_is_written_anywhere(portal: PortalBetween) -> None:
    machines = portal.machines
    machines.payload(MIB)
    fetch(machines, FILE)
    for role in ("client", "gateway"):
        machines.end(role)

    logs = [path for path in (machines.folder / "logs").rglob("*") if path.is_file()]
    written = "".join(path.read_text(errors="replace") for path in logs)
    written += machines.output("client") + machines.output("gateway") + machines.output("portal")
    assert "the portal knows us" in written
    for token in portal.tokens.values():
        assert token not in written
