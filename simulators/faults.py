"""Degradations as data: what can go wrong with which machine, which tags it moves, how it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S


class Shape(StrEnum):
    """How severity grows from onset to failure; a step is complete at once, and failure the harm done."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    STEP = "step"


class Cause(StrEnum):
    """Where a degradation sits."""

    MACHINE = "machine"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Effect:
    """One kind of degradation on one machine: its cause, the tags it moves (clearest first), its course."""

    cause: Cause
    tags: tuple[str, ...]
    duration_s: int
    shape: Shape = Shape.LINEAR


def _machine(tags: str, duration_s: int, shape: Shape = Shape.LINEAR) -> Effect:
    return Effect(Cause.MACHINE, tuple(tags.split()), duration_s, shape)


def _sensors(tag: str) -> dict[str, Effect]:
    """Return the faults every analogue sensor can have; `tag` has them unless another is."""
    return {
        "sensor_drift": Effect(Cause.SENSOR, (tag,), 2 * DAY_S),
        "stuck_sensor": Effect(Cause.SENSOR, (tag,), 12 * HOUR_S, Shape.STEP),
        "loose_connection": Effect(Cause.SENSOR, (tag,), 1 * DAY_S),
    }


EFFECTS: Final[dict[str, dict[str, Effect]]] = {
    "pump": {
        "bearing_wear": _machine(
            "vibration bearing_de_temperature motor_current bearing_nde_temperature winding_temperature",
            3 * DAY_S,
            Shape.EXPONENTIAL,
        ),
        "cavitation": _machine(
            "suction_pressure vibration flow discharge_pressure motor_current filter_dp seal_pressure"
            " winding_temperature bearing_de_temperature bearing_nde_temperature",
            1 * DAY_S,
        ),
        "filter_fouling": _machine(
            "filter_dp flow discharge_pressure motor_current suction_pressure vibration seal_pressure"
            " winding_temperature bearing_de_temperature bearing_nde_temperature",
            2 * DAY_S,
        ),
        "seal_leak": _machine("seal_pressure flow", 1 * DAY_S),
        "valve_stiction": _machine(
            "valve_command valve_position flow filter_dp discharge_pressure suction_pressure seal_pressure"
            " motor_current vibration winding_temperature bearing_de_temperature bearing_nde_temperature",
            2 * DAY_S,
        ),
        **_sensors("discharge_pressure"),
    },
    "press": {
        "bearing_wear": _machine("vibration pump_temperature motor_current", 3 * DAY_S, Shape.EXPONENTIAL),
        "filter_fouling": _machine(
            "filter_dp rise_time motor_current vibration cycle_time pump_temperature", 2 * DAY_S
        ),
        "seal_leak": _machine(
            "hold_decay accumulator_pressure motor_current cycle_time oil_temperature pump_temperature"
            " rise_time filter_dp vibration",
            1 * DAY_S,
        ),
        "valve_stiction": _machine("rise_time peak_pressure cycle_time stroke hold_decay", 2 * DAY_S),
        "heater_ageing": _machine("heater_duty platen_temperature", 3 * DAY_S),
        **_sensors("accumulator_pressure"),
    },
    "conveyor": {
        "bearing_wear": _machine(
            "spindle_vibration spindle_temperature spindle_load spindle_current"
            " cabinet_temperature drive_temperature spindle_speed",
            3 * DAY_S,
            Shape.EXPONENTIAL,
        ),
        "belt_slip": _machine(
            "belt_tension belt_speed part_rate drive_current spindle_load spindle_current drive_temperature"
            " spindle_temperature cabinet_temperature spindle_vibration spindle_speed",
            1 * DAY_S,
        ),
        "filter_fouling": _machine("drive_temperature cabinet_temperature", 2 * DAY_S),
        **_sensors("spindle_temperature"),
    },
}
"""What can go wrong with each machine, by the name of the kind: the ground truth."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """A degradation from `onset_s` to failure `duration_s` later, in simulated seconds.

    `tag` names the sensor where the cause is one.
    """

    kind: str
    onset_s: float
    duration_s: float
    shape: Shape = Shape.LINEAR
    tag: str | None = None

    @property
    def failure_s(self) -> float:
        """Return the simulated second of the failure."""
        return self.onset_s + self.duration_s

    def severity(self, time_s: npt.ArrayLike) -> Floats:
        """Return the severity, 0 before the onset to 1 from the failure on, in the shape of `time_s`."""
        since_s: Floats = np.asarray(time_s, np.float64) - self.onset_s
        progress = np.clip(since_s / self.duration_s, 0.0, 1.0)
        match self.shape:
            case Shape.LINEAR:
                return progress
            case Shape.EXPONENTIAL:
                return np.asarray(np.expm1(4.0 * progress) / np.expm1(4.0))
            case Shape.STEP:
                return (since_s >= 0).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth about one degradation at one time.

    The remaining life is infinite before the onset and 0 after failure.
    """

    degradation: Degradation
    severity: float
    remaining_life_s: float


