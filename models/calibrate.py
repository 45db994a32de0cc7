"""From statistics to calibrated evidence: how rare a value is on healthy data, extrapolated to the alarm budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.scores import RATES, ScoreBank

Float64s = npt.NDArray[np.float64]

TAIL_BLOCKS = 50
"""The tail is fitted to about so many of the largest block maxima, of few blocks to the upper half."""
CHANCE_MAX = 0.5
PRIOR_BLOCKS = 5.0
"""How many blocks the prior of the tail's scale counts for: a short history may not promise a thin tail."""
PRIOR_SCALE = 0.2
"""The prior of the tail's scale, as a share of the threshold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The healthy distribution of each of M statistics, learnt from held-out rows. All arrays f64[M].

    `centre` is the median. The maximum of a block of `block_rows` rows, long enough to be nearly independent, exceeds
    `threshold` with probability `chance`, by an amount that is exponential with mean `scale` (peaks over threshold
    with the shape 0; Pickands, Annals of Statistics 1975).
    """

    centre: Float64s
    threshold: Float64s
    scale: Float64s
    block_rows: Float64s
    chance: Float64s

    def limits(self, alerts_per_row: float) -> Float64s:
        """Return the limits f64[M] which healthy data exceed about `alerts_per_row` times a row, all M together."""
        exceedances = alerts_per_row * self.block_rows / len(self.block_rows)
        decades = np.log(np.maximum(self.chance / exceedances, 1.0))
        return np.asarray(self.threshold + self.scale * decades)

    def evidence(self, statistics: Float64s, limits: Float64s) -> Float64s:
        """Return evidence f64[T] of statistics f64[T, M]: the largest log ratio to the centre, 1 at the limit.

        NaN where a row has no statistics; never below 0.
        """
        ratio = np.log(np.maximum(statistics, 1e-12) / self.centre) / np.log(limits / self.centre)
        return np.asarray(np.maximum(ratio.max(1), 0.0))


def calibrate(held_out: Sequence[Float64s], rates: tuple[float, ...] = RATES) -> Calibration:
    """Learn the healthy distribution from scores f64[T] of rows that the experts had not seen, one array a stretch."""
    seen = np.concatenate(held_out)
    start = float(np.nanmedian(seen))
    statistics = [ScoreBank(np.full(len(rates), start), rates).update(scores) for scores in held_out]
    centre = np.maximum(np.nanmedian(np.concatenate(statistics), 0), 1e-6)
    fits = [
        _tail(np.concatenate([_block_maxima(s[:, j], _block_rows(rate)) for s in statistics]), float(centre[j]))
        for j, rate in enumerate(rates)
    ]
    threshold, scale, chance = (np.array(column) for column in zip(*fits, strict=True))
    return Calibration(centre, threshold, scale, np.array([float(_block_rows(rate)) for rate in rates]), chance)


def _block_rows(rate: float) -> int:
    """Three memories of the statistic: after that less than 5 % of an old row is left."""
    return int(np.ceil(3.0 / rate))


def _block_maxima(values: Float64s, rows: int) -> Float64s:
    seen = values[~np.isnan(values)]
    starts = range(0, max(len(seen) - rows // 2, 1), rows)
    return np.array([seen[s : s + rows].max() for s in starts if len(seen)])


def _tail(maxima: Float64s, centre: float) -> tuple[float, float, float]:
    """Return threshold, mean excess and chance of an excess; few blocks lean on the prior.

    The more blocks, the further out the tail begins: rare but healthy events, such as a nightly shutdown, are rare
    exceptions in the middle of the distribution and all of its tail.
    """
    chance = min(TAIL_BLOCKS / max(len(maxima), 1), CHANCE_MAX)
    threshold = max(float(np.quantile(maxima, 1.0 - chance)), centre * 1.01) if len(maxima) else centre * 1.5
    excess = maxima[maxima > threshold] - threshold
    prior = PRIOR_SCALE * threshold * PRIOR_BLOCKS
    return threshold, (float(excess.sum()) + prior) / (len(excess) + PRIOR_BLOCKS), chance
