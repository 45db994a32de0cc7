"""The loop: each rule learns from each trial, judges rows it has not seen, and all are measured alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.metrics import Figures, JudgedRun, limits_at_1pct, measure
from agent.backtest.recording import Recording
from agent.backtest.trial import BacktestError, Judge, Judged, Learn, Segment, Trial
from agent.clock import Clock

NS_PER_S: Final = 1_000_000_000

Progress = Callable[[str, float], None]
"""What is being done, and the share of it that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of every rule alike: the alarm budget, and how far apart two alarms are two episodes."""

    alerts_per_s: float
    merge_gap_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one rule reached: in total, per run in the order of the file, and the time it took."""

    total: Figures
    runs: tuple[tuple[str, Figures], ...]
    learning_s: float
    scoring_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results by rule, in the order of the rules; `failed` are the runs left out and why."""

    results: Mapping[str, Result]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a rule made of each trial (a model, or why there is none), and the seconds that took."""

    models: tuple[Judge | BacktestError, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One run as judged, how many rows of the grid that were and the seconds it took."""

    run: JudgedRun
    rows: int
    seconds: float


def backtest(
    recording: Recording, rules: Mapping[str, Learn], terms: Terms, clock: Clock, progress: Progress
) -> Outcome:
    """Try each rule on the recording.

    A trial from which some rule cannot learn is left out for all, so that all are compared on the same rows;
    raise that rule's BacktestError where no trial is left.
    """
    learnt = {name: _learnt(recording, name, rule, terms, clock, progress) for name, rule in rules.items()}
    failures = {
        number: model
        for each in learnt.values()
        for number, model in enumerate(each.models)
        if isinstance(model, BacktestError)
    }
    if len(failures) == len(recording.trials):
        raise failures[0]
    failed = tuple(
        f"{recording.trials[number].test[0].run}: {why}" for number, why in sorted(failures.items())
    )
    results = {
        name: _result(recording, name, each, failures, terms, clock, progress)
        for name, each in learnt.items()
    }
    return Outcome(results, failed)


def _learnt(
    recording: Recording, name: str, learn: Learn, terms: Terms, clock: Clock, progress: Progress
) -> Learnt:
    models: list[Judge | BacktestError] = []
    start_ns = clock.monotonic_ns()
    for number, trial in enumerate(recording.trials):

        def share(done: float, number: int = number) -> None:
            progress(f"{name}: learning", (number + done) / len(recording.trials))

        try:
            models.append(learn(trial.learn, trial.tags, recording.period_s, terms.alerts_per_s, share))
        except BacktestError as error:
            models.append(error)
        share(1.0)
    return Learnt(tuple(models), (clock.monotonic_ns() - start_ns) / NS_PER_S)


def _result(
    recording: Recording,
    name: str,
    learnt: Learnt,
    left_out: Mapping[int, BacktestError],
    terms: Terms,
    clock: Clock,
    progress: Progress,
) -> Result:
    scored: list[Scored] = []
    for number, (trial, model) in enumerate(zip(recording.trials, learnt.models, strict=True)):
        if number in left_out or isinstance(model, BacktestError):
            continue

        def share(done: float, number: int = number) -> None:
            progress(f"{name}: scoring", (number + done) / len(recording.trials))

        scored += _scored(model, number, trial, recording.period_ns, clock, share)
    limits = limits_at_1pct([each.run for each in scored])

    def figures(of: Sequence[Scored]) -> Figures:
        seconds = sum(each.seconds for each in of)
        rows_per_s = sum(each.rows for each in of) / seconds if seconds > 0 else float("nan")
        return measure([each.run for each in of], limits, terms.merge_gap_s, rows_per_s)

    runs = tuple((each.run.run, figures([each])) for each in scored)
    return Result(figures(scored), runs, learnt.seconds, sum(each.seconds for each in scored))


def _scored(
    model: Judge, number: int, trial: Trial, period_ns: int, clock: Clock, progress: Callable[[float], None]
) -> list[Scored]:
    """Judge each run of the trial, its segments one after the other."""
    by_run: dict[str, list[Segment]] = {}
    for segment in trial.test:
        by_run.setdefault(segment.run, []).append(segment)
    total, done = sum(segment.rows for segment in trial.test), 0
    scored = []
    for name, segments in by_run.items():
        start_ns = clock.monotonic_ns()
        said = []
        for segment in segments:
            said.append(_checked(model.judge(segment.times_ns, segment.values, segment.mask), segment))
            done += segment.rows
            progress(done / total)
        seconds = (clock.monotonic_ns() - start_ns) / NS_PER_S
        times_ns = np.concatenate([segment.times_ns for segment in segments])
        label = np.concatenate([segment.label for segment in segments])
        score = np.concatenate([each.score for each in said])
        alarmed = np.concatenate([each.alarmed for each in said])
        run = JudgedRun.of(name, number, period_ns, times_ns, label, score, alarmed)
        scored.append(Scored(run, len(times_ns), seconds))
    return scored


def _checked(judged: Judged, segment: Segment) -> Judged:
    assert judged.score.shape == judged.alarmed.shape == (segment.rows,), "one score and one alarm per row"
    assert not np.isinf(judged.score).any(), "a score is a number, or NaN where blind"
    return judged
