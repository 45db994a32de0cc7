"""The simulated pump, read every five seconds, one sensor of which can be off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models import bundle
from simulators import config
from simulators.faults import Degradation
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant
from tests.clock import ManualClock
from tests.end_to_end.place import SECOND_NS, Place

OPEN_CIRCUIT = 3000.0
"""What a resistance thermometer shows whose wires are off."""


class Skid(Place):
    """The pump from a simulated second on, with `faults` of the machine; `tag` is of the sensor that can be off.

    `reads_more` is by what that sensor shows more than there is, None where its wires are off.
    """

    period_s = 5

    def __init__(self, folder: Path, seed: int, start_s: int, tag: str, faults: Sequence[Degradation] = ()) -> None:
        self._plant, self._start_s = Plant("pump", seed, faults), start_s
        super().__init__(folder, ["pump"], self._plant.tags)
        self.clock = ManualClock(EPOCH_NS + start_s * SECOND_NS)
        self.reads_more: float | None = 0.0
        self._column = [each.name for each in self._plant.tags].index(tag)

    def _next_row(self) -> list[float]:
        row = self._plant.rows(self._start_s + self.period_s * self.rows, 1)[0].tolist()
        row[self._column] = OPEN_CIRCUIT if self.reads_more is None else row[self._column] + self.reads_more
        return row

    def _configuration(self) -> str:
        pump = MACHINES["pump"]
        text = config.toml(
            "pump", self._plant.tags, f"127.0.0.1:{self.plc.port}", bundle=str(bundle.SHIPPED / "pump"),
            period_ms=1000 * self.period_s, on_delay_s=30, off_delay_s=300, state_dir=str(self.folder / "state"),
            port=0, timeout_ms=60_000, symptoms=pump.symptoms, machine_type="pump",
        )
        return text.replace("max_requests_per_s = 50", "max_requests_per_s = 1000")
