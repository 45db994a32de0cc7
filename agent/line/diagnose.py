"""Health assessment: what an evidence is made of, and which type of fault it looks like."""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt

from agent.line.assess import CONDITIONS, DEVIATING, LOOK_BACK_ROWS, Assessment, Detector
from agent.line.cause import COMES_AND_GOES, FROZEN, LEFT_TOGETHER, Opinion, Positions, cause_of
from agent.line.verdict import Cause, Condition, Contribution, Drift, Verdict
from connectors.frame import Bools
from models.bundle import Manifest
from models.leave_one_out import left_out

NAMED_MAX = 5
EXPLAINED = (Condition.DEVIATING, Condition.UNSEEN_REGIME)
"""Conditions of which a person wants to know which tags are to blame; in any other the largest residual is chance."""
REGIMES_MAX = 3
SHIFT = "shift"
"""What several tags do together."""
PROBABILITY_MIN = 0.05


def diagnose(asset: str, assessment: Assessment, row: int, detector: Detector, symptoms: Bools) -> Verdict:
    """Return the verdict on new row `row` of the assessment; `symptoms` bool[C] are the tags that show faults first.

    What a row cannot tell, health and remaining life, is left open.
    """
    manifest = detector.manifest
    at = assessment.position(row)
    condition = CONDITIONS[assessment.condition[row]]
    evidence = float(assessment.evidence[row])
    deviating = bool(assessment.condition[row] == DEVIATING)
    recent = _recent(assessment, at, deviating=deviating)
    explained = condition in EXPLAINED
    weight = _weights(assessment, row, recent, detector, still=deviating) if explained else np.zeros(0)
    known = not np.isnan(assessment.scores.score[at])
    opinion = cause_of(assessment, row, recent, weight, detector, symptoms) if deviating else None
    return Verdict(
        asset=asset,
        time_ns=int(assessment.grid.time_ns[at]),
        condition=condition,
        regime=manifest.regimes[int(assessment.scores.regime[at])].id if known else None,
        regime_distances=_distances(assessment.scores.distances[at], manifest) if known else (),
        evidence=rounded(evidence),
        contributions=_contributions(assessment, recent, weight, opinion, manifest) if known and explained else (),
        cause=None if opinion is None else opinion.cause,
        cause_probability=None if opinion is None else opinion.probability,
        fault_probabilities=_faults(assessment, row, weight, opinion, detector) if opinion is not None else (),
        drift=_drift(assessment.drift[row], detector),
        health=nan,
        remaining_life_s=None,
        remaining_life_until=None,
        coverage=rounded(float(assessment.coverage[row])),
        model_hash=detector.hash,
    )


def opinion_of(assessment: Assessment, row: int, detector: Detector, symptoms: Bools) -> Opinion | None:
    """Return what is thought of the cause of new row `row`, None where it does not deviate."""
    if assessment.condition[row] != DEVIATING:
        return None
    recent = _recent(assessment, assessment.position(row), deviating=True)
    weight = _weights(assessment, row, recent, detector, still=True)
    return cause_of(assessment, row, recent, weight, detector, symptoms)


def _recent(assessment: Assessment, at: int, *, deviating: bool) -> Positions:
    """Return the positions of the rows that are looked back at from position `at`.

    A deviation is made of rows that count: in those in which the machine settled everything was somewhere else.
    """
    rows = np.arange(max(at + 1 - LOOK_BACK_ROWS, 0), at + 1)
    return rows[assessment.counted[rows]] if deviating else rows


def _distances(far: npt.NDArray[np.float32], manifest: Manifest) -> tuple[tuple[str, float], ...]:
    """Return the nearest regimes and their distances, of those f32[K] to all."""
    nearest = np.argsort(far, kind="stable")[:REGIMES_MAX]
    return tuple((manifest.regimes[int(k)].id, rounded(float(far[k]))) for k in nearest)


