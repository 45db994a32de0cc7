"""The drift monitor: how far an asset has moved, for good, from where it was when its model was learnt.

Nothing here adapts, so that nothing slow is ever swallowed: each tag's deviation from what was learnt of its regime is
averaged over a long memory, in which cycles of a day cancel. It raises no alarm. It says when a model has grown old, or
that a tag creeps too slowly for the shorter memories of the score bank; tags that drift by their nature are
watched here alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.averages import Averages

Float64s = npt.NDArray[np.float64]

MEMORY_DAYS = 1.0
"""The time constant of the average: a day's cycle is part of what was learnt."""
CLIP = 10.0
"""A row counts for at most so many standard deviations: a short, violent fault is no drift."""


class DriftMonitor:
    """Long averages of the deviations of one asset's S channels; O(S) memory, starting from healthy."""

    def __init__(self, channels: int, period_ms: int) -> None:
        rate = min(period_ms / (MEMORY_DAYS * 86_400_000.0), 1.0)
        self._mean = Averages(np.zeros(channels), (rate,))

    @property
    def state(self) -> Float64s:
        """Return the drift f64[S] so far."""
        return np.asarray(self._mean.state[0])

    def restore(self, state: Float64s) -> None:
        """Go on from a `state`."""
        self._mean.restore(state[None])

    def update(self, deviation: Float64s) -> Float64s:
        """Take rows f64[T, S] in, standard deviations from the regime's mean; return the drift f64[T, S] after each.

        A value that is missing (NaN) changes nothing. A long memory that has seen little stays near 0: no drift is
        claimed that has not lasted.
        """
        return np.asarray(self._mean.update(np.minimum(np.maximum(deviation, -CLIP), CLIP))[0])
