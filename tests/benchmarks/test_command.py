"""`python -m benchmarks`: what it prints and keeps, and what it says when something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import tep
from benchmarks.command import app
from benchmarks.store import read
from tests.benchmarks.test_result import KEYS
from tests.benchmarks.test_sets import tep_file

UNUSABLE = 2


def benchmarks(*arguments: object, results: Path) -> Result:
    said = [str(argument) for argument in (*arguments, "--results", results)]
    return CliRunner().invoke(app, said, env={"FOREWARN_DATA": None, "COLUMNS": "200"})


def test_json_prints_one_object_a_line_and_keeps_them(tmp_path: Path) -> None:
    tep_file(tmp_path)
    said = benchmarks("tep", "--data", tmp_path, "--methods", "forewarn,random", "--json", results=tmp_path / "r")
    assert said.exit_code == 0, said.output
    objects = [json.loads(line) for line in said.stdout.splitlines()]
    assert all(list(each) == KEYS for each in objects)
    targets = {(each["case"], each["metric"]) for each in objects if each["target"] is not None}
    assert targets == set(tep.TARGETS)
    assert all(each["method"] == "forewarn" for each in objects if each["met"] is not None)
    kept = read(tmp_path / "r" / "tep.json")
    assert [json.loads(result.as_json()) for result in kept.results] == objects
    assert kept.provenance["forewarn"].cores > 0


def test_a_table_is_printed_for_people_and_a_quick_look_is_not_kept(tmp_path: Path) -> None:
    tep_file(tmp_path)
    said = benchmarks("tep", "--data", tmp_path, "--methods", "always-on", "--limit", 2, results=tmp_path / "r")
    assert said.exit_code == 0, said.output
    assert "detection at 1 % false alarms" in said.stdout
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tepp",), "no benchmark tepp; there are: tep, skab"),
        (("tep",), "give --data DIR or set FOREWARN_DATA; tep_braatz/tep.parquet is made from https://github.com/"),
        (("skab", "--data", "/nowhere"), "/nowhere/skab/skab.parquet is not there; it is made from https://"),
        (("tep", "--data", ".", "--methods", "LOFI"), "tep_braatz/tep.parquet is not there"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    said = benchmarks(*arguments, results=tmp_path)
    assert said.exit_code == UNUSABLE
    assert words in said.stderr
    assert "Traceback" not in said.output


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    tep_file(tmp_path)
    said = benchmarks("tep", "--data", tmp_path, "--methods", "LOFI", results=tmp_path)
    assert said.exit_code == UNUSABLE
    assert "no method LOFI" in said.stderr
