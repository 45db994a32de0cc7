"""Channel typing without labels: which tags have a level that can be learnt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

SCORED, CONSTANT, DRIFTING = "scored", "constant", "drifting"

DRIFT_MAX = 0.7
"""A tag whose halves differ by more of its own spread has no level yet: it was still on its way somewhere."""
LEVEL_ROWS_MIN = 100
"""A shorter stretch says nothing about drift: its halves differ by chance."""
_STEP_MADS = 6.0
_AROUND_ROWS = 64


def roles(segments: Sequence[Float64s]) -> list[str]:
    """Return the role of each of C tags from stretches of history f64[T, C] (NaN = missing).

    "constant": never moved. "drifting": in most stretches its level shifts from the first to the second half, also when
    jumps (set-point and product changes) are taken out. "scored": all others.
    """
    everything = np.concatenate(segments)
    size = np.max(np.abs(everything), 0, where=~np.isnan(everything), initial=0.0)
    moves = _spread(everything) > 1e-7 * np.maximum(size, 1e-6)
    stretches = [s for s in segments if len(s) >= LEVEL_ROWS_MIN] or [everything]
    shift = np.median([np.minimum(_half_shift(s), _half_shift(_without_jumps(s))) for s in stretches], 0)
    return [CONSTANT if not m else DRIFTING if d > DRIFT_MAX else SCORED for m, d in zip(moves, shift, strict=True)]


def _half_shift(x: Float64s) -> Float64s:
    half = len(x) // 2
    return np.asarray(np.abs(_mean(x[:half]) - _mean(x[half:])) / np.maximum(_spread(x), 1e-12))


def _mean(x: Float64s) -> Float64s:
    seen = ~np.isnan(x)
    return np.asarray(np.where(seen, x, 0.0).sum(0) / np.maximum(seen.sum(0), 1))


def _spread(x: Float64s) -> Float64s:
    return np.asarray(np.sqrt(_mean((x - _mean(x)) ** 2)))


def _without_jumps(x: Float64s) -> Float64s:
    """Move each column's rows after a jump, a step beyond 6 robust deviations, back to where it came from."""
    filled = np.where(np.isnan(x), _mean(x), x)
    steps = np.abs(np.diff(filled, axis=0))
    limit = _STEP_MADS * 1.4826 * np.median(steps, 0)
    for column in np.flatnonzero((steps > limit).any(0)):
        filled[:, column] -= _jumped(filled[:, column], np.flatnonzero(steps[:, column] > limit[column]) + 1)
    return filled


def _jumped(x: Float64s, jumps: npt.NDArray[np.intp]) -> Float64s:
    """Return how far the rows f64[T] have jumped in all; a jump is as high as the means of the rows around differ."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    first = np.maximum(np.concatenate([[0], jumps[:-1]]), jumps - _AROUND_ROWS)
    last = np.minimum(np.concatenate([jumps[1:], [len(x)]]), jumps + _AROUND_ROWS)
    height = np.zeros(len(x))
    height[jumps] = (total[last] - total[jumps]) / (last - jumps) - (total[jumps] - total[first]) / (jumps - first)
    return np.asarray(np.cumsum(height))
