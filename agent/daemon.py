"""The daemon: one task group of read loops, the worker, the API and the watchdog, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.archive import Archive
from agent.clock import Clock
from agent.config.assets import parse_budget
from agent.evidence import child as evidence
from agent.flash import FlashWear
from agent.ledger.account import Account, account
from agent.ledger.history import history_of
from agent.line.alert import Alert, Command
from agent.line.stage import Stage
from agent.notify import Notifier
from agent.reader import Reader
from agent.rehearsal import drills
from agent.rehearsal.achieved import Achieved
from agent.rehearsal.finding import Drill
from agent.server import ApiServer
from agent.shadow.commissioning import Commissioning
from agent.shadow.comparison import Comparison
from agent.shadow.standing import Collected, Standing
from agent.shadow.versions import Version
from agent.store.journal import AlertFilter, EventFilter, EventPage, Journal, Page
from agent.store.loads import Loads
from agent.store.series import Series, Window
from agent.store.telemetry import TelemetryHealth, TelemetryLog
from agent.view import AssetInfo, ConnectionInfo, HistorianInfo, Line, Readiness, Snapshot, Submitted
from agent.worker import Worker
from connectors.link import LinkState

log = logging.getLogger(__name__)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

STATUS_INTERVAL_NS = 10_000_000_000
STALL_NS = 60_000_000_000
"""A read loop or a job that takes this much longer than its period has hung; all time-outs are shorter."""


def run_until_stopped(agent: Agent, server: ApiServer, loop_factory: LoopFactory | None = None) -> bool:
    """Run an agent until SIGTERM or SIGINT; False where it ended by an error, which is then logged.

    This is the one place that catches everything: whatever it was, the service manager starts a fresh process.
    """

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await agent.run(stop, server)

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(until_stopped())
    except Exception:
        log.critical("stopped by an error nobody expected", exc_info=True)
        return False
    return True


class Agent:
    """The running agent, and what the API may see of it (agent.view.AgentView)."""

    def __init__(
        self,
        *,
        assets: Sequence[AssetInfo],
        lines: Mapping[str, Line],
        readers: Sequence[Reader],
        devices: Mapping[str, tuple[str, str]],
        worker: Worker,
        journal: Journal,
        telemetry: TelemetryLog,
        archive: Archive,
        commissioning: Commissioning,
        wear: FlashWear,
        loads: Loads,
        config_file: Path,
        clock: Clock,
        notifier: Notifier,
        stall_ns: int = STALL_NS,
    ) -> None:
        self.assets = tuple(assets)
        self._lines, self._readers, self._devices = lines, tuple(readers), devices
        self._worker, self._journal = worker, journal
        self._telemetry, self._archive, self._wear = telemetry, archive, wear
        self._loads, self._commissioning = loads, commissioning
        self._config_file = config_file
        self._clock, self._notifier = clock, notifier
        self._stall_ns = stall_ns
        self._started = False

    async def run(self, stop: asyncio.Event, server: ApiServer | None = None) -> None:
        """Run until `stop` is set; what was read by then is judged and kept before this returns.

        An error nobody expected ends everything at once: the service manager starts a fresh process.
        """
        try:
            async with asyncio.TaskGroup() as group:
                reads = [
                    group.create_task(reader.run(), name=f"read {reader.name}") for reader in self._readers
                ]
                work = group.create_task(self._worker.run(), name="lines")
                serve = group.create_task(server.run_here(), name="api") if server else None
                told = group.create_task(self._tell(server), name="notify")
                sealing = group.create_task(self._archive.run(), name="archive")
                leading = group.create_task(self._commissioning.run(), name="commissioning")
                await stop.wait()
                self._notifier.send("STOPPING=1", "STATUS=judging the last frames")
                for task in (*reads, told, sealing, leading):
                    task.cancel()
                await asyncio.wait([*reads, told, sealing, leading])
                self._worker.finish()
                await work
                if server is not None and serve is not None:
                    server.should_exit = True
                    await serve
        finally:
            for reader in self._readers:
                await reader.link.close()
            self._note_loads()
            self._loads.keep()
            self._telemetry.close()
            self._journal.close()
        log.info("stopped; everything read was judged and kept")

    async def _tell(self, server: ApiServer | None) -> None:
        """Tell the service manager that we are ready, then that we live, and how we are."""
        for reader in self._readers:
            await reader.tried.wait()
        if server is not None:
            await server.up.wait()
            log.info("the API listens", extra={"url": server.url})
        self._started = True
        self._notifier.send("READY=1", f"STATUS={self.status()}")
        log.info("ready", extra={"status": self.status()})
        interval_ns = min(
            STATUS_INTERVAL_NS, (self._notifier.watchdog_interval_ns or 2 * STATUS_INTERVAL_NS) // 2
        )
        while True:
            await self._clock.sleep_until(self._clock.monotonic_ns() + interval_ns)
            hung = self._hung()
            if hung:
                log.error("no progress", extra={"hung": hung})
            self._notifier.send(f"STATUS={self.status()}", *([] if hung else ["WATCHDOG=1"]))
            self._note_loads()
            if self._loads.is_due(self._clock.monotonic_ns()):
                await asyncio.to_thread(self._loads.keep)

    def _note_loads(self) -> None:
        for reader in self._readers:
            self._loads.note(reader.name, reader.link.take_load(), self._clock.time_ns())

    def _hung(self) -> list[str]:
        """Name what made no progress. A journal that refuses is not hung: it is tried again."""
        hung = [f"read loop {r.name}" for r in self._readers if r.idle_ns() > r.period_ns + self._stall_ns]
        return hung + (["lines or disk"] if self._worker.busy_ns() > self._stall_ns else [])

    def status(self) -> str:
        """Return one line for people."""
        up = sum(reader.link.health.state is LinkState.DELIVERING for reader in self._readers)
        alerts = sum(line.snapshot.alert is not None for line in self._lines.values())
        text = (
            f"watching {len(self._lines)} assets; {up} of {len(self._readers)} connections deliver; "
            f"{alerts} open alerts"
        )
        return "; ".join([text, *self.readiness().reasons])

    def now_ns(self) -> int:
        """Return the time, UTC."""
        return self._clock.time_ns()

    def snapshot(self, asset: str) -> Snapshot:
        """Return the newest snapshot of a configured asset."""
        return self._lines[asset].snapshot

    def connections(self) -> Sequence[ConnectionInfo]:
        """Return how the connections are."""
        return [
            ConnectionInfo(
                name=reader.name,
                protocol=self._devices[reader.name][0],
                device=self._devices[reader.name][1],
                tags=len(reader.link.tags),
                period_ms=reader.period_ns // 1_000_000,
                health=reader.link.health,
                ticks_missed=reader.ticks_missed,
                frames_dropped=reader.frames_dropped,
            )
            for reader in self._readers
        ]

    def readiness(self) -> Readiness:
        """Return whether the agent does its work; a PLC that is down is the connection's business."""
        reasons = [] if self._started else ["starting: not every connection was tried yet"]
        if self._worker.journal_error is not None:
            reasons.append(f"alerts cannot be recorded and wait: {self._worker.journal_error}")
        return Readiness((*reasons, *(f"{name} makes no progress" for name in self._hung())))

    def submit(self, asset: str, command: Command) -> Submitted:
        """Queue a command for the next step of an asset's line."""
        return Submitted.ACCEPTED if self._worker.submit(asset, command) else Submitted.QUEUE_FULL

    def commands_dropped(self, asset: str) -> int:
        """Return how many commands for a configured asset found the queue full."""
        return self._worker.commands_dropped(asset)

    def alerts(self, where: AlertFilter, *, limit: int, before: int | None) -> Page:
        """List alerts, the newest first; raise StoreError."""
        return self._journal.alerts(where, limit=limit, before=before)

    def alert(self, alert_id: str) -> Alert | None:
        """Return the latest revision of an alert; raise StoreError."""
        return self._journal.alert(alert_id)

    def history(self, alert_id: str) -> Sequence[Alert]:
        """Return all revisions of an alert; raise StoreError."""
        return self._journal.history(alert_id)

    def labelled(self, asset: str, limit: int) -> Sequence[Alert]:
        """Return the alerts of an asset that people have labelled, the one labelled last first; raise StoreError."""
        return self._journal.labelled(asset, limit)

    def account(self, asset: str, since_ns: int | None, until_ns: int) -> Account:
        """Return what came of the alerts of an asset for since <= time < until; None: since its beginning."""
        (info,) = [info for info in self.assets if info.name == asset]
        history = history_of(
            self._journal, self._telemetry.directory, asset, info.period_ms,
            live=self.standing(asset).stage is Stage.LIVE,
        )
        return account(history, parse_budget(info.budget), since_ns, until_ns)

    def last_drill(self, asset: str) -> Drill | None:
        """Return the last fire drill of an asset, which another process held."""
        return drills.last(self._journal.path.parent, asset)

    def standing(self, asset: str) -> Standing:
        """Return the stage of an asset and the model that judges it; raise StoreError."""
        return self._commissioning.standing(asset)

    def versions(self, asset: str) -> Sequence[Version]:
        """Return the models of an asset; raise StoreError."""
        return self._commissioning.versions(asset)

    def unusable(self, asset: str, model: str) -> str | None:
        """Return why a model of an asset could not judge it, None where it could."""
        return self._commissioning.unusable(asset, model)

    def trial(self, asset: str) -> tuple[Comparison | None, Achieved | None]:
        """Return how the challenger of an asset does, and how its promoted model does; raise StoreError."""
        now = self.standing(asset)
        return self._commissioning.comparison(asset, now), self._commissioning.since_promotion(asset, now)

    def collected(self, asset: str) -> Collected:
        """Return how much of an asset is recorded, and how much is needed; raise StoreError."""
        return self._commissioning.collected(asset)

    def events(self, where: EventFilter, *, limit: int, before: int | None) -> EventPage:
        """List events of assets, the newest first; raise StoreError."""
        return self._journal.events(where, limit=limit, before=before)

    def series(
        self, asset: str, tags: Sequence[str], since_ns: int, until_ns: int, points_max: int
    ) -> Series:
        """Summarise recorded telemetry of one asset."""
        units = dict(self._telemetry.layout[asset])
        window = Window(since_ns, until_ns, points_max)
        return self._archive.series(asset, [(tag, units[tag]) for tag in tags], window)

    async def evidence(self, alert_id: str) -> bytes:
        """Return the evidence of an alert as one signed file; raise EvidenceError, StoreError."""
        return await evidence.ask(alert_id, self._config_file, self.now_ns(), self._clock)

    def telemetry_health(self) -> TelemetryHealth:
        """Return what was written and lost of the telemetry."""
        return self._telemetry.health

    def historian(self) -> HistorianInfo:
        """Return how the telemetry is kept, and what that costs the card."""
        keep = self._telemetry.keep
        return HistorianInfo(
            self._telemetry.health, self._archive.health, keep.bytes_max, keep.age_max_s, self._wear.read()
        )

    def queue(self) -> tuple[int, int]:
        """Return how many frames wait to be judged, and how many can."""
        return self._worker.waiting()
