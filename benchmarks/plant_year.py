"""A year of one plant of twelve machines, drawn from the seed alone: what fails, when, and how the wires fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulators import wire
from simulators.faults import DAY_S, EFFECTS, HOUR_S, Cause, Degradation, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant

EACH: Final = 4
"""So many pumps, presses and conveyors."""
START_S: Final = DAY_S
YEAR_DAYS: Final = 365
BUDGETS_PER_WEEK: Final = (1.0, 0.2)
"""Each machine is watched at these alarm budgets at once; people act on the alerts of the first."""
FAULT_GAP_S: Final = 112.0 * DAY_S
"""The mean healthy time beyond the least one: with it, about three degradations a machine and year.

Few enough that a machine is healthy for nineteen days in twenty, and enough that a year of a plant has some thirty.
False alerts are counted per healthy week, so the rate decides how sure the figures are and not what they are.
"""
FAULT_GAP_S_MIN: Final = 10 * DAY_S
"""Longer than any degradation with its repair."""
REACTION_S: Final = (8 * HOUR_S, 72 * HOUR_S)
"""So long after an alert of a degradation the machine is repaired: it waits for a part, or for the week-end."""
ROUND_S: Final = 4 * HOUR_S
"""So often people look at the plant: only then do they acknowledge and repair."""
DOWN_S: Final = (2 * HOUR_S, 24 * HOUR_S)
"""So long after a failure it is repaired, if nobody did before."""
WIRE_FAULT_GAP_S: Final = 3 * HOUR_S
OUTAGE_GAP_S: Final = 60 * DAY_S
OUTAGE_S: Final = (HOUR_S, 8 * HOUR_S)
"""A unit that is off the network for hours: a switch has failed, or a cable was cut."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A degradation, how long after an alert people repair it, and how long after its failure."""

    degradation: Degradation
    reaction_s: float
    down_s: float

    def repair_s(self, found_s: float | None) -> int:
        """Return the simulated second of its repair, at a round, when its alert was at `found_s` or never."""
        broken_s = self.degradation.failure_s + self.down_s
        acted_s = broken_s if found_s is None else min(found_s + self.reaction_s, broken_s)
        return int(np.ceil(acted_s / ROUND_S)) * ROUND_S


@dataclass(frozen=True, slots=True)
class Asset:
    """Machine `number` of the plant with a seed, watched for so many days."""

    seed: int
    number: int
    days: int = YEAR_DAYS

    @property
    def machine(self) -> str:
        """Return its make."""
        return list(EFFECTS)[self.number // EACH]

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"{self.machine}-{self.number % EACH + 1}"

    @property
    def own_seed(self) -> int:
        """Return the seed of its physics, another for each machine of each plant."""
        return 100 * self.seed + self.number

    @property
    def end_s(self) -> int:
        """Return the simulated second at which its year is over."""
        return START_S + self.days * DAY_S

    def faults(self) -> tuple[Fault, ...]:
        """Draw what it fails of, in order; the last has its failure and repair before the end."""
        rng = np.random.default_rng([self.own_seed, 21])
        found: list[Fault] = []
        at_s = START_S + DAY_S + rng.exponential(FAULT_GAP_S)
        while True:
            drawn = self._degradation(rng, at_s)
            fault = Fault(drawn, rng.uniform(*REACTION_S), rng.uniform(*DOWN_S))
            if fault.repair_s(None) >= self.end_s:
                return tuple(found)
            found.append(fault)
            at_s += FAULT_GAP_S_MIN + rng.exponential(FAULT_GAP_S)

    def _degradation(self, rng: np.random.Generator, onset_s: float) -> Degradation:
        """Draw a kind, each as likely, and of a sensor's fault the sensor."""
        kind = str(rng.choice(list(EFFECTS[self.machine])))
        sensors = [channel.tag.name for channel in MACHINES[self.machine].channels if channel.drift > 0]
        tag = str(rng.choice(sensors))
        of_sensor = EFFECTS[self.machine][kind].cause is Cause.SENSOR
        return degradation(self.machine, kind, onset_s, tag=tag if of_sensor else None)

    def wire_faults(self) -> tuple[wire.WireFault, ...]:
        """Draw what its wire does: something short every three hours, and a few outages of hours."""
        start_ns, duration_s = EPOCH_NS + START_S * 1_000_000_000, self.days * DAY_S
        rng = np.random.default_rng([self.own_seed, 22])
        outages, at_s = [], rng.exponential(OUTAGE_GAP_S)
        while at_s < duration_s:
            lasts_s = rng.uniform(*OUTAGE_S)
            outages.append(wire.WireFault(wire.WireKind.PARTITION, start_ns + int(at_s * 1e9), lasts_s))
            at_s += lasts_s + rng.exponential(OUTAGE_GAP_S)
        return (*outages, *wire.schedule(self.own_seed, start_ns, duration_s, WIRE_FAULT_GAP_S))

    def plant(self, faults: tuple[Fault, ...]) -> Plant:
        """Return the machine, which will fail of the first of its faults."""
        return Plant(self.machine, self.own_seed, [fault.degradation for fault in faults[:1]])
