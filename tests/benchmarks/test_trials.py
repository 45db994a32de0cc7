"""Alarm delays, and the comparison of methods on the trials of a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.backtest.metrics import JudgedRun
from agent.backtest.recording import Layout
from agent.backtest.split import Split
from agent.backtest.trial import BacktestError, Judged
from benchmarks.options import Options
from benchmarks.peers import UnfinishedError
from benchmarks.result import BenchmarkError, Figure, Result, Target
from benchmarks.trials import alarms, compare, in_a_row, judged, recording
from tests.backtest.recordings import plant


def rows(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text])


@pytest.mark.parametrize(
    ("over", "held"), [("xxx.xx.xxxx", "..x......xx"), ("", ""), ("xx", ".."), ("xxxx", "..xx")]
)
def test_three_in_a_row_hold_from_the_third_on(over: str, held: str) -> None:
    assert in_a_row(rows(over), 3).tolist() == rows(held).tolist()


@pytest.mark.parametrize(
    ("over", "active"),
    [
        ("xx.x....x", ".xxxxx..."),  # two on, three off: the gap of one row does not end the alarm
        (".x.x.x.x.", "........."),
        ("xxxxxxxxx", ".xxxxxxxx"),
        ("xx...xx..", ".xxx..xxx"),
    ],
)
def test_an_alarm_has_an_on_delay_and_an_off_delay(over: str, active: str) -> None:
    assert alarms(rows(over), 2, 3).tolist() == rows(active).tolist()


LAYOUT = Layout(time="when", run=("machine",), label="fault", tags=("speed", "flow"))
SPLIT = Split(learn_until_label=True)


def share_alarmed(runs: list[JudgedRun]) -> list[Figure]:
    return [Figure("all", "alarmed", float(np.mean([run.alarmed.mean() for run in runs])), "")]


def test_methods_are_measured_alike_and_only_ours_has_a_target(tmp_path: Path) -> None:
    trials = recording(plant(tmp_path), LAYOUT, SPLIT, None)
    options = Options(methods=("forewarn", "always-on"))
    ours, always = compare("toy", trials, share_alarmed, {("all", "alarmed"): Target(0.5, at_least=False)}, options)
    assert (always.value, always.target) == (1.0, None)
    assert ours.value is not None
    assert 0 < ours.value < 1
    assert ours.target == 0.5


def test_a_method_that_does_not_finish_is_reported_without_a_value(tmp_path: Path) -> None:
    def too_long(_runs: list[JudgedRun]) -> list[Figure]:
        raise UnfinishedError("days")

    trials = recording(plant(tmp_path), LAYOUT, SPLIT, None)
    (result,) = compare("toy", trials, too_long, {}, Options(methods=("random",)), case="plant")
    assert result == Result("toy", "plant", "random", "did not finish", None, "", 0)


def test_a_limit_takes_the_first_runs(tmp_path: Path) -> None:
    trials = recording(plant(tmp_path), LAYOUT, SPLIT, 2)
    assert {part.run for trial in trials.trials for part in trial.test} == {"m0", "m1"}


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="speeed"):
        recording(plant(tmp_path), replace(LAYOUT, tags=("speeed",)), SPLIT, None)


def test_what_cannot_be_learnt_is_blind_and_never_alarms(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise BacktestError("too little")

    runs = judged(refuse, recording(plant(tmp_path), LAYOUT, SPLIT, None), lambda _share: None)  # type: ignore[arg-type]
    assert len(runs) == 4
    assert all((run.score == -np.inf).all() and not run.alarmed.any() for run in runs)


class Last:
    """Alarms in the last rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def judge(self, times_ns: np.ndarray, _values: np.ndarray, _mask: np.ndarray) -> Judged:
        over = np.arange(len(times_ns)) >= len(times_ns) - self._rows
        return Judged(over.astype(float), over)


@pytest.mark.parametrize(("rows", "delays", "alarmed"), [(40, False, 40), (40, True, 11), (29, True, 0)])
def test_alarms_have_the_delays_of_the_agent_if_asked(tmp_path: Path, rows: int, delays: bool, alarmed: int) -> None:
    trials = recording(plant(tmp_path), LAYOUT, SPLIT, None)
    runs = judged(lambda *_: Last(rows), trials, lambda _share: None, delays=delays)
    assert {int(run.alarmed.sum()) for run in runs} == {alarmed}
