"""A real agent on the simulated pump, read every five seconds, and a person at its command line; on a manual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from models import bundle
from simulators import config
from simulators.faults import Degradation
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc
from simulators.plant import MACHINES, Plant
from tests.clock import ManualClock
from tests.end_to_end.site import SECOND_NS, SLEEPERS, Site

PERIOD_S = 5
OPEN_CIRCUIT = 3000.0
"""What a resistance thermometer shows whose wires are off."""


class Skid(Site):
    """The pump, with `faults` of the machine.

    `reads_more` is by what one of its sensors shows more than there is, None where its wires are off.
    """

    def __init__(self, folder: Path, seed: int, start_s: int, tag: str, faults: Sequence[Degradation] = ()) -> None:
        self.assets = ("pump",)
        self.clock = ManualClock(EPOCH_NS + start_s * SECOND_NS)
        self.reads_more: float | None = 0.0
        self._plant, self._start_s, self.folder = Plant("pump", seed, faults), start_s, folder
        self._column = [each.name for each in self._plant.tags].index(tag)
        self.plc = ModbusPlc(self._plant.tags)
        self.rows = 0
        self._agent, self._url = None, ""

    async def play(self, rows: int) -> None:
        """Let time pass, a row every PERIOD_S, each judged before the next."""
        for _ in range(rows):
            await self.show()
            period_ns = PERIOD_S * SECOND_NS
            await self.clock.advance(period_ns - self.clock.time_ns() % period_ns, SLEEPERS)
            self._shown_ns = self.clock.time_ns()
            await self._until_judged()

    async def show(self) -> None:
        """Show the next row on the wire."""
        row = self._plant.rows(self._start_s + PERIOD_S * self.rows, 1)[0].copy()
        row[self._column] = OPEN_CIRCUIT if self.reads_more is None else row[self._column] + self.reads_more
        await self.plc.show(row, self.clock.time_ns())
        self.rows += 1

    def _configuration(self) -> str:
        pump = MACHINES["pump"]
        text = config.toml(
            "pump", self._plant.tags, f"127.0.0.1:{self.plc.port}", bundle=str(bundle.SHIPPED / "pump"),
            period_ms=1000 * PERIOD_S, on_delay_s=30, off_delay_s=300, state_dir=str(self.folder / "state"), port=0,
            timeout_ms=60_000, symptoms=pump.symptoms, machine_type="pump",
        )
        return text.replace("max_requests_per_s = 50", "max_requests_per_s = 1000")


@asynccontextmanager
async def skid(
    folder: Path, seed: int, start_s: int, tag: str, faults: Sequence[Degradation] = ()
) -> AsyncIterator[Skid]:
    """Put the pump on the wire from a simulated second on; `tag` is of the sensor that can be off."""
    place = Skid(folder, seed, start_s, tag, faults)
    await place.plc.start()
    await place.show()
    place.rows = 0
    try:
        yield place
    finally:
        await place.plc.stop()
