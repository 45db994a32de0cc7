"""The Cranfield three-phase flow facility: six seeded faults that grow, at changing operating points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from agent.backtest.metrics import JudgedRun, events_in
from agent.backtest.ranking import average_precision
from agent.backtest.recording import Layout, Recording
from agent.backtest.split import Split
from benchmarks.options import Options
from benchmarks.result import Figure, Result, Target
from benchmarks.trials import compare, recording

FILE: Final = "cranfield/cranfield_faulty_1hz.parquet"
ORIGIN: Final = "https://github.com/JimmyPang02/ProcessMonitoringTool"
LEARN_SHARE: Final = 0.7
FALSE_ALARMS: Final = 0.01

PRECISION: Final = "average precision"
DETECTION: Final = "detection at 1 % false alarms"
TARGETS: Final = {("all sets", PRECISION): Target(0.965), ("all sets", DETECTION): Target(55)}


def run(options: Options) -> Iterator[Result]:
    """Learn one model from the first 70 % of the healthy rows before the first fault of each set; try the rest."""
    yield from compare("cranfield", trials(options), measure, TARGETS, options, delays=True)


def trials(options: Options) -> Recording:
    """Return what each model learns from and what it is tried on."""
    layout = Layout(time="sample_s", run=("set",), label="label", tags=("v*",))
    split = Split(learn_until_label=True, learn_share=LEARN_SHARE)
    return recording(options.file(FILE, ORIGIN), layout, split, options.limit)


def measure(runs: Sequence[JudgedRun]) -> list[Figure]:
    """Return the figures over the rows of all sets together, and the events that the learnt limit finds.

    The limit of the detection is the 99 % quantile over the healthy rows of the test part, so it compares scores and
    is no operating limit.
    """
    faulty = np.concatenate([run.faulty for run in runs])
    score = np.concatenate([run.score for run in runs])
    limit = float(np.quantile(score[~faulty], 1 - FALSE_ALARMS))
    events = [event for run in runs for event in events_in(run)]
    healthy = np.concatenate([run.alarmed[run.healthy] for run in runs])
    return [
        Figure("all sets", PRECISION, average_precision(faulty, score), ""),
        Figure("all sets", DETECTION, 100 * float(np.mean(score[faulty] > limit)), "%"),
        Figure("all sets", "events found", sum(event.found for event in events), f"of {len(events)}"),
        Figure("all sets", "false alarm time", 100 * float(healthy.mean()), "%"),
    ]
