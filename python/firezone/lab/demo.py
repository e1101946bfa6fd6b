"""The demo: the same transfer under each policy, with the same time, seed and link."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final, Protocol

from .run import Run, Sample
from .site import Site
from .topology import Laboratory

if TYPE_CHECKING:
    from .observation import Observation
    from .settings import DemoSettings, Policy
    from .verdict import PolicyRun

__all__ = ["Observer", "run_demo"]

ATTEMPTS: Final = 3
"""A run in which the kernel dropped packets or frames is repeated twice."""
_FASTEST: Final = 2_000_000_000
"""Bits per second that a link without a limit can be expected to carry, for the file's size."""
_MARGIN: Final = 8.0
"""Seconds of transfer before and after the time that is watched."""
_LARGEST: Final = 6 * 2**30
_SAMPLE_FILE: Final = 64 * 2**20


class Observer(Protocol):
    """Who is told how the demo goes."""

    def began(self, policy: Policy, attempt: int) -> None:
        """Hear that a policy's run begins, for the `attempt`th time."""
        ...

    def sampled(self, policy: Policy, sample: Sample) -> None:
        """Hear how the run goes."""
        ...

    def judged(self, run: PolicyRun) -> None:
        """Hear what came of it."""
        ...


class KeepRunning(Protocol):
    """Who is told when the laboratory is left running."""

    async def __call__(self, lab: Laboratory, run: Run, /) -> None:
        """Return when it may end."""
        ...


async def run_demo(
    settings: DemoSettings,
    observation: Observation,
    observer: Observer,
    keep_running: KeepRunning | None = None,
    *,
    bystander: bool = False,
) -> dict[Policy, PolicyRun]:
    """Run each policy and judge it.

    Args:
        settings: What to run.
        observation: Log files and control sockets of the endpoints.
        observer: Told how it goes.
        keep_running: Called at the end with a laboratory that works, to look around in.
        bystander: Whether the laboratory has a second Client.

    Returns:
        The judged runs, by policy.

    Raises:
        NeedsPrivilege: The kernel does not allow it.
        ConfigError: A program is missing.
        FirezoneError: Something failed on the way.
    """
    _end_on_signals()
    runs: dict[Policy, PolicyRun] = {}
    with Laboratory(buffer_bytes=settings.link.buffer_bytes, bystander=bystander) as lab:
        try:
            site = Site(lab, settings.link.seed)
            await site.start()
            if settings.direction == "down":
                await asyncio.to_thread(site.prepare_download, _file_size(settings))
            for policy in settings.policies:
                runs[policy] = await _run_policy(
                    lab, site, settings, policy, observation=observation, observer=observer
                )
            if keep_running is not None:
                await asyncio.to_thread(site.prepare_download, _SAMPLE_FILE)
                policy = settings.policies[0] if settings.policies else "keep"
                run = Run(lab, site, settings, policy, observation=observation)
                await _keep_running(run, lab, keep_running)
        finally:
            await lab.processes.stop_all()
    return runs


async def _run_policy(
    lab: Laboratory,
    site: Site,
    settings: DemoSettings,
    policy: Policy,
    *,
    observation: Observation,
    observer: Observer,
) -> PolicyRun:
    def show(sample: Sample) -> None:
        observer.sampled(policy, sample)

    attempt = 1
    while True:
        observer.began(policy, attempt)
        run = Run(lab, site, settings, policy, observation=observation, on_sample=show)
        judged = await run.measure()
        if not judged.evidence.is_disturbed or attempt == ATTEMPTS:
            observer.judged(judged)
            return judged
        attempt += 1


async def _keep_running(run: Run, lab: Laboratory, keep_running: KeepRunning) -> None:
    try:
        await run.set_up()
        await keep_running(lab, run)
    finally:
        await run.stop()


def _file_size(settings: DemoSettings) -> int:
    rate = settings.link.bandwidth or _FASTEST
    return min(int(rate / 8 * (settings.seconds + _MARGIN)), _LARGEST)


def _end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does: cancelled, so that all is undone."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
