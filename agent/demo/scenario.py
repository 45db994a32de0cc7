"""What is played: which machine degrades when, and what the simulators say is true about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

MINUTE_NS: Final = 60_000_000_000
SPEED: Final = 60.0
SPEED_MIN: Final = 50.0
"""Slower than this the story does not end in time."""
SPEED_MAX: Final = 300.0
"""Faster than this neither a PLC nor an agent keeps up."""


class DemoError(Exception):
    """The demonstration cannot go on: what happened, and what to do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One machine on Modbus TCP that degrades, one on OPC UA that stays healthy; both learnt from another seed.

    `start_s` is where in the simulated weeks both begin; onset and failure are simulated seconds after that.
    """

    sick: str
    healthy: str
    seed: int
    start_s: int
    fault: str
    onset_s: int
    failure_s: int

    def command(self, machine: str, speed: float) -> list[str]:
        """Return the arguments of `python -m simulators` that serve a machine on a free port."""
        sick = self.fault_option if machine == self.sick else []
        protocol = "--modbus" if machine == self.sick else "--opcua"
        start = ["--seed", str(self.seed), "--start-s", str(self.start_s), "--speed", f"{speed:g}"]
        return [machine, protocol, "0", *start, *sick]

    @property
    def fault_option(self) -> list[str]:
        """Return the simulators' option for the degradation."""
        onset_s = self.start_s + self.onset_s
        return ["--fault", f"{self.fault}@{onset_s}:{self.failure_s - self.onset_s}"]


SCENARIO: Final = Scenario(
    sick="pump",
    healthy="conveyor",
    seed=12,
    start_s=7200,
    fault="bearing_wear",
    onset_s=900,
    failure_s=5700,
)
"""A bearing that wears out in 80 minutes. It begins after 15, of which the agent's own start takes some.

While all is well yet the pump changes its product, and later the conveyor stops for a change of its own: nothing
that anyone should be warned of.
"""


class Phase(StrEnum):
    """How far a degradation has come."""

    HEALTHY = "healthy"
    DEGRADING = "degrading"
    FAILED = "failed"


class Truth(BaseModel):
    """What a simulator says about a degradation. Times are simulated, ns since 1970.

    `cause` is "machine" or "sensor", `tags` are those that it really moves, the clearest first; `severity` is given
    at each tenth of the way.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    cause: str
    tags: tuple[str, ...]
    onset_ns: int
    failure_ns: int
    severity: tuple[float, ...]

    def severity_at(self, time_ns: int) -> float:
        """Return the severity, 0 before the onset to 1 from the failure on."""
        if time_ns < self.onset_ns:
            return 0.0
        along = (time_ns - self.onset_ns) / (self.failure_ns - self.onset_ns)
        return float(np.interp(along, np.linspace(0.0, 1.0, len(self.severity)), self.severity))

    def phase(self, time_ns: int) -> Phase:
        """Return the phase at a time."""
        if time_ns < self.onset_ns:
            return Phase.HEALTHY
        return Phase.DEGRADING if time_ns < self.failure_ns else Phase.FAILED


class Plc(BaseModel):
    """The line with which a simulator says where it serves what."""

    model_config = ConfigDict(frozen=True)

    name: str
    modbus: str | None = None
    opcua: str | None = None
    start_ns: int
    speed: float
    faults: tuple[Truth, ...]

    @property
    def where(self) -> str:
        """Return protocol and address, for people."""
        return f"OPC UA {self.opcua}" if self.opcua else f"Modbus TCP {self.modbus}"


@dataclass(frozen=True, slots=True)
class Script:
    """What will happen, on the simulated clock: from `start_ns`, `speed` times as fast as wall time."""

    sick: str
    healthy: str
    start_ns: int
    speed: float
    truth: Truth

    def minute(self, time_ns: int) -> float:
        """Return the simulated minutes since the start."""
        return (time_ns - self.start_ns) / MINUTE_NS


def script_of(scenario: Scenario, plcs: Sequence[Plc]) -> Script:
    """Return the script that the simulators have announced."""
    sick = next(plc for plc in plcs if plc.name == scenario.sick)
    (truth,) = sick.faults
    return Script(scenario.sick, scenario.healthy, sick.start_ns, sick.speed, truth)


def api_time(time: str) -> str:
    """Return a time as the API gives it, to the second: by the clock that it dates that machine by."""
    return f"{time[:19]}Z"


def time_of_day(time_ns: int) -> str:
    """Return a simulated time as the machine's clock on the wall shows it."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%H:%M:%S}"
