"""SKAB: 34 short experiments on a water-pump test bed, each with one staged fault near its middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.metrics import JudgedRun, events_in
from agent.backtest.ranking import average_precision
from agent.backtest.recording import Layout, Recording
from agent.backtest.split import Split
from benchmarks.options import Options
from benchmarks.result import Figure, Result, Target
from benchmarks.trials import compare, recording
from connectors.frame import Bools

FILE: Final = "skab/skab.parquet"
ORIGIN: Final = "https://github.com/waico/SKAB"
LEARN_ROWS: Final = 400
TAGS: Final = ("Acc*", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage", "Volume*")

CASE: Final = "34 experiments"
TARGETS: Final = {
    (CASE, "events found"): Target(33),
    (CASE, "alarm time before the fault"): Target(5, at_least=False),
    (CASE, "F1"): Target(0.80),
    (CASE, "false alarm rate"): Target(15, at_least=False),
}


def run(options: Options) -> Iterator[Result]:
    """Learn one model for each experiment from its first 400 rows, as is customary, and try the rest."""
    yield from compare("skab", trials(options), measure, TARGETS, options)


def trials(options: Options) -> Recording:
    """Return what each model learns from and what it is tried on."""
    # By row and not by time stamp: that is how the published figures count.
    layout = Layout(run=("experiment",), label="anomaly", tags=TAGS, period_s=1)
    split = Split(learn_rows=LEARN_ROWS, test="experiment not like 'anomaly-free%'", per_run=True)
    return recording(options.file(FILE, ORIGIN), layout, split, options.limit)


def measure(runs: Sequence[JudgedRun]) -> list[Figure]:
    """Return F1 and the rates over all rows together, row by row, and what happens to each fault."""
    rows = Confusion.of(np.concatenate([run.faulty for run in runs]), np.concatenate([run.alarmed for run in runs]))
    events = [event for run in runs for event in events_in(run)]
    before = np.concatenate([run.alarmed[: _first_fault(run)] for run in runs])
    delays = [event.delay_s for event in events if event.found]
    ranks = [average_precision(run.faulty, run.score) for run in runs]
    return [
        Figure(CASE, "events found", sum(event.found for event in events), f"of {len(events)}"),
        Figure(CASE, "alarm time before the fault", 100 * _mean(before), "%"),
        Figure(CASE, "F1", rows.f1, ""),
        Figure(CASE, "false alarm rate", 100 * rows.false_alarm_rate, "%"),
        Figure(CASE, "missed alarm rate", 100 * rows.missed_alarm_rate, "%"),
        Figure(CASE, "median delay", float(np.median(delays)) if delays else float("nan"), "s"),
        Figure(CASE, "average precision, mean of experiments", _mean(np.array(ranks)), ""),
    ]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many rows of each kind: true and false alarms, missed and rightly quiet."""

    true: int
    false: int
    missed: int
    quiet: int

    @classmethod
    def of(cls, faulty: Bools, alarmed: Bools) -> Confusion:
        """Count the rows of bool[T]."""
        return cls(
            int((faulty & alarmed).sum()), int((~faulty & alarmed).sum()),
            int((faulty & ~alarmed).sum()), int((~faulty & ~alarmed).sum()),
        )

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 without a true alarm."""
        return 2 * self.true / max(2 * self.true + self.false + self.missed, 1)

    @property
    def false_alarm_rate(self) -> float:
        """The share of healthy rows that alarm."""
        return self.false / max(self.false + self.quiet, 1)

    @property
    def missed_alarm_rate(self) -> float:
        """The share of faulty rows that do not alarm."""
        return self.missed / max(self.true + self.missed, 1)


def _first_fault(run: JudgedRun) -> int:
    return int(np.argmax(run.faulty)) if run.faulty.any() else len(run.faulty)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
