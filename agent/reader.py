"""The read loop of one connection: frames at a fixed cadence, for the lines of the assets in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.clock import Clock
from agent.line.alert import SeeChange
from agent.troubles import Troubles
from agent.view import Link
from agent.worker import Job, Worker
from connectors.frame import BAD_NO_DATA, Frame

log = logging.getLogger(__name__)

CHANGES_SHOWN = 3
Intps = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Route:
    """Where an asset's columns are in a connection's frame (`sources`) and in the asset's (`targets`).

    An asset that several connections feed (`shared`) lives on the gateway's clock: the clocks of its sources may differ
    by more than a period, and their rows would never meet. It is `whole` where its columns are those of here, in order.
    """

    asset: str
    sources: Intps
    targets: Intps
    columns: int
    shared: bool = False
    whole: bool = False

    def part(self, frame: Frame) -> Frame:
        """Return the asset's part of a connection's frame, in the asset's columns."""
        part = frame.select(self.sources)
        return part if self.whole else part.spread(self.targets, self.columns)

    def lay(self, frame: Frame, now_ns: int) -> Frame:
        """Return the asset's part of a frame that was read at `now_ns` (UTC), by the clock that the asset lives on."""
        part = self.part(frame)
        if not self.shared or not part.rows:
            return part
        return Frame(part.source_time_ns + (now_ns - part.source_time_ns[-1]), part.values, part.status)


class Reader:
    """Reads one link every `period_ns`; ticks that pass while a read still runs are skipped and counted.

    `tried` is set after the first read, whatever came of it.
    """

    def __init__(
        self, name: str, link: Link, routes: Sequence[Route], period_ns: int, worker: Worker, clock: Clock
    ) -> None:
        assert period_ns > 0
        self.name, self.link, self.period_ns = name, link, period_ns
        self.tried = asyncio.Event()
        self.ticks_missed = 0
        self.frames_dropped = 0
        self._changes_told: set[str] = set()
        self._routes, self._worker, self._clock = tuple(routes), worker, clock
        self._turn_ns = clock.monotonic_ns()
        asset_of = {int(column): route.asset for route in routes for column in route.sources}
        names = [f"{asset_of[column]}.{tag.name}" for column, tag in enumerate(link.tags)]
        self._troubles = Troubles(name, link.tags, names, clock)

    def idle_ns(self) -> int:
        """Return how long ago the last turn of the loop ended."""
        return self._clock.monotonic_ns() - self._turn_ns

    async def run(self) -> None:
        """Read until cancelled.

        A cancellation that meets an answer is lost in asyncio.wait_for of Python 3.11, which the wire libraries use:
        the agent would then go on after SIGTERM. The task itself remembers that it was asked to end.
        """
        task = asyncio.current_task()
        assert task is not None
        due_ns = self._clock.monotonic_ns()
        while not task.cancelling():
            await self._clock.sleep_until(due_ns)
            frame = await self.link.read()
            now_ns = self._clock.time_ns()
            for route in self._routes:
                self._offer(Job(route.asset, route.lay(frame, now_ns), now_ns))
            await self._recover()
            health = self.link.health
            self._troubles.note(frame, health)
            self._tell_changes(health.about.changes, now_ns)
            self.tried.set()
            self._turn_ns = self._clock.monotonic_ns()
            missed = max(0, -(-(self._turn_ns - due_ns) // self.period_ns) - 1)
            self.ticks_missed += missed
            due_ns += (missed + 1) * self.period_ns

    def _tell_changes(self, changes: tuple[str, ...], now_ns: int) -> None:
        """Tell the lines of all assets here what the device is not any more, each change once.

        What finds their queues full is told again with the next read.
        """
        self._changes_told &= set(changes)
        new = [change for change in changes if change not in self._changes_told]
        if not new:
            return
        cause = "; ".join(new[:CHANGES_SHOWN]) + ("; and more" if len(new) > CHANGES_SHOWN else "")
        log.warning("the device was changed", extra={"connection": self.name, "change": cause})
        told = [self._worker.submit(route.asset, SeeChange(route.asset, cause, self.name, now_ns))
                for route in self._routes]
        if all(told):
            self._changes_told.update(new)

    async def _recover(self) -> None:
        """Hand on what the device's own history has of a past outage, at its source times."""
        past = await self.link.recover()
        if not past.rows:
            return
        if not (about := self.link.health.about).missing_s:
            log.info("an outage was filled from the history of the device",
                     extra={"connection": self.name, "rows_recovered": about.rows_recovered})
        now_ns = self._clock.time_ns()
        for route in self._routes:
            self._offer(Job(route.asset, route.part(past), now_ns, recovered=True))

    def _offer(self, job: Job) -> None:
        """Hand a job on, unless it was only the turn of other assets' tags."""
        if job.frame.rows and (job.frame.status == BAD_NO_DATA).all():
            return
        if not self._worker.offer(job):
            self.frames_dropped += 1
