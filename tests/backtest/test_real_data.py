"""Recordings of real plants through the command; skipped where FOREWARN_DATA has no folder of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.backtest.test_command import backtest

ORIGINS = {
    "tep_braatz/tep.parquet": "https://github.com/camaramm/tennessee-eastman-profBraatz",
    "skab/skab.parquet": "https://github.com/waico/SKAB",
    "cranfield/cranfield_faulty_1hz.parquet": "https://github.com/JimmyPang02/ProcessMonitoringTool",
    "threew/real_10s.parquet": "https://github.com/ricardovvargas/3w_dataset",
}


def recording(name: str) -> Path:
    folder = os.environ.get("FOREWARN_DATA")
    path = Path(folder or "") / name
    if not folder or not path.is_file():
        pytest.skip(f"{name} is not in FOREWARN_DATA ({folder or 'not set'}); made from {ORIGINS[name]}")
    return path


def tried(name: str, *options: object) -> dict[str, dict[str, dict[str, float]]]:
    result = backtest(recording(name), *options, "--json")
    assert result.exit_code == 0, result.output
    said: dict[str, dict[str, dict[str, float]]] = json.loads(result.stdout)
    return said


def test_tennessee_eastman_reaches_what_is_known_of_simple_statistics() -> None:
    """Smoothed Mahalanobis distance finds 95.7 % of the rows of 18 faults, the largest |z| 75.9 %."""
    said = tried(
        "tep_braatz/tep.parquet",
        "--run",
        "fault_run",
        "--label",
        "fault_label",
        "--period",
        "3m",
        "--learn",
        "split = 'train' and fault_run = 0",
        "--test",
        "split = 'test' and fault_run not in (3, 9, 15)",
    )
    assert (len(said["runs"]), said["total"]["events"], said["total"]["events_found"]) == (19, 18, 18)
    assert 0.95 < said["total"]["detection_at_1pct"] < 0.965
    assert said["trivial"]["max |z|"]["detection_at_1pct"] == pytest.approx(0.759, abs=0.001)
    assert said["trivial"]["always-on"]["detection_at_1pct"] == 0


def test_skab_is_won_by_the_clock() -> None:
    """The faults are staged near the middle of each run, so a rule that looks at no data shines."""
    said = tried(
        "skab/skab.parquet",
        "--time",
        "datetime",
        "--run",
        "experiment",
        "--label",
        "anomaly",
        "--tags",
        "Acc*,Current,Pressure,Temperature,Thermocouple,Voltage,Volume*",
        "--learn-rows",
        400,
        "--per-run",
    )
    assert (len(said["runs"]), said["total"]["events"]) == (35, 34)
    assert (
        said["trivial"]["clock"]["vus_pr"]
        > 0.9
        > said["total"]["vus_pr"]
        > said["trivial"]["random"]["vus_pr"]
    )


def test_cranfield_runs_learn_from_their_own_beginning() -> None:
    said = tried(
        "cranfield/cranfield_faulty_1hz.parquet",
        "--time",
        "sample_s",
        "--run",
        "set",
        "--label",
        "label",
        "--tags",
        "v*",
        "--learn-until-label",
        "--per-run",
    )
    assert (len(said["runs"]), said["total"]["events"]) == (16, 19)
    assert said["total"]["average_precision"] > said["trivial"]["random"]["average_precision"]


def test_3w_wells_with_missing_tags_are_judged_by_those_they_have() -> None:
    said = tried(
        "threew/real_10s.parquet",
        "--time",
        "timestamp",
        "--run",
        "instance",
        "--label",
        "class",
        "--learn-until-label",
        "--test",
        "event_class in (2, 6)",
        "--per-run",
    )
    assert (len(said["runs"]), said["total"]["events"]) == (22, 22)
    assert said["total"]["events_found"] >= 20
