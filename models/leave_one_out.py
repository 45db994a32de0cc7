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
    # Where each channel alone would move the averages to, (S, S).
    moves = np.tensordot(shares[used] / shares[used].sum(), _roots(experts, used), 1)
    precision = reference.precision[MEMORY]
    pulled = precision @ mean
    taken = (moves @ pulled) ** 2 / np.einsum("is,st,it->i", moves, precision, moves)
    return np.asarray(np.maximum(mean @ pulled - taken, 0.0) / S)


def shared(experts: Experts, white: npt.NDArray[np.float32], regime: npt.NDArray[np.int64]) -> Float64s:
    """Return f64[T]: how much of each row's distance is left at least, whichever channel is ignored, as a share 0..1.

    `white` f32[T, S] and `regime` i64[T] are of T rows far from home. Near 0 where one channel is off.
    """
    used, which = np.unique(regime, return_inverse=True)
    roots = _roots(experts, used)
    moves = roots / np.linalg.norm(roots, axis=2, keepdims=True)
    taken = np.stack([(moves[k] @ row) ** 2 for k, row in zip(which, white.astype(np.float64), strict=True)])
    return np.asarray(1.0 - taken.max(1) / (white.astype(np.float64) ** 2).sum(1))


def _roots(experts: Experts, used: npt.NDArray[np.intp] | npt.NDArray[np.int64]) -> Float64s:
    """Return the roots of the precision f64[R, S, S] of R regimes: row i is where channel i moves it."""
    r = experts.regimes
    return Experts(
        Regimes(r.log_weight[used], r.mean[used], r.covariance[used]), experts.low, experts.high
    ).whitening().root
