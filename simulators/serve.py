"""The free-running plant: a source of rows, PLCs that show them, faults of the wire, and a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connectors.frame import Float32s, Tag
from simulators import wire
from simulators.clock import Clock
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from simulators.wire import Symptom, WireFault

_SECOND_NS = 1_000_000_000


class Plc(Protocol):
    """What serves a row on a real wire: `simulators.modbus.ModbusPlc` and `simulators.opcua.OpcuaPlc` do."""

    protocol: str

    @property
    def address(self) -> str:
        """Return where it listens, as a configuration names it."""

    async def start(self) -> None:
        """Listen; raise OSError where the port is taken."""

    async def stop(self) -> None:
        """Stop listening and drop all connections."""

    async def show(self, values: Float32s, source_time_ns: int) -> None:
        """Show a row f32[C]; it can be read when this returns."""

    async def inject(self, symptom: Symptom | None, argument: int = 0) -> None:
        """Let the wire show a symptom from now on, or None."""


class Source(Protocol):
    """What has a row for every time from `epoch_ns` on, a new one every `period_ns`."""

    name: str
    tags: tuple[Tag, ...]
    opcua_tags: tuple[Tag, ...]
    epoch_ns: int
    period_ns: int

    def row(self, time_ns: int) -> tuple[Float32s, int]:
        """Return the newest row f32[C] that is not after a time, and its own time."""


class PlantSource:
    """A plant as a source: one row a second, counted from `EPOCH_NS`."""

    def __init__(self, plant: Plant) -> None:
        self.name = plant.name
        self.tags = plant.tags
        self.opcua_tags = plant.opcua_tags
        self.epoch_ns = EPOCH_NS
        self.period_ns = _SECOND_NS
        self._plant = plant

    def row(self, time_ns: int) -> tuple[Float32s, int]:
        """Return the row of the last whole simulated second, and its time."""
        second = max(0, (time_ns - EPOCH_NS) // _SECOND_NS)
        return self._plant.rows(second, 1)[0], EPOCH_NS + second * _SECOND_NS


async def drive(
    source: Source,
    plcs: Sequence[Plc],
    clock: Clock,
    faults: Sequence[WireFault] = (),
    step_ns: int = _SECOND_NS,
) -> None:
    """Show the row of each step of `step_ns` simulated time on all PLCs, until cancelled.

    A driver that falls behind leaves steps out: what is shown is always the present.
    """
    shown: tuple[Symptom | None, int] = (None, 0)
    while True:
        now_ns = clock.time_ns()
        values, time_ns = source.row(now_ns)
        symptom = wire.active(faults, now_ns)
        for plc in plcs:
            if symptom != shown:
                await plc.inject(*symptom)
            await plc.show(values, time_ns)
        shown = symptom
        await clock.sleep_until((now_ns // step_ns + 1) * step_ns)
