"""Remaining life on C-MAPSS, learnt from engines run to failure, against the boosting, a line and a constant.

Everything is chosen on the training engines alone. The customary score takes the last row of each test engine with
its life capped at 125 cycles; the same errors without the cap are given beside it, for papers differ in this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from connectors.frame import Float32s
from models import remaining
from models.remaining import Float64s, Run
from models.remaining_features import features_of, normaliser

if TYPE_CHECKING:
    import polars as pl

OURS: Final = "forewarn"
TAGS: Final = (*(f"setting_{number}" for number in range(1, 4)), *(f"s_{number}" for number in range(1, 22)))
CAP: Final = 125.0
PARAMETERS_MAX: Final = 100_000
CAPPED: Final = "RMSE of remaining life, capped at 125"
PARAMETERS: Final = "parameters"
RMSE_MAX: Final = {"FD001": 10.1, "FD002": 11.5, "FD003": 10.5}
TARGETS: Final = {
    **{(subset, CAPPED): Target(rmse, at_least=False) for subset, rmse in RMSE_MAX.items()},
    **{(subset, PARAMETERS): Target(PARAMETERS_MAX, at_least=False) for subset in RMSE_MAX},
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Engines run to failure to learn from, engines cut short to try, and the life the latter had left f64[N]."""

    subset: str
    learnt: list[Run]
    tried: list[Float32s]
    left: Float64s


@dataclass(frozen=True, slots=True)
class Said:
    """What a method says of the tried engines: life f64[N], the 90 % interval f64[N, 2] if it has one, its size."""

    life: Float64s
    interval: Float64s | None
    parameters: int


Method = Callable[[Fleet, int], Said]


def run(table: pl.DataFrame, subsets: Sequence[str], options: Options) -> Iterator[Result]:
    """Measure every chosen method on the subsets of a table with columns subset, split, unit, cycle, rul and TAGS."""
    methods = chosen(options)
    for subset in subsets:
        fleet = fleet_of(table, subset, options.limit)
        for name, method in methods.items():
            figures = []
            for seed in range(options.seeds if name in SEEDED else 1):
                options.progress(f"{subset}, remaining life, {name}, seed {seed}", seed / options.seeds)
                figures.append(measure(fleet, method, seed))
            yield from mean_over_seeds("cmapss", name, figures, TARGETS if name == OURS else {})


def chosen(options: Options) -> dict[str, Method]:
    """Return the methods asked for, all where none are; raise BenchmarkError for one whose package is missing."""
    found = {name: method for name, method in METHODS.items() if not options.methods or name in options.methods}
    if find_spec("sklearn") is None and (missing := [name for name in found if name in NEED_SKLEARN]):
        raise BenchmarkError(
            f"{', '.join(missing)}: scikit-learn is needed; install the extra [bench], or name other --methods"
        )
    return found


def fleet_of(table: pl.DataFrame, subset: str, limit: int | None) -> Fleet:
    """Return a subset's engines, the first `limit` of each split; raise BenchmarkError where a split has none."""
    learnt, tried, left = [], [], []
    for split in ("train", "test"):
        rows = table.filter(subset=subset, split=split).sort("unit", "cycle")
        for part in rows.partition_by("unit", maintain_order=True)[:limit]:
            values = part.select(TAGS).to_numpy().astype(np.float32)
            life = part["rul"].to_numpy().astype(np.float64)
            if split == "train":
                learnt.append(Run(str(part["unit"][0]), values, life))
            else:
                tried.append(values)
                left.append(float(life[-1]))
    if not learnt or not tried:
        raise BenchmarkError(f"{subset} lacks engines to learn from or to try; give the whole file of the set")
    return Fleet(subset, learnt, tried, np.array(left))


def measure(fleet: Fleet, method: Method, seed: int) -> list[Figure]:
    """Learn once and score; the time is that of the processor."""
    began = time.process_time()
    said = method(fleet, seed)
    seconds = time.process_time() - began
    capped = np.minimum(fleet.left, CAP)
    error = np.clip(said.life, 0.0, CAP) - capped
    figures = [
        (CAPPED, _rms(error), "cycles"),
        ("RMSE of remaining life, uncapped", _rms(said.life - fleet.left), "cycles"),
        ("PHM08 score, capped at 125", float(np.expm1(np.where(error < 0, -error / 13, error / 10)).sum()), ""),
        (PARAMETERS, float(said.parameters), ""),
        ("CPU time to learn and try", seconds, "s"),
    ]
    if said.interval is not None:
        low, high = said.interval.T
        inside = (low <= fleet.left) & (fleet.left <= high)
        figures.append(("coverage of the 90 % interval of the uncapped life", 100 * float(inside.mean()), "%"))
        figures.append(("median width of the 90 % interval", float(np.median(high - low)), "cycles"))
    return [Figure(fleet.subset, *figure) for figure in figures]


def ours(fleet: Fleet, seed: int) -> Said:
    """Learn by what `forewarn learn --rul` learns with."""
    model = remaining.learn(fleet.learnt, horizon_rows=CAP, seed=seed)
    last = np.stack([f[-1] for f in features_of(fleet.tried, model.norm, CAP)])
    life = model.estimate(last)
    return Said(life, model.quantiles(life)[:, [0, 2]], model.parameters)


def boosting(fleet: Fleet, seed: int) -> Said:
    """Learn scikit-learn's histogram gradient boosting, 200 trees, from the same features."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    x, y, last = _lesson(fleet)
    model = HistGradientBoostingRegressor(max_iter=200, learning_rate=0.05, random_state=seed).fit(x, y)
    # A split is a feature, a threshold and two children; a leaf is a value.
    nodes = sum(len(tree.nodes) for trees in model._predictors for tree in trees)
    return Said(model.predict(last), None, 3 * nodes)


def line(fleet: Fleet, _seed: int) -> Said:
    """Learn scikit-learn's ridge regression from the same features."""
    from sklearn.linear_model import Ridge

    x, y, last = _lesson(fleet)
    model = Ridge(alpha=10.0).fit(x, y)
    return Said(model.predict(last), None, x.shape[1] + 1)


def constant(fleet: Fleet, _seed: int) -> Said:
    """Say the mean capped life of the training rows, whatever the engine."""
    mean = float(np.mean(np.concatenate([np.minimum(run.remaining_rows, CAP) for run in fleet.learnt])))
    return Said(np.full(len(fleet.tried), mean), None, 1)


def _lesson(fleet: Fleet) -> tuple[Float32s, Float64s, Float32s]:
    """Return features and capped life of all training rows, and the features of the tried engines' last rows."""
    life = np.concatenate([run.remaining_rows for run in fleet.learnt])
    norm = normaliser(np.concatenate([run.values for run in fleet.learnt]), life, CAP)
    assert norm is not None
    x = np.concatenate(features_of([run.values for run in fleet.learnt], norm, CAP))
    y = np.minimum(life, CAP)
    return x, y, np.stack([f[-1] for f in features_of(fleet.tried, norm, CAP)])


def _rms(error: Float64s) -> float:
    return float(np.sqrt(np.mean(error**2)))


METHODS: Final[dict[str, Method]] = {
    OURS: ours,
    "HistGradientBoosting": boosting,
    "Ridge": line,
    "constant": constant,
}
NEED_SKLEARN: Final = ("HistGradientBoosting", "Ridge")
SEEDED: Final = (OURS, "HistGradientBoosting")
