"""NASA C-MAPSS: turbofan engines run to failure; how early wear shows without labels, and the remaining life."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.backtest.trial import HEALTHY, BacktestError, Float64s, Judge, Learn, Segment
from benchmarks import remaining_life
from benchmarks.methods import METHODS, OURS, Method, chosen
from benchmarks.options import Options
from benchmarks.peers import UnfinishedError
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from benchmarks.trials import ALERTS_PER_S, Blind, in_a_row
from connectors.frame import Float32s

if TYPE_CHECKING:
    import polars as pl

FILE: Final = "cmapss/cmapss.parquet"
ORIGIN: Final = "https://data.nasa.gov/dataset/cmapss-jet-engine-simulated-data"
TAGS: Final = (*(f"setting_{number}" for number in range(1, 4)), *(f"s_{number}" for number in range(1, 22)))
CYCLE_S: Final = 3600
"""A cycle has no length in the file; an hour stands for it where a method asks for seconds."""
HEALTHY_CYCLES: Final = 60
FOLDS: Final = 5
LIMIT_QUANTILE: Final = 0.95
IN_A_ROW: Final = 3

SUBSETS: Final = ("FD001", "FD002", "FD003")
LEAD: Final = "median lead without labels"
FALSE: Final = "engines with a false alarm"
TARGETS: Final = {
    **{(subset, LEAD): Target(cycles) for subset, cycles in zip(SUBSETS, (50, 55, 50), strict=True)},
    **{(subset, FALSE): Target(5, at_least=False) for subset in SUBSETS},
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine from its first cycle to its failure: f32[T, C]."""

    unit: int
    values: Float32s

    def segment(self, cycles: int | None = None) -> Segment:
        """Return its first cycles, all of them by default."""
        values = self.values[:cycles]
        times_ns = np.arange(len(values), dtype=np.int64) * CYCLE_S * 1_000_000_000
        return Segment(str(self.unit), times_ns, values, np.isfinite(values), np.full(len(values), HEALTHY, np.int8))


def run(options: Options) -> Iterator[Result]:
    """Measure the lead without labels, then the remaining life, on every subset that is asked for and present."""
    table = _table(options)
    remaining_life.chosen(options)  # complains before the first part has taken its hours
    # A method of the one part need not be one of the other.
    names = tuple(name for name in options.methods if name in METHODS or name not in remaining_life.METHODS)
    if names or not options.methods:
        yield from _leads(table, replace(options, methods=names))
    yield from remaining_life.run(table, present(table, options.subsets), options)


def run_leads(options: Options) -> Iterator[Result]:
    """Measure the lead without labels alone."""
    yield from _leads(_table(options), options)


def _table(options: Options) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(options.file(FILE, ORIGIN))


def _leads(table: pl.DataFrame, options: Options) -> Iterator[Result]:
    methods = chosen(options.methods)
    for subset in present(table, options.subsets):
        yield from leads(subset, engines(table, subset, options.limit), methods, options)


def present(table: pl.DataFrame, asked: Sequence[str]) -> list[str]:
    """Return the subsets asked for, all in the file where none are; raise BenchmarkError for one that is not there."""
    there = sorted(table["subset"].unique().to_list())
    if missing := [name for name in asked if name not in there]:
        raise BenchmarkError(f"no subset {', '.join(missing)} in {FILE}; it has: {', '.join(there)}")
    return list(asked) or there


def engines(table: pl.DataFrame, subset: str, limit: int | None) -> list[Engine]:
    """Return the engines of the training split, whose lives are known to the end."""
    import polars as pl

    rows = table.filter((pl.col("subset") == subset) & (pl.col("split") == "train")).sort("unit", "cycle")
    parts = rows.partition_by("unit", maintain_order=True)[: None if limit is None else 2 * limit]
    return [Engine(int(part["unit"][0]), part.select(TAGS).to_numpy().astype(np.float32)) for part in parts]


def leads(
    subset: str, fleet: Sequence[Engine], methods: Mapping[str, Method], options: Options
) -> Iterator[Result]:
    """Yield the lead of every method, the mean over the seeds."""
    for name, method in methods.items():
        figures = []
        try:
            for seed in range(options.seeds if method.seeded else 1):
                options.progress(f"{subset}, {name}, seed {seed}", seed / options.seeds)
                figures.append(lead(subset, fleet, method.make(seed)))
        except UnfinishedError:
            yield Result("cmapss", subset, name, "did not finish", None, "", 0)
            continue
        yield from mean_over_seeds("cmapss", name, figures, TARGETS if name == OURS else {})


def lead(subset: str, fleet: Sequence[Engine], learn: Learn) -> list[Figure]:
    """Learn from the first 60 cycles of the even engines, try the odd ones.

    The limit is the 95 % quantile, over the even engines, of the largest score in the first 60 cycles, each engine
    scored by a model that has not seen it. An engine is found by the first three cycles in a row over the limit after
    its 60th; one that is not found has a lead of 0, and three in a row before the 60th are a false alarm.
    """
    even = [engine.segment(HEALTHY_CYCLES) for engine in fleet if engine.unit % 2 == 0]
    odd = [engine.segment() for engine in fleet if engine.unit % 2 == 1]
    limit = float(np.quantile(_held_out_maxima(even, learn), LIMIT_QUANTILE))
    model = _model(learn, even)
    alarms = [in_a_row(_score(model, engine) > limit, IN_A_ROW) for engine in odd]
    left = [_cycles_left(alarm[HEALTHY_CYCLES:]) for alarm in alarms]
    return [
        Figure(subset, LEAD, float(np.median(left)), "cycles"),
        Figure(subset, FALSE, 100 * float(np.mean([alarm[:HEALTHY_CYCLES].any() for alarm in alarms])), "%"),
        Figure(subset, "engines found before failure", 100 * float(np.mean([cycles > 0 for cycles in left])), "%"),
    ]


def _held_out_maxima(segments: Sequence[Segment], learn: Learn) -> list[float]:
    maxima = []
    for fold in range(FOLDS):
        model = _model(learn, [part for number, part in enumerate(segments) if number % FOLDS != fold])
        maxima += [float(np.max(_score(model, part))) for part in segments[fold::FOLDS]]
    return maxima


def _model(learn: Learn, segments: Sequence[Segment]) -> Judge:
    try:
        return learn(segments, TAGS, CYCLE_S, ALERTS_PER_S, lambda _share: None)
    except UnfinishedError:
        raise
    except BacktestError:
        return Blind()


def _score(model: Judge, segment: Segment) -> Float64s:
    """Score a segment; a blind row is never over a limit."""
    score = model.judge(segment.times_ns, segment.values, segment.mask).score
    return np.where(np.isnan(score), -np.inf, score)


def _cycles_left(alarm: np.ndarray) -> int:
    return len(alarm) - 1 - int(np.argmax(alarm)) if alarm.any() else 0
