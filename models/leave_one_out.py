"""Leave-one-out: how much of what deviates is left when one channel is not believed.

A sensor that is wrong moves nothing else. If its value is ignored the others agree with each other as they do on a
healthy machine, however far it is off. What the machine does moves several channels, and whichever of them is ignored,
the others still disagree (Qin, AIChE Journal 49, 2003, reconstruction-based contributions).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.averages import Averages
from models.experts import Experts
from models.regimes import Regimes
from models.scores import MEMORIES, Reference

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MEMORY: Final = len(MEMORIES) - 1
"""The longest memory of the score bank: the longer, the better is a small agreement told from chance."""
ROW_MAX: Final = 8.0
"""A row counts as so many standard deviations a channel at most: a second of garbage must not fill the memory."""
SHARE_MIN: Final = 1e-3
"""A regime that is remembered with less than this says nothing."""


class Recent:
    """Averages over the longest memory of the bank: the white residual of S channels, and which of K regimes it was."""

    def __init__(self, experts: Experts) -> None:
        self._regimes = experts.regimes.count
        self._averages = Averages(np.zeros(experts.scored + self._regimes), (MEMORIES[MEMORY],))

    def update(self, white: npt.NDArray[np.float32], regime: npt.NDArray[np.int64], counted: Bools) -> Float64s:
        """Take rows in: white f32[T, S], regime i64[T]; those that are not `counted` bool[T] leave no trace.

        Return the averages f64[T, S + K] after each row.
        """
        size = np.sqrt((white.astype(np.float64) ** 2).mean(1, keepdims=True))
        bounded = white * np.minimum(1.0, ROW_MAX / np.maximum(size, 1e-12))
        rows = np.hstack([bounded, np.eye(self._regimes)[regime]])
        return np.asarray(self._averages.update(np.where(counted[:, None], rows, np.nan))[0])


def left_out(experts: Experts, reference: Reference, recent: Float64s) -> Float64s:
    """Return f64[S]: the distance per channel that is left without each one, about 1 where the others are healthy.

    `recent` f64[S + K] is what Recent gives for a row. A channel that is off by any constant leaves nothing of it.
    """
    S = experts.scored
    mean, shares = recent[:S], recent[S:]
    used = np.flatnonzero(shares >= SHARE_MIN)
    if not len(used):
        return np.zeros(S)
    r = experts.regimes
    remembered = Experts(Regimes(r.log_weight[used], r.mean[used], r.covariance[used]), experts.low, experts.high)
    # Where each channel alone would move the averages to, (S, S).
    moves = np.tensordot(shares[used] / shares[used].sum(), remembered.whitening().root, 1)
    precision = reference.precision[MEMORY]
    pulled = precision @ mean
    taken = (moves @ pulled) ** 2 / np.einsum("is,st,it->i", moves, precision, moves)
    return np.asarray(np.maximum(mean @ pulled - taken, 0.0) / S)
