"""Filling gaps so that they add no evidence: a missing value becomes what the present ones predict."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.bundle import Statistics
from models.regimes import Float64s

_PATTERNS_MAX = 256


class GapFiller:
    """Replaces missing channels by their mean given the present ones, in the most likely regime.

    The squared distance of a completed row over all channels is then exactly that of its present channels alone (the
    Schur complement of the precision), so that a lost tag neither raises nor hides evidence.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._s = statistics
        self._regimes = statistics.experts.regimes
        self._precision = self._regimes.precision()
        self._maps: dict[bytes, tuple[Float64s, Float64s, Float64s]] = {}

    def fill(self, x: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return rows f32[N, U] of the used channels without NaN; `mask` bool[N, U] says which values are good."""
        out = np.where(mask, x, np.float32(0))
        for present, rows in _patterns(mask):
            out[np.ix_(rows, ~present)] = self._expected(x[rows], present)
        return out

    def stretch(self, mask: npt.NDArray[np.bool_], regime: npt.NDArray[np.int64]) -> Float64s:
        """Return f64[N, U]: how many times further off each present channel is than the completed row lets it seem.

        What a missing channel was filled with leans on the channel in question. Its offset from what the other
        present ones predict is this much larger, its residual in standard deviations by the root of this.
        """
        out = np.ones(mask.shape)
        own = np.diagonal(self._precision, axis1=1, axis2=2)
        for present, rows in _patterns(mask):
            if present.any():
                among = np.diagonal(self._pattern(present)[1], axis1=1, axis2=2)
                out[np.ix_(rows, present)] = (own[:, present] / among)[regime[rows]]
        return out

    def _expected(self, x: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]) -> Float64s:
        regimes, missing = self._regimes, ~present
        if not present.any():
            typical = regimes.mean[int(np.argmax(regimes.log_weight))]
            return np.broadcast_to(typical * self._s.scale + self._s.centre, x.shape)
        to_missing, inner, log_det = self._pattern(present)
        z = self._s.experts.bounded((x - self._s.centre) / self._s.scale)[:, present]
        centred = z[:, None, :] - regimes.mean[None, :, present]  # (N, K, P)
        density = regimes.log_weight + 0.5 * log_det - 0.5 * np.einsum("nkp,kpq,nkq->nk", centred, inner, centred)
        best = density.argmax(1)
        chosen = centred[np.arange(len(z)), best]
        filled = regimes.mean[best][:, missing] + np.einsum("nmp,np->nm", to_missing[best], chosen)
        return np.asarray(filled * self._s.scale[missing] + self._s.centre[missing])

    def _pattern(self, present: npt.NDArray[np.bool_]) -> tuple[Float64s, Float64s, Float64s]:
        """Return per regime the map present -> missing f64[K, M, P], the precision f64[K, P, P], its log det."""
        key = present.tobytes()
        if key not in self._maps:
            if len(self._maps) >= _PATTERNS_MAX:
                self._maps.clear()
            P, missing = self._precision, ~present
            to_missing = -np.linalg.solve(P[:, missing][:, :, missing], P[:, missing][:, :, present])
            inner = P[:, present][:, :, present] + P[:, present][:, :, missing] @ to_missing
            self._maps[key] = np.asarray(to_missing), inner, np.asarray(np.linalg.slogdet(inner)[1])
        return self._maps[key]


def _patterns(
    good: npt.NDArray[np.bool_],
) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]]:
    """Give each pattern bool[S] of present channels that lacks some, with the rows of bool[N, S] that have it."""
    poor = np.flatnonzero(~good.all(1))
    if not len(poor):
        return
    found, which = np.unique(good[poor], axis=0, return_inverse=True)
    for number, present in enumerate(found):
        yield present, poor[which.ravel() == number]
