"""Runs every method over the same trials of a recording, once per seed, and measures each alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from agent.backtest.judge import OFF_DELAY_S, ON_DELAY_S
from agent.backtest.metrics import JudgedRun
from agent.backtest.recording import Layout, Recording, load
from agent.backtest.split import Split
from agent.backtest.trial import BacktestError, Judge, Judged, Learn, Segment, Trial
from benchmarks.methods import OURS, Method, chosen
from benchmarks.options import Options
from benchmarks.peers import UnfinishedError
from benchmarks.result import BenchmarkError, Figure, Result, Targets, mean_over_seeds
from connectors.frame import Bools, Float32s, Int64s

ALERTS_PER_S: Final = 1 / (7 * 86_400)
"""The alarm budget on every set: one alert per asset and week, the default of the product."""

ON_DELAY_ROWS: Final = round(ON_DELAY_S)
OFF_DELAY_ROWS: Final = round(OFF_DELAY_S)
"""The delays of the agent's alarms, in rows at 1 Hz."""

Measure = Callable[[Sequence[JudgedRun]], list[Figure]]


def recording(path: Path, layout: Layout, split: Split, limit: int | None) -> Recording:
    """Read a recording, of its test part only the first `limit` runs; raise BenchmarkError where it does not fit."""
    try:
        whole = load(path, layout, split)
    except BacktestError as error:
        raise BenchmarkError(str(error)) from error
    if limit is None:
        return whole
    names = list(dict.fromkeys(part.run for trial in whole.trials for part in trial.test))[:limit]
    trials = [replace(trial, test=tuple(part for part in trial.test if part.run in names)) for trial in whole.trials]
    return replace(whole, trials=tuple(trial for trial in trials if trial.test))


def compare(
    benchmark: str,
    trials: Recording,
    measure: Measure,
    targets: Targets,
    options: Options,
    *,
    case: str = "all",
    delays: bool = False,
) -> Iterator[Result]:
    """Yield the figures of every chosen method; one that does not finish yields one result without a value for `case`.

    With `delays` the alarms are not the rows over the limit but have the delays of the agent's.
    """
    for name, method in chosen(options.methods).items():
        seeds = range(options.seeds if method.seeded else 1)
        try:
            figures = [measure(_judged(name, method, seed, trials, options, delays=delays)) for seed in seeds]
        except UnfinishedError:
            yield Result(benchmark, case, name, "did not finish", None, "", 0)
            continue
        yield from mean_over_seeds(benchmark, name, figures, targets if name == OURS else {})


def _judged(
    name: str, method: Method, seed: int, trials: Recording, options: Options, *, delays: bool
) -> list[JudgedRun]:
    def progress(share: float) -> None:
        options.progress(f"{name}, seed {seed}", share)

    return judged(method.make(seed), trials, progress, delays=delays)


def judged(
    learn: Learn, trials: Recording, progress: Callable[[float], None], *, delays: bool = False
) -> list[JudgedRun]:
    """Learn each trial and judge its test runs; a trial that cannot be learnt is blind: no score and no alarm."""
    runs: list[JudgedRun] = []
    for number, trial in enumerate(trials.trials):
        model: Judge
        try:
            model = learn(trial.learn, trial.tags, trials.period_s, ALERTS_PER_S, lambda _share: None)
        except UnfinishedError:
            raise
        except BacktestError:
            model = Blind()
        runs += _judged_trial(model, number, trial, trials.period_ns, delays=delays)
        progress((number + 1) / len(trials.trials))
    return runs


class Blind:
    """The judge that there is where nothing could be learnt."""

    def judge(self, times_ns: Int64s, _values: Float32s, _mask: Bools) -> Judged:
        """Return no score and no alarm."""
        return Judged(np.full(len(times_ns), np.nan), np.zeros(len(times_ns), np.bool_))


def _judged_trial(
    model: Judge, number: int, trial: Trial, period_ns: int, *, delays: bool
) -> Iterator[JudgedRun]:
    by_run: dict[str, list[Segment]] = {}
    for segment in trial.test:
        by_run.setdefault(segment.run, []).append(segment)
    for name, parts in by_run.items():
        said = [model.judge(part.times_ns, part.values, part.mask) for part in parts]
        # Before rows without a label are left out: delays run on through them.
        active = [alarms(each.alarmed, ON_DELAY_ROWS, OFF_DELAY_ROWS) if delays else each.alarmed for each in said]
        yield JudgedRun.of(
            name, number, period_ns,
            np.concatenate([part.times_ns for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([each.score for each in said]),
            np.concatenate(active),
        )


def in_a_row(over: Bools, rows: int) -> Bools:
    """Return where bool[T] has been True for `rows` rows, this one included."""
    run = np.zeros(len(over), np.int64)
    length = 0
    for row, is_over in enumerate(over):
        length = length + 1 if is_over else 0
        run[row] = length
    held: Bools = run >= rows
    return held


def alarms(over: Bools, on_rows: int, off_rows: int) -> Bools:
    """Return bool[T] with the agent's delays: raised after `on_rows` over the limit, over after `off_rows` below."""
    raised, cleared = in_a_row(over, on_rows), in_a_row(~over, off_rows)
    changes = np.where(raised, 1, np.where(cleared, -1, 0))
    last = np.maximum.accumulate(np.where(changes != 0, np.arange(len(over)), -1))
    active: Bools = (last >= 0) & (changes[np.maximum(last, 0)] == 1)
    return active