def _drift(drift: npt.NDArray[np.float64], detector: Detector) -> Drift:
    """Return the channel of f64[U] that has drifted most."""
    most = int(np.abs(drift).argmax())
    return Drift(detector.manifest.tags[int(detector.statistics.used[most])].name, rounded(float(drift[most])))


def rounded(value: float) -> float:
    """Keep what means something: six significant digits, the same on every machine."""
    return float(f"{value:.6g}")


def _weights(
    assessment: Assessment, row: int, recent: Positions, detector: Detector, *, still: bool
) -> npt.NDArray[np.float64]:
    """Return each tag's weight f64[C]: its mean squared residual above a healthy one.

    A tag that stands `still` weighs more than all that do not, and these weigh nothing where it alone explains them.
    """
    squares = np.nan_to_num(assessment.scores.residual[recent].astype(np.float64)) ** 2
    weight = squares.mean(0)
    weight = np.asarray(np.maximum(weight - 1.0, 0.0) if weight.max() > 1.0 else weight)
    frozen = assessment.frozen[row]
    stuck = frozen >= 1.0
    if not (still and stuck.any()):
        return weight
    statistics = detector.statistics
    left = left_out(statistics.experts, statistics.reference, assessment.recent[row])[stuck[statistics.scored]]
    others = np.where(stuck | (left.min(initial=np.inf) < LEFT_TOGETHER), 0.0, weight)
    return np.where(stuck, others.max() + frozen, others)


def _contributions(
    assessment: Assessment,
    recent: Positions,
    weight: npt.NDArray[np.float64],
    opinion: Opinion | None,
    manifest: Manifest,
) -> tuple[Contribution, ...]:
    """Return the tags with the largest weights; that of a sensor which is off comes first, for it misleads the rest."""
    total = weight.sum()
    if total <= 0:
        return ()
    good = assessment.grid.good[recent]
    named = (weight > 0) & good.any(0)
    sensor = None if opinion is None else opinion.tag
    order = np.lexsort((-weight, np.arange(len(weight)) != sensor))
    largest = [int(i) for i in order if named[i]][:NAMED_MAX]
    measured = _mean(assessment.grid.values[recent], good)
    expected = _mean(assessment.scores.expected[recent], good)
    return tuple(
        Contribution(
            manifest.tags[i].name,
            manifest.tags[i].unit,
            rounded(float(weight[i] / total)),
            rounded(float(measured[i])),
            rounded(float(expected[i])),
        )
        for i in largest
    )


def _mean(values: npt.NDArray[np.float32], good: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.asarray(np.where(good, values.astype(np.float64), 0.0).sum(0) / np.maximum(good.sum(0), 1))


def _faults(
    assessment: Assessment, row: int, weight: npt.NDArray[np.float64], opinion: Opinion, detector: Detector
) -> tuple[tuple[str, float], ...]:
    """Return the fault types, most probable first: what is seen, or else what the head makes of the tags together.

    Data that never were tell none. Each tag speaks with its weight, of a sensor that is off that tag alone. What would
    have been seen is left out, and so is "none", and of one tag that it moved with others.
    """
    if opinion.cause is Cause.COMMUNICATION:
        return ()
    if opinion.sign is not None:
        return ((opinion.sign, 1.0),)
    if opinion.tag is not None:
        weight = np.arange(len(weight)) == opinion.tag
    _, logits = detector.judge(*assessment.features.back(assessment.rows - 1 - row))
    odds = np.exp(logits[0].astype(np.float64) - logits[0].max(1, keepdims=True))
    share = weight[detector.statistics.scored].astype(np.float64)
    share = share if share.sum() > 0 else np.ones(len(share))
    together = share @ (odds / odds.sum(1, keepdims=True))
    names = detector.manifest.faults
    left_out = {"none", FROZEN, COMES_AND_GOES} | (set() if opinion.tag is None else {SHIFT})
    together[[name in left_out for name in names]] = 0.0
    probability = together / together.sum()
    order = np.argsort(-probability, kind="stable")
    return tuple((names[int(i)], rounded(float(probability[i]))) for i in order if probability[i] >= PROBABILITY_MIN)
