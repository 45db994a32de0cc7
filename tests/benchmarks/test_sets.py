"""The protocol of each set: figures of hand-made judgements, and small recordings laid out like the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.backtest.metrics import JudgedRun
from agent.backtest.trial import Judge, Judged, Segment
from benchmarks import cmapss, cranfield, skab, tep, threew
from benchmarks.cmapss import Engine
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result
from benchmarks.trials import ON_DELAY_ROWS

START = datetime(2026, 1, 1)  # noqa: DTZ001 - recordings often have no time zone


def run(name: str, label: np.ndarray, score: np.ndarray, limit: float, period_s: int = 1) -> JudgedRun:
    times_ns = np.arange(len(label)) * period_s * 1_000_000_000
    return JudgedRun.of(
        name, 0, period_s * 1_000_000_000, times_ns, label.astype(np.int8), score.astype(float), score > limit
    )


def values(figures: Iterable[Figure]) -> dict[tuple[str, str], float]:
    return {figure.key: figure.value for figure in figures}


def found(results: Iterable[Result], method: str) -> dict[tuple[str, str], float | None]:
    return {(each.case, each.metric): each.value for each in results if each.method == method}


def test_tennessee_eastman_counts_at_both_limits() -> None:
    """Scores 1..100 on the clean run put the 1 % limit between 99 and 100; the learnt limit is 50."""
    clean = run("0", np.zeros(100), np.arange(1, 101), 50)
    label = np.repeat([0, 1], [10, 20])
    seen = run("1", label, np.where(np.arange(30) >= 14, 200, 60 * (np.arange(30) >= 10)), 50)
    hard = run("3", label, np.zeros(30), 50)
    figures = values(tep.measure([clean, seen, hard]))
    assert figures["18 faults", tep.DETECTION] == pytest.approx(80)  # 16 of 20 rows
    assert figures["21 faults", tep.DETECTION] == pytest.approx(40)
    assert figures["18 faults", tep.DELAY] == 6 * tep.PERIOD_MIN  # rows 14, 15, 16: the sixth of the fault, from 0
    assert figures["18 faults", tep.OWN_DETECTION] == 100
    assert figures["healthy rows", tep.OWN_FALSE] == pytest.approx(100 * 50 / 120)


def test_tennessee_eastman_delay_of_a_fault_not_found_is_no_number() -> None:
    clean = run("0", np.zeros(100), np.arange(100), 50)
    missed = run("1", np.repeat([0, 1], [10, 20]), np.zeros(30), 50)
    assert values(tep.measure([clean, missed]))["18 faults", tep.DELAY] == float("inf")


def test_skab_counts_rows_and_events() -> None:
    label = np.repeat([0, 1, 0], [10, 20, 10])
    late = run("a", label, (np.arange(40) >= 15).astype(float), 0.5)  # 5 rows late, never over
    missed = run("b", label, (np.arange(40) < 4).astype(float), 0.5)  # 4 false rows before
    figures = values(skab.measure([late, missed]))
    case = skab.CASE
    assert figures[case, "events found"] == 1
    assert figures[case, "median delay"] == 5
    assert figures[case, "alarm time before the fault"] == pytest.approx(100 * 4 / 20)
    assert figures[case, "F1"] == pytest.approx(2 * 15 / (2 * 15 + 14 + 25))
    assert figures[case, "false alarm rate"] == pytest.approx(100 * 14 / 40)
    assert figures[case, "missed alarm rate"] == pytest.approx(100 * 25 / 40)


def test_cranfield_pools_the_rows_of_all_sets() -> None:
    label = np.repeat([0, 1], [200, 100])
    one = run("1_1", label, np.where(label == 1, 3.0, np.linspace(0, 1, 300)), 2)
    two = run("1_2", label, np.where(label == 1, 0.2, np.linspace(0, 1, 300)), 2)
    figures = values(cranfield.measure([one, two]))
    assert figures["all sets", cranfield.DETECTION] == pytest.approx(50)
    assert figures["all sets", "events found"] == 1
    assert figures["all sets", "false alarm time"] == 0
    assert 0.5 < figures["all sets", cranfield.PRECISION] < 1


def test_3w_rows_without_a_label_are_nobodys() -> None:
    label = np.repeat([0, -1, 1], [400, 60, 400])
    row = np.arange(len(label))
    between = run("a", label, (row >= 410).astype(float), 0.5)
    early = run("b", label, ((row >= 100) & (row < 130)).astype(float), 0.5)
    figures = values(threew.measured([between, early], "class 2"))
    assert figures["class 2", threew.FOUND] == 1
    assert figures["class 2", threew.EARLY] == 1
    assert figures["class 2", "median delay"] == 0
    assert figures["class 2", "instances that cannot be learnt"] == 0


def write(path: Path, columns: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def shifted(rows: int, at: int | None, seed: int, by: float = 8.0) -> np.ndarray:
    """Rows of white noise in two columns, the second shifted from `at` on."""
    noise = np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)
    if at is not None:
        noise[at:, 1] += by
    return noise


def tep_file(folder: Path) -> Path:
    parts = [("train", 0, 500, None), ("test", 0, 960, None), ("test", 1, 960, 160), ("test", 3, 960, 160)]
    noise = np.concatenate([shifted(rows, at, seed, 0 if fault == 3 else 8)
                            for seed, (_, fault, rows, at) in enumerate(parts)])
    return write(folder / tep.FILE, {
        "split": [part[0] for part in parts for _ in range(part[2])],
        "fault_run": [part[1] for part in parts for _ in range(part[2])],
        "sample": [row for part in parts for row in range(part[2])],
        "xmeas_1": noise[:, 0], "xmv_1": noise[:, 1],
        "fault_label": [int(at is not None and row >= at) for _, _, rows, at in parts for row in range(rows)],
    })


def test_tennessee_eastman_file_is_split_as_is_customary(tmp_path: Path) -> None:
    tep_file(tmp_path)
    results = list(tep.run(Options(tmp_path, methods=("max |z|", "always-on"))))
    z = found(results, "max |z|")
    assert z["fault 1", "detection of the fault"] == 100
    assert z["fault 3", "detection of the fault"] == pytest.approx(1, abs=1.5)
    assert z["18 faults", tep.DELAY] == 2 * tep.PERIOD_MIN
    assert found(results, "always-on")["healthy rows", tep.OWN_FALSE] == 100


def test_skab_learns_from_400_rows_and_leaves_the_clean_run_out(tmp_path: Path) -> None:
    names = ["valve1/0", "valve1/1", "anomaly-free/anomaly-free"]
    label = np.repeat([0, 1, 0], [500, 200, 100])
    noise = np.concatenate([shifted(800, 500 if number < 2 else None, number) for number in range(3)])
    write(tmp_path / skab.FILE, {
        "experiment": [name for name in names for _ in range(800)],
        "datetime": [START + timedelta(seconds=row) for _ in names for row in range(800)],
        **dict.fromkeys(("Accelerometer1RMS", "Current", "Pressure", "Temperature"), noise[:, 0]),
        **dict.fromkeys(("Thermocouple", "Voltage", "Volume Flow RateRMS"), noise[:, 1]),
        "anomaly": np.concatenate([label, label, 0 * label]),
    })
    always = found(skab.run(Options(tmp_path, methods=("always-on",))), "always-on")
    assert always[skab.CASE, "events found"] == 2
    assert always[skab.CASE, "false alarm rate"] == 100
    assert always[skab.CASE, "F1"] == pytest.approx(2 * 400 / (2 * 400 + 400))  # of 2 x 400 tried rows, half are faulty


def test_cranfield_learns_one_model_from_the_healthy_prefixes(tmp_path: Path) -> None:
    noise = np.concatenate([shifted(700, 400, number) for number in range(2)])
    write(tmp_path / cranfield.FILE, {
        "set": [name for name in ("1_1", "1_2") for _ in range(700)],
        "sample_s": [row for _ in range(2) for row in range(700)],
        "v01": noise[:, 0], "v02": noise[:, 1],
        "label": [int(row >= 400) for _ in range(2) for row in range(700)],
    })
    z = found(cranfield.run(Options(tmp_path, methods=("max |z|",))), "max |z|")
    assert z["all sets", cranfield.DETECTION] == 100
    assert z["all sets", "events found"] == 2


def test_3w_learns_each_instance_by_the_tags_that_it_has(tmp_path: Path) -> None:
    rows, classes = 1500, [0] * 1000 + [None] * 50 + [102] * 450
    noise = np.concatenate([shifted(rows, 1050, number) for number in range(2)])
    nothing = np.full(rows, np.nan, np.float32)
    write(tmp_path / threew.FILE, {
        "instance": [name for name in ("W1", "W2") for _ in range(rows)],
        "event_class": [number for number in (2, 6) for _ in range(rows)],
        "timestamp": [START + timedelta(seconds=row) for _ in range(2) for row in range(rows)],
        "P-TPT": noise[:, 0], "T-TPT": noise[:, 1], "QGL": np.zeros(2 * rows, np.float32),
        "P-PDG": np.concatenate([nothing, noise[:rows, 0]]),
        "class": classes * 2,
    })
    results = list(threew.run(Options(tmp_path, methods=("max |z|", "always-on"))))
    for case in ("class 2", "class 6"):
        z = found(results, "max |z|")
        assert (z[case, threew.FOUND], z[case, threew.EARLY]) == (1, 0)
        assert z[case, "median delay"] == ON_DELAY_ROWS - 1
        assert found(results, "always-on")[case, threew.EARLY] == 1


class FirstColumn:
    """Scores a row by its first column."""

    def judge(self, times_ns: np.ndarray, values: np.ndarray, _mask: np.ndarray) -> Judged:
        return Judged(values[:, 0].astype(float), np.zeros(len(times_ns), np.bool_))


def learn_first_column(_segments: Iterable[Segment], *_: object) -> Judge:
    return FirstColumn()


def engine(unit: int, healthy: float, worn_from: int, cycles: int = 200) -> Engine:
    score = np.where(np.arange(cycles) >= worn_from, 9.0, healthy)
    return Engine(unit, np.column_stack([score] * len(cmapss.TAGS)).astype(np.float32))


def test_cmapss_lead_runs_from_the_third_cycle_over_the_limit_of_the_even_engines() -> None:
    """The even engines reach 1 in their first 60 cycles, so the limit is 1 and the odd ones cross it when worn."""
    even = [engine(unit, 1.0, 150) for unit in range(2, 22, 2)]
    odd = [engine(1, 0.5, 100), engine(3, 0.5, 150), engine(5, 2.0, 150), engine(7, 0.5, 500)]
    figures = values(cmapss.lead("FD001", [*even, *odd], learn_first_column))
    left = [200 - 103, 200 - 153, 200 - 63, 0]
    assert figures["FD001", cmapss.LEAD] == np.median(left)
    assert figures["FD001", cmapss.FALSE] == 25
    assert figures["FD001", "engines found before failure"] == 75


def test_cmapss_names_the_subset_that_is_not_there() -> None:
    table = pl.DataFrame({"subset": ["FD003", "FD001"]})
    assert cmapss.present(table, ()) == ["FD001", "FD003"]
    assert cmapss.present(table, ("FD003",)) == ["FD003"]
    with pytest.raises(BenchmarkError, match=r"FD009.*FD001, FD003"):
        cmapss.present(table, ("FD009",))
