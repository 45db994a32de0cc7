"""Which tags an alert of a recording names: what counts as right, and small recordings laid out like the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.backtest.trial import FAULTY, HEALTHY, UNLABELLED
from benchmarks import cranfield, skab, tags, threew
from benchmarks.affected_tags import CRANFIELD, SKAB, THREEW, affected_in
from benchmarks.options import Options
from benchmarks.tags import AMONG, AT_RANDOM, CHANCE, FIRST, LARGEST_Z, MOST_VARIABLE, Named

START = datetime(2026, 1, 1)  # noqa: DTZ001 - recordings often have no time zone
ROWS, ONSET = 1200, 600
SKAB_TAGS = (
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
    "Volume Flow RateRMS",
)
CRANFIELD_TAGS = tuple(f"v{number:02}" for number in range(1, 25))
THREEW_TAGS = ("P-MON-CKP", "P-PDG", "P-TPT", "QGL", "T-JUS-CKGL", "T-JUS-CKP", "T-TPT")


def shifted(names: Sequence[str], tag: str, seed: int) -> dict[str, np.ndarray]:
    """A column of noise for each name, that of `tag` shifted from the onset on."""
    print(f"seed {seed}")
    noise = 50 + np.random.default_rng(seed).normal(size=(ROWS, len(names))).astype(np.float32)
    noise[ONSET:, list(names).index(tag)] += 8
    return dict(zip(names, noise.T, strict=True))


def write(path: Path, parts: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.concat([pl.DataFrame(part) for part in parts]).write_parquet(path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two runs of each set that ask for a tag, one shifted where it should be, and one run that asks for none."""
    time = [START + timedelta(seconds=row) for row in range(ROWS)]
    faulty = (np.arange(ROWS) >= ONSET).astype(np.int8)
    write(tmp_path / skab.FILE, [
        {"experiment": [name] * ROWS, "datetime": time, **shifted(SKAB_TAGS, tag, seed), "anomaly": faulty}
        for seed, (name, tag) in enumerate(
            [("valve1/0", "Volume Flow RateRMS"), ("other/5", "Voltage"), ("other/1", "Pressure")]
        )
    ])
    write(tmp_path / cranfield.FILE, [
        {"set": [name] * ROWS, "sample_s": range(ROWS), **shifted(CRANFIELD_TAGS, tag, 10 + seed), "label": faulty}
        for seed, (name, tag) in enumerate([("3_1", "v07"), ("6_1", "v07"), ("4_1", "v07")])
    ])
    unlabelled = [0] * (ONSET - 60) + [None] * 60 + [102] * (ROWS - ONSET)
    only_right = dict.fromkeys(set(THREEW_TAGS) - {"P-PDG", "P-TPT", "T-TPT"}, np.full(ROWS, np.nan, np.float32))
    write(tmp_path / threew.FILE, [
        {
            "instance": [f"W{seed}"] * ROWS, "event_class": [number] * ROWS, "timestamp": time,
            **shifted(THREEW_TAGS, tag, 20 + seed), **gone, "class": unlabelled,
        }
        for seed, (number, tag, gone) in enumerate([(2, "P-TPT", {}), (6, "QGL", {}), (2, "P-TPT", only_right)])
    ])
    return tmp_path


def test_the_first_alert_of_each_fault_is_read_for_the_tags_that_it_touches(recordings: Path) -> None:
    results = {(each.case, each.metric, each.method): each for each in tags.run(Options(recordings))}

    def value(case: str, metric: str, method: str = tags.OURS) -> float | None:
        return results[case, metric, method].value

    for name, right, wrong in (
        ("SKAB", "valve closed", "rotor imbalance"),
        ("Cranfield", "separator input blocked", "2 inch line pressurized"),
        ("3W", "safety valve closes", "choke closes"),
    ):
        alerts = results[name, tags.ALERTS, tags.OURS]
        assert (alerts.value, alerts.unit) == (2, "of 2")
        assert (value(name, FIRST), value(f"{name}: {right}", FIRST), value(f"{name}: {wrong}", FIRST)) == (50, 100, 0)
        assert value(f"{name}: {right}", AMONG) == 100
        assert value(name, FIRST, LARGEST_Z) == 50
    assert value("SKAB: valve closed", AT_RANDOM) == pytest.approx(300 / 8, abs=1e-3)
    assert value("Cranfield: separator input blocked", AT_RANDOM) == pytest.approx(300 / 24, abs=1e-3)
    assert value("SKAB", FIRST, CHANCE) == pytest.approx(100 * (1 / 8 + 2 / 8) / 2, abs=1e-3)
    assert {method for _, _, method in results} == {tags.OURS, LARGEST_Z, MOST_VARIABLE, CHANCE}


def test_a_fault_without_an_alert_is_counted_and_names_nothing() -> None:
    found = {"SKAB": [Named(SKAB[0], SKAB_TAGS, None, {})]}
    figures = {figure.metric: figure for figure in tags.measure(found, tags.OURS) if figure.case == "SKAB"}
    assert (figures[tags.ALERTS].value, figures[tags.ALERTS].unit) == (0, "of 1")
    assert np.isnan(figures[FIRST].value)


def test_a_fault_begins_where_health_ends() -> None:
    label = np.repeat([UNLABELLED, HEALTHY, UNLABELLED, FAULTY, HEALTHY, UNLABELLED, HEALTHY, FAULTY], 10)
    times_ns = np.arange(len(label), dtype=np.int64)
    assert list(tags.spans_of(times_ns, label.astype(np.int8))) == [(20, 39), (70, 79)]


def test_the_documented_faults_name_tags_of_their_sets_and_the_others_nothing() -> None:
    wells = [(faults, THREEW_TAGS) for faults in THREEW.values()]
    for faults, names in ((SKAB, SKAB_TAGS), (CRANFIELD, CRANFIELD_TAGS), *wells):
        assert all(fault.tags and fault.tags <= set(names) for fault in faults)
    assert set(THREEW) == set(threew.CLASSES)
    known = [run for run in (f"other/{number}" for number in range(1, 15)) if affected_in(run, SKAB)]
    assert known == ["other/5", "other/6", "other/7", "other/8", "other/9", "other/14"]
    assert affected_in("4_2", CRANFIELD) is None
