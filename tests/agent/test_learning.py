"""`forewarn learn --rul`: from runs to failure in a Parquet file to a bundle that foretells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from agent.backtest.trial import BacktestError
from agent.cli import app
from agent.history import Reading, read_history
from models import bundle
from models.bundle import BundleError
from models.remaining import RemainingTracker
from tests.agent.samples import CONFIG

RUNS = 8
PERIOD_S = 60


def a_history(seed: int = 0, runs: int = RUNS) -> pl.DataFrame:
    """Return machines whose `load` and `heat` belong together until wear parts them before the failure."""
    rng = np.random.default_rng(seed)
    parts = []
    for run in range(runs):
        rows = int(rng.integers(200, 260))
        left = np.arange(rows, 0, -1.0) - 1
        load = rng.standard_normal(rows)
        heat = load + 0.3 * rng.standard_normal(rows) + 4.0 * np.exp(-left / 40)
        columns = {"t": np.arange(rows) * PERIOD_S, "load": load, "heat": heat, "left_s": left * PERIOD_S}
        parts.append(pl.DataFrame(columns).with_columns(machine=pl.lit(run)))
    return pl.concat(parts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    a_history().write_parquet(tmp_path / "lives.parquet")
    return tmp_path / "lives.parquet"


READING = Reading(time="t", run=("machine",), rul="left_s")


def test_lives_are_counted_in_rows_and_are_no_tag(file: Path) -> None:
    found = read_history(file, READING)
    assert [name for name, _ in found.tags] == ["load", "heat"]
    assert len(found.lives) == RUNS
    for life in found.lives:
        assert life.remaining_rows.tolist() == list(range(len(life.values) - 1, -1, -1))


def test_rows_in_which_wear_may_show_do_not_teach_what_is_normal(file: Path) -> None:
    found = read_history(file, READING)
    everything = read_history(file, Reading(time="t", run=("machine",), tags=("load", "heat")))
    assert 0 < found.rows < 0.5 * everything.rows
    assert any("do not teach what is normal" in note for note in found.notes)
    heat = np.concatenate([values[:, 1] - values[:, 0] for values in found.segments])
    assert np.abs(heat).mean() < 0.4


def test_a_life_that_is_null_is_one_that_nobody_knows(tmp_path: Path) -> None:
    known = pl.when(pl.col("left_s") < 3000).then("left_s")
    a_history().with_columns(left_s=known).write_parquet(tmp_path / "lives.parquet")
    life = read_history(tmp_path / "lives.parquet", READING).lives[0].remaining_rows
    assert np.isnan(life[0])
    assert life[-1] == 0


def learn(file: Path, out: Path, *options: str) -> tuple[int, str]:
    arguments = ["learn", str(file), "--out", str(out), "--time", "t", "--no-sign", *options]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_a_bundle_learnt_from_lives_foretells_in_seconds(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, said = learn(file, out, "--run", "machine", "--rul", "left_s")
    assert code == 0, said
    assert f"remaining life learnt from {RUNS} runs" in said
    loaded = bundle.load(out)
    assert loaded.remaining is not None
    new = a_history(seed=1, runs=1).select("load", "heat").to_numpy().astype(np.float32)
    tracker = RemainingTracker(loaded.remaining, PERIOD_S)
    early, late = tracker.update(new[:-20]), tracker.update(new[-20:-5])
    assert early is not None
    assert late is not None
    assert late[0] <= 5 * PERIOD_S <= late[2] < early[2]
    refuses_what_was_altered(out)
    forgets_what_is_not_learnt_anew(file, out)


def refuses_what_was_altered(out: Path) -> None:
    content = (out / bundle.REMAINING).read_bytes()
    (out / bundle.REMAINING).write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"remaining\.npz is not the file the manifest was written for"):
        bundle.load(out)
    (out / bundle.REMAINING).unlink()
    with pytest.raises(BundleError, match=r"remaining\.npz cannot be read"):
        bundle.load(out)


def forgets_what_is_not_learnt_anew(file: Path, out: Path) -> None:
    code, said = learn(file, out, "--run", "machine", "--tags", "load,heat")
    assert code == 0, said
    assert bundle.load(out).remaining is None
    assert not (out / bundle.REMAINING).exists()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        pytest.param({}, ["--run", "machine", "--rul", "left"], "no column left (did you mean left_s?)", id="missing"),
        pytest.param({"left_s": pl.lit("long")}, ["--run", "machine", "--rul", "left_s"], "--rul", id="text"),
        pytest.param(
            {"left_s": pl.col("left_s") - 600}, ["--run", "machine", "--rul", "left_s"], "falls to -10", id="negative"
        ),
        pytest.param(
            {"left_s": pl.col("t")}, ["--run", "machine", "--rul", "left_s"], "does not fall", id="not falling"
        ),
        pytest.param({"t": pl.int_range(pl.len()) * PERIOD_S}, ["--rul", "left_s"], "--run must tell", id="no runs"),
    ],
)
def test_a_column_that_is_no_remaining_life_is_named(
    change: dict[str, pl.Expr], options: list[str], message: str, tmp_path: Path
) -> None:
    a_history().with_columns(**change).write_parquet(tmp_path / "lives.parquet")
    code, said = learn(tmp_path / "lives.parquet", tmp_path / "bundle", *options)
    assert code == 2
    assert message in said.replace("\n", " ")
    assert not (tmp_path / "bundle").exists()


def test_a_pace_that_is_not_the_recordings_is_named_with_both(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.replace('"pressure"', '"load"').replace('"temperature"', '"heat"'), encoding="utf-8")
    said = CliRunner().invoke(app, [
        "learn", str(file), "--time", "t", "--run", "machine", "--config", str(config), "--no-sign",
        "--out", str(tmp_path / "m"),
    ])  # fmt: skip
    assert said.exit_code == 2
    assert "60 s apart" in said.output
    assert f"{config}: assets.pump.period_ms says 1 s" in said.output


@pytest.mark.parametrize(("rows", "told"), [(3 * 24 * 60, True), (7 * 24 * 60, False)])
def test_a_history_of_less_than_a_week_is_said_to_be_short(rows: int, told: bool, tmp_path: Path) -> None:
    file = tmp_path / "short.parquet"
    pl.DataFrame({"t": np.arange(rows) * 60, "load": np.random.default_rng(0).normal(size=rows)}).write_parquet(file)
    found = read_history(file, Reading(time="t", tags=("load",)))
    assert any("is 3 days long" in note for note in found.notes) == told


def test_a_history_whose_time_is_text_is_said_to_have_none(tmp_path: Path) -> None:
    file = tmp_path / "text.parquet"
    said = [f"2026-11-28 {row // 60:02d}:{row % 60:02d}:00" for row in range(200)]
    pl.DataFrame({"t": said, "load": np.random.default_rng(0).normal(size=200)}).write_parquet(file)
    found = read_history(file, Reading(period_ms=5000))
    assert any("no column of text.parquet holds dates and times" in note for note in found.notes)


def test_a_unit_of_a_tag_that_there_is_not_is_named(file: Path) -> None:
    with pytest.raises(BacktestError, match="--unit laod: that is no tag of this history; it has: load, heat"):
        read_history(file, Reading(time="t", run=("machine",), tags=("load", "heat"), units={"laod": "kN"}))


def test_rows_closer_than_the_period_are_read_as_an_agent_would_read_them(file: Path) -> None:
    found = read_history(file, Reading(time="t", run=("machine",), tags=("load",), period_ms=5 * PERIOD_S * 1000))
    everything = read_history(file, Reading(time="t", run=("machine",), tags=("load",)))
    assert found.rows == pytest.approx(everything.rows / 5, rel=0.02)


def test_one_run_is_too_few(tmp_path: Path) -> None:
    a_history(runs=1).write_parquet(tmp_path / "lives.parquet")
    code, said = learn(tmp_path / "lives.parquet", tmp_path / "bundle", "--run", "machine", "--rul", "left_s")
    assert code == 2
    assert "1 of 1 runs have a remaining life, at least 5" in said.replace("\n", " ")


@pytest.mark.parametrize("option", [("--tags", "load"), ("--period", "1s"), ("--unit", "load=kN")])
def test_what_the_configuration_says_is_not_said_twice(option: tuple[str, str], file: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG, encoding="utf-8")
    code, said = learn(file, tmp_path / "bundle", "--config", str(config), *option)
    assert code == 2
    assert option[0] in said
    assert "the configuration says it" in said


def test_a_history_has_the_values_left_out_that_a_running_agent_refuses(tmp_path: Path) -> None:
    heat = 20 + np.sin(np.arange(600) / 50)
    heat[[100, 300]] = 90.0
    heat[400:] += 30.0
    table = pl.DataFrame({"t": np.arange(600) * PERIOD_S, "heat": heat, "load": heat})
    table.write_parquet(tmp_path / "history.parquet")
    found = read_history(tmp_path / "history.parquet", Reading(time="t", max_rates={"heat": 0.1}))
    (segment,) = found.segments
    assert np.flatnonzero(np.isnan(segment[:, 0])).tolist() == [100, 300, 400, 401]
    assert not np.isnan(segment[:, 1]).any()
    assert "4 values that moved faster than max_rate are left out" in found.notes


@pytest.mark.parametrize(("spans", "left"), [
    ([], range(600)),
    ([(100, 250)], [*range(100), *range(250, 600)]),
    ([(0, 30), (590, 700)], range(30, 590)),
    ([(900, 999)], range(600)),
])  # fmt: skip
def test_no_row_of_some_times_is_learnt_from(spans: list[tuple[int, int]], left: Sequence[int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"t": np.arange(600) * PERIOD_S, "load": np.arange(600.0), "heat": rng.normal(size=600)})
    table.write_parquet(tmp_path / "history.parquet")
    minute = PERIOD_S * 1_000_000_000
    without = tuple((begin * minute, end * minute) for begin, end in spans)
    found = read_history(tmp_path / "history.parquet", Reading(time="t", without=without))
    load = np.concatenate([segment[:, 0] for segment in found.segments])
    assert load[np.isfinite(load)].tolist() == [*left]
    assert found.rows_without == 600 - len(left)


def test_a_history_of_which_all_is_left_out_says_so(tmp_path: Path) -> None:
    table = pl.DataFrame({"t": np.arange(200) * PERIOD_S, "load": np.random.default_rng(0).normal(size=200)})
    table.write_parquet(tmp_path / "history.parquet")
    with pytest.raises(BacktestError, match="has no row to learn from: its 200 rows are of times that are left out"):
        read_history(tmp_path / "history.parquet", Reading(time="t", without=((0, 2**62),)))
