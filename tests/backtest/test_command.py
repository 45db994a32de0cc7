"""`forewarn backtest` as a person calls it: its report, its object, and what it says of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from agent.backtest.command import add_backtest
from agent.backtest.trial import BacktestError, Judge, Learn, Segment
from tests.backtest.judges import learn_mahalanobis
from tests.backtest.recordings import plant, write

KEYS = [
    "events",
    "events_found",
    "median_delay_s",
    "p90_delay_s",
    "median_lead_s",
    "false_episodes_per_week",
    "healthy_alarm_fraction",
    "detection_at_1pct",
    "average_precision",
    "vus_pr",
    "rows_per_s",
]
PLANT = ("--time", "when", "--run", "machine", "--label", "fault")


class TickingClock:
    """Each look at the clock takes a millisecond."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    def time_ns(self) -> int:
        return self.monotonic_ns()

    async def sleep_until(self, monotonic_ns: int) -> None:
        self.now_ns = max(self.now_ns, monotonic_ns)


def backtest(*options: object, learn: Learn = learn_mahalanobis) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_backtest(app, learn, TickingClock())
    return CliRunner().invoke(app, ["backtest", *(str(option) for option in options)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return plant(tmp_path)


def test_the_object_has_the_promised_keys(file: Path) -> None:
    result = backtest(file, *PLANT, "--learn-rows", 200, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert list(said) == ["total", "trivial", "runs"]
    assert list(said["total"]) == KEYS
    assert list(said["trivial"]) == ["always-on", "random", "clock", "max |z|"]
    assert all(list(figures) == KEYS for figures in said["trivial"].values())
    assert [list(figures) for figures in said["runs"]] == [["run", *KEYS]] * 4
    assert [figures["run"] for figures in said["runs"]] == ["m0", "m1", "m2", "clean"]


def test_a_model_that_sees_the_coupling_beats_the_trivial_rules(file: Path) -> None:
    said = json.loads(backtest(file, *PLANT, "--learn-rows", 200, "--json").stdout)
    total, trivial = said["total"], said["trivial"]
    assert (total["events"], total["events_found"], total["false_episodes_per_week"]) == (3, 3, 0)
    assert total["median_delay_s"] <= 20
    assert total["median_lead_s"] == 200 - total["median_delay_s"]
    assert total["average_precision"] > 0.99 > trivial["max |z|"]["average_precision"]
    assert total["detection_at_1pct"] > 0.9 > trivial["max |z|"]["detection_at_1pct"]
    assert total["vus_pr"] > max(each["vus_pr"] for each in trivial.values())
    assert (trivial["always-on"]["events_found"], trivial["always-on"]["healthy_alarm_fraction"]) == (3, 1)
    assert total["rows_per_s"] == 800 / 0.004  # four runs, each between two looks at the clock


def test_a_figure_that_there_is_none_of_is_null(file: Path) -> None:
    said = json.loads(backtest(file, *PLANT, "--learn-rows", 200, "--json").stdout)
    clean = said["runs"][3]
    assert [clean[key] for key in KEYS[:5]] == [0, 0, None, None, None]
    assert (clean["average_precision"], clean["vus_pr"], clean["detection_at_1pct"]) == (None, None, None)


def test_the_same_call_gives_the_same_object(file: Path) -> None:
    first, second = (backtest(file, *PLANT, "--learn-rows", 200, "--json").stdout for _ in range(2))
    assert first == second


def test_the_report_shows_runs_total_trivial_rules_and_what_was_learnt_from(file: Path) -> None:
    result = backtest(file, *PLANT, "--learn-rows", 310)
    assert result.exit_code == 0, result.output
    for words in (
        "learnt 1 model from 1,240 rows of 4 runs (the first 310 of each run)",
        "2 tags, period 2 s",
        "30 of the 1,240 rows learnt from are labelled as faults",
        "row: moves by the same step",
        "m0",
        "clean",
        "forewarn",
        "always-on",
        "random",
        "clock",
        "max |z|",
        "3 of 3",
        "learning + scoring took: forewarn 1 ms + 4 ms",
    ):
        assert words in result.stdout.replace("\n", " ").replace("  ", " "), words
    assert result.stdout.count("max |z|") == 4 + 1 + 1


def test_notes_do_not_disturb_the_object(file: Path) -> None:
    result = backtest(file, *PLANT, "--learn-rows", 310, "--json")
    assert json.loads(result.stdout)
    assert "labelled as faults" in result.stderr


def test_per_run_learns_a_model_of_each(file: Path) -> None:
    seen: list[tuple[int, tuple[str, ...]]] = []

    def learn(
        segments: Sequence[Segment],
        tags: Sequence[str],
        period_s: float,
        alerts_per_s: float,
        progress: Callable[[float], None],
        /,
    ) -> Judge:
        seen.append((len(segments), tuple(segment.run for segment in segments)))
        assert (period_s, tuple(tags)) == (2.0, ("speed", "flow"))
        assert alerts_per_s == pytest.approx(2 / 86_400)
        return learn_mahalanobis(segments, tags, period_s, alerts_per_s, progress)

    options = ("--learn", "row < 200", "--per-run", "--test", "row >= 250", "--budget", "2/day")
    said = json.loads(backtest(file, *PLANT, *options, "--json", learn=learn).stdout)
    assert seen == [(1, ("m0",)), (1, ("m1",)), (1, ("m2",)), (1, ("clean",))]
    assert said["total"]["events_found"] == 3


def picky(
    segments: Sequence[Segment],
    tags: Sequence[str],
    period_s: float,
    alerts_per_s: float,
    progress: Callable[[float], None],
    /,
) -> Judge:
    if segments[0].run in {"m1", "clean"}:
        raise BacktestError("200 rows are too few")
    return learn_mahalanobis(segments, tags, period_s, alerts_per_s, progress)


def test_runs_that_nothing_can_be_learnt_from_are_left_out_for_all_rules(file: Path) -> None:
    result = backtest(file, *PLANT, "--learn-rows", 200, "--per-run", "--json", learn=picky)
    said = json.loads(result.stdout)
    assert [figures["run"] for figures in said["runs"]] == ["m0", "m2"]
    assert said["total"]["events"] == said["trivial"]["always-on"]["events"] == 2
    assert "2 runs left out" in result.stderr
    assert "m1: 200 rows are too few" in result.stderr


def test_the_merge_gap_counts_episodes(file: Path) -> None:
    options = (*PLANT, "--learn-rows", 200, "--json", "--merge-gap")
    apart, together = (
        json.loads(backtest(file, *options, gap).stdout)["trivial"]["random"] for gap in ("0s", "1h")
    )
    assert apart["healthy_alarm_fraction"] == together["healthy_alarm_fraction"] > 0
    assert apart["false_episodes_per_week"] > together["false_episodes_per_week"]


LEARN = ("--learn-rows", "200")
BAD = {
    "a time that is not there": (
        ("--time", "wen", *LEARN),
        ["--time", "no column wen", "did you mean when?", "machine"],
    ),
    "a run that is not there": (
        ("--time", "when", "--run", "machine,shift", *LEARN),
        ["--run", "no column shift"],
    ),
    "a label that is not there": (("--time", "when", "--label", "x", *LEARN), ["--label", "no column x"]),
    "a tag that is not there": (
        (*PLANT, "--tags", "flow,sped", *LEARN),
        ["--tags", "no column sped", "speed?"],
    ),
    "a pattern that fits nothing": ((*PLANT, "--tags", "z*", *LEARN), ["--tags z*", "speed"]),
    "a tag of text": ((*PLANT, "--tags", "note", *LEARN), ["note is String", "must be a number"]),
    "the label as a tag": ((*PLANT, "--tags", "flow,fault", *LEARN), ["--tags fault", "the label"]),
    "a label of text": (
        ("--time", "when", "--label", "note", *LEARN),
        ["--label note", "String", "must be a number"],
    ),
    "a time of text": (("--time", "note", *LEARN), ["--time note", "String"]),
    "several recordings as one run": ((*LEARN, "--time", "row"), ["time goes back", "--run"]),
    "nothing to learn from": (PLANT, ["--learn", "--learn-rows N", "--learn-until-label"]),
    "two ways to learn": ((*PLANT, *LEARN, "--learn-until-label"), ["exclude each other"]),
    "until a label without one": (("--time", "when", "--learn-until-label"), ["needs --label"]),
    "a condition that is none": ((*PLANT, "--learn", "machine ="), ["--learn", "no condition", "machine ="]),
    "a condition on nothing": (
        (*PLANT, "--learn", "machin = 'm0'"),
        ["--learn", "no column machin", "machine"],
    ),
    "a condition of the wrong type": ((*PLANT, "--learn", "row = 'x'"), ["--learn", "compare"]),
    "a condition that is a number": ((*PLANT, "--learn", "row + 1"), ["--learn", "not true or false"]),
    "a condition that nothing fulfils": (
        (*PLANT, "--learn", "machine = 'm9' and row < 7"),
        ["no row", "(1,600 rows)", "machine holds 'm0', 'm1', 'm2', 'clean'", "row holds 0 to 399"],
    ),
    "a test that nothing fulfils": (
        (*PLANT, *LEARN, "--test", "row < 0"),
        ["--test", "no row", "row holds 0 to 399"],
    ),
    "nothing left to try": ((*PLANT, "--learn-rows", "400"), ["learnt from", "1,600"]),
    "a negative count": ((*PLANT, "--learn-rows", "-3"), ["--learn-rows -3", "at least 1"]),
    "a share above one": ((*PLANT, "--learn-until-label", "--learn-share", "60"), ["--learn-share 60"]),
    "a period without a unit": ((*PLANT, *LEARN, "--period", "5"), ["--period 5", "unit"]),
    "a period of nothing": ((*PLANT, *LEARN, "--period", "0s"), ["--period 0s"]),
    "a gap in unknown units": ((*PLANT, *LEARN, "--merge-gap", "3 moons"), ["--merge-gap 3 moons"]),
    "a budget that is none": ((*PLANT, *LEARN, "--budget", "few"), ["--budget few", "1/week"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gives_one_message_that_names_the_thing(file: Path, name: str) -> None:
    options, words = BAD[name]
    result = backtest(file, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("forewarn backtest: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_a_column_that_is_not_there_is_named_with_its_file(file: Path) -> None:
    assert str(file) in backtest(file, "--time", "wen", *LEARN).stderr


def broken(folder: Path) -> dict[str, Path]:
    whole = plant(folder).read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "text.parquet").write_text("when,machine\n1,2\n")
    (folder / "hollow.parquet").write_bytes(b"")
    write(folder / "rowless.parquet", {"when": pl.Series([], dtype=pl.Int64)})
    return {name: folder / f"{name}.parquet" for name in ("absent", "cut", "text", "hollow", "rowless")}


@pytest.mark.parametrize("name", ["absent", "cut", "text", "hollow", "rowless"])
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, name: str) -> None:
    path = broken(tmp_path)[name]
    result = backtest(path, *PLANT, *LEARN)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"forewarn backtest: {path}")
    assert result.stderr.count("\n") == 1


def test_without_time_period_and_dates_there_is_no_grid(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"x": [1.0, 2.0]})
    assert "--time COLUMN, or --period" in backtest(file, "--learn-rows", 1).stderr


def test_milliseconds_for_seconds_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"t": [1_767_225_600_000, 1_767_225_601_000], "x": [1.0, 2.0]})
    assert "too large for seconds" in backtest(file, "--time", "t", "--learn-rows", 1).stderr


def test_a_learnt_part_without_values_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"x": np.array([np.nan, np.nan, 1.0, 2.0])})
    result = backtest(file, "--period", "1s", "--learn-rows", 2)
    assert (result.exit_code, "no tag has a value" in result.stderr) == (2, True)


def test_a_rule_that_cannot_learn_at_all_is_an_error(file: Path) -> None:
    result = backtest(
        file, *PLANT, "--learn", "row < 200", "--test", "machine = 'm1'", "--per-run", learn=picky
    )
    assert (result.exit_code, result.stderr) == (2, "forewarn backtest: 200 rows are too few\n")
