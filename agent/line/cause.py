"""The class of cause: does the communication fail, a sensor, or the machine, and how sure is that.

What only a sensor can do comes first: stand still, or go away and come back at once. Else the learnt relations tell. A
sensor that is off moves nothing else: without its tag the others are healthy. A fault of the machine moves several
tags, but often one of them long before the rest, and mostly one that is measured for that: a vibration, the pressure
across a filter. Such tags are the asset's symptoms. One of them that deviates alone most likely tells of the machine,
any other that its sensor is off. A symptom that has gone very far and is alone still is its sensor's, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.line.assess import LOOK_BACK_ROWS, WINDOW_ROWS, Assessment, Detector
from agent.line.verdict import Cause
from connectors.frame import Bools
from models.frozen import FACTOR
from models.leave_one_out import by_the_others, left_out, shared

Float64s = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

MISSING_MAX: Final = 0.2
WILD, HOME = 25.0, 9.0
"""The mean square of a row's white residual from which it is nonsense, and below which it is as ever."""
LEFT_WILD: Final = 150.0
"""So much of it is left, whichever tag is ignored, where several tags were wild together.

It is more than WILD, for one wild tag may put a row into another regime, in which the others look strange.
"""
BLANK_MIN: Final = 0.9
"""Or such a share of the tags read exactly zero: a PLC that answers before its program has run."""
LOST_MIN: Final = 2
"""Or so many had no value in the same rows: swapped words are nonsense in one tag and impossible in another."""
FROZEN, COMES_AND_GOES = "stuck", "intermittent"
"""The fault types that are seen without the head, and that only a sensor and its wiring can have."""
STILL_MIN: Final = 1.0 / FACTOR
"""A tag that deviates is stuck when it has stood still as long as ever; one that does not has to do so for longer."""
STAY_SURPRISE: Final = 20.0
"""Or when so long a stay is as unlikely, in nats, as once in 500 million rows by how often the tag moved lately."""
ALSO_MIN: Final = 0.3
"""A tag whose weight is this share of the largest may be the one that is stuck: its partner deviates as much."""
AWAY_SD, HOME_SD = 5.0, 2.0
RETURNS_MIN, JUMPS_MIN = 2, 3
"""What goes away and comes back once may be an event of the machine."""
SIGN_PROBABILITY: Final = 0.98

SENSOR, SYMPTOM, TOGETHER = 0.2, 0.55, 0.25
"""How often a tag deviates alone since its sensor is off, or as the first symptom, and how often several do."""
SHARPNESS: Final = 0.3
"""What a chi-square says is worth so much, for rows that follow each other are no independent witnesses."""
LEFT_TOGETHER: Final = 3.5
"""So much is left, per channel, whichever tag is ignored, where several deviate.

These five numbers were chosen on simulated machines (seeds 200 to 213), at the alert and up to eight hours later.
"""
ALONE_MAX: Final = 30.0
"""A symptom that is alone at a larger distance per channel is the less the machine's, with the square of it.

A fault of the machine that has grown so large has moved something else. Of 75 symptoms whose sensors drifted 52 were
told as such after eight hours, with 60 in place of 30 it were 37; with 20 heaters that age were put down to their
sensors, too (seeds 30000 to 45020).
"""


@dataclass(frozen=True, slots=True)
class Opinion:
    """The class of cause with its probability, None where a rule tells it that knows no odds.

    `sign` is the type of fault where that was seen, too; `tag` the position of the sensor that is off, where it was
    told by the relations. `alone` is the part of the probability that rests on one symptom alone, which its sensor
    could show as well.
    """

    cause: Cause
    probability: float | None
    sign: str | None = None
    tag: int | None = None
    alone: float = 0.0


