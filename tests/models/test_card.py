"""What a person reads of a model."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from models.bundle import Bundle, RegimeCard, Statistics, TagSchema
from models.card import TELLING, describe, write_card
from models.experts import Experts
from models.modes import Modes
from models.regimes import Regimes
from tests.models.plants import Float64s

NAMES = [("speed", "rpm"), ("pressure", "bar"), ("level", "1")]


def statistics_of(template: Statistics, mean: list[list[float]], centre: list[float], scale: list[float]) -> Statistics:
    """Regimes of unit width around these means, of channels with this centre and scale."""
    count, channels = np.array(mean).shape
    regimes = Regimes(np.full(count, -np.log(count)), np.array(mean), np.tile(0.01 * np.eye(channels), (count, 1, 1)))
    return replace(
        template,
        used=np.arange(channels),
        centre=np.array(centre),
        scale=np.array(scale),
        experts=Experts(regimes, np.empty(0), np.empty(0)),
    )


def rows_in(mean: list[list[float]], counts: list[int]) -> Float64s:
    return np.repeat(np.array(mean), counts, 0)


@pytest.fixture
def template(three: Bundle) -> Statistics:
    return three.statistics


def test_regimes_are_told_apart_by_the_tags_in_which_they_differ_most(template: Statistics) -> None:
    mean = [[1.5, 0.1, -0.5], [-1.0, 0.1, 0.4]]
    statistics = statistics_of(template, mean, [1400.0, 5.0, 0.5], [100.0, 0.5, 0.01])
    cards = describe(statistics, NAMES, rows_in(mean, [3, 1]))
    assert cards == (
        RegimeCard("R1", "speed 1550 rpm, level 0.495, 75% of the time", 0.75),
        RegimeCard("R2", "speed 1300 rpm, level 0.504, 25% of the time", 0.25),
    )


def test_a_rare_regime_does_not_decide_which_tags_are_told(template: Statistics) -> None:
    mean = [[0.0, 1.0, 0.0], [0.0, -1.0, 0.5], [3.0, 0.0, 0.0]]
    statistics = statistics_of(template, mean, [0.0] * 3, [1.0] * 3)
    for card in describe(statistics, NAMES, rows_in(mean, [500, 498, 2])):
        assert re.findall("speed|pressure|level", card.description) == ["pressure", "level"]


def test_one_regime_is_described_all_the_same(template: Statistics) -> None:
    mean = [[0.0, 0.0, 0.0]]
    (card,) = describe(statistics_of(template, mean, [1480.2, 3.0, 0.7], [10.0, 0.1, 0.1]), NAMES, rows_in(mean, [10]))
    assert card == RegimeCard("R1", "speed 1480.2 rpm, pressure 3 bar, 100% of the time", 1.0)
    assert card.description.count(",") == TELLING


def test_regimes_that_look_alike_are_told_by_one_tag_more(template: Statistics) -> None:
    names = [*NAMES, ("heat", "degC"), ("torque", "Nm")]
    mean = [[3.0, 2.0, 0.0, 0.0, 0.0], [-3.0, -2.0, 0.3, 0.7, 0.0], [-3.0, -2.0, -0.3, -0.7, 0.0]]
    statistics = statistics_of(template, mean, [0.0] * 5, [1.0] * 5)
    for card in describe(statistics, names, rows_in(mean, [5, 5, 5])):
        assert re.findall("speed|pressure|level|heat|torque", card.description) == ["speed", "pressure", "heat"]


def test_a_regime_without_rows_says_so(template: Statistics) -> None:
    mean = [[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]
    cards = describe(statistics_of(template, mean, [0.0] * 3, [1.0] * 3), NAMES, rows_in(mean, [10, 0]))
    assert cards[1].share == 0.0
    assert cards[1].description.endswith("0% of the time")


@pytest.mark.parametrize(
    ("level", "scale", "said"),
    [
        (1480.23456, 1000.0, "1480"),
        (1480.23456, 10.0, "1480.2"),
        (0.000123456, 0.0001, "0.000123"),
        (-0.0001, 1.0, "0"),
        (-2.5, 1.0, "-2.5"),
        (123456.7, 1000.0, "123457"),
    ],
)
def test_a_level_is_said_to_a_hundredth_of_the_spread(
    template: Statistics, level: float, scale: float, said: str
) -> None:
    (card,) = describe(statistics_of(template, [[0.0]], [level], [scale]), [("flow", "m3/h")], np.zeros((3, 1)))
    assert card.description == f"flow {said} m3/h, 100% of the time"


@pytest.mark.parametrize("unit", ["1", ""])
def test_a_number_without_a_unit_is_a_number(template: Statistics, unit: str) -> None:
    (card,) = describe(statistics_of(template, [[0.0]], [1.0], [1.0]), [("ratio", unit)], np.zeros((3, 1)))
    assert card.description == "ratio 1, 100% of the time"


def test_the_card_lists_tags_switches_and_regimes() -> None:
    tags = (TagSchema("flow", "m3/h", "scored"), TagSchema("heat", "degC", "drifting"), TagSchema("on", "", "scored"))
    regimes = (RegimeCard("R1", "flow 3 m3/h, 100% of the time", 1.0),)
    card = write_card("pump", "pump.parquet", tags, regimes, 500, 7200, 0.001, Modes((2,), ((0.0,), (1.0,)), (24, 4)))
    assert card.startswith("# pump\n")
    assert "7200 rows of 0.5 s (pump.parquet)" in card
    assert "shrunk by 0.001" in card
    for tag in tags:
        assert f"| {tag.name} | {tag.unit} | {tag.role} |" in card
    assert "Switching tags: on. Set-points: none. After a change of either the machine settles" in card
    assert "- on 0: 12 s\n- on 1: 2 s\n" in card
    assert "- R1: flow 3 m3/h, 100% of the time" in card
    assert "- drifting: has no level of its own" in card
    assert "- setpoint" not in card, "there is none"


def test_the_card_of_a_machine_that_never_switches_says_none() -> None:
    card = write_card("fan", "", (TagSchema("flow", "m3/h", "scored"),), (), 1000, 100, 1e-6, Modes((), (), ()))
    assert "Switching tags: none" in card
    assert "(unnamed source)" in card
