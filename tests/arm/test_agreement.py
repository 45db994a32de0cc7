"""The comparison of processors finds what differs; the script says what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.arm.agreement import Arrays, disagreements, main

RUN = Path(__file__).parent / "run"


def figures() -> Arrays:
    rng = np.random.default_rng(1)
    return {
        "evidence": np.array([0.2, np.nan, 0.9999, 1.5]),
        "condition": np.array([0, 4, 0, 1], np.int8),
        "scores.regime": np.array([0, 1, 1, 0]),
        "scores.residual": rng.normal(0.0, 3.0, (4, 5)).astype(np.float32),
    }


def test_the_same_figures_agree_and_so_do_rounded_ones() -> None:
    rounded = {name: a * (1 + 1e-6) if a.dtype.kind == "f" else a for name, a in figures().items()}
    assert not list(disagreements(figures(), figures()))
    assert not list(disagreements(figures(), rounded))


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [("evidence", 0, 0.201), ("evidence", 1, 0.0), ("evidence", 0, np.nan), ("condition", 0, 1),
     ("scores.regime", 2, 0), ("scores.residual", 3, 2.5)],
)
def test_a_figure_that_differs_is_named(name: str, row: int, value: float) -> None:
    said = figures()
    said[name][row] = value
    (line,) = disagreements(figures(), said)
    assert line.startswith(f"{name}: ")


def test_a_row_at_its_limit_may_fall_on_either_side() -> None:
    said = figures()
    said["condition"][2] = 1
    assert not list(disagreements(figures(), said))


def test_what_this_machine_recorded_it_says_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", str(tmp_path)]) == 0
    assert main(["compare", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0].strip() for line in lines] == ["pump: agrees", "press: agrees", "conveyor: agrees"]


def test_a_recording_of_other_figures_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", str(tmp_path)]) == 0
    with np.load(tmp_path / "press.npz") as stored:
        arrays = dict(stored)
    arrays["said.evidence"] = arrays["said.evidence"] + 0.01
    np.savez(tmp_path / "press.npz", **arrays)
    assert main(["compare", str(tmp_path)]) == 1
    assert "press: DISAGREES" in capsys.readouterr().out


def test_other_arguments_are_refused() -> None:
    assert main([]) == main(["compare"]) == 2


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="tests/arm/run is for Debian")
def test_a_missing_network_is_said_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    assert not missing
    closed = "http://127.0.0.1:9/debian"  # the discard port: nobody serves packages there
    result = subprocess.run(
        ["bash", str(RUN), sys.executable, str(tmp_path / "arm")],
        capture_output=True, text=True, env=os.environ | {"ARM_MIRROR": closed}, timeout=100,
    )
    assert result.returncode == 75, "CI tells what is out of reach from processors that differ"
    assert f"make arm: {closed} gave no list of packages; the first run needs the network" in result.stderr
    assert not (tmp_path / "arm" / "ready").exists()