def cause_of(
    assessment: Assessment, row: int, recent: Positions, weight: Float64s, detector: Detector, symptoms: Bools
) -> Opinion:
    """Tell the class of cause of new row `row`, which deviates; `recent` are the positions of rows for looking back.

    `weight` f64[C] says how far each tag deviates, `symptoms` bool[C] which are measured to see faults of the machine.
    """
    lost = assessment.window(row, WINDOW_ROWS).max() - assessment.window(row, LOOK_BACK_ROWS).mean()
    if lost > MISSING_MAX or _wild_together(assessment, recent, detector):
        return Opinion(Cause.COMMUNICATION, None)
    if (sign := _sensor_sign(assessment, row, recent, weight)) is not None:
        return Opinion(Cause.SENSOR, SIGN_PROBABILITY, sign)
    statistics = detector.statistics
    left = left_out(statistics.experts, statistics.reference, assessment.recent[row])
    sensor, symptom, tag = weigh(left, symptoms[statistics.scored])
    if sensor > 0.5:
        return Opinion(Cause.SENSOR, round(sensor, 3), tag=int(statistics.scored[tag]))
    return Opinion(Cause.MACHINE, round(1.0 - sensor, 3), alone=round(symptom, 3))


def _wild_together(assessment: Assessment, recent: Positions, detector: Detector) -> bool:
    """Say whether several tags showed nonsense for some rows, or none, and were all back in one: the wire did that.

    What a machine does, a trip or a jam, leaves heat, levels and pressures on their way for longer than a row, and does
    not make values impossible.
    """
    grid, scores = assessment.grid, assessment.scores.at(recent)
    white, regime = by_the_others(detector.statistics, scores, grid.values[recent], grid.good[recent])
    size = (white**2).mean(1)
    wild = size > WILD
    back = wild[:-1] & ~wild[1:]
    if not back.any() or wild[-1] or size[1:][back].max() > HOME:
        return False
    good = grid.good[recent].sum(1)
    if np.median(good[~wild]) - np.median(good[wild]) >= LOST_MIN:
        return True
    blank = (grid.values[recent][wild] == 0.0).mean(1)
    left = size[wild] * shared(detector.statistics.experts, white[wild], regime[wild])
    return bool(np.median(blank) >= BLANK_MIN or np.median(left) >= LEFT_WILD)


def weigh(left: Float64s, symptoms: Bools) -> tuple[float, float, int]:
    """Return how probable it is that a sensor is off, and that one symptom alone tells of the machine.

    The last is which of S channels deviates, if one does. `left` f64[S] is the distance per channel that is left
    without each one; where none of them is one of the `symptoms` bool[S], each may be.
    """
    S = len(left)
    first = symptoms if symptoms.any() else np.ones(S, np.bool_)
    least = min(float(left.min()), LEFT_TOGETHER)
    alone, together = (np.exp(-0.5 * SHARPNESS * S * (each - least)) for each in (left, np.array(LEFT_TOGETHER)))
    still_alone = min(1.0, (ALONE_MAX / max(float(left.max()), 1e-12)) ** 2) if symptoms.any() else 1.0
    sensor, symptom = SENSOR / S * alone, SYMPTOM * still_alone / first.sum() * alone * first
    total = sensor.sum() + symptom.sum() + TOGETHER * together
    return float(sensor.sum() / total), float(symptom.sum() / total), int(left.argmin())


def _sensor_sign(assessment: Assessment, row: int, recent: Positions, weight: Float64s) -> str | None:
    """Return what a tag that deviates does that no machine can: stand still, or go away and come back at once."""
    tag = int(weight.argmax())
    if assessment.frozen[row].max() >= 1.0 or assessment.frozen[row, tag] >= STILL_MIN:
        return FROZEN
    if (assessment.stay_surprise[row][weight >= ALSO_MIN * weight[tag]] >= STAY_SURPRISE).any():
        return FROZEN
    residual = assessment.scores.residual[recent, tag][assessment.grid.good[recent, tag]].astype(np.float64)
    away = np.abs(residual) > AWAY_SD
    returns = int((away[:-1] & ~away[1:]).sum())
    jumps = int((np.abs(np.diff(residual)) > AWAY_SD).sum())
    comes = returns >= RETURNS_MIN or jumps >= JUMPS_MIN
    return COMES_AND_GOES if comes and np.median(np.abs(residual)) < HOME_SD else None
