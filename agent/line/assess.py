"""State detection: grid rows -> model scores -> running statistics -> calibrated evidence and a condition per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent.line.memory import Remembered
from agent.line.verdict import Condition
from agent.line.window import Grid
from connectors.frame import Bools, Float32s
from models.adaptation import BOUND, Adaptation
from models.baseline import Baseline
from models.bundle import Manifest, Statistics
from models.deferred import DeferredFeatures
from models.drift import DriftMonitor
from models.features import FeatureTracker
from models.frozen import FrozenTracker, StayTracker
from models.leave_one_out import Recent, by_the_others
from models.modes import ModeTracker
from models.remaining import RemainingModel
from models.scored_rows import Scores
from models.scores import SPREAD, ScoreBank

Float64s = npt.NDArray[np.float64]

WINDOW_ROWS = 64
"""Coverage is that of so many rows."""
LOOK_BACK_ROWS = 32
"""So many rows are kept for looking back: what is said of a row is a mean over them, for one is too noisy."""
COVERAGE_MIN = 0.5
"""Below this share of good values in the window the asset is blind."""
LOSS_ROWS_MIN, RECOVERY_ROWS = 3, 12
"""After so many lost rows together, so many rows are not judged; a single missed poll is no loss."""
CONDITIONS = tuple(Condition)
NORMAL, DEVIATING, UNSEEN, SETTLING, BLIND = range(5)


class Detector(Protocol):
    """A loaded model."""

    manifest: Manifest
    statistics: Statistics
    remaining: RemainingModel | None
    hash: str

    def score(self, x: Float32s, mask: Bools, held: Bools | None = None) -> Scores:
        """Return the scores of rows x f32[T, C] with good values `mask` bool[T, C], of which `held` add no evidence."""

    def judge(self, features: Float32s, whole: Float32s) -> tuple[Float32s, Float32s]:
        """Return the fault head's logits f32[T, 3] and f32[T, S, K] of features f32[T, S, F] and f32[T, G]."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """N assessed rows and, before them, up to LOOK_BACK_ROWS older ones for looking back (M rows in all).

    `grid` and `scores` have all rows, `good_share` f32[W] those of the window before the first new one, too; the new
    ones have `coverage` f64[N], the share of good values in the window up to a row, `evidence` f64[N] (NaN where the
    row could not be judged), `frozen` f64[N, C], the part of it that a tag has by standing still, `stay_surprise`
    f64[N, C], how unlikely it is in nats that it does, `condition` i8[N], indices into CONDITIONS, and `drift`
    f64[N, U], that of the channels the model looks at. `recent` f64[N, S + K] is what models.leave_one_out remembers.
    All rows are `counted` bool[M] that are neither settling, nor unseen, nor without a score. `features` gives what the
    fault head sees of a new row, until the next ones are assessed.
    """

    grid: Grid
    scores: Scores
    good_share: Float32s
    coverage: Float64s
    evidence: Float64s
    frozen: Float64s
    stay_surprise: Float64s
    condition: npt.NDArray[np.int8]
    mode: npt.NDArray[np.int64]
    recent: Float64s
    counted: Bools
    features: DeferredFeatures
    drift: Float64s

    @property
    def rows(self) -> int:
        """How many new rows were assessed."""
        return len(self.evidence)

    @property
    def judged(self) -> Bools:
        """Which new rows count for or against a deviation, bool[N]."""
        return np.asarray(_counts(self.condition) & ~np.isnan(self.evidence))

    def position(self, row: int) -> int:
        """Return where the new row stands among all rows."""
        return self.grid.rows - self.rows + row

    def window(self, row: int, rows: int) -> Float32s:
        """Return the share of good values of each of up to `rows` rows, the last of which is the new row `row`."""
        end = len(self.good_share) - self.rows + row + 1
        return self.good_share[max(end - rows, 0) : end]


class Assessor:
    """Scores the rows of one asset; owns the running statistics and a short memory of rows."""

    def __init__(
        self, detector: Detector, alerts_per_s: float, *, adapt: bool = True, diagnosable: bool = True
    ) -> None:
        """Start from the learnt reference; without `adapt` benign wander counts as evidence, too.

        What is not `diagnosable` takes half the time, and has no features for the fault head to see.
        """
        manifest, learnt = detector.manifest, detector.statistics
        self.limits = learnt.calibration.limits(alerts_per_s * manifest.period_ms / 1000)
        self._detector = detector
        self._bank = ScoreBank(learnt.reference, self.limits)
        self._adaptation = Adaptation(len(learnt.scored), BOUND if adapt else 0.0)
        self.baseline = Baseline(learnt)
        self._modes = ModeTracker(learnt.modes)
        self._frozen = FrozenTracker(learnt.frozen_limits)
        self._stays = StayTracker(len(manifest.tags))
        self._recent = Recent(learnt.experts)
        self._features = DeferredFeatures(FeatureTracker(learnt.head, learnt.scored))
        self._diagnosable = diagnosable
        self._drift = DriftMonitor(len(learnt.used), manifest.period_ms)
        self._commanded = np.isin(learnt.used, learnt.modes.setpoints)
        # Before the first sample there is a row without a good value: it is blind, and scores nothing.
        columns = len(manifest.tags)
        self._past = Grid(
            np.zeros(1, np.int64), np.full((1, columns), np.nan, np.float32), np.zeros((1, columns), np.bool_)
        )
        self._lost_rows = self._recovery_rows = 0
        self._past_scores = detector.score(self._past.values, self._past.good)
        self._past_share = self._past_scores.coverage
        self._past_counted = np.zeros(1, np.bool_)

    @property
    def wander(self) -> Remembered:
        """Return how far the asset has drifted, how much of that is adapted to, and what was re-baselined, for after a
        restart.
        """
        state = np.concatenate([self._drift.state, self._adaptation.offset, self.baseline.state])
        return Remembered(self._detector.hash, tuple(state.tolist()))

    def restore(self, wander: Remembered) -> None:
        """Go on from a `wander`; one of another bundle says nothing of this one and is forgotten."""
        used, scored = len(self._detector.statistics.used), len(self._detector.statistics.scored)
        if wander.model_hash != self._detector.hash or len(wander.state) not in (used + scored, used + 3 * scored):
            return
        drift, adapted, baseline = np.split(np.array(wander.state), [used, used + scored])
        self._drift.restore(drift)
        self._adaptation.restore(adapted)
        if len(baseline):  # earlier versions knew of none
            self.baseline.restore(baseline)

    def update(self, grid: Grid, withheld: Bools | None = None) -> Assessment:
        """Assess new rows, at least one; those in which alerts are `withheld` bool[N] are not adapted to."""
        seen = self._past.then(grid)
        self._past = seen.last(LOOK_BACK_ROWS)
        modes = self._modes.update(grid.values, grid.good)
        new, values, held = self._score(grid, modes.held)
        scores = self._past_scores.then(new)
        self._past_scores = scores.last(LOOK_BACK_ROWS)
        frozen, stale = self._frozen.update(grid.values, grid.good)
        settling = modes.settling | self._recovering(np.isnan(new.score))
        ignored = settling | modes.unseen | modes.new | stale
        evidence = self._evidence(new, ignored, frozen, withheld)
        # Far from every regime, at a setting that was never learnt, may be a fault or its nature: that is not known.
        # Each row there is judged by itself, for memories would carry what is not known into the settings that are.
        alone = modes.new & ~settling & ~modes.unseen & ~stale
        evidence = np.where(alone, self._of_row(new.score), evidence)
        unseen = modes.unseen | (alone & (evidence >= 1.0))
        good_share = np.concatenate([self._past_share, new.coverage])
        self._past_share = good_share[-WINDOW_ROWS:]
        coverage = _trailing_mean(good_share, WINDOW_ROWS)[-grid.rows :]
        blind = (coverage < COVERAGE_MIN) | np.isnan(new.score) | stale
        condition = np.select(
            [blind, unseen, settling, evidence >= 1.0], [BLIND, UNSEEN, SETTLING, DEVIATING], NORMAL
        ).astype(np.int8)
        surprise, recent = np.zeros(frozen.shape), np.zeros((grid.rows, 0))
        counted = ~ignored & ~np.isnan(new.score)
        if self._diagnosable:
            self._features.take(scores, seen.values, seen.good, held, ignored)
            stay = np.rint(frozen * self._detector.statistics.frozen_limits)
            surprise = self._stays.update(stay, grid.good, counted, modes.held)
            told = by_the_others(self._detector.statistics, new, grid.values, grid.good)
            recent = self._recent.update(*told, counted)
        if self.baseline.learning.any():
            well = (condition == NORMAL) & ~(alone | np.isnan(evidence))
            self.baseline.learn(values, grid.good & ~modes.held, well)
        all_counted = np.concatenate([self._past_counted, counted])
        self._past_counted = all_counted[-LOOK_BACK_ROWS:]
        known = grid.good & ~held & _counts(condition)[:, None]
        drift = self._drift.update(self._deviations(new, grid.values, known))
        return Assessment(
            seen, scores, good_share, coverage, evidence, frozen, surprise, condition, modes.mode, recent,
            all_counted, self._features, drift,
        )

    def _score(self, grid: Grid, held: Bools) -> tuple[Scores, Float32s, Bools]:
        """Return the scores of rows, the corrected values f32[N, C] they are of, and which add no evidence, bool[N, C].
        """
        values = self.baseline.corrected(grid.values, grid.good)
        if self.baseline.learning.any():
            held = held | self.baseline.learning
        new = self._detector.score(values, grid.good, held)
        if values is not grid.values:
            scored = self._detector.statistics.scored
            new.expected[:, scored] += self.baseline.offset.astype(np.float32)
        return new, values, held

    def _deviations(self, scores: Scores, x: Float32s, told: Bools) -> Float64s:
        """Return f64[N, U]: how far each channel is from its learnt level, in standard deviations.

        A scored channel's level is that of its regime, a condition's that of the whole history. NaN where a value of
        f32[N, C] tells nothing, `told` bool[N, C].
        """
        learnt = self._detector.statistics
        scored = len(learnt.scored)
        values = (x[:, learnt.used] - learnt.centre) / learnt.scale
        values[:, :scored] = scores.deviation
        values[:, self._commanded] = np.nan  # that people move them is no drift
        return np.where(told[:, learnt.used], values, np.nan)

    def _recovering(self, lost: Bools) -> Bools:
        """Return which rows come soon after a loss of data: a PLC that has just started may show anything."""
        recovering = np.zeros(len(lost), np.bool_)
        for row, gone in enumerate(lost.tolist()):
            self._lost_rows = self._lost_rows + 1 if gone else 0
            if self._lost_rows >= LOSS_ROWS_MIN:
                self._recovery_rows = RECOVERY_ROWS
            elif self._recovery_rows:
                recovering[row] = True
                self._recovery_rows -= 1
        return recovering

    def _of_row(self, score: Float64s) -> Float64s:
        """Return the evidence f64[T] that rows are by themselves, without memory; NaN where there is no score."""
        calibration = self._detector.statistics.calibration
        statistics = np.tile(calibration.centre, (len(score), 1))  # a median is no evidence
        statistics[:, 0] = score
        return calibration.evidence(statistics, self.limits)

    def _evidence(self, scores: Scores, ignored: Bools, frozen: Float64s, withheld: Bools | None) -> Float64s:
        """Fuse the running statistics and the frozen check; NaN where there is no score."""
        calibration = self._detector.statistics.calibration
        white, score = scores.white.astype(np.float64), np.where(ignored, np.nan, scores.score)
        evidence = np.empty(len(score))
        learning = bool(self.baseline.learning.any())
        for rows in self._adaptation.blocks(len(score)):
            statistics = self._bank.update(*self._adaptation.taken_off(white[rows], score[rows]))
            if learning:  # tags that are not judged have no spread, which is not to look like too little of it
                statistics[:, SPREAD] = np.where(np.isnan(score[rows]), np.nan, calibration.centre[SPREAD])
            evidence[rows] = calibration.evidence(statistics, self.limits)
            unfit = learning if withheld is None else withheld[rows] | learning
            self._adaptation.learn(white[rows], np.where(unfit, np.nan, evidence[rows]))
        # How long a value has stood still says whether it is stuck, not how bad that is.
        still = np.minimum(frozen.max(1), 1.0)
        return np.where(np.isnan(evidence), np.nan, np.fmax(evidence, still))


def _trailing_mean(x: Float32s, rows: int) -> Float64s:
    """Return the mean of the last `rows` values at each position, fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    end = np.arange(1, len(x) + 1)
    start = np.maximum(end - rows, 0)
    return np.asarray((total[end] - total[start]) / (end - start))


def _counts(condition: npt.NDArray[np.int8]) -> Bools:
    """Return which rows are judged for good or ill, as `np.isin` would, which costs more than a score."""
    return np.asarray((condition == NORMAL) | (condition == DEVIATING))
