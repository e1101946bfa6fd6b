"""`firezone demo`: the main job on this host, with real programs, and a verdict."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .units import BANDWIDTH, DURATION, SHARE

if TYPE_CHECKING:
    from firezone.lab.settings import DemoSettings, Policy
    from firezone.lab.verdict import PolicyRun

__all__ = ["demo"]

# As firezone.lab.records has them; that module is not loaded for --help.
_RECORDS: Final = (
    "same",
    "rotate",
    "replace",
    "lose-family",
    "servfail",
    "refused",
    "nxdomain",
    "timeout",
    "late",
)
_POLICIES: Final[dict[str, tuple[Policy, ...]]] = {
    "keep": ("keep",),
    "halt": ("halt",),
    "both": ("keep", "halt"),
}
_INTERRUPTED: Final = 130


@click.command()
@click.option(
    "--policy",
    type=click.Choice(tuple(_POLICIES)),
    default="both",
    show_default=True,
    help="What a DNS query does to a working flow: nothing (keep), or the former behaviour (halt).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=3600),
    default=15,
    show_default=True,
    help="How long each transfer is watched.",
)
@click.option(
    "--direction",
    type=click.Choice(("up", "down")),
    default="up",
    show_default=True,
    help="Upload or download.",
)
@click.option(
    "--queries-per-second",
    type=click.FloatRange(min=0.1, max=20_000),
    default=100,
    show_default=True,
    help="DNS queries for the name, A and AAAA by turns.",
)
@click.option(
    "--records",
    type=click.Choice(_RECORDS),
    default="same",
    show_default=True,
    help="What the site's DNS says while the transfer runs.",
)
@click.option(
    "--latency", type=DURATION, default="20ms", show_default=True, help="One way, like 20ms."
)
@click.option(
    "--bandwidth",
    type=BANDWIDTH,
    default="200Mbit",
    show_default=True,
    help="Of the link, like 200Mbit, or unlimited.",
)
@click.option(
    "--control-loss",
    type=SHARE,
    default="0%",
    show_default=True,
    help="Share of control messages that the link loses, like 30%.",
)
@click.option(
    "--path",
    type=click.Choice(("tunnel", "process")),
    help="How packets of keep travel: encrypted between two processes, or plain inside one. The "
    "former policy (halt) and the loss of control messages exist in one process alone.  "
    "[default: tunnel, or process with --control-loss]",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True)
@click.option("--idle-queries", is_flag=True, help="Ask for a name without traffic, to compare.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the rate over time into this PNG file.",
)
@click.option("--keep", is_flag=True, help="Leave it running at the end, to look around.")
@click.pass_context
def demo(ctx: click.Context, /, **options: Any) -> None:
    """Upload or download through a DNS resource while it is re-created again and again.

    A Client, a Gateway and a site with nginx and DNS run in network namespaces of this host: for
    the policy keep as two processes with WireGuard between them. Files move by curl while the name
    is queried and its records change. tcpdump and sha256sum say whether anything was halted, lost
    or misdirected. Everything is taken away at the end.
    """
    _check_path(options)
    from firezone.lab import plot, privilege, programs  # noqa: PLC0415

    path: Path | None = options["plot"]
    if path is not None:
        plot.require()
    programs.require()
    privilege.acquire([sys.executable, "-m", "firezone", *sys.argv[1:]])
    settings = _settings(options)
    try:
        runs = asyncio.run(_run(settings, keep=options["keep"]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted; everything was taken away", err=True)
        ctx.exit(_INTERRUPTED)
    if path is not None:
        plot.draw(path, settings, runs)
    _report(runs, as_json=options["as_json"])
    ctx.exit(_exit_code(runs))


def _check_path(options: dict[str, Any]) -> None:
    """Refuse a tunnel with what cannot be in one."""
    if options["path"] != "tunnel":
        return
    if options["policy"] == "halt":
        message = "the former policy (halt) is in no real endpoint: it needs --path process"
        raise click.UsageError(message)
    if options["control_loss"] > 0:
        message = (
            "--control-loss needs --path process: outside an encrypted tunnel nobody can tell its "
            "control messages from other packets"
        )
        raise click.UsageError(message)


def _settings(options: dict[str, Any]) -> DemoSettings:
    from firezone.lab.settings import DemoSettings, LinkSettings  # noqa: PLC0415

    link = LinkSettings(
        latency=options["latency"],
        bandwidth=options["bandwidth"],
        control_loss=options["control_loss"],
        seed=options["seed"],
    )
    return DemoSettings(
        policies=_POLICIES[options["policy"]],
        seconds=options["seconds"],
        direction=options["direction"],
        queries_per_second=options["queries_per_second"],
        records=options["records"],
        link=link,
        idle_queries=options["idle_queries"],
        path=options["path"],
    )


async def _run(settings: DemoSettings, *, keep: bool) -> dict[Policy, PolicyRun]:
    from firezone.lab.demo import run_demo  # noqa: PLC0415
    from firezone.lab.observation import Observation  # noqa: PLC0415

    from .demo_view import LookAround, View  # noqa: PLC0415

    with Observation() as observation, View(settings) as view:
        look = LookAround(view, observation.folder) if keep else None
        return await run_demo(settings, observation, view, look)


def _report(runs: dict[Policy, PolicyRun], *, as_json: bool) -> None:
    from firezone.lab.verdict import to_json  # noqa: PLC0415

    from .demo_view import print_verdicts  # noqa: PLC0415

    for run in runs.values():
        if run.verdict == "invalid" or run.policy == "keep":
            for reason in run.reasons:
                click.echo(f"{run.policy}: {run.verdict}: {reason}", err=True)
    if as_json:
        click.echo(json.dumps(to_json(runs), indent=2))
    else:
        print_verdicts(runs)


def _exit_code(runs: dict[Policy, PolicyRun]) -> int:
    """Return 1 if `keep` broke its promise or any run proves nothing."""
    bad = any(
        run.verdict == "invalid" or (run.policy == "keep" and run.verdict != "kept")
        for run in runs.values()
    )
    return 1 if bad else 0
