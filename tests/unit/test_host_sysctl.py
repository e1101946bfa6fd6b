"""Values below /proc/sys, in a folder that behaves like the kernel's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from firezone.errors import NeedsPrivilege
from firezone.host.plan import ClientNetwork, GatewayNetwork
from firezone.host.sysctl import Sysctl, wanted_values

if TYPE_CHECKING:
    from pathlib import Path

V4, V6 = IPv4Address("100.64.0.1"), IPv6Address("fd00:2021:1111::1")
BOTH = frozenset({4, 6})


class Kernel(Sysctl):
    """Changes other values with forwarding, as the kernel does."""

    def set(self, key: str, value: str) -> None:
        super().set(key, value)
        if key == "net/ipv4/ip_forward":
            for name in ("default", "eth0", "eth1"):
                super().set(f"net/ipv4/conf/{name}/forwarding", value)
            super().set("net/ipv4/conf/all/accept_redirects", str(1 - int(value)))
        if key == "net/ipv6/conf/all/forwarding":
            for name in ("default", "eth0"):
                super().set(f"net/ipv6/conf/{name}/forwarding", value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    values = {
        "net/ipv4/ip_forward": "0",
        "net/ipv4/conf/all/src_valid_mark": "0",
        "net/ipv4/conf/all/forwarding": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/conf/default/forwarding": "0",
        "net/ipv4/conf/eth0/forwarding": "1",
        "net/ipv4/conf/eth1/forwarding": "0",
        "net/ipv6/conf/all/forwarding": "0",
        "net/ipv6/conf/all/accept_ra": "1",
        "net/ipv6/conf/default/forwarding": "0",
        "net/ipv6/conf/eth0/forwarding": "0",
        "net/ipv6/conf/eth0/accept_ra": "1",
        "net/core/rmem_max": "212992",
        "net/core/wmem_max": "16777216",
    }
    for key, value in values.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text().strip() for p in root.rglob("*") if p.is_file()}


def test_what_a_gateway_changes_is_as_it_was_afterwards(root: Path) -> None:
    kernel = Kernel(root)
    before = contents(root)
    steps = []
    for key, value in wanted_values(GatewayNetwork("tun0", V4, V6), BOTH, kernel).items():
        step = kernel.step(key, value)
        if step is not None:
            steps.append(step)
            kernel.set(key, value)
    assert kernel.get("net/ipv4/ip_forward") == "1"
    assert kernel.get("net/ipv6/conf/all/forwarding") == "1"
    assert kernel.get("net/ipv6/conf/eth0/accept_ra") == "2"
    assert kernel.get("net/core/rmem_max") == str(16 * 2**20)

    for step in reversed(steps):
        kernel.undo(step)

    assert contents(root) == before


def test_what_others_changed_in_the_meantime_stays(root: Path) -> None:
    kernel = Kernel(root)
    step = kernel.step("net/ipv4/ip_forward", "1")
    assert step is not None
    kernel.set("net/ipv4/ip_forward", "1")
    kernel.set("net/ipv4/conf/eth1/forwarding", "0")
    kernel.set("net/ipv4/conf/all/accept_redirects", "1")

    kernel.undo(step)

    assert kernel.get("net/ipv4/conf/eth0/forwarding") == "1"
    assert kernel.get("net/ipv4/conf/eth1/forwarding") == "0"
    assert kernel.get("net/ipv4/conf/all/accept_redirects") == "1"


def test_a_step_that_was_never_taken_changes_nothing(root: Path) -> None:
    kernel = Kernel(root)
    before = contents(root)
    step = kernel.step("net/ipv4/ip_forward", "1")
    assert step is not None

    kernel.undo(step)

    assert contents(root) == before


def test_what_is_right_or_missing_needs_no_step(root: Path) -> None:
    kernel = Kernel(root)

    assert kernel.step("net/ipv4/ip_forward", "0") is None
    assert kernel.step("net/ipv4/nothing", "1") is None


def test_a_limit_that_is_high_enough_is_never_lowered(root: Path) -> None:
    assert Kernel(root).raised_limits() == {"net/core/rmem_max": str(16 * 2**20)}


def test_limits_of_the_whole_system_are_left_to_it(root: Path) -> None:
    (root / "net/core/rmem_max").chmod(0o444)

    assert Kernel(root).raised_limits() == {}


def test_a_client_changes_no_value_unless_told_to(root: Path) -> None:
    kernel = Kernel(root)

    assert wanted_values(ClientNetwork("tun0", V4, V6), BOTH, kernel) == {}
    raised = wanted_values(ClientNetwork("tun0", V4, V6, socket_buffers=True), BOTH, kernel)
    assert list(raised) == ["net/core/rmem_max"]


def test_without_ipv6_its_values_are_left(root: Path) -> None:
    values = wanted_values(GatewayNetwork("tun0", V4, V6), frozenset({4}), Kernel(root))

    assert not [key for key in values if "ipv6" in key]


def test_a_value_that_cannot_be_set_says_how(root: Path) -> None:
    # A folder in its place fails for root, too.
    (root / "net/ipv4/ip_forward").unlink()
    (root / "net/ipv4/ip_forward").mkdir()

    with pytest.raises(NeedsPrivilege) as caught:
        Sysctl(root).set("net/ipv4/ip_forward", "1")
    assert "sysctl -w net.ipv4.ip_forward=1" in (caught.value.hint or "")
