"""The results of a back-test for people (tables) and for programs (one JSON object)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from agent.backtest.backtest import Outcome, Result
from agent.backtest.metrics import Figures
from agent.backtest.recording import Recording
from agent.cells import cells

RUNS_SHOWN_MAX: Final = 40
FAILED_SHOWN_MAX: Final = 5
HEADINGS: Final = (
    "events\nfound",
    "median\ndelay",
    "90 %\ndelay",
    "median\nlead",
    "false ep.\nper week",
    "healthy\nalarm time",
    "detected\nat 1 %",
    "average\nprecision",
    "VUS-PR",
    "rows/s",
)


def as_json(outcome: Outcome, ours: str) -> str:
    """Return one object: `total`, `trivial` by name and `runs`; a figure that there is none of is null."""
    own = outcome.results[ours]
    return json.dumps(
        {
            "total": _plain(own.total),
            "trivial": {
                name: _plain(result.total) for name, result in outcome.results.items() if name != ours
            },
            "runs": [{"run": run, **_plain(figures)} for run, figures in own.runs],
        },
        indent=2,
        allow_nan=False,
    )


def show(console: Console, recording: Recording, outcome: Outcome, ours: str) -> None:
    """Print what was learnt from, each run where they are few, the total and how long it took."""
    results = outcome.results
    for line in learnt(recording, outcome):
        console.print(line, highlight=False, markup=False)
    if 1 < len(results[ours].runs) <= RUNS_SHOWN_MAX:
        console.print(_run_table(results))
    elif len(results[ours].runs) > RUNS_SHOWN_MAX:
        console.print(f"{len(results[ours].runs)} runs; --json gives the figures of each", highlight=False)
    console.print(_total_table(results))
    took = (
        f"{name} {duration(result.learning_s)} + {duration(result.scoring_s)}"
        for name, result in results.items()
    )
    console.print(f"learning + scoring took: {', '.join(took)}", highlight=False, markup=False)


def learnt(recording: Recording, outcome: Outcome) -> Iterator[str]:
    """Say what was learnt from, what was tried, and what is odd about the recording."""
    learn = [segment for trial in recording.trials for segment in trial.learn]
    test = [segment for trial in recording.trials for segment in trial.test]
    rows = [sum(int(segment.mask.any(axis=1).sum()) for segment in part) for part in (learn, test)]
    runs = [len({segment.run for segment in part}) for part in (learn, test)]
    models = len(recording.trials)
    yield (
        f"{recording.path.name}: learnt {_count(models, 'model')} from "
        f"{_count(rows[0], 'row')} of {_count(runs[0], 'run')} ({recording.learnt_from}), tried on "
        f"{_count(rows[1], 'row')} of {_count(runs[1], 'run')}; {_count(len(recording.tags), 'tag')}, "
        f"period {duration(recording.period_s)}"
    )
    yield from (f"note: {note}" for note in recording.notes)
    if outcome.failed:
        yield f"note: {_count(len(outcome.failed), 'run')} left out because nothing could be learnt there:"
        yield from (f"  {why}" for why in outcome.failed[:FAILED_SHOWN_MAX])


def duration(seconds: float) -> str:
    """Return a time in the unit in which it reads best; a dash where there is none."""
    if math.isnan(seconds):
        return "-"
    if 0 < seconds < 0.001:
        return "<1 ms"
    for unit, size, until in (("ms", 0.001, 1), ("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < until and seconds:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds / 86_400)} d" if seconds else "0 s"


def _run_table(results: Mapping[str, Result]) -> Table:
    table = Table(
        Column("run", overflow="fold"),
        Column("rule", no_wrap=True),
        *HEADINGS,
        title="Per run",
        title_justify="left",
    )
    for per_rule in zip(*(result.runs for result in results.values()), strict=True):
        for number, (name, (run, figures)) in enumerate(zip(results, per_rule, strict=True)):
            style = "dim" if number else None
            table.add_row(*cells("" if number else run, name, *_cells(figures)), style=style)
        table.add_section()
    return table


def _total_table(results: Mapping[str, Result]) -> Table:
    table = Table(Column("rule", no_wrap=True), *HEADINGS, title="Total", title_justify="left")
    for number, (name, result) in enumerate(results.items()):
        table.add_row(*cells(name, *_cells(result.total)), style="dim" if number else "bold")
    return table


def _cells(figures: Figures) -> list[str]:
    return [
        f"{figures.events_found} of {figures.events}",
        duration(figures.median_delay_s),
        duration(figures.p90_delay_s),
        duration(figures.median_lead_s),
        "-" if math.isnan(figures.false_episodes_per_week) else _three(figures.false_episodes_per_week),
        _number(figures.healthy_alarm_fraction, "{:.1%}"),
        _number(figures.detection_at_1pct, "{:.1%}"),
        _number(figures.average_precision, "{:.3f}"),
        _number(figures.vus_pr, "{:.3f}"),
        "-" if math.isnan(figures.rows_per_s) else _compact(figures.rows_per_s),
    ]


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else form.format(value)


def _three(value: float) -> str:
    """Write a number with three digits, or all of a larger whole part."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _compact(value: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{_three(value / size)}{unit}"
    return _three(value)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _plain(figures: Figures) -> dict[str, int | float | None]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(figures).items()
    }
