"""The floor: one closed-form expert per regime, which predicts every scored channel from all others and the conditions.

Drifting channels have no level of their own, yet the others depend on them: they are conditions. An expert is the
Gaussian of its regime over all channels; it judges the scored ones given the conditions (Anderson, An Introduction to
Multivariate Statistical Analysis, 2.5.1). A condition outside what was learnt is taken at the rim of it, for a relation
must not be stretched for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.regimes import Regimes

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

RIM = 0.5
"""How far outside of its learnt range a condition is followed, in units of that range."""


@dataclass(frozen=True, slots=True)
class Whitening:
    """What an expert does to a row's offset from its regime's mean; K regimes, S scored channels, D conditions.

    `onto` f64[K, S + D, S] gives the white residual, of unit covariance where all is well; `root` f64[K, S, S], the
    symmetric root of the precision given the conditions, keeps each white component with its channel; `stiffness`
    f64[K, S] is that precision's diagonal; `log_det` f64[K] the logarithm of the root's determinant.
    """

    onto: Float64s
    root: Float64s
    stiffness: Float64s
    log_det: Float64s


@dataclass(frozen=True, slots=True)
class Seen:
    """N rows as the experts see them: `regime` i[N], `white` f64[N, S], `distance` f64[N], its squared length."""

    regime: Ints
    white: Float64s
    distance: Float64s


@dataclass(frozen=True)  # without slots: what is derived is kept in it
class Experts:
    """Regimes over standardised channels, the scored ones first; `low` and `high` f64[D] bound the conditions."""

    regimes: Regimes
    low: Float64s
    high: Float64s

    @property
    def scored(self) -> int:
        """How many of the channels are scored."""
        return int(self.regimes.mean.shape[1]) - len(self.low)

    def bounded(self, x: Float64s) -> Float64s:
        """Return rows f64[N, S + D] with the conditions kept within their bounds."""
        if not len(self.low):
            return x
        out = x.copy()
        out[:, self.scored :] = np.clip(x[:, self.scored :], self.low, self.high)
        return out

    @cached_property
    def whitening(self) -> Whitening:
        """The experts' matrices; all assets of one bundle share them."""
        S = self.scored
        roots, onto = [], []
        for P in self.regimes.precision():
            values, vectors = np.linalg.eigh(P[:S, :S])
            root = np.sqrt(np.maximum(values, 1e-12))
            roots.append((vectors * root) @ vectors.T)
            onto.append(np.vstack([roots[-1], P[S:, :S] @ (vectors / root) @ vectors.T]))
        stacked = np.stack(roots)
        return Whitening(
            np.stack(onto), stacked, np.asarray((stacked**2).sum(2)), np.asarray(np.linalg.slogdet(stacked)[1])
        )

    def see(self, x: Float64s) -> Seen:
        """Judge rows x f64[N, S + D] by the regime that is most likely."""
        rows = self.bounded(x)
        density, distance = self._densities(rows)
        best = density.argmax(1)
        white = np.empty((len(x), self.scored))
        for k in np.unique(best):
            white[best == k] = (rows[best == k] - self.regimes.mean[k]) @ self.whitening.onto[k]
        return Seen(best, white, distance[np.arange(len(x)), best])

    def explain(self, x: Float64s, seen: Seen) -> tuple[Float64s, Float64s]:
        """Return two views f64[N, S] of rows x f64[N, S + D] that were seen: residual and deviation.

        The residual is measured minus expected given all other channels, in its standard deviations; the deviation is
        that from the regime's mean in the regime's standard deviations.
        """
        r, w, k = self.regimes, self.whitening, seen.regime
        residual = np.empty_like(seen.white)
        for each in np.unique(k):
            residual[k == each] = seen.white[k == each] @ w.root[each] / np.sqrt(w.stiffness[each])
        spread = np.sqrt(np.diagonal(r.covariance, axis1=1, axis2=2))[:, : self.scored]
        return residual, (x[:, : self.scored] - r.mean[k, : self.scored]) / spread[k]

    def surprise(self, x: Float64s) -> float:
        """Return the mean negative log density of the scored channels of x f64[N, S + D] given the conditions.

        The constant S / 2 log(2 pi) is left out.
        """
        density, _ = self._densities(self.bounded(x))
        return float(-np.logaddexp.reduce(density, axis=1).mean())

    def _densities(self, rows: Float64s) -> tuple[Float64s, Float64s]:
        means, w = self.regimes.mean, self.whitening
        distance = np.stack([(((rows - m) @ onto) ** 2).sum(1) for m, onto in zip(means, w.onto, strict=True)], 1)
        return self.regimes.log_weight + w.log_det - 0.5 * distance, distance
