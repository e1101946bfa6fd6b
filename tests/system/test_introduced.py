"""Two processes that know nothing of each other until a portal introduces them: paths by ICE."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.system.introduced import CLIENT_ID, RESOURCE, Portal
from tests.system.transfers import MIB, sha256
from tests.system.two_machines import NAME, Role, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def portal(machines: TwoMachines) -> Iterator[Portal]:
    with Portal(machines) as portal:
        portal.serve_until(lambda event: event["type"] == "sentinels_changed")
        assert portal.sentinel is not None
        machines.client.use_nameserver(portal.sentinel)
        yield portal


def begin(portal: Portal, *options: str) -> subprocess.Popen[str]:
    machines = portal.machines
    loaded = str(machines.folder / "loaded")
    curl = ("curl", "-sS", "--fail", "-m", "60", *options, "-o", loaded, f"http://{NAME}/file")
    command = machines.client.command(*curl)
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def fetch(portal: Portal, *options: str) -> str:
    """Load the file by its name; return its SHA-256, or what curl said."""
    with begin(portal, *options) as process:
        if portal.serve_while(process) == 0:
            return sha256(portal.machines.folder / "loaded")
        assert process.stderr is not None
        return process.stderr.read()


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_file_arrives_whole_by_name_over_a_path_that_ice_found(
    portal: Portal, family: str
) -> None:
    digest = portal.machines.payload(8 * MIB)

    assert fetch(portal, family) == digest

    connected = [e for role, e in portal.events if role == "client" and e["type"] == "peer"]
    assert [event["state"] for event in connected] == ["connected"]
    assert connected[0]["address"] == "[2001:db8::2]:52625", "IPv6 is before IPv4"


def test_the_last_access_that_is_taken_away_ends_the_connection_and_is_asked_for_again(
    portal: Portal,
) -> None:
    digest = portal.machines.payload(MIB)
    assert fetch(portal, "-4") == digest

    portal.allows = False
    portal.tell("gateway", "revoke", client=CLIENT_ID, resource=RESOURCE["id"])
    assert "curl" in fetch(portal, "-4")

    portal.allows = True
    assert fetch(portal, "-4", "--retry", "5", "--retry-all-errors") == digest


@pytest.mark.parametrize("role", ["client", "gateway"])
def test_an_end_that_begins_anew_with_another_key_is_introduced_and_serves(
    portal: Portal, role: Role
) -> None:
    digest = portal.machines.payload(MIB)
    assert fetch(portal, "-4") == digest
    former = portal.cores[role].public_key

    portal.end(role)
    portal.begin(role)
    assert portal.cores[role].public_key != former

    assert fetch(portal, "-4", "--retry", "5", "--retry-all-errors") == digest


def test_a_client_in_another_network_goes_on_with_its_download(portal: Portal) -> None:
    digest = portal.machines.payload(8 * MIB)
    client = portal.machines.client
    with begin(portal, "-4", "--limit-rate", "1M") as process:
        portal.serve_until(lambda event: event["type"] == "peer")
        client.ip(
            "address del 192.0.2.1/24 dev wan",
            "address del 2001:db8::1/64 dev wan",
            "address add 192.0.2.77/24 dev wan",
        )
        portal.tell("client", "network_changed")

        assert portal.serve_while(process) == 0

    assert sha256(portal.machines.folder / "loaded") == digest
    places = [e["address"] for r, e in portal.events if (r, e["type"]) == ("gateway", "peer")]
    assert places[-1] == "192.0.2.77:52625"
