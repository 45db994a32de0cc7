"""The one thread on which lines are stepped: telemetry logged, alerts on disk, and only then shown."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec

from agent.clock import Clock
from agent.line.alert import Alert, Command, GiveLabel
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.grouping import Grouping
from agent.store import codec
from agent.store.blocks import Start, Started, Step
from agent.store.journal import Journal, StoreError
from agent.store.memories import Memories
from agent.store.telemetry import TelemetryLog
from agent.view import Line, Snapshot
from connectors.frame import Frame

log = logging.getLogger(__name__)
P = ParamSpec("P")

COMMANDS_WAITING_MAX = 16
STATE_STEPS = 20_000
"""After so many steps of an asset it is recorded again how its line stands, 2 ms and a 20th of its telemetry: a replay
of what comes then need not begin where the agent did, months ago."""
JOBS_AT_ONCE = 16
"""Handing work to the thread and back costs as much as logging a frame: what waits is handed over together."""
UNRECORDED_MAX = 1000
RETRY_NS = 1_000_000_000
LAST_TRIES = 2
"""At the end, each waits RETRY_NS and then for SQLite's lock: more would outlast the service manager's patience
(TimeoutStopSec in systemd/forewarn.service), and the alerts would not even reach the log."""


Renewal = Callable[[], tuple[Start, Line]]
"""Gives a new line of an asset, and what it starts from by the journal; may raise StoreError."""


@dataclass(frozen=True, slots=True)
class Job:
    """A frame for one asset's line, laid out in the asset's columns, and the time (UTC) it was read.

    One that is `recovered` fills a past outage from the device's own history: it is recorded, for people and for
    learning, and not judged, for a verdict is about now.
    """

    asset: str
    frame: Frame
    now_ns: int
    recovered: bool = False


class Worker:
    """Takes jobs in order; an alert is shown only after the journal has it.

    A disk that refuses delays alerts and never loses them: lines go on and their alerts wait here, in order;
    when too many wait, lines stop and the queue of jobs fills, which `offer` reports. Commands are given to a
    line with its next job, so that the telemetry log holds all that a line was told, in order.
    """

    def __init__(
        self,
        lines: dict[str, Line],
        journal: Journal,
        telemetry: TelemetryLog,
        clock: Clock,
        *,
        memories: Memories | None = None,
        grouping: Grouping | None = None,
        kin: Mapping[str, Sequence[str]] = {},
        jobs_max: int = 1000,
        state_steps: int = STATE_STEPS,
    ) -> None:
        self._lines = lines
        self._journal, self._telemetry, self._clock = journal, telemetry, clock
        self._memories, self._grouping, self._kin = memories, grouping, kin
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue(jobs_max + 1)
        self._jobs_max = jobs_max
        self._commands: dict[str, deque[Command]] = {
            asset: deque(maxlen=COMMANDS_WAITING_MAX) for asset in lines
        }
        self._commands_dropped = dict.fromkeys(lines, 0)
        # At its first step, and then not that of all assets at once.
        self._state_steps = state_steps
        self._steps_to_state = {asset: (0, state_steps * (i + 1) // len(lines)) for i, asset in enumerate(lines)}
        self._renewals: dict[str, Renewal] = {}
        self._submitting = threading.Lock()
        self._unrecorded: deque[Entry] = deque()
        self._unpublished: set[str] = set()
        self._retry_at_ns = 0
        self._labels_wait_until_ns = 0
        self._finishing = False
        self._busy_since_ns: int | None = None
        self.journal_error: str | None = None
        self.jobs_done = 0

    def offer(self, job: Job) -> bool:
        """Queue a job; False where the queue is full and the job is lost. To be called on the event loop."""
        if self._jobs.qsize() >= self._jobs_max:
            return False
        self._jobs.put_nowait(job)
        return True

    def waiting(self) -> tuple[int, int]:
        """Return how many jobs wait, and how many can."""
        return self._jobs.qsize(), self._jobs_max

    def submit(self, asset: str, command: Command) -> bool:
        """Queue a command for an asset's next job; False, and counted, where too many wait. From any thread."""
        with self._submitting:
            if len(self._commands[asset]) >= COMMANDS_WAITING_MAX:
                self._commands_dropped[asset] += 1
                return False
            self._commands[asset].append(command)
        return True

    def snapshot(self, asset: str) -> Snapshot:
        """Return the newest snapshot of an asset. From any thread."""
        return self._lines[asset].snapshot

    def renew(self, asset: str, renewal: Renewal) -> None:
        """Let an asset's line be made anew at its next job, once all that it said is recorded. From any thread."""
        self._renewals[asset] = renewal

    def commands_dropped(self, asset: str) -> int:
        """Return how many commands for an asset found too many waiting."""
        return self._commands_dropped[asset]

    def busy_ns(self) -> int:
        """Return how long the present job has been running, 0 where there is none."""
        since_ns = self._busy_since_ns
        return 0 if since_ns is None else self._clock.monotonic_ns() - since_ns

    async def run(self) -> None:
        """Work until `finish` was called and everything before it is done."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="lines") as thread:
                await self._work(thread)
        finally:
            for entry in self._unrecorded:
                what = "alert" if isinstance(entry, Alert) else "event"
                log.critical(f"an {what} could not be recorded", extra={what: codec.encode(entry).decode()})
            for asset, waiting in self._commands.items():
                for command in waiting:
                    log.critical("a command was not taken", extra={"asset": asset, "said": str(command)})

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        ended = False
        while not ended:
            jobs, ended = await self._next()
            while len(self._unrecorded) >= UNRECORDED_MAX and not self._finishing:
                await self._retry(thread)
            await self._on(thread, self._take_all, jobs, self._clock.monotonic_ns())
            self.jobs_done += len(jobs)
        for _ in range(LAST_TRIES):
            if not self._unrecorded:
                break
            await self._retry(thread)
        await self._on(thread, self._telemetry.sync)
        for asset in self._lines:
            await self._on(thread, self._remember, asset)

    async def _next(self) -> tuple[list[Job], bool]:
        """Wait for a job; return it and those already behind it, and whether they are the last."""
        jobs: list[Job] = []
        job = await self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == JOBS_AT_ONCE or self._jobs.empty():
                return jobs, False
            job = self._jobs.get_nowait()
        return jobs, True

    def finish(self) -> None:
        """Let `run` return once the jobs queued before are done; to be called once, on the event loop."""
        self._finishing = True
        self._jobs.put_nowait(None)

    async def _retry(self, thread: ThreadPoolExecutor) -> None:
        await self._clock.sleep_until(self._retry_at_ns)
        await self._on(thread, self._record, self._clock.monotonic_ns())

    async def _on(
        self, thread: ThreadPoolExecutor, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run `work` on the thread, known to be busy meanwhile."""
        self._busy_since_ns = self._clock.monotonic_ns()
        try:
            await asyncio.get_running_loop().run_in_executor(thread, partial(work, *args, **kwargs))
        finally:
            self._busy_since_ns = None

    # What follows runs on the thread.

    def _take_all(self, jobs: Sequence[Job], monotonic_ns: int) -> None:
        for job in jobs:
            self._take(job, monotonic_ns)

    def _take(self, job: Job, monotonic_ns: int) -> None:
        if job.recovered:
            self._telemetry.append(Step(job.asset, job.now_ns, job.frame, recovered=True), monotonic_ns)
            return
        self._renew_line(job.asset, monotonic_ns)
        line, waiting = self._lines[job.asset], self._commands[job.asset]
        state = line.state() if self._is_state_due(job.asset) else b""
        commands = self._hand_over(line, waiting, monotonic_ns)
        self._give(Step(job.asset, job.now_ns, job.frame, commands, state=state), monotonic_ns)
        while commands and waiting and GiveLabel in (type(commands[-1]), type(waiting[0])):
            # A label has a step of its own, but waits for no other read.
            if commands := self._hand_over(line, waiting, monotonic_ns):
                self._give(Step(job.asset, job.now_ns, Frame.empty(len(line.tags)), commands), monotonic_ns)
        if monotonic_ns >= self._retry_at_ns and not (self._finishing and self.journal_error):
            self._record(monotonic_ns)  # at the end the last tries do it: no wait for the lock with each job
        self._publish()
        if self._memories is not None and self._memories.is_due(job.asset, monotonic_ns):
            self._remember(job.asset)

    def _give(self, step: Step, monotonic_ns: int) -> None:
        """Take a step, and tell the labels in it to the other lines of the bundle."""
        self._step(step, monotonic_ns)
        for command in step.commands:
            if isinstance(command, GiveLabel):
                self._tell_kin(step.asset, command, step.now_ns, monotonic_ns)

    def _renew_line(self, asset: str, monotonic_ns: int) -> None:
        """Make a line anew as at a start of the agent, where that is wanted; the record tells of it, for replays."""
        if asset not in self._renewals:
            return
        self._record(monotonic_ns)
        if self._unrecorded:
            return
        renewal = self._renewals.pop(asset)
        self._remember(asset)
        try:
            start, line = renewal()
        except StoreError as error:
            log.warning("a line is not made anew yet", extra={"asset": asset, "error": str(error)})
            self._renewals.setdefault(asset, renewal)
            return
        self._telemetry.begin(Started({asset: start}))
        self._lines[asset] = line
        self._kin = {**self._kin, asset: (asset,)}  # the others are of another model now
        self._steps_to_state[asset] = (0, self._state_steps)
        log.info("a line was made anew", extra={"asset": asset, "stage": start.stage.value, "model": start.model})

    def _hand_over(self, line: Line, waiting: deque[Command], monotonic_ns: int) -> tuple[Command, ...]:
        """Give a line the commands that wait for it; what it refuses waits for its next job.

        A label brings along the alert as it stands, so it has a step of its own: what is before or behind it may be of
        the same alert. Where the journal cannot tell how that stands, the label waits, and is tried again as what is
        not recorded is.
        """
        given: list[Command] = []
        while waiting:
            command = waiting[0]
            if isinstance(command, GiveLabel):
                if given or (monotonic_ns < self._labels_wait_until_ns and not self._finishing):
                    break
                try:
                    command = replace(command, alert=self._as_it_stands(command.alert_id))
                except StoreError as error:
                    log.warning("a label waits", extra={"alert": command.alert_id, "error": str(error)})
                    self._labels_wait_until_ns = monotonic_ns + RETRY_NS
                    break
            if not line.submit(command):
                break
            given.append(command)
            waiting.popleft()
            if isinstance(command, GiveLabel):
                break
        return tuple(given)

    def _as_it_stands(self, alert_id: str) -> Alert | None:
        """Return the newest revision of an alert, recorded or not; None where there is none; raise StoreError."""
        for entry in reversed(self._unrecorded):
            if isinstance(entry, Alert) and entry.id == alert_id:
                return entry
        return self._journal.alert(alert_id)

    def _is_state_due(self, asset: str) -> bool:
        left, then = self._steps_to_state[asset]
        self._steps_to_state[asset] = (left - 1, then) if left else (then - 1, self._state_steps)
        return left == 0

    def _step(self, step: Step, monotonic_ns: int) -> None:
        """Log a step whose commands its line has, take it, and group its alerts with those of other assets.

        What is grouped is said to the lines as commands are, and logged: replay needs no grouping of its own.
        """
        self._telemetry.append(step, monotonic_ns)
        entries = self._lines[step.asset].step(step.frame, step.now_ns)
        self._unrecorded.extend(entries)
        if any(isinstance(entry, AssetEvent) and entry.kind is EventKind.REBASELINED for entry in entries):
            self._remember(step.asset)  # what was learnt from hours must outlast what comes next
        self._unpublished.add(step.asset)
        shown = [entry for entry in entries if isinstance(entry, AssetEvent) or not entry.shadow]
        for put in self._grouping.note(shown, step.now_ns) if self._grouping else ():
            line = self._lines[put.asset]
            if line.submit(put.command):
                frame = Frame.empty(len(line.tags))
                self._step(Step(put.asset, step.now_ns, frame, (put.command,)), monotonic_ns)

    def _tell_kin(self, asset: str, command: GiveLabel, now_ns: int, monotonic_ns: int) -> None:
        """Give a label to the other lines of the asset's bundle, too: they learn from it."""
        for other in self._kin.get(asset, ()):
            if other != asset and self._lines[other].submit(command):
                self._step(Step(other, now_ns, Frame.empty(len(self._lines[other].tags)), (command,)), monotonic_ns)

    def _remember(self, asset: str) -> None:
        if self._memories is not None and (memory := self._lines[asset].memory) is not None:
            self._memories.keep(asset, memory)

    def _record(self, monotonic_ns: int) -> None:
        """Record what waits, in order, until the journal refuses."""
        try:
            while self._unrecorded:
                entry = self._unrecorded[0]
                self._journal.record(entry)
                self._unrecorded.popleft()
                if isinstance(entry, Alert):
                    said = {"id": entry.id, "state": entry.state.value, "what": entry.message}
                    log.info("alert in shadow" if entry.shadow else "alert", extra=said)
                else:
                    said = {"id": entry.id, "kind": entry.kind.value, "comment": entry.comment}
                    log.info("event", extra=said)
        except StoreError as error:
            self._retry_at_ns = monotonic_ns + RETRY_NS
            if self.journal_error is None:
                log.critical("the alert journal refuses; trying again", extra={"error": str(error)})
            self.journal_error = str(error)
            return
        if self.journal_error is not None:
            log.warning("the alert journal works again")
        self.journal_error = None

    def _publish(self) -> None:
        """Show every asset that has nothing left to record."""
        waiting = {entry.asset for entry in self._unrecorded}
        for asset in self._unpublished - waiting:
            self._lines[asset].publish()
        self._unpublished &= waiting
