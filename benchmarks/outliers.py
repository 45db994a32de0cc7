"""Peers from pyod that judge each row by itself.

ECOD and COPOD rank a row among what was learnt and everything that is scored together with it, so that a long fault
becomes the normal case; they are given a few rows at a time, as an agent would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.backtest.trial import Float64s
from benchmarks.peers import Scorer, thinned

KNN_ROWS_MAX: Final = 5_000
NETWORK_ROWS_MAX: Final = 10_000
RANK_ROWS_MAX: Final = 3_000
"""More healthy rows than these are thinned evenly, so that a benchmark ends in minutes."""
RANKED_TOGETHER: Final = 20


def nearest_neighbours(stretches: Sequence[Float64s]) -> Scorer:
    """Distance to the fifth nearest of the healthy rows, pyod's default."""
    from pyod.models.knn import KNN

    return _score_of(KNN().fit(thinned(stretches, KNN_ROWS_MAX)))


def ecod(stretches: Sequence[Float64s]) -> Scorer:
    """Tail probabilities of the empirical distribution of each column."""
    from pyod.models.ecod import ECOD

    return _in_batches(_score_of(ECOD().fit(thinned(stretches, RANK_ROWS_MAX))))


def copod(stretches: Sequence[Float64s]) -> Scorer:
    """Tail probabilities of the empirical copula."""
    from pyod.models.copod import COPOD

    return _in_batches(_score_of(COPOD().fit(thinned(stretches, RANK_ROWS_MAX))))


def auto_encoder(stretches: Sequence[Float64s], seed: int) -> Scorer:
    """Reconstruction error of pyod's auto-encoder, 64-32 neurons, 20 epochs."""
    from pyod.models.auto_encoder import AutoEncoder

    model = AutoEncoder(epoch_num=20, batch_size=64, random_state=seed, verbose=0)
    return _score_of(model.fit(thinned(stretches, NETWORK_ROWS_MAX)))


def _score_of(model: object) -> Scorer:
    score: Scorer = model.decision_function  # type: ignore[attr-defined]
    return score


def _in_batches(score: Scorer) -> Scorer:
    """Score a few rows at a time."""
    return lambda rows: np.concatenate(
        [score(rows[start : start + RANKED_TOGETHER]) for start in range(0, len(rows), RANKED_TOGETHER)]
    )
