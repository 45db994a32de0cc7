"""Remaining life learnt from run-to-failure histories: gradient boosting in numpy, with a conformal interval.

The interval is the spread of the true life around what models that had not seen a run said of it, at each level of
what they said (cross-conformal prediction, split by run; Vovk, "Cross-conformal predictors", 2015). Wear is not
visible from the first hour, so the models are taught life up to a horizon only; the interval is that of the whole
life, so near the horizon its upper end is far off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models import packing
from models.remaining_features import Features, Normaliser, features_of, normaliser
from models.remaining_trees import Boosting, Trees, fit, mean

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

FOLDS = 4
BAG = 3
"""The model is the mean of so many, whose rows and features are drawn anew."""
RUNS_MIN = 5
QUANTILES = (0.05, 0.5, 0.95)
HORIZON_SHARE = 0.6
"""The horizon, where none is given, in shares of the median run's life."""
LEVELS = 12
"""The interval is learnt at so many levels of the estimate, with as many rows each."""
ROWS_MAX = 100_000
"""More rows than this are thinned for fitting."""


class RemainingError(Exception):
    """The histories cannot teach remaining life: what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """One machine from commissioning towards failure: values f32[T, C] (NaN missing), `remaining_rows` f64[T] is the
    life left in rows, NaN where nobody knows.
    """

    name: str
    values: Float32s
    remaining_rows: Float64s


@dataclass(frozen=True, slots=True)
class RemainingModel:
    """Trees that estimate life from features, and the interval: at estimates `level` f64[B], the quantiles of the
    true life `life` f64[B, 3], all in rows.
    """

    horizon_rows: float
    norm: Normaliser
    trees: Trees
    level: Float64s
    life: Float64s

    @property
    def parameters(self) -> int:
        """How many learnt numbers the model is made of."""
        parts = (self.norm.centre, self.norm.scale, self.norm.regime, self.norm.spread, self.norm.wear)
        norm = sum(part.size for part in parts)
        return self.trees.parameters + norm + self.level.size + self.life.size

    def estimate(self, features: Float32s) -> Float64s:
        """Return the expected life in rows f64[N], at most the horizon, for features f32[N, F]."""
        return np.asarray(np.clip(self.trees.predict(features), 0.0, self.horizon_rows))

    def quantiles(self, estimate: Float64s) -> Float64s:
        """Return the 5, 50 and 95 % quantiles of the life in rows f64[N, 3] for estimates f64[N]."""
        known = np.stack([np.interp(estimate, self.level, column) for column in self.life.T], 1)
        # The last rows before a failure lie below the lowest level, which is a mean.
        return np.asarray(np.maximum(known - np.maximum(self.level[0] - estimate, 0.0)[:, None], 0.0))

    def pack(self) -> bytes:
        """Return the model as an npz archive; the same model gives the same bytes."""
        return packing.pack(self)


def unpack(content: bytes) -> RemainingModel:
    """Return the model of an archive written by `pack`; raise RemainingError where it is none."""
    try:
        return packing.unpack(RemainingModel, content)
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RemainingError(f"is no model of remaining life ({error})") from error


class RemainingTracker:
    """Follows one asset with a model, row by row; `state` and `restore` carry it over a restart."""

    def __init__(self, model: RemainingModel, period_s: float) -> None:
        self._model = model
        self._period_s = period_s
        self._features = Features(model.norm.width, model.horizon_rows)

    @property
    def state(self) -> Float64s:
        """Return all that is remembered of the asset, f64[M]."""
        return self._features.state

    def restore(self, state: Float64s) -> None:
        """Go on from a `state`."""
        self._features.restore(state)

    def skip(self, rows: int) -> None:
        """Let so many rows pass unseen; the asset gets older by them."""
        self._features.skip(rows)

    def update(self, values: Float32s) -> tuple[float, float, float] | None:
        """Take grid rows f32[N, C] in (NaN missing); return the quantiles of the life left after the last, in seconds.

        None where the last row has no good value among the model's tags.
        """
        z = self._model.norm.apply(values)
        features = self._features.update(z)
        if not len(z) or np.isnan(z[-1]).all():
            return None
        low, median, high = self._model.quantiles(self._model.estimate(features[-1:]))[0] * self._period_s
        return float(low), float(median), float(high)


def learn(
    runs: Sequence[Run],
    *,
    horizon_rows: float | None = None,
    boosting: Boosting | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda _step, _share: None,
) -> RemainingModel:
    """Learn from runs of the same tags, taught life up to `horizon_rows`; raise RemainingError where they cannot teach.

    `progress` hears the step and the share of it that is done.
    """
    boosting = boosting or Boosting()
    _check(runs)
    horizon = horizon_rows or horizon_of(runs)
    assert horizon is not None, "checked above"
    life = np.concatenate([run.remaining_rows for run in runs])
    norm = normaliser(np.concatenate([run.values for run in runs]), life, horizon)
    if norm is None or not len(norm.tags):
        raise RemainingError(
            "no tag moves in these runs, or no row has all of them: name the tags that show wear with --tags"
        )
    progress("computing features", 0.0)
    features = features_of([run.values for run in runs], norm, horizon)
    known = [~np.isnan(run.remaining_rows) for run in runs]
    lesson = _Lesson(
        [f[k] for f, k in zip(features, known, strict=True)],
        [run.remaining_rows[k] for run, k in zip(runs, known, strict=True)],
        horizon,
    )
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(runs)) % FOLDS
    fits = FOLDS + BAG

    def trees(taught: npt.NDArray[np.bool_], done: int) -> Trees:
        return fit(*lesson.rows(taught), boosting, rng, lambda share: progress("learning", (done + share) / fits))

    held_out = [np.empty(0)] * len(runs)
    for k in range(FOLDS):
        model = trees(fold != k, k)
        for run in np.flatnonzero(fold == k):
            held_out[run] = np.clip(model.predict(lesson.features[run]), 0.0, horizon)
    bag = mean([trees(fold >= 0, FOLDS + k) for k in range(BAG)])
    return RemainingModel(horizon, norm, bag, *_interval(held_out, lesson.life))


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Features f32[T, F] and life in rows f64[T] of each run, where it is known."""

    features: list[Float32s]
    life: list[Float64s]
    horizon_rows: float

    def rows(self, taught: npt.NDArray[np.bool_]) -> tuple[Float32s, Float64s]:
        """Return the features and targets of the runs that are taught, thinned to ROWS_MAX."""
        chosen = np.flatnonzero(taught)
        x, y = (np.concatenate([parts[run] for run in chosen]) for parts in (self.features, self.life))
        step = -(-len(y) // ROWS_MAX)
        return x[::step], np.minimum(y[::step], self.horizon_rows)


def horizon_of(runs: Sequence[Run]) -> float | None:
    """Return the rows before failure in which wear is looked for, None where no run's life is known."""
    lives = [float(np.nanmax(run.remaining_rows)) for run in runs if (~np.isnan(run.remaining_rows)).any()]
    return HORIZON_SHARE * float(np.median(lives)) if lives else None


def _check(runs: Sequence[Run]) -> None:
    """Raise RemainingError where a run's remaining life cannot be one, or there are too few runs."""
    for run in runs:
        life = run.remaining_rows[~np.isnan(run.remaining_rows)]
        if (life < 0).any():
            raise RemainingError(f"run {run.name}: the remaining life falls to {life.min():g}; it must not be below 0")
        if len(life) > 1 and not (np.diff(life) < 0).all():
            raise RemainingError(
                f"run {run.name}: the remaining life does not fall from row to row; it must count down to the "
                "failure, and --run must tell one machine's life from another's"
            )
    taught = sum(bool((~np.isnan(run.remaining_rows)).any()) for run in runs)
    if taught < RUNS_MIN or taught < len(runs):
        raise RemainingError(
            f"{taught} of {len(runs)} runs have a remaining life, at least {RUNS_MIN} and all of them must: name the "
            "column that tells them apart with --run, and record more failures"
        )


def _interval(estimate: Sequence[Float64s], truth: Sequence[Float64s]) -> tuple[Float64s, Float64s]:
    """Return levels of the held-out estimate f64[B] and there the quantiles of the truth f64[B, 3], never falling.

    Runs weigh the same however long they are.
    """
    weight = np.concatenate([np.full(len(t), 1.0 / len(t)) for t in truth])
    said, true = np.concatenate(estimate), np.concatenate(truth)
    order = np.argsort(said, kind="stable")
    level, life = [], []
    for part in np.array_split(order, min(LEVELS, len(order))):
        level.append(float(said[part].mean()))
        life.append(_weighted_quantiles(true[part], weight[part]))
    return np.maximum.accumulate(level), np.maximum.accumulate(np.array(life), axis=0)


def _weighted_quantiles(x: Float64s, weight: Float64s) -> list[float]:
    order = np.argsort(x, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return [float(x[order][min(int(np.searchsorted(share, q)), len(x) - 1)]) for q in QUANTILES]
