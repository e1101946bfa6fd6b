"""What a person sees of the demo: a live table, verdicts, and how to look around."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from firezone.lab.run import Run, Sample
    from firezone.lab.settings import DemoSettings, PathKind, Policy
    from firezone.lab.topology import Laboratory
    from firezone.lab.verdict import PolicyRun

__all__ = ["LookAround", "View", "print_verdicts"]

_PATHS: Final[dict[PathKind, str]] = {
    "tunnel": "encrypted, two processes",
    "process": "in one process",
}
_STYLES: Final = {"kept": "bold green", "broken": "bold red", "invalid": "bold yellow"}


class View:
    """A live table on a terminal, lines elsewhere; both on stderr.

    Args:
        settings: Of the demo.
    """

    def __init__(self, settings: DemoSettings) -> None:
        self._settings = settings
        self._console = Console(stderr=True)
        self._rows: dict[Policy, tuple[str, ...]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state on the screen."""
        self.freeze()

    def freeze(self) -> None:
        """Show nothing more."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Write a line."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def began(self, policy: Policy, attempt: int) -> None:
        """Show that a policy's run begins."""
        again = "" if attempt == 1 else f" (attempt {attempt}: the kernel dropped packets)"
        self._rows[policy] = (f"setting up{again}", *("",) * 5)
        path = _PATHS[self._settings.path_of(policy)]
        self._show(f"{policy}: {self._settings.seconds:g} s of transfer, {path}{again}")

    def sampled(self, policy: Policy, sample: Sample) -> None:
        """Show how it goes."""
        rate = sample.moved * 8 / max(sample.elapsed, 0.001)
        queries = int(sample.elapsed * self._settings.queries_per_second)
        self._rows[policy] = (
            f"{sample.elapsed:.1f} s",
            f"{rate / 1e6:.0f} Mbit/s",
            str(queries),
            str(sample.recreations),
            str(sample.held),
            str(sample.lost),
        )
        self._show(None)

    def judged(self, run: PolicyRun) -> None:
        """Show what came of it."""
        figures = run.figures
        self._rows[run.policy] = (
            run.verdict,
            f"{figures.throughput_bits_per_second / 1e6:.0f} Mbit/s",
            str(len(run.query_times)),
            str(figures.recreations_completed),
            str(figures.held),
            str(figures.lost),
        )
        self._show(f"{run.policy}: {run.verdict}")

    def _show(self, line: str | None) -> None:
        if self._live is not None:
            self._live.update(self._table())
        elif line is not None:
            self.say(line)

    def _table(self) -> Table:
        table = Table("policy", "state", box=None)
        for heading in ("rate", "queries", "re-creations", "held", "lost"):
            table.add_column(heading, justify="right")
        for policy, row in self._rows.items():
            table.add_row(policy, *row)
        return table


class LookAround:
    """Leaves the laboratory running until Ctrl-C, and says what can be done with it.

    Args:
        view: Where it is said.
        logs: The folder of the log files.
    """

    def __init__(self, view: View, logs: Path) -> None:
        self._view = view
        self._logs = logs

    async def __call__(self, lab: Laboratory, run: Run) -> None:
        """Return on Ctrl-C or SIGTERM."""
        ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ending.set)
        self._view.freeze()
        socket = run.endpoints.socket
        option = f" --socket {shlex.quote(str(socket))}" if socket is not None else ""
        inside = f"ip netns exec {lab.app.name}"
        for line in (
            "the laboratory is running; Ctrl-C takes it away",
            f"  {inside} curl http://app.site.example/whoami",
            f"  {inside} curl -o /dev/null http://app.site.example/file",
            f"  ip netns exec {lab.gateway.name} tcpdump -ni fz-gateway",
            f"  firezone nat flows{option}",
            f"  firezone logs --path {shlex.quote(str(self._logs))} --follow",
        ):
            self._view.say(line)
        await ending.wait()


def print_verdicts(runs: dict[Policy, PolicyRun]) -> None:
    """Write the verdicts and their figures to stdout."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    table = Table("", *runs, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    verdicts = [f"[{_STYLES[run.verdict]}]{run.verdict}[/]" for run in runs.values()]
    table.add_row("verdict", *verdicts)
    rows = [_figures(run) for run in runs.values()]
    for name in rows[0]:
        table.add_row(name, *(row[name] for row in rows))
    console.print(table)


def _figures(run: PolicyRun) -> dict[str, str]:
    figures = run.figures
    current: dict[Any, str] = {True: "yes", False: "no", None: "not judged"}
    wire = run.wire_packets
    return {
        "path": _PATHS[run.path],
        "packets between hosts": f"{wire:,}" if wire is not None else "none",
        "moved": f"{figures.bytes / 1e6:,.1f} MB",
        "rate": f"{figures.throughput_bits_per_second / 1e6:,.1f} Mbit/s",
        "SHA-256 equal": "yes" if figures.sha256_equal else "no",
        "connections reset": str(figures.resets),
        "packets lost": str(figures.lost),
        "packets duplicated": str(figures.duplicated),
        "packets reordered": str(figures.reordered),
        "packets misdirected": str(figures.misdirected),
        "longest gap": f"{figures.longest_gap_ms:,.1f} ms",
        "gap, 99.99 %": f"{figures.gap_p9999_ms:,.1f} ms",
        "re-creations completed": str(figures.recreations_completed),
        "look-ups finished": str(run.evidence.lookups_finished),
        "packets held": str(figures.held),
        "packets overwritten": str(figures.overwritten),
        "new connections current": current[figures.new_connections_current],
    }
