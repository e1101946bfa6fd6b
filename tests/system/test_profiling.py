"""A profile of a running endpoint can be read: every thread has a name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.two_machines import Role, TwoMachines


def names(pid: int) -> list[str]:
    """Return the names of a process's threads but the first, which has the program's."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A short look at the kernel's routes has a thread, too.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if task.name != str(pid):
                found.append((task / "comm").read_text().strip())
    return found


def test_every_thread_but_the_programs_own_has_a_name_of_ours(machines: TwoMachines) -> None:
    machines.write_gateway(metrics="127.0.0.1:9090")
    machines.write_client()
    machines.begin_both()
    roles: tuple[Role, ...] = ("client", "gateway")
    for role in roles:
        pid = machines.running[role].pid
        # One that began a moment ago has not got its name yet.
        machines.wait(
            lambda p=pid: all(name.startswith("fz-") for name in names(p)),
            f"every thread of the {role} has a name",
        )
        assert {"fz-data-plane", "fz-dns", "fz-log"} <= set(names(pid))
