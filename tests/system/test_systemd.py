"""Our units under a real systemd: a restart is not noticed, a stop undoes everything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.system.systemd import Systemd
from tests.system.transfers import MIB, Loading
from tests.system.two_machines import NAME, TwoMachines

from firezone.host.service import unit_name, unit_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.two_machines import Role

URL = f"http://{NAME}/file"
ROLES: list[Role] = ["client", "gateway"]
# A user instance has no other users and no capabilities to give.
KEPT = (
    "[",
    "Type=",
    "NotifyAccess=",
    "ExecStart=",
    "ExecStopPost=",
    "FileDescriptorStoreMax=",
    "Environment=FIREZONE_DESCRIPTOR_STORE=",
    "KillMode=",
    "TimeoutSt",
)


@pytest.fixture
def systemd(machines: TwoMachines) -> Iterator[Systemd]:
    if not Systemd.is_here():
        pytest.skip("systemd is not here")
    with Systemd(machines.folder / "systemd") as systemd:
        yield systemd


def add(machines: TwoMachines, systemd: Systemd, role: Role) -> str:
    """Put a role's unit in place; return its name."""
    host = machines.host(role)
    command = host.command(sys.executable, "-m", "firezone")
    lines = unit_text(role, command=command, dns_control="disabled").splitlines()
    kept = [line for line in lines if line.startswith(KEPT)]
    out = f"{machines.folder}/{role}.out"
    kept = [
        line
        + f" --config {machines.file(role)}\nStandardOutput=append:{out}\nStandardError=inherit"
        f"\nEnvironment=PATH={systemd.programs}:/usr/sbin:/usr/bin:/sbin:/bin"
        if line.startswith("ExecStart=")
        else line
        for line in kept
    ]
    systemd.add(unit_name(role), "\n".join(kept) + "\n")
    return unit_name(role)


def is_clean(machines: TwoMachines, role: Role) -> bool:
    host = machines.host(role)
    shown = machines.inside(host, "sh", "-c", "ip link; ip rule; nft list ruleset").stdout
    return "firezone" not in shown


@pytest.mark.parametrize("role", ROLES)
def test_r38_a_restart_by_systemd_is_not_noticed_and_a_stop_undoes_all(
    machines: TwoMachines, systemd: Systemd, role: Role
) -> None:
    machines.write_gateway(run_dir="/run/firezone")
    machines.write_client(run_dir="/run/firezone")
    for each in ("gateway", "client"):
        name = add(machines, systemd, each)  # type: ignore[arg-type]
        started = systemd.control("start", name)
        assert started.returncode == 0, machines.output(each)  # type: ignore[arg-type]
    machines.use_client_dns()
    digest = machines.payload(24 * MIB)
    loading = Loading(machines, URL)

    restarted = systemd.control("restart", unit_name(role))

    assert restarted.returncode == 0, restarted.stderr
    machines.wait(lambda: "handover.taken" in machines.output(role), "it went on")
    assert "handover.done" in machines.output(role)
    assert "host.undone" not in machines.output(role)
    assert loading.ended() == digest
    stored = systemd.control("show", "--property=NFileDescriptorStore", unit_name(role)).stdout
    assert stored.strip() == "NFileDescriptorStore=0"
    assert systemd.control("stop", unit_name(role)).returncode == 0
    assert is_clean(machines, role)
    assert machines.output(role).count("handover.done") == 1


def test_r38_a_start_that_fails_after_a_restart_leaves_nothing_behind(
    machines: TwoMachines, systemd: Systemd
) -> None:
    machines.write_gateway(run_dir="/run/firezone")
    name = add(machines, systemd, "gateway")
    assert systemd.control("start", name).returncode == 0, machines.output("gateway")
    machines.write_gateway(run_dir="/run/firezone", no_such_setting=1)

    assert systemd.control("restart", name).returncode != 0

    assert "handover.done" in machines.output("gateway")
    assert "no_such_setting" in machines.output("gateway")
    machines.wait(lambda: is_clean(machines, "gateway"), "everything is undone")
