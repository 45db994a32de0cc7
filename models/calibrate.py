"""From statistics to calibrated evidence: how rare a value is on healthy data, extrapolated to the alarm budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

TAIL_BLOCKS = 50
"""The tail is fitted to about so many of the largest block maxima, of few blocks to the upper half."""
CHANCE_MAX = 0.5
PRIOR_BLOCKS = 5.0
"""How many blocks the prior of the tail's scale counts for: a short history may not promise a thin tail."""
PRIOR_SCALE = 0.2
"""The prior of the tail's scale, as a share of the threshold."""
BLOCKS_MIN = 4.0
"""A memory of which the history holds fewer independent blocks than this cannot be calibrated: it is not used."""


RARE = 0.3
"""What exceeds together is counted where the thresholds are at least so rare: common values say nothing of the tail."""
EPISODE_ROWS = 30
"""Exceedances no further apart than this are one alarm."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The healthy distribution of each of M statistics, learnt from held-out rows. All arrays f64[M].

    `centre` is the median. The maximum of a block of `block_rows` rows, long enough to be nearly independent, exceeds
    `threshold` with probability `chance`, by an amount that is exponential with mean `scale` (peaks over threshold
    with the shape 0; Pickands, Annals of Statistics 1975). `peaks` such excesses, those of the prior included, were
    there to tell the scale: what is not known of it makes the tail heavier. 0 peaks: the statistic is not used.

    The statistics look at the same rows and often exceed together: `alone` f64[] is the number of alarms that all of
    them made, as a share of what they would have made one by one, 1 where the history was too short to tell.
    """

    centre: Float64s
    threshold: Float64s
    scale: Float64s
    block_rows: Float64s
    chance: Float64s
    peaks: Float64s
    alone: Float64s

    def limits(self, alerts_per_row: float) -> Float64s:
        """Return the limits f64[M] which healthy data exceed about `alerts_per_row` times a row, all M together.

        The tail is the predictive distribution of an exponential whose scale has a gamma posterior (Lomax, 1954). A
        statistic that is not used has the limit infinity.
        """
        used = self.peaks > 0
        exceedances = alerts_per_row * self.block_rows / (max(int(used.sum()), 1) * float(self.alone))
        rarer = np.maximum(self.chance / exceedances, 1.0)
        peaks = np.maximum(self.peaks, 1.0)
        beyond = self.scale * peaks * np.expm1(np.log(rarer) / peaks)
        return np.asarray(np.where(used, self.threshold + beyond, np.inf))

    def evidence(self, statistics: Float64s, limits: Float64s) -> Float64s:
        """Return evidence f64[T] of statistics f64[T, M]: the largest log ratio to the centre, 1 at the limit.

        NaN where a row has no statistics; never below 0.
        """
        return np.asarray(np.maximum(self.parts(statistics, limits).max(1), 0.0))

    def parts(self, statistics: Float64s, limits: Float64s) -> Float64s:
        """Return the evidence f64[T, M] that each statistic f64[T, M] is by itself."""
        return np.asarray(np.log(np.maximum(statistics, 1e-12) / self.centre) / np.log(limits / self.centre))


def calibrate(held_out: Sequence[Floats], rates: Sequence[float]) -> Calibration:
    """Learn the healthy distribution from statistics f[T, M] of rows that the experts had not seen, one array a
    stretch; `rates` are the M forgetting rates. A row that was not judged is NaN.
    """
    centre = np.empty(len(rates))
    fits = []
    for j, rate in enumerate(rates):  # one after another: those of a long history are large
        judged = [s[:, j][~np.isnan(s[:, j])].astype(np.float64) for s in held_out]
        centre[j] = max(float(np.median(np.concatenate(judged))), 1e-6)
        fits.append(_tail(judged, _block_rows(rate), float(centre[j])))
    threshold, scale, chance, peaks = (np.array(column) for column in zip(*fits, strict=True))
    blocks = np.array([float(_block_rows(rate)) for rate in rates])
    used = peaks > 0
    known = used.any() and (chance[used] <= RARE).all()
    alone = _alone(held_out, np.flatnonzero(used), threshold, blocks) if known else 1.0
    return Calibration(centre, threshold, scale, blocks, chance, peaks, np.array(alone))


def _alone(
    held_out: Sequence[Floats], used: npt.NDArray[np.intp], threshold: Float64s, blocks: Float64s
) -> float:
    """Return how many alarms the used statistics make above their thresholds, as a share of those of each by itself."""
    together = each = 0
    for statistics in held_out:
        over = np.stack([statistics[:, j] > threshold[j] for j in used], 1)  # False for NaN
        together += _episodes(np.asarray(over.any(1)), EPISODE_ROWS)
        each += sum(_episodes(over[:, at], int(blocks[j])) for at, j in enumerate(used))
    return together / each if each else 1.0


def _episodes(over: npt.NDArray[np.bool_], apart_rows: int) -> int:
    """Count the stretches in which bool[T] is true at least every so many rows."""
    rows = np.flatnonzero(over)
    return int(len(rows) > 0) + int((np.diff(rows) > apart_rows).sum())


def _block_rows(rate: float) -> int:
    """Three memories of the statistic: after that less than 5 % of an old row is left."""
    return int(np.ceil(3.0 / rate))


def _block_maxima(seen: Float64s, rows: int) -> Float64s:
    starts = range(0, max(len(seen) - rows // 2, 1), rows)
    return np.array([seen[s : s + rows].max() for s in starts if len(seen)])


def _tail(stretches: Sequence[Float64s], rows: int, centre: float) -> tuple[float, float, float, float]:
    """Return threshold, mean excess, chance of an excess and number of peaks; few blocks lean on the prior.

    The more blocks, the further out the tail begins: rare but healthy events, such as a nightly shutdown, are rare
    exceptions in the middle of the distribution and all of its tail.
    """
    maxima = np.concatenate([_block_maxima(seen, rows) for seen in stretches])
    chance = min(TAIL_BLOCKS / max(len(maxima), 1), CHANCE_MAX)
    threshold = max(float(np.quantile(maxima, 1.0 - chance)), centre * 1.01) if len(maxima) else centre * 1.5
    excess = maxima[maxima > threshold] - threshold
    peaks = len(excess) + PRIOR_BLOCKS
    scale = (float(excess.sum()) + PRIOR_SCALE * threshold * PRIOR_BLOCKS) / peaks
    enough = sum(len(seen) for seen in stretches) >= BLOCKS_MIN * rows
    return threshold, scale, chance, peaks if enough else 0.0
