"""A simple, honest model for tests: smoothed Mahalanobis distance, its limit from rows held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.backtest.trial import Float64s, Judge, Judged, Segment
from connectors.frame import Bools, Float32s, Int64s

LAMBDA = 0.1
SHRINK = 0.01
HELD_OUT = 0.3


@dataclass(frozen=True, slots=True)
class Mahalanobis:
    """Mean f64[C], whitening f64[C, C], and the limit of the smoothed squared distance."""

    mean: Float64s
    scale: Float64s
    precision: Float64s
    limit: float

    def judge(self, times_ns: Int64s, values: Float32s, mask: Bools, /) -> Judged:
        score = self.score(values, mask)
        return Judged(score, score > self.limit)

    def score(self, values: Float32s, mask: Bools) -> Float64s:
        """Missing cells count as expected; a row without any is blind."""
        z = np.where(mask, (values - self.mean) / self.scale, 0.0)
        distance = np.einsum("tc,cd,td->t", z, self.precision, z)
        score = np.empty(len(distance))
        smooth = float(len(self.mean))
        for row, each in enumerate(distance):
            smooth += LAMBDA * (each - smooth)
            score[row] = smooth
        return np.where(mask.any(axis=1), score, np.nan)


def learn_mahalanobis(
    segments: Sequence[Segment],
    tags: Sequence[str],
    period_s: float,
    alerts_per_s: float,
    progress: Callable[[float], None],
    /,
) -> Judge:
    values = np.concatenate([segment.values for segment in segments]).astype(np.float64)
    progress(0.5)
    fit = values[: max(2, int(len(values) * (1 - HELD_OUT)))]
    present = ~np.isnan(fit)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, fit, 0.0).sum(axis=0) / count
    scale = np.sqrt(np.where(present, np.square(fit - mean), 0.0).sum(axis=0) / count)
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    z = np.where(present, (fit - mean) / scale, 0.0)
    precision = np.linalg.inv((z.T @ z) / len(z) + SHRINK * np.eye(len(tags)))
    judge = Mahalanobis(mean, scale, precision, np.inf)
    score = np.concatenate([judge.score(segment.values, segment.mask) for segment in segments])
    progress(1.0)
    known = score[~np.isnan(score)]
    return Mahalanobis(mean, scale, precision, float(known.max() * 1.5))
