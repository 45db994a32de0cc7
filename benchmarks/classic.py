"""Peers from scikit-learn: what most people try first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.backtest.trial import Float64s
from benchmarks.peers import Fit, Scorer

VARIANCE_KEPT: Final = 0.85
EWMA_RATE: Final = 0.1


def pca_t2(stretches: Sequence[Float64s]) -> Scorer:
    """Hotelling's T2 of the principal components that keep 85 % of the variance."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=VARIANCE_KEPT, svd_solver="full").fit(np.concatenate(stretches))
    return lambda rows: np.sum(np.square(model.transform(rows)) / model.explained_variance_, axis=1)


def pca_q(stretches: Sequence[Float64s]) -> Scorer:
    """Q (squared prediction error): what those components do not explain."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=VARIANCE_KEPT, svd_solver="full").fit(np.concatenate(stretches))
    return lambda rows: np.sum(np.square(rows - model.inverse_transform(model.transform(rows))), axis=1)


def isolation_forest(stretches: Sequence[Float64s], seed: int) -> Scorer:
    """Isolation forest with its defaults and 200 trees."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=200, random_state=seed).fit(np.concatenate(stretches))
    return lambda rows: -model.score_samples(rows)


def local_outlier_factor(stretches: Sequence[Float64s]) -> Scorer:
    """Local outlier factor as novelty detection, 50 neighbours."""
    from sklearn.neighbors import LocalOutlierFactor

    rows = np.concatenate(stretches)
    model = LocalOutlierFactor(n_neighbors=min(50, len(rows) - 1), novelty=True).fit(rows)
    return lambda rows: -model.score_samples(rows)


def mahalanobis(stretches: Sequence[Float64s]) -> Scorer:
    """Squared Mahalanobis distance with the full sample covariance, nothing truncated and nothing shrunk."""
    from sklearn.covariance import EmpiricalCovariance

    score: Scorer = EmpiricalCovariance().fit(np.concatenate(stretches)).mahalanobis
    return score


def ledoit_wolf(stretches: Sequence[Float64s]) -> Scorer:
    """Squared Mahalanobis distance with the covariance shrunk as Ledoit and Wolf (2004) do."""
    from sklearn.covariance import LedoitWolf

    score: Scorer = LedoitWolf().fit(np.concatenate(stretches)).mahalanobis
    return score


def smoothed(fit: Fit) -> Fit:
    """Return the same, its score exponentially weighted with rate 0.1 from the mean over what was learnt."""

    def fit_smoothed(stretches: Sequence[Float64s]) -> Scorer:
        distance = fit(stretches)
        start = float(np.mean(distance(np.concatenate(stretches))))
        return lambda rows: ewma(distance(rows), EWMA_RATE, start)

    return fit_smoothed


def ewma(score: Float64s, rate: float, start: float) -> Float64s:
    """Return the exponentially weighted mean of f64[T] from the state `start`."""
    smooth = np.empty_like(score)
    for row, value in enumerate(score):
        start += rate * (value - start)
        smooth[row] = start
    return smooth
