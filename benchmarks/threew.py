"""3W: real oil wells. Classes 2 (a safety valve closes by itself) and 6 (a choke closes quickly) begin healthy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from agent.backtest.metrics import JudgedRun, events_in
from agent.backtest.recording import Layout, Recording
from agent.backtest.split import Split
from agent.backtest.trial import Segment, Trial
from benchmarks.options import Options
from benchmarks.result import Figure, Result, Target
from benchmarks.trials import compare, recording
from connectors.frame import Bools

FILE: Final = "threew/real_1hz_class2_6.parquet"
ORIGIN: Final = "https://github.com/ricardovvargas/3w_dataset"
LEARN_SHARE: Final = 0.6
MISSING_MAX: Final = 0.5
CLASSES: Final = (2, 6)

FOUND: Final = "events found"
EARLY: Final = "instances that alarm before their event"
TARGETS: Final = {
    ("class 2", FOUND): Target(18),
    ("class 2", EARLY): Target(3, at_least=False),
}


def run(options: Options) -> Iterator[Result]:
    """Learn one model for each instance from the first 60 % of its healthy rows, minutes to hours; try the rest."""
    for number in CLASSES:
        case = f"class {number}"

        def measure(runs: Sequence[JudgedRun], case: str = case) -> list[Figure]:
            return measured(runs, case)

        yield from compare("threew", trials(options, number), measure, TARGETS, options, case=case, delays=True)


def trials(options: Options, number: int) -> Recording:
    """Return what each model of an event class learns from and what it is tried on."""
    layout = Layout(time="timestamp", run=("instance",), label="class", tags=("P-*", "Q*", "T-*"))
    test = f"event_class = {number}"
    split = Split(learn_until_label=True, learn_share=LEARN_SHARE, per_run=True, test=test)
    return with_present_tags(recording(options.file(FILE, ORIGIN), layout, split, options.limit))


def with_present_tags(trials: Recording) -> Recording:
    """Return the trials, each with the tags that are mostly there in what it learns from: many are empty."""
    return replace(trials, trials=tuple(narrowed(trial) for trial in trials.trials))


def narrowed(trial: Trial) -> Trial:
    """Return the trial without the tags that lack more than half of the learnt rows."""
    missing = 1 - np.concatenate([part.mask for part in trial.learn]).mean(axis=0)
    keep: Bools = missing <= MISSING_MAX

    def narrow(parts: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(part, values=part.values[:, keep], mask=part.mask[:, keep]) for part in parts)

    tags = tuple(tag for tag, kept in zip(trial.tags, keep, strict=True) if kept)
    return Trial(tags, narrow(trial.learn), narrow(trial.test))


def measured(runs: Sequence[JudgedRun], case: str) -> list[Figure]:
    """Return the events found, the instances that alarm while all is well, and the delay.

    An alarm raised in the rows between that the experts left unlabelled is neither early nor late: delay 0.
    """
    events = [event for run in runs for event in events_in(run)]
    early = sum(bool(run.alarmed[run.healthy].any()) for run in runs)
    blind = sum(bool((run.score == -np.inf).all()) for run in runs)
    delays = [event.delay_s for event in events if event.found]
    return [
        Figure(case, FOUND, sum(event.found for event in events), f"of {len(events)}"),
        Figure(case, EARLY, early, f"of {len(runs)}"),
        Figure(case, "median delay", float(np.median(delays)) if delays else float("nan"), "s"),
        Figure(case, "instances that cannot be learnt", blind, f"of {len(runs)}"),
    ]
