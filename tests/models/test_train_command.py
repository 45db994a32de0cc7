"""The command that rebuilds the fault head: what it writes, and what it says where it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.fault_head import FaultHead
from models.quality import average_precision, detection
from models.train_command import NO_TORCH, app, commit


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.timeout(400)
def test_it_trains_and_writes_weights_and_card(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'forewarn[train]'")
    out = tmp_path / "head.npz"
    code, said = run("head", "--seed", "7", "--plants", "40", "--epochs", "1", "--no-compare", "--out", str(out))
    assert code == 0, said
    assert "average precision" in said
    assert FaultHead.load(out).experts > 1
    with np.load(out) as stored:
        assert str(stored["seed"]) == "7"
        assert str(stored["plants"]) == "40"
        assert "Prior(" in str(stored["priors"])
        assert 0.0 <= float(str(stored["precision"])) <= 1.0
    card = (tmp_path / "head.md").read_text(encoding="utf-8")
    for line in ("| sparse, 4 bits |", "| sparse, float |", "| D2 |", "- seed: 7", "Rounded to 4 bits it has"):
        assert line in card


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, said = run("head")
    assert code == 2
    assert NO_TORCH in said
    assert "Traceback" not in said


def test_a_folder_that_is_not_there_is_named_before_training(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'forewarn[train]'")
    code, said = run("head", "--out", str(tmp_path / "none" / "head.npz"))
    assert code == 2
    assert "there is no folder" in said


def test_the_help_shows_an_example() -> None:
    code, said = run("head", "--help")
    assert code == 0
    assert "forewarn-train head --seed 0" in said


def test_the_commit_is_one_or_said_to_be_unknown() -> None:
    assert commit() == "unknown" or len(commit()) == 40


def test_average_precision_and_detection_by_hand() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(truth, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(truth, np.ones(4)) == pytest.approx(0.5), "ties share"
    assert detection(truth, np.array([4.0, 3.0, 2.0, 1.0])) == 0.5
    assert np.isnan(detection(truth[:1], np.ones(1)))
