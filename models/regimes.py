"""Closed-form learning in numpy: operating regimes as a sparse mixture of full-covariance Gaussian experts.

Each expert is a regime: a mean and the covariance of all channels together, so that the squared Mahalanobis
distance of a row is the sum of its whitened cross-channel residuals. How many regimes there are and how much the
covariances are shrunk is chosen by the likelihood of held-out blocks of rows; one regime where one is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Added to the eigenvalues of a covariance, in units of the channels' variances."""
ROWS_PER_REGIME = 8
"""A regime needs this many rows for each channel."""
LOG_SHARE_MIN = -60.0
"""A smaller share of a row in a regime weighs nothing, and products of denormal numbers are slow."""
GAIN_MIN = 0.01
"""Held-out log likelihood per row and channel that doubling the regimes must bring."""


@dataclass(frozen=True, slots=True)
class Regimes:
    """K experts over S standardised channels: `log_weight` f64[K], `mean` f64[K, S], `covariance` f64[K, S, S]."""

    log_weight: Float64s
    mean: Float64s
    covariance: Float64s

    @property
    def count(self) -> int:
        """How many regimes there are."""
        return len(self.log_weight)

    def whiteners(self) -> Float64s:
        """Return W f64[K, S, S] with W_k W_k^T = covariance_k^-1: (x - mean_k) @ W_k is white with unit variance."""
        return np.stack([np.linalg.inv(np.linalg.cholesky(S)).T for S in self.covariance])

    def precision(self) -> Float64s:
        """Return the inverse covariances f64[K, S, S]."""
        W = self.whiteners()
        return np.asarray(W @ W.transpose(0, 2, 1))

    def assess(self, x: Float64s) -> tuple[Float64s, Float64s]:
        """Return joint log density of rows and regimes and squared distances, both f64[N, K], of x f64[N, S]."""
        W = self.whiteners()
        distance = np.stack([(((x - m) @ w) ** 2).sum(1) for m, w in zip(self.mean, W, strict=True)], 1)
        log_det = np.log(np.diagonal(W, axis1=1, axis2=2)).sum(1)
        return self.log_weight + log_det - 0.5 * (distance + x.shape[1] * np.log(2 * np.pi)), distance


def fit(
    x: Float64s, count: int, ridge: float, *, seed: int = 0, start: Regimes | None = None, iterations_max: int = 60
) -> Regimes:
    """Fit `count` regimes to x f64[N, S] by expectation-maximisation (Dempster, Laird, Rubin 1977).

    The search begins at `start`, whose order of the regimes is kept, or else at k-means drawn by `seed`.
    """
    if start is None:
        responsibility = np.eye(count)[_cluster(x, count, np.random.default_rng(seed))]
    else:
        responsibility, _ = _expect(start, x)
    regimes = _maximise(x, responsibility, ridge)
    last = -np.inf
    for _ in range(iterations_max if count > 1 else 0):
        responsibility, evidence = _expect(regimes, x)
        regimes = _maximise(x, responsibility, ridge)
        now, before, last = float(evidence.mean()), last, float(evidence.mean())
        if now - before < 1e-4 * x.shape[1]:
            break
    return regimes


def _expect(regimes: Regimes, x: Float64s) -> tuple[Float64s, Float64s]:
    """Return the share f64[N, K] of each row in each regime, and the rows' log densities f64[N]."""
    density, _ = regimes.assess(x)
    evidence = np.logaddexp.reduce(density, axis=1)
    return np.exp(np.maximum(density - evidence[:, None], LOG_SHARE_MIN)), np.asarray(evidence)


def _maximise(x: Float64s, responsibility: Float64s, ridge: float) -> Regimes:
    """Regime covariances lean on the pooled one the more, the fewer rows they have (Friedman, JASA 84, 1989)."""
    rows, channels = responsibility.sum(0) + 1e-9, x.shape[1]
    mean = (responsibility.T @ x) / rows[:, None]
    scatter = np.stack([((x - m) * r[:, None]).T @ (x - m) for m, r in zip(mean, responsibility.T, strict=True)])
    pooled = scatter.sum(0) / rows.sum()
    own = (rows / (rows + channels))[:, None, None]
    covariance = own * scatter / rows[:, None, None] + (1 - own) * pooled + ridge * np.eye(channels)
    return Regimes(np.log(rows / rows.sum()), mean, covariance)


def _cluster(x: Float64s, count: int, rng: np.random.Generator) -> Ints:
    """Return the nearest of `count` k-means centres for each row, started far apart (Arthur, Vassilvitskii 2007)."""
    centres = x[rng.integers(len(x))][None]
    distance = np.full(len(x), np.inf)
    while len(centres) < count:
        distance = np.minimum(distance, ((x - centres[-1]) ** 2).sum(1))
        total = distance.sum()  # 0 where there are fewer different rows than centres
        centres = np.vstack([centres, x[rng.choice(len(x), p=distance / total if total > 0 else None)]])
    nearest = np.zeros(len(x), np.intp)
    for _ in range(15 if count > 1 else 0):
        nearest = np.asarray(np.argmax(x @ centres.T - 0.5 * (centres**2).sum(1), 1))
        centres = np.stack([x[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(count)])
    return nearest


def choose(
    fitted: Float64s, held_out: Float64s, count_max: int = COUNTS[-1]
) -> Iterator[tuple[int, float, float]]:
    """Try shrinkages and numbers of regimes; yield (count, ridge, held-out log likelihood), the chosen one last.

    The shrinkage is chosen with one regime. A larger number, at most `count_max`, must earn GAIN_MIN a channel over the
    smaller one.
    """
    channels = fitted.shape[1]
    tried = [(_likelihood(fitted, held_out, 1, ridge), ridge) for ridge in RIDGES]
    best, ridge = max(tried)
    chosen = (1, ridge, best)
    yield chosen
    for count in COUNTS[1:]:
        if count > count_max or len(fitted) < count * ROWS_PER_REGIME * channels:
            break
        likelihood = _likelihood(fitted, held_out, count, ridge)
        yield count, ridge, likelihood
        if likelihood - chosen[2] > GAIN_MIN * channels:
            chosen = (count, ridge, likelihood)
    yield chosen


def _likelihood(fitted: Float64s, held_out: Float64s, count: int, ridge: float) -> float:
    density, _ = fit(fitted, count, ridge).assess(held_out)
    return float(np.logaddexp.reduce(density, axis=1).mean())
