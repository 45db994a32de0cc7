"""Figures to results: the mean over seeds, targets, and the object that is printed."""

from __future__ import annotations

import json
from math import inf, nan

import pytest

from benchmarks.result import Figure, Result, Target, mean_over_seeds

KEYS = ["benchmark", "case", "method", "metric", "value", "unit", "seeds", "target", "met"]


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(97), 97.0, True),
        (Target(97), 96.9, False),
        (Target(2, at_least=False), 2.0, True),
        (Target(2, at_least=False), 2.1, False),
        (Target(2, at_least=False), None, False),
    ],
)
def test_a_target_is_met_from_its_side_and_never_by_nothing(target: Target, value: float | None, met: bool) -> None:
    assert target.met(value) is met


def test_the_mean_of_the_seeds_is_compared_with_the_target() -> None:
    runs = [[Figure("all", "F1", value, ""), Figure("all", "delay", 3.0, "s")] for value in (0.7, 0.8, 0.9)]
    f1, delay = mean_over_seeds("skab", "forewarn", runs, {("all", "F1"): Target(0.8)})
    assert f1 == Result("skab", "all", "forewarn", "F1", 0.8, "", 3, 0.8, True)
    assert (delay.value, delay.target, delay.met) == (3.0, None, None)


@pytest.mark.parametrize("nothing", [nan, inf])
def test_a_figure_that_a_seed_lacks_has_no_value(nothing: float) -> None:
    runs = [[Figure("all", "delay", value, "s")] for value in (1.0, nothing)]
    (result,) = mean_over_seeds("tep", "forewarn", runs, {("all", "delay"): Target(5, at_least=False)})
    assert (result.value, result.met) == (None, False)


def test_the_printed_object_has_all_keys_in_order() -> None:
    peer = json.loads(Result("tep", "18 faults", "LOF", "detection", 69.4, "%", 1).as_json())
    assert list(peer) == KEYS
    assert peer["target"] is None
    assert peer["met"] is None
