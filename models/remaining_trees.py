"""Gradient boosting of symmetric decision trees in numpy: small, smooth, the same on every machine.

Every level of a symmetric (oblivious) tree asks one question of all its rows (Kohavi, ECML 1994; Prokhorenkova et
al., "CatBoost", NeurIPS 2018), so that a tree of depth D is D thresholds and a table of 2^D values, and a prediction
is a gather. Boosting is that of Friedman (Annals of Statistics 29, 2001) with rows and features drawn anew for each
tree (Friedman, "Stochastic gradient boosting", 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

BINS = 64
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Boosting:
    """How trees are grown: their number and depth, the share of each one's correction that is taken, the shares of
    rows and features it sees, and `leaf_rows`, the weight of a leaf's prior of no correction.
    """

    trees: int = 600
    depth: int = 5
    rate: float = 0.05
    row_share: float = 0.25
    feature_share: float = 0.7
    leaf_rows: float = 20.0


@dataclass(frozen=True, slots=True)
class Trees:
    """T symmetric trees of depth D: `base`, `feature` u16[T, D], `threshold` f32[T, D], `leaf` f16[T, 2^D]."""

    base: float
    feature: npt.NDArray[np.uint16]
    threshold: Float32s
    leaf: npt.NDArray[np.float16]

    @property
    def parameters(self) -> int:
        """How many learnt numbers the trees are made of."""
        return 1 + self.feature.size + self.threshold.size + self.leaf.size

    def predict(self, x: Float32s) -> Float64s:
        """Return the sum of all trees f64[N] for features x f32[N, F]."""
        count, depth = self.feature.shape
        powers = 1 << np.arange(depth - 1, -1, -1)
        out = np.empty(len(x))
        for start in range(0, len(x), _ROWS_AT_ONCE):
            part = x[start : start + _ROWS_AT_ONCE]
            index = (part[:, self.feature] > self.threshold) @ powers
            out[start : start + len(part)] = self.leaf[np.arange(count), index].sum(1, dtype=np.float64)
        return out + self.base


def mean(ensembles: Sequence[Trees]) -> Trees:
    """Return the trees that predict the mean of what ensembles of the same depth predict."""
    return Trees(
        float(np.mean([trees.base for trees in ensembles])),
        np.concatenate([trees.feature for trees in ensembles]),
        np.concatenate([trees.threshold for trees in ensembles]),
        np.concatenate([trees.leaf / np.float16(len(ensembles)) for trees in ensembles]),
    )


def fit(
    x: Float32s,
    y: Float64s,
    boosting: Boosting,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _share: None,
) -> Trees:
    """Fit trees to features x f32[N, F] and targets y f64[N] by least squares; `progress` hears the share done."""
    edges = np.stack([_edges(column) for column in x.T])
    codes = np.stack([np.searchsorted(e, column) for e, column in zip(edges, x.T, strict=True)]).astype(np.uint8)
    splittable = np.flatnonzero(codes.min(1) < codes.max(1))
    assert len(splittable), "no feature moves"
    drawn = max(1, round(boosting.feature_share * len(splittable)))
    base = float(y.mean())
    predicted = np.full(len(y), base)
    features, thresholds, leaves = [], [], []
    for tree in range(boosting.trees):
        rows = np.flatnonzero(rng.random(len(y)) < boosting.row_share)
        tried = np.sort(rng.choice(splittable, drawn, replace=False))
        gradient = (y - predicted)[rows]
        found, node = _grow(codes[np.ix_(tried, rows)], gradient, boosting)
        splits = [(int(tried[feature]), bin_) for feature, bin_ in found]
        leaf = boosting.rate * _leaves(node, gradient, boosting)
        predicted += leaf[_route(codes, splits)]
        features.append([feature for feature, _ in splits])
        thresholds.append([edges[feature][bin_] for feature, bin_ in splits])
        leaves.append(leaf)
        progress((tree + 1) / boosting.trees)
    return Trees(base, np.array(features, np.uint16), np.array(thresholds, np.float32), np.array(leaves, np.float16))


def _edges(column: Float32s) -> Float32s:
    """Return the upper ends of all bins but the last, f32[BINS - 1], infinite where values repeat."""
    found = np.unique(np.quantile(column, np.arange(1, BINS) / BINS).astype(np.float32))
    return np.concatenate([found, np.full(BINS - 1 - len(found), np.inf, np.float32)])


_Splits = list[tuple[int, int]]
_Codes = npt.NDArray[np.uint8]


def _grow(codes: _Codes, gradient: Float64s, boosting: Boosting) -> tuple[_Splits, Int64s]:
    """Return the splits (feature, bin) of one tree from the root down, and each row's leaf, for bins codes [F, N]."""
    splits: _Splits = []
    node = np.zeros(len(gradient), np.int64)
    for _ in range(boosting.depth):
        first_bin = node * BINS
        gains = np.stack([_gains(first_bin + own, gradient, len(splits), boosting.leaf_rows) for own in codes])
        feature, bin_ = divmod(int(gains.argmax()), BINS - 1)
        splits.append((feature, bin_))
        node = 2 * node + (codes[feature] > bin_)
    return splits, node


def _gains(cell: Int64s, gradient: Float64s, level: int, leaf_rows: float) -> Float64s:
    """Return what splitting all 2^level nodes after each bin explains, f64[BINS - 1], for rows in cells node, bin."""
    shape = (1 << level, BINS)
    total = np.bincount(cell, gradient, shape[0] * BINS).reshape(shape).cumsum(1)
    rows = np.bincount(cell, minlength=shape[0] * BINS).reshape(shape).cumsum(1)
    left = total**2 / (rows + leaf_rows)
    right = (total[:, -1:] - total) ** 2 / (rows[:, -1:] - rows + leaf_rows)
    return np.asarray((left + right).sum(0)[:-1])


def _leaves(node: Int64s, gradient: Float64s, boosting: Boosting) -> Float64s:
    leaves = 1 << boosting.depth
    rows = np.bincount(node, minlength=leaves) + boosting.leaf_rows
    return np.asarray(np.bincount(node, gradient, leaves) / rows)


def _route(codes: _Codes, splits: _Splits) -> Int64s:
    node = np.zeros(codes.shape[1], np.int64)
    for feature, bin_ in splits:
        node = 2 * node + (codes[feature] > bin_)
    return node
