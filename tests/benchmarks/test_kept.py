"""Years that are played a few at a time: what is kept is not played again, and never mixed with another kind."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.line.alert import Trait
from agent.line.verdict import Cause
from benchmarks import alerts
from benchmarks.command import app
from benchmarks.kept import Origin, Shelf
from benchmarks.options import Options
from benchmarks.plant_year import Asset
from benchmarks.plant_year_case import FaultOutcome, Life
from benchmarks.result import BenchmarkError
from tests.benchmarks.test_alerts import DRIFT, raised, said, year

UNUSABLE = 2
CONVEYOR = Asset(alerts.SEED_FIRST, 8, 2)
ANOTHER = Asset(alerts.SEED_FIRST, 9, 2)


class InterruptError(Exception):
    """Somebody ends the run."""


def test_a_kept_year_is_the_year_that_was_played(tmp_path: Path) -> None:
    verdict = replace(said(Cause.SENSOR, "ramp", "filter_dp"), evidence=0.1 + 0.2, health=math.nan)
    first = replace(raised(1 / 3, verdict, of_wire=True), signature=(Trait("flow", -2.5, 0.0, 1e-30),))
    found = FaultOutcome(DRIFT, 900, (first,), (Life(0.5, 1.0, 9.0),), None)
    asset, years = Asset(7, 0), (year(1.0, (found,), (raised(2.0, said(Cause.MACHINE, "gain", "flow")),)), year(0.2))
    Shelf(tmp_path, Origin.here()).keep(asset, years)
    kept = Shelf(tmp_path, Origin.here()).read([asset, Asset(7, 1), replace(asset, days=3)])
    assert list(kept) == [asset], "others, and other days of it, are not there"
    assert repr(kept[asset][0].faults[0].raised) == repr(years[0].faults[0].raised), "NaN is like no other, not itself"
    assert kept[asset][0].other == years[0].other
    assert kept[asset][0].faults[0].lives == found.lives
    assert kept[asset][1] == years[1]


def test_a_run_that_was_interrupted_goes_on_and_one_that_ended_plays_nothing(tmp_path: Path) -> None:
    played: list[str] = []

    def stop(doing: str, _share: float) -> None:
        raise InterruptError(doing)

    options = Options(seeds=1, subsets=("conveyor",), limit=2, count=2, keep=tmp_path)
    with pytest.raises(InterruptError, match=r"conveyor-1, seed 1001"):
        list(alerts.run(replace(options, progress=stop)))
    assert [path.name for path in tmp_path.iterdir()] == ["1001-conveyor-1-2-days.json"]
    results = list(alerts.run(replace(options, progress=lambda doing, _share: played.append(doing))))
    assert played == ["conveyor-2, seed 1001"]
    assert {result.metric: result.value for result in results}["healthy weeks"] == pytest.approx(4 / 7)
    again = quick_look(tmp_path)
    assert again.exit_code == 0, again.output
    assert [json.loads(line) for line in again.stdout.splitlines()] == [json.loads(one.as_json()) for one in results], (
        "its CPU time is that of the years that were played"
    )


def test_years_of_another_code_package_or_processor_are_refused_before_any_is_played(tmp_path: Path) -> None:
    here = Origin.here()
    others = {
        "the code of commit 0123456789ab, here": replace(here, commit="0123456789ab", code="0"),
        f"numpy 1.0, here numpy {here.packages['numpy']}": replace(here, packages={"numpy": "1.0"}),
        f"486, here {here.cpu}": replace(here, cpu="486"),
    }
    for words, origin in others.items():
        Shelf(tmp_path, origin).keep(ANOTHER, (year(1.0), year(0.2)))
        refused = quick_look(tmp_path)
        assert refused.exit_code == UNUSABLE
        assert f"1001-conveyor-2-2-days.json was played with other means: {words}" in refused.stderr
        assert "Give another folder to --keep, or delete this one" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["1001-conveyor-2-2-days.json"], "none was played"


def test_the_same_code_of_another_commit_is_no_other_kind(tmp_path: Path) -> None:
    Shelf(tmp_path, replace(Origin.here(), commit="0123456789ab")).keep(CONVEYOR, (year(1.0),))
    assert Shelf(tmp_path, Origin.here()).read([CONVEYOR]) == {CONVEYOR: (year(1.0),)}


def test_what_is_no_year_or_no_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "1001-conveyor-1-2-days.json"
    path.write_text('{"origin":')
    broken = quick_look(tmp_path)
    assert broken.exit_code == UNUSABLE
    assert f"{path} is no played year" in broken.stderr
    assert "delete it, and it is played anew" in broken.stderr
    with pytest.raises(BenchmarkError, match="give another --keep"):
        Shelf(path / "folder", Origin.here())


def quick_look(folder: Path) -> Result:
    arguments = ["alerts", "--subset", "conveyor", "--limit", "2", "--count", "2", "--seeds", "1", "--json"]
    return CliRunner().invoke(app, [*arguments, "--keep", str(folder)])
