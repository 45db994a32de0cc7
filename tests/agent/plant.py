"""A whole agent: one asset `pump` with tags on two scripted links, a manual clock, real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from agent.archive import Archive
from agent.config.file import Config
from agent.daemon import Agent
from agent.flash import FlashWear
from agent.notify import Notifier
from agent.reader import Reader, Route
from agent.shadow.commissioning import Commissioning
from agent.store.journal import Journal
from agent.store.loads import FILE as LOADS
from agent.store.loads import Loads
from agent.store.telemetry import TelemetryLog
from agent.view import AssetInfo
from agent.worker import Renewal, Worker
from connectors.frame import Tag
from models.bundle import BundleError
from tests.agent.doubles import ScriptedLink, ThresholdLine, until
from tests.agent.samples import SECOND_NS
from tests.clock import ManualClock

TAGS = (("pressure", "bar"), ("temperature", "degC"))

SLEEPERS = 6
"""Two read loops, the notifier, the archive and the two of commissioning."""
CONFIG = """
[agent]
state_dir = "{}"
[connections.line3_plc]
protocol = "modbus-tcp"
host = "192.0.2.10"
[assets.pump]
period_ms = 1000
[[assets.pump.tags]]
name = "pressure"
unit = "bar"
connection = "line3_plc"
unit_id = 1
table = "input_register"
register = 0
dtype = "float32"
"""


class Plant:
    """`pressure` comes over `line3_plc` every second, `temperature` over `press_plc` every two.

    Set either to None for a PLC that does not answer; pressure above 10 is an alert.
    """

    def __init__(
        self,
        state: Path,
        *,
        pressure_takes_ns: int = 0,
        environment: dict[str, str] | None = None,
        jobs_max: int = 1000,
        line_type: type[ThresholdLine] = ThresholdLine,
        agent_type: type[Agent] = Agent,
    ) -> None:
        self.pressure: float | None = 9.0
        self.temperature: float | None = 40.0
        self.clock = ManualClock()
        self.journal = Journal(state / "journal.sqlite3", self.clock.time_ns(), busy_timeout_s=0)
        self.telemetry = TelemetryLog(state / "telemetry", {"pump": TAGS})
        self.line = line_type(
            "pump",
            TAGS,
            limit=10.0,
            open_alert=self.journal.open_alert("pump"),
            next_number=self.journal.next_number("pump"),
        )
        self.worker = Worker({"pump": self.line}, self.journal, self.telemetry, self.clock, jobs_max=jobs_max)
        self.links = [
            ScriptedLink(
                [Tag("pressure", "bar")], self.clock, lambda _: self._row(self.pressure), pressure_takes_ns
            ),
            ScriptedLink(
                [Tag("temperature", "degC", period_ms=2000)],
                self.clock,
                lambda _: self._row(self.temperature),
            ),
        ]
        self.readers = [self._reader("line3_plc", 0, SECOND_NS), self._reader("press_plc", 1, 2 * SECOND_NS)]
        config = Config.parse(CONFIG.format(state), state / "agent.toml")
        self.agent = agent_type(
            assets=[AssetInfo("pump", TAGS, 1000, "1/week", "bundles/pump",
                              failure_modes=("VIB, vibration", "ELP, external leakage of process medium"))],
            lines={"pump": self.line},
            readers=self.readers,
            devices={
                "line3_plc": ("modbus-tcp", "192.0.2.10:502"),
                "press_plc": ("opcua", "opc.tcp://192.0.2.11"),
            },
            worker=self.worker,
            journal=self.journal,
            telemetry=self.telemetry,
            archive=Archive(self.telemetry, self.clock),
            commissioning=Commissioning(config, self.journal, self.worker, self.clock, {}, self._no_model, {}),
            wear=FlashWear(self.clock, card_bytes=16e9, cycles=1000),
            loads=Loads(state / LOADS),
            config_file=config.file,
            clock=self.clock,
            notifier=Notifier(environment or {}, 1),
        )

    def _no_model(self, asset: str, model: str) -> Renewal:
        raise BundleError(f"{asset} has no model {model}")

    def _reader(self, name: str, position: int, period_ns: int) -> Reader:
        route = Route("pump", np.array([0]), np.array([position]), 2)
        return Reader(name, self.links[position], [route], period_ns, self.worker, self.clock)

    def _row(self, value: float | None) -> tuple[float] | None:
        return None if value is None else (value,)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.agent.run(stop))
        await self.clock.until_sleeping(SLEEPERS)
        try:
            yield self.agent
        finally:
            stop.set()
            await task

    async def advance(self, seconds: float) -> None:
        """Let time pass and wait until all that was read has been judged."""
        await self.clock.advance(int(seconds * SECOND_NS), sleepers=SLEEPERS)
        await self.settled()

    async def settled(self) -> None:
        reads = sum(link.reads for link in self.links) - sum(reader.frames_dropped for reader in self.readers)
        await until(lambda: self.worker.jobs_done >= reads)

    def close(self) -> None:
        self.telemetry.close()
        self.journal.close()
