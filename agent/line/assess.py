"""State detection: grid rows -> model scores -> running statistics -> calibrated evidence and a condition per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent.line.verdict import Condition
from agent.line.window import Grid
from connectors.frame import Bools, Float32s
from models.bundle import Manifest, Statistics
from models.frozen import FrozenTracker
from models.modes import ModeTracker
from models.runtime import Scores
from models.scores import ScoreBank

Float64s = npt.NDArray[np.float64]

COVERAGE_MIN = 0.5
"""Below this share of good values in the window the asset is blind."""
SCORE_CAP = 2.0
"""A memory takes at most this many times the limit of a single row, so that a second of garbage is soon forgotten."""
ORDINARY_RATE = 0.03
"""The statistic of this rate, near the 32 rows that a diagnosis looks back, says what mean score is ordinary."""
LOSS_ROWS_MIN, RECOVERY_ROWS = 3, 12
"""After so many lost rows together, so many rows are not judged; a single missed poll is no loss."""
CONDITIONS = tuple(Condition)
NORMAL, DEVIATING, UNSEEN, SETTLING, BLIND = range(5)


class Detector(Protocol):
    """A loaded model: scores every complete window of x f32[B, L, C] with `mask` bool[B, L, C]."""

    manifest: Manifest
    statistics: Statistics
    hash: str

    def score(self, x: Float32s, mask: Bools) -> Scores:
        """Return the scores of the B x (L - window_rows + 1) windows."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """N assessed rows and, before them, up to a window of older ones for looking back (M rows in all).

    `grid`, `scores` (one sequence) and `coverage` f64[M], the share of good values in the window up to a row, have
    all rows; `evidence` f64[N] (NaN where the row could not be judged), `frozen` f64[N, C], the part of it that a
    tag has by standing still, and `condition` i8[N], indices into CONDITIONS, the new ones.
    """

    grid: Grid
    scores: Scores
    coverage: Float64s
    evidence: Float64s
    frozen: Float64s
    condition: npt.NDArray[np.int8]

    @property
    def rows(self) -> int:
        """How many new rows were assessed."""
        return len(self.evidence)

    @property
    def judged(self) -> Bools:
        """Which new rows count for or against a deviation, bool[N]."""
        return np.asarray(np.isin(self.condition, (NORMAL, DEVIATING)) & ~np.isnan(self.evidence))

    def position(self, row: int) -> int:
        """Return where the new row stands among all rows."""
        return self.grid.rows - self.rows + row


class Assessor:
    """Scores the rows of one asset; owns the running statistics and one window of history."""

    def __init__(self, detector: Detector, alerts_per_s: float) -> None:
        manifest, learnt = detector.manifest, detector.statistics
        self.limits = learnt.calibration.limits(alerts_per_s * manifest.period_ms / 1000)
        self.ordinary = float(learnt.calibration.threshold[manifest.rates.index(ORDINARY_RATE)])
        self._detector = detector
        self._bank = ScoreBank(learnt.calibration.centre, manifest.rates)
        self._modes = ModeTracker(learnt.modes)
        self._frozen = FrozenTracker(learnt.frozen_limits)
        # Before the first sample there are rows without a good value: they are blind, and score nothing.
        rows, columns = manifest.window_rows, len(manifest.tags)
        self._past = Grid(
            np.zeros(rows, np.int64), np.full((rows, columns), np.nan, np.float32), np.zeros((rows, columns), np.bool_)
        )
        self._lost_rows = self._recovery_rows = 0
        self._past_scores = detector.score(self._past.values[None], self._past.good[None])

    def update(self, grid: Grid) -> Assessment:
        """Assess new rows."""
        rows = self._detector.manifest.window_rows
        seen = self._past.then(grid)
        self._past = seen.last(rows)
        window = seen.last(grid.rows + rows - 1)
        new = self._detector.score(window.values[None], window.good[None])
        scores = self._past_scores.then(new)
        self._past_scores = scores.last(rows)
        frozen, stale = self._frozen.update(grid.values, grid.good)
        settling, unseen = self._modes.update(grid.values, grid.good)
        settling |= self._recovering(np.isnan(new.score[0]))
        evidence = self._evidence(np.where(settling | unseen | stale, np.nan, new.score[0]), frozen)
        coverage = _trailing_mean(scores.coverage[0], rows)
        blind = (coverage[-grid.rows :] < COVERAGE_MIN) | np.isnan(new.score[0]) | stale
        condition = np.select(
            [blind, unseen, settling, evidence >= 1.0], [BLIND, UNSEEN, SETTLING, DEVIATING], NORMAL
        ).astype(np.int8)
        shown = seen.last(scores.score.shape[1])
        return Assessment(shown, scores, coverage, evidence, frozen, condition)

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

    def _evidence(self, score: Float64s, frozen: Float64s) -> Float64s:
        """Fuse the running statistics and the frozen check; NaN where there is no score."""
        calibration = self._detector.statistics.calibration
        statistics = self._bank.update(np.minimum(score, SCORE_CAP * self.limits[0]))
        statistics[:, 0] = score  # of rate 1, without memory: nothing to be spoilt by garbage
        evidence = calibration.evidence(statistics, self.limits)
        return np.where(np.isnan(evidence), np.nan, np.fmax(evidence, frozen.max(1)))


def _trailing_mean(x: Float64s, rows: int) -> Float64s:
    """Return the mean of the last `rows` values at each position, fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    end = np.arange(1, len(x) + 1)
    start = np.maximum(end - rows, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
