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
from models.bundle import Statistics
from models.experts import Experts
from models.scored_rows import Scores
from models.scores import MEMORIES, Reference

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MEMORY: Final = len(MEMORIES) - 1
"""The longest memory of the score bank: the longer, the better is a small agreement told from chance."""
ROW_MAX: Final = 8.0
"""A row counts as so many standard deviations a channel at most: a second of garbage must not fill the memory."""
SHARE_MIN: Final = 1e-3
"""A regime that is remembered with less than this says nothing."""
FAR: Final = 2.0
"""From this distance per channel on a row may be in another regime than it seems."""
HOME_MAX: Final = 2.5
"""It is in that, where no more than this is left of it there, per channel, without one channel."""
_PART_ROWS = 256


def by_the_others(
    learnt: Statistics, scores: Scores, x: npt.NDArray[np.float32], good: Bools
) -> tuple[Float64s, npt.NDArray[np.int64]]:
    """Return the white residual f64[T, S] and the regime i64[T] of rows as all channels but one tell them.

    A channel that is far off draws its row into a regime where it looks better and all others worse. So a row that is
    far from its regime is judged by that in which its others are most likely, if they are at home there; which one to
    ignore is told by what is left. `x` f32[T, C] and `good` bool[T, C] are the rows that were scored.
    """
    experts, S = learnt.experts, learnt.experts.scored
    white, regime = scores.white.astype(np.float64), scores.regime.copy()
    conditions = learnt.used[S:]
    known = good[:, conditions].all(1) & np.isfinite(white).all(1)
    far = np.flatnonzero(known & ((white**2).mean(1) > FAR))
    if experts.regimes.count == 1 or not len(far):
        return white, regime
    spread = np.sqrt(np.diagonal(experts.regimes.covariance, axis1=1, axis2=2))[regime[far]]
    seen = experts.regimes.mean[regime[far]]  # what was missing is as it was filled
    seen[:, :S] += scores.deviation[far] * spread[:, :S]
    seen[:, S:] = (x[far][:, conditions] - learnt.centre[S:]) / learnt.scale[S:]
    for low in range(0, len(far), _PART_ROWS):
        rows = far[low : low + _PART_ROWS]
        home, told, moved = _at_home(experts, seen[low : low + _PART_ROWS])
        white[rows[home]], regime[rows[home]] = moved, told
    return white, regime


def _at_home(experts: Experts, x: Float64s) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Float64s]:
    """Return which of rows f64[T, S + D] are at home without one channel, in which regime, and their white residual."""
    regimes, w = experts.regimes, experts.whitening
    white = (experts.bounded(x) - regimes.mean[:, None]) @ w.onto  # (K, T, S)
    moves = w.root / np.linalg.norm(w.root, axis=2, keepdims=True)
    left = (white**2).sum(2, keepdims=True) - (white @ moves.transpose(0, 2, 1)) ** 2
    weight = (regimes.log_weight + w.log_det)[:, None] - 0.5 * np.log(w.stiffness)  # of all channels but one
    likely = (weight[:, None] - 0.5 * left).argmax(0)  # (T, S)
    least = np.take_along_axis(left, likely[None], 0)[0]
    ignored = least.argmin(1)
    home = np.flatnonzero(least.min(1) <= HOME_MAX * experts.scored)
    told = likely[home, ignored[home]]
    return home, told, white[told, home]


class Recent:
    """Averages over the longest memory of the bank: the white residual of S channels, and which of K regimes it was."""

    def __init__(self, experts: Experts) -> None:
        self._regimes = experts.regimes.count
        self._averages = Averages(np.zeros(experts.scored + self._regimes), (MEMORIES[MEMORY],))

    def update(self, white: Float64s, regime: npt.NDArray[np.int64], counted: Bools) -> Float64s:
        """Take rows in: white f64[T, S], regime i64[T]; those that are not `counted` bool[T] leave no trace.

        Return the averages f64[T, S + K] after each row.
        """
        size = np.sqrt((white**2).mean(1, keepdims=True))
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
    moves = np.tensordot(shares[used] / shares[used].sum(), experts.whitening.root[used], 1)
    precision = reference.precision[MEMORY]
    pulled = precision @ mean
    taken = (moves @ pulled) ** 2 / np.einsum("is,st,it->i", moves, precision, moves)
    return np.asarray(np.maximum(mean @ pulled - taken, 0.0) / S)


def shared(experts: Experts, white: Float64s, regime: npt.NDArray[np.int64]) -> Float64s:
    """Return f64[T]: how much of each row's distance is left at least, whichever channel is ignored, as a share 0..1.

    `white` f64[T, S] and `regime` i64[T] are of T rows far from home. Near 0 where one channel is off.
    """
    root = experts.whitening.root
    moves = root / np.linalg.norm(root, axis=2, keepdims=True)
    taken = np.stack([(moves[k] @ row) ** 2 for k, row in zip(regime, white, strict=True)])
    return np.asarray(1.0 - taken.max(1) / (white**2).sum(1))
