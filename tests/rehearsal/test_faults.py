"""Faults of one tag, at exact sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.config.file import Config
from agent.rehearsal.faults import FAULTS, SIZES, Case, made, normal_value
from models.bundle import SHIPPED, load
from models.degradations import FAULTS as NAMES
from tests.agent.samples import CONFIG

ROWS = 4000
(OPEN, *_) = Config.parse(CONFIG, Path("agent.toml")).assets["pump"].tags
OPEN = OPEN.model_copy(update={"low": float("-inf"), "high": float("inf")})


def case(size: float, seed: int = 1) -> Case:
    rng = np.random.default_rng(seed)
    whole = 50.0 + rng.normal(0.0, 1.0, ROWS + 200)
    whole[rng.integers(0, len(whole), 40)] = np.nan
    return Case(whole[200:], whole[:200], size, rng)


def moved(fault: str, size: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each value that is there was moved, and where nothing was measured."""
    given = case(size, seed)
    values = made(FAULTS[fault], given, OPEN)
    return values - given.values, np.isnan(values)


def test_faults_have_the_names_of_the_alerts_and_sizes_that_grow() -> None:
    assert set(FAULTS) <= set(NAMES)
    for fault in FAULTS.values():
        assert list(SIZES[fault.of]) == sorted(SIZES[fault.of])
        assert "{tag}" in fault.words


def test_a_bias_is_exact_and_goes_either_way() -> None:
    ways = set()
    for seed in range(12):
        by, nothing = moved("bias", 2.5, seed)
        assert np.abs(by[~nothing]) == pytest.approx(2.5)
        assert nothing.sum() == np.isnan(case(2.5, seed).values).sum()
        ways.add(float(np.sign(by[~nothing][0])))
    assert ways == {-1.0, 1.0}


def test_a_ramp_reaches_its_size_at_the_end() -> None:
    by, nothing = moved("ramp", 3.0)
    assert np.abs(by[~nothing]) == pytest.approx(np.linspace(0, 3.0, ROWS)[~nothing], abs=1e-9)


def test_a_stuck_tag_shows_the_last_value_before_and_no_value_where_none_came() -> None:
    given = case(0.0)
    values = made(FAULTS["stuck"], given, OPEN)
    assert set(values[np.isfinite(values)]) == {given.past[np.isfinite(given.past)][-1]}
    assert np.array_equal(np.isnan(values), np.isnan(given.values))


def test_a_gain_changes_the_swings_and_not_the_level() -> None:
    for seed in range(4):
        given = case(0.5, seed)
        values = made(FAULTS["gain"], given, OPEN)
        ratio = np.nanstd(values) / np.nanstd(given.values)
        assert ratio == pytest.approx(1.5, rel=1e-6) or ratio == pytest.approx(0.5, rel=1e-6)
        assert np.nanmean(values) == pytest.approx(np.nanmean(given.values), abs=0.2)


def test_noise_and_oscillation_have_their_size() -> None:
    by, nothing = moved("noise", 2.0)
    assert by[~nothing].std() == pytest.approx(2.0, rel=0.05)
    by, nothing = moved("oscillation", 2.0)
    assert np.abs(by[~nothing]).max() == pytest.approx(2.0, rel=0.05)
    assert by[~nothing].std() == pytest.approx(2.0 / np.sqrt(2), rel=0.1)


def test_a_delay_shows_what_was_before() -> None:
    given = case(20.0)
    values = made(FAULTS["delay"], given, OPEN)
    assert np.array_equal(values[20:], given.values[:-20], equal_nan=True)
    assert np.array_equal(values[:20], given.past[-20:], equal_nan=True)


def test_decoupling_shows_its_own_values_of_another_time() -> None:
    given = case(1.0)
    values = made(FAULTS["decoupling"], given, OPEN)
    assert np.array_equal(np.sort(values), np.sort(given.values), equal_nan=True)
    both = np.isfinite(values) & np.isfinite(given.values)
    assert abs(np.corrcoef(values[both], given.values[both])[0, 1]) < 0.1


@pytest.mark.parametrize("clamp", [False, True])
def test_what_is_outside_of_the_tag_s_limits_is_read_as_the_agent_would(clamp: bool) -> None:
    tag = OPEN.model_copy(update={"low": 0.0, "high": 55.0, "clamp": clamp})
    values = [made(FAULTS["bias"], case(20.0, seed), tag) for seed in range(12)]
    up = next(one for one in values if not (one < 40).any())
    if clamp:
        assert np.nanmin(up) == np.nanmax(up) == 55.0
    else:
        assert np.isnan(up).all()


def test_the_normal_value_is_the_mean_or_of_a_tag_about_zero_its_range() -> None:
    statistics = load(SHIPPED / "pump").statistics
    tags = [tag.name for tag in load(SHIPPED / "pump").manifest.tags]
    assert normal_value(statistics, tags.index("flow")) == pytest.approx(58, abs=5)
    place = int(np.flatnonzero(statistics.used == tags.index("flow"))[0])
    statistics.centre[place] = 0.0  # of this copy alone
    assert normal_value(statistics, tags.index("flow")) == pytest.approx(4 * statistics.scale[place])
    unused = next((c for c in range(len(tags)) if c not in statistics.used), None)
    assert unused is None or normal_value(statistics, unused) is None
