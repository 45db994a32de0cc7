"""The protocol of remaining life on a tiny fleet with known answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from benchmarks import remaining_life
from benchmarks.options import Options
from benchmarks.remaining_life import CAPPED, PARAMETERS, TAGS, Fleet, Said
from benchmarks.result import BenchmarkError

LEFT = {1: 150, 2: 30, 3: 10}


def a_table() -> pl.DataFrame:
    """Return three engines run to failure and three cut short with LEFT cycles left, rows in disorder."""
    rng = np.random.default_rng(0)
    parts = []
    for split, left in [("train", dict.fromkeys(LEFT, 0)), ("test", LEFT)]:
        for unit, end in left.items():
            rows = 40 + unit
            columns = {"unit": [unit] * rows, "cycle": range(1, rows + 1), "rul": range(rows + end - 1, end - 1, -1)}
            columns |= {tag: rng.standard_normal(rows) for tag in TAGS}
            parts.append(pl.DataFrame(columns).with_columns(subset=pl.lit("FD009"), split=pl.lit(split)))
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=0)


def figures(said: Said) -> dict[str, float]:
    fleet = remaining_life.fleet_of(a_table(), "FD009", None)
    return {figure.metric: figure.value for figure in remaining_life.measure(fleet, lambda _fleet, _seed: said, 0)}


def test_the_fleet_is_learnt_whole_and_tried_on_the_last_row() -> None:
    fleet: Fleet = remaining_life.fleet_of(a_table(), "FD009", None)
    assert [run.remaining_rows[-1] for run in fleet.learnt] == [0, 0, 0]
    assert [len(values) for values in fleet.tried] == [41, 42, 43]
    assert fleet.left.tolist() == list(LEFT.values())
    assert len(remaining_life.fleet_of(a_table(), "FD009", 2).learnt) == 2


def test_the_cap_forgives_what_lies_beyond_it() -> None:
    found = figures(Said(np.array([125.0, 30.0, 10.0]), None, 7))
    assert found[CAPPED] == 0.0
    assert found["RMSE of remaining life, uncapped"] == pytest.approx(25 / 3**0.5)
    assert found["PHM08 score, capped at 125"] == 0.0
    assert found[PARAMETERS] == 7
    assert not any("coverage" in metric for metric in found)


def test_a_late_warning_costs_more_than_an_early_one() -> None:
    late = figures(Said(np.array([125.0, 40.0, 10.0]), None, 1))["PHM08 score, capped at 125"]
    early = figures(Said(np.array([125.0, 20.0, 10.0]), None, 1))["PHM08 score, capped at 125"]
    assert late == pytest.approx(np.e - 1)
    assert early == pytest.approx(np.exp(10 / 13) - 1)


def test_coverage_is_of_the_uncapped_life() -> None:
    interval = np.array([[100.0, 140.0], [20.0, 30.0], [5.0, 15.0]])
    found = figures(Said(np.array([120.0, 25.0, 10.0]), interval, 1))
    assert found["coverage of the 90 % interval of the uncapped life"] == pytest.approx(200 / 3)
    assert found["median width of the 90 % interval"] == 10.0


def test_a_constant_is_a_peer_without_targets() -> None:
    results = list(remaining_life.run(a_table(), ["FD009"], Options(methods=("constant",), seeds=3)))
    assert {(r.benchmark, r.case, r.method, r.seeds) for r in results} == {("cmapss", "FD009", "constant", 1)}
    assert all(r.target is None and r.met is None for r in results)


def test_a_subset_without_test_engines_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="FD009 lacks engines"):
        remaining_life.fleet_of(a_table().filter(pl.col("split") == "train"), "FD009", None)


def test_a_ridge_learns_from_the_same_features() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra [bench]")
    fleet = remaining_life.fleet_of(a_table(), "FD009", None)
    said = remaining_life.line(fleet, 0)
    assert said.life.shape == (3,)
    assert said.parameters == 5 * len(TAGS) + 2
