"""One policy's run: everything started, the transfer watched for a fixed time, and judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .capture import Captures
from .commanded import Commanded
from .endpoints import Endpoints
from .hosts import Hosts
from .prober import Prober, is_current
from .traffic import Download, Transfer, Upload
from .verdict import Evidence, Figures, PolicyRun, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .observation import Observation
    from .settings import DemoSettings, Policy
    from .site import Site
    from .topology import Laboratory
    from .under_test import UnderTest

__all__ = ["Run", "Sample"]

SAMPLE_EVERY: Final = 0.25
TRICKLE: Final = 2.0
"""Queries per second while what was sent drains: a halted flow waits for the next query."""


@dataclass(frozen=True)
class Sample:
    """A look at a run under way.

    Args:
        elapsed: Seconds of the fixed time.
        moved: Bytes that the application has written or read since it began.
        recreations: Completed since then.
        held: Packets that the Client has held since then.
        lost: Packets that the link has lost since then.
    """

    elapsed: float
    moved: int
    recreations: int
    held: int
    lost: int


@dataclass(frozen=True)
class _Mark:
    """All counters at one moment."""

    at: float
    moved: int
    client: Mapping[str, Any]
    gateway: Mapping[str, Any]


@dataclass(frozen=True)
class _Losses:
    """What went elsewhere: into a kernel, into the link, and onto the wire."""

    kernel: int
    sockets: int
    link: int
    wire: tuple[int, int] | None


class Run:
    """One policy, once.

    Args:
        lab: Where.
        site: To or from which site.
        settings: Of the run.
        policy: Which policy the Client has.
        observation: Where events go, and how the endpoints are reached.
        on_sample: Called a few times a second.
    """

    def __init__(
        self,
        lab: Laboratory,
        site: Site,
        settings: DemoSettings,
        policy: Policy,
        *,
        observation: Observation,
        on_sample: Callable[[Sample], None] = lambda _: None,
    ) -> None:
        self._lab, self._site, self._settings, self._policy = lab, site, settings, policy
        self._on_sample = on_sample
        self.endpoints: UnderTest
        if settings.path_of(policy) == "tunnel":
            self.endpoints = Hosts(lab, settings.link, logs=observation.folder)
        else:
            halt = policy == "halt"
            self.endpoints = Endpoints(lab, settings.link, halt=halt, observation=observation)
        self._sentinel = ""
        self._captures = Captures(lab)
        self._prober = Prober(lab)
        self._transfer: Transfer = (
            Upload(lab, site, settings.link.seed)
            if settings.direction == "up"
            else Download(lab, site)
        )

    async def measure(self) -> PolicyRun:
        """Run and judge.

        Raises:
            FirezoneError: The transfer never began, or a program failed.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.stop)
            await self.set_up()
            queries = await self._start_queries()
            await self._transfer.start()
            begin, end = await self._watch(queries)
            await self._site.settle_records()
            report = await queries.ask({"rate": 0})
            await queries.tell({"rate": TRICKLE})
            equal = await self._transfer.finish()
            await self._prober.stop()
            await self._captures.stop()
            await self._lab.processes.stop(queries.process)
            wire = await self.endpoints.wire_report()
            refused, full = await self.endpoints.kernel_drops()
            refused += self._captures.dropped + self._lab.tun_drops()
            losses = _Losses(refused, full, self.endpoints.link_drops(), wire)
        judged = await self._judge(begin, end, losses, sha256_equal=equal)
        return replace(judged, query_times=report["times"])

    async def set_up(self) -> None:
        """Start the endpoints and the captures, without any traffic."""
        await self._site.reset_records()
        self._site.forget_uploads()
        self._sentinel = await self.endpoints.start()
        for namespace, _ in self._lab.clients:
            namespace.use_nameserver(self._sentinel)
        await self._captures.start()

    async def stop(self) -> None:
        """End all that this run started, and the endpoints."""
        await self._prober.stop()
        await self.endpoints.stop()

    async def _start_queries(self) -> Commanded:
        module, name = "firezone.lab.queries", self._settings.query_name
        return await Commanded.start(
            self._lab.processes, self._lab.app, module, self._sentinel, name
        )

    async def _watch(self, queries: Commanded) -> tuple[_Mark, _Mark]:
        """Watch for the fixed time while the name is queried and its records change."""
        begin = await self._mark()
        await self._site.change_records(self._settings.records)
        await queries.tell({"rate": self._settings.queries_per_second})
        if self._settings.judges_new_connections:
            self._prober.start()
        while (left := begin.at + self._settings.seconds - time.time()) > 0:
            await asyncio.sleep(min(left, SAMPLE_EVERY))
            self._on_sample(self._sample(begin, await self._mark()))
        return begin, await self._mark()

    async def _mark(self) -> _Mark:
        client, gateway = await self.endpoints.counters()
        return _Mark(time.time(), self._transfer.moved, client, gateway)

    def _sample(self, begin: _Mark, now: _Mark) -> Sample:
        return Sample(
            elapsed=now.at - begin.at,
            moved=now.moved - begin.moved,
            recreations=_recreations(begin, now),
            held=now.client["held"] - begin.client["held"],
            lost=self.endpoints.link_drops(),
        )

    async def _judge(
        self, begin: _Mark, end: _Mark, losses: _Losses, *, sha256_equal: bool
    ) -> PolicyRun:
        report = await self._captures.compare(self._settings.direction, begin.at, end.at)
        rate, fate = report["rate"], report["transfer"]
        moved = _bytes_between(rate, begin.at, end.at)
        figures = Figures(
            bytes=moved,
            sha256_equal=sha256_equal,
            resets=fate["resets"],
            lost=fate["lost"],
            duplicated=fate["duplicated"],
            reordered=fate["reordered"],
            misdirected=fate["misdirected"],
            longest_gap_ms=rate["longest_gap_ns"] / 1e6,
            gap_p9999_ms=rate["gap_p9999_ns"] / 1e6,
            recreations_completed=_recreations(begin, end),
            held=end.client["held"] - begin.client["held"],
            overwritten=_delta(begin.client, end.client, "buffer", "overwritten"),
            new_connections_current=await self._new_connections_current(),
            throughput_bits_per_second=moved * 8 / (end.at - begin.at),
        )
        evidence = Evidence(
            lookups_finished=_delta(begin.gateway, end.gateway, "translations", "results"),
            kernel_drops=losses.kernel,
            socket_drops=losses.sockets,
            link_drops=losses.link,
            unexpected=fate["unexpected"],
            foreign=losses.wire[1] if losses.wire is not None else 0,
        )
        verdict, reasons = judge(self._policy, self._settings, figures, evidence)
        return PolicyRun(
            policy=self._policy,
            path=self._settings.path_of(self._policy),
            wire_packets=losses.wire[0] if losses.wire is not None else None,
            figures=figures,
            evidence=evidence,
            verdict=verdict,
            reasons=reasons,
            rate=rate["series"],
            start=rate["start_ns"] / 1e9,
            bucket=rate["bucket_ns"] / 1e9,
            watched=(begin.at, end.at),
        )

    async def _new_connections_current(self) -> bool | None:
        if not self._settings.judges_new_connections or not self._prober.probes:
            return None
        history = await self._site.history()
        return all(is_current(probe, history) for probe in self._prober.probes)


def _recreations(begin: _Mark, now: _Mark) -> int:
    return _delta(begin.client, now.client, "nat", "refreshes_completed")


def _delta(before: Mapping[str, Any], after: Mapping[str, Any], group: str, name: str) -> int:
    return int(after[group][name]) - int(before[group][name])


def _bytes_between(rate: Mapping[str, Any], begin: float, end: float) -> int:
    first = max(0, round((begin - rate["start_ns"] / 1e9) / (rate["bucket_ns"] / 1e9)))
    last = max(0, round((end - rate["start_ns"] / 1e9) / (rate["bucket_ns"] / 1e9)))
    return sum(rate["series"][first:last])
