"""From a file to trials: runs, grid, tags, what is learnt from, and what a person is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.backtest.grid import HOLE_ROWS_MAX
from agent.backtest.recording import Layout, Recording, load
from agent.backtest.split import Split
from tests.backtest.recordings import START, plant, write

PLANT = Layout(time="when", run=("machine",), label="fault")


def told(recording: Recording) -> str:
    return "\n".join(recording.notes)


def test_runs_stay_apart_and_each_row_is_learnt_from_or_tried(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn_rows=100))
    (trial,) = recording.trials
    assert [segment.run for segment in trial.learn] == ["m0", "m1", "m2", "clean"]
    assert [segment.rows for segment in trial.learn] == [100] * 4
    assert [segment.rows for segment in trial.test] == [300] * 4
    assert trial.test[0].times_ns[0] - trial.learn[0].times_ns[-1] == recording.period_ns == 2_000_000_000
    assert [int(segment.label.sum()) for segment in trial.test] == [100, 100, 100, 0]


def test_default_tags_are_measurements_only(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn_rows=100))
    assert recording.tags == ("speed", "flow")
    assert "row: moves by the same step in each row" in told(recording)


def test_a_countdown_to_failure_is_no_tag_either(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"x": [1.0, 2.0, 1.5, 1.0], "life": [3, 2, 1, 0]})
    assert load(file, Layout(period_s=1), Split(learn_rows=1)).tags == ("x",)


def test_columns_of_the_conditions_are_no_tags(tmp_path: Path) -> None:
    columns = {"part": [0, 0, 0, 1, 1, 1], "x": np.arange(6) ** 2 / 3}
    recording = load(write(tmp_path / "a.parquet", columns), Layout(period_s=1), Split(learn="part = 0"))
    assert recording.tags == ("x",)
    assert "part: in a condition" in told(recording)


def test_a_column_of_a_condition_is_a_tag_where_it_is_named(tmp_path: Path) -> None:
    recording = load(
        plant(tmp_path), replace(PLANT, tags=("speed", "flow")), Split(learn="speed > 49 and row < 100")
    )
    assert recording.tags == ("speed", "flow")


def test_whole_numbers_of_few_values_are_pointed_out(tmp_path: Path) -> None:
    columns = {"kind": [1, 1, 2, 2], "x": [1.0, 2.0, 3.5, 4.0]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout(period_s=1), Split(learn_rows=2))
    assert recording.tags == ("kind", "x")
    assert "kind: whole numbers of few values" in told(recording)


def test_tags_may_be_named_with_wildcards_in_their_order(tmp_path: Path) -> None:
    columns = {"v1": [1.0, 2.0], "w": [1.0, 2.0], "v2": [0.0, 1.0], "a*": [1.0, 0.0]}
    file = write(tmp_path / "a.parquet", columns)
    recording = load(file, Layout(tags=("w", "v*", "a*"), period_s=1), Split(learn_rows=1))
    assert recording.tags == ("w", "v1", "v2", "a*")


def test_the_same_run_in_both_parts_gives_segments_apart(tmp_path: Path) -> None:
    columns = {"part": ["a", "a", "a", "b", "b"], "run": [0] * 5, "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
    recording = load(
        write(tmp_path / "a.parquet", columns), Layout(run=("run",), period_s=60), Split(learn="part = 'a'")
    )
    (trial,) = recording.trials
    assert trial.learn[0].values[:, 0].tolist() == [1, 2, 3]
    assert trial.test[0].values[:, 0].tolist() == [4, 5]
    assert (trial.learn[0].run, trial.test[0].run) == ("0", "0")


def test_several_columns_may_name_a_run(tmp_path: Path) -> None:
    columns = {"line": ["a", "a", "b", "b"], "shift": [1, 1, 1, 2], "x": [1.0, 2.0, 3.0, 4.0]}
    recording = load(
        write(tmp_path / "a.parquet", columns),
        Layout(run=("line", "shift"), period_s=1),
        Split(learn_rows=1, test="true"),
    )
    assert [segment.run for segment in recording.trials[0].learn] == ["a/1", "b/1", "b/2"]


def test_gaps_become_missing_rows_without_a_label(tmp_path: Path) -> None:
    times = [START + timedelta(seconds=s) for s in (0, 1, 2, 3.1, 6.9, 8)]
    columns = {"t": times, "x": [0.0, 1.0, None, 3.0, 7.0, 8.0], "y": [1.0] * 6, "f": [0, 0, 0, 1, 1, None]}
    recording = load(
        write(tmp_path / "a.parquet", columns),
        Layout("t", label="f", tags=("x", "y"), period_s=1),
        Split(learn_rows=1),
    )
    (segment,) = recording.trials[0].test
    assert np.array_equal(
        segment.values[:, 0], np.array([1, np.nan, 3, np.nan, np.nan, np.nan, 7, 8]), equal_nan=True
    )
    assert segment.mask[:, 1].tolist() == [True, True, True, False, False, False, True, True]
    assert segment.label.tolist() == [0, 0, 1, -1, -1, -1, 1, -1]


def test_a_long_hole_ends_the_segment(tmp_path: Path) -> None:
    seconds = [0, 1, 2, 3, 4 + HOLE_ROWS_MAX, 5 + 2 * HOLE_ROWS_MAX + 1]
    columns = {"t": [float(s) for s in seconds], "x": [0.0, 1, 2, 3, 4, 5]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout("t", period_s=1), Split(learn_rows=1))
    assert [segment.rows for segment in recording.trials[0].test] == [4 + HOLE_ROWS_MAX, 1]


def test_a_coarser_period_keeps_the_last_row_and_any_fault(tmp_path: Path) -> None:
    columns = {"t": list(range(12)), "x": [float(i) for i in range(12)], "f": [0] * 8 + [1] + [0] * 3}
    recording = load(
        write(tmp_path / "a.parquet", columns),
        Layout("t", label="f", tags=("x",), period_s=4),
        Split(learn="t < 4"),
    )
    (segment,) = recording.trials[0].test
    assert segment.values[:, 0].tolist() == [5, 9, 11]
    assert segment.label.tolist() == [0, 1, 0]
    assert "12 rows fall on 5 points" in told(recording)


def test_a_finer_period_than_recorded_is_pointed_out(tmp_path: Path) -> None:
    columns = {"t": list(range(0, 100, 10)), "x": [float(i) ** 2 for i in range(10)]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout("t", period_s=1), Split(learn_rows=5))
    assert "most of them missing; is --period right?" in told(recording)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_with_a_zone_are_utc(tmp_path: Path, unit: pl._typing.TimeUnit) -> None:
    times = pl.Series([START + timedelta(seconds=s) for s in range(4)]).cast(pl.Datetime(unit))
    columns = {"t": times.dt.replace_time_zone("Europe/Berlin"), "x": [1.0, 2.0, 4.0, 3.0]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout("t"), Split(learn_rows=1))
    assert recording.trials[0].learn[0].times_ns[0] == 1_767_225_600_000_000_000 - 3_600_000_000_000
    assert recording.period_ns == 1_000_000_000


def test_the_only_column_of_dates_is_the_time_where_nothing_is_said(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), replace(PLANT, time=None), Split(learn_rows=100))
    assert recording.period_s == 2
    assert "when is the only column of dates" in told(recording)
    assert load(plant(tmp_path), replace(PLANT, time=None, period_s=7), Split(learn_rows=100)).period_s == 7


def test_rows_without_a_time_are_left_out_and_said_so(tmp_path: Path) -> None:
    columns = {"t": [0.0, 1.0, None, 3.0, float("nan")], "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout("t", period_s=1), Split(learn_rows=1))
    assert "2 rows have no time" in told(recording)
    assert recording.trials[0].test[0].values[:, 0].tolist()[::2] == [2, 4]


def test_until_label_learns_the_first_share_of_what_is_healthy(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn_until_label=True, learn_share=0.5))
    (trial,) = recording.trials
    assert [segment.rows for segment in trial.learn] == [150, 150, 150, 200]
    assert [segment.rows for segment in trial.test] == [250, 250, 250, 200]


def test_infinite_values_are_missing(tmp_path: Path) -> None:
    columns = {"x": [1.0, float("inf"), 3.0, -float("inf")]}
    recording = load(write(tmp_path / "a.parquet", columns), Layout(period_s=1), Split(learn_rows=1))
    segment = recording.trials[0].test[0]
    assert segment.mask[:, 0].tolist() == [False, True, False]
    assert np.isnan(segment.values[~segment.mask]).all()


def test_learnt_faults_are_reported(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn_rows=310))
    assert "30 of the 1,240 rows learnt from are labelled as faults" in told(recording)


def test_rows_in_both_parts_are_learnt_from_and_not_tried(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn="row < 100", test="row < 200"))
    assert [segment.rows for segment in recording.trials[0].test] == [100] * 4
    assert "400 rows match both" in told(recording)


def test_a_condition_may_name_a_date(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), PLANT, Split(learn="\"when\" < DATE '2026-01-02'"))
    assert [segment.run for segment in recording.trials[0].learn] == ["m0"]


def test_without_a_label_every_row_is_healthy_and_that_is_said(tmp_path: Path) -> None:
    recording = load(plant(tmp_path), Layout("when", ("machine",), tags=("flow",)), Split(learn_rows=100))
    assert all((segment.label == 0).all() for segment in recording.trials[0].test)
    assert "no --label" in told(recording)


def test_true_and_false_are_labels_too(tmp_path: Path) -> None:
    columns = {"x": [1.0, 2.0, 3.0], "f": [False, None, True]}
    recording = load(
        write(tmp_path / "a.parquet", columns),
        Layout(label="f", tags=("x",), period_s=1),
        Split(learn="x < 2"),
    )
    assert recording.trials[0].test[0].label.tolist() == [-1, 1]


@pytest.fixture
def partly_empty(tmp_path: Path) -> Path:
    return write(
        tmp_path / "a.parquet",
        {
            "run": ["a"] * 4 + ["b"] * 4 + ["c"] * 4,
            "x": [1.0, 2.0, 3.0, 4.0] * 2 + [None] * 4,
            "y": [1.0, 2.0, 3.0, 4.0] + [None, None, 1.0, 2.0] + [None] * 4,
        },
    )


def test_per_run_makes_a_trial_of_each_with_the_tags_that_it_has(partly_empty: Path) -> None:
    recording = load(partly_empty, Layout(run=("run",), period_s=1), Split(learn_rows=2, per_run=True))
    assert [trial.tags for trial in recording.trials] == [("x", "y"), ("x",)]
    assert [trial.test[0].values.shape for trial in recording.trials] == [(2, 2), (2, 1)]
    assert "1 of 3 runs have nothing to learn from and are left out: c" in told(recording)
    assert "left out: y (1 runs)" in told(recording)


def test_one_model_keeps_a_tag_that_some_run_has(partly_empty: Path) -> None:
    recording = load(partly_empty, Layout(run=("run",), period_s=1), Split(learn_rows=2))
    assert recording.trials[0].tags == ("x", "y")
    assert [segment.run for segment in recording.trials[0].test] == ["a", "b", "c"]