def truth(degradation: Degradation, time_s: float) -> Truth:
    """Return the truth about a degradation at a simulated second."""
    left_s = np.inf if time_s < degradation.onset_s else max(0.0, degradation.failure_s - time_s)
    return Truth(degradation, float(degradation.severity(time_s)), float(left_s))


def damage(severity: Floats) -> Floats:
    """Return how far the physics has moved: severity ** 2, so the first tenth stays inside the noise."""
    return np.asarray(severity**2)


def effect(machine: str, degradation: Degradation) -> Effect:
    """Return what a degradation does to a machine: its cause and the tags it really moves."""
    known = EFFECTS[machine][degradation.kind]
    return (
        known
        if degradation.tag is None
        else Effect(known.cause, (degradation.tag,), known.duration_s, known.shape)
    )


def ground_truth(
    machine: str, degradations: Sequence[Degradation], epoch_ns: int
) -> list[dict[str, object]]:
    """Return for each degradation, ready for JSON: kind, cause, what it moves, its course, its times.

    Times are simulated ns since 1970, second 0 being at `epoch_ns`; `severity` is that at each tenth of the
    way from the onset to the failure, 11 values.
    """
    found: list[dict[str, object]] = []
    for one in degradations:
        known = effect(machine, one)
        found.append(
            {
                "kind": one.kind,
                "cause": known.cause.value,
                "tags": list(known.tags),
                "onset_ns": epoch_ns + int(one.onset_s * 1e9),
                "failure_ns": epoch_ns + int(one.failure_s * 1e9),
                "severity": np.round(one.severity(np.linspace(one.onset_s, one.failure_s, 11)), 6).tolist(),
            }
        )
    return found


def degradation(
    machine: str,
    kind: str,
    onset_s: float,
    duration_s: float | None = None,
    *,
    shape: Shape | None = None,
    tag: str | None = None,
    tags: Sequence[str] = (),
) -> Degradation:
    """Make a degradation of a machine with the usual course of its kind where none is given.

    `tags` are the machine's analogue tags, among which `tag` must be. Raise ValueError, saying what the
    machine can have, for a kind it cannot have, a tag it lacks, or an impossible time.
    """
    if (known := EFFECTS[machine].get(kind)) is None:
        raise ValueError(
            f"The {machine} cannot have the fault {kind!r}; it can have: {', '.join(EFFECTS[machine])}."
        )
    if tag is not None and known.cause is not Cause.SENSOR:
        raise ValueError(
            f"The fault {kind!r} belongs to the machine, not to the sensor {tag!r}; leave the tag out."
        )
    if tag is not None and tags and tag not in tags:
        raise ValueError(f"The {machine} has no sensor {tag!r}; it has: {', '.join(tags)}.")
    if duration_s is not None and not 0 < duration_s < np.inf:
        raise ValueError(f"The fault {kind!r} needs a duration above 0 seconds, not {duration_s:g}.")
    if not 0 <= onset_s < np.inf:
        raise ValueError(f"The fault {kind!r} needs an onset of 0 seconds or more, not {onset_s:g}.")
    sensor = tag or (known.tags[0] if known.cause is Cause.SENSOR else None)
    return Degradation(kind, onset_s, float(duration_s or known.duration_s), shape or known.shape, sensor)


def parse(machine: str, text: str, tags: Sequence[str] = ()) -> Degradation:
    """Read "kind@onset_s[:duration_s]", for sensors "kind/tag@..."; raise ValueError with the remedy."""
    name, _, when = text.partition("@")
    kind, _, tag = name.partition("/")
    onset, _, duration = when.partition(":")
    try:
        onset_s, duration_s = float(onset), float(duration) if duration else None
    except ValueError:
        raise ValueError(
            f"Cannot read the fault {text!r}; write it as kind@onset_s or kind@onset_s:duration_s, "
            f"for example bearing_wear@3600:7200."
        ) from None
    return degradation(machine, kind, onset_s, duration_s, tag=tag or None, tags=tags)
