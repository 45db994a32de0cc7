"""The fault head's features: what they mean, and that rows come in any portions."""

from __future__ import annotations

import numpy as np
import pytest

from models.features import (
    FEATURES,
    GLOBALS,
    LOG_AGE,
    MOVING,
    POWER_RATES,
    RATES,
    ROW_CLIP,
    STATISTICS,
    Features,
    Observed,
    Statistics,
    learn_reference,
    squash,
)
from tests.models.plants import Float64s


def observed(rows: int, channels: int, seed: int = 0, drift: float = 0.0) -> Observed:
    rng = np.random.default_rng(seed)
    e = rng.standard_normal((rows, channels))
    e[:, 0] += drift * np.sin(np.arange(rows) / 150.0)
    z = 0.6 * e + 0.8 * rng.standard_normal((rows, channels))
    unchanged = rng.random((rows, channels)) < 0.2
    return Observed(e, z, unchanged, Statistics(channels).update(e, z, e))


def part(rows: Observed, low: int, high: int) -> Observed:
    return Observed(rows.e[low:high], rows.z[low:high], rows.unchanged[low:high], rows.stats[low:high])


@pytest.mark.parametrize("portion", [1, 7, 64, 65])
def test_portions_of_rows_give_what_the_whole_gives(portion: int) -> None:
    reference = learn_reference([observed(400, 5)])
    rows = observed(200, 5, seed=2)
    rows.e[50, 2] = rows.z[50, 2] = np.nan
    at_once = Features(reference).update(rows)
    running = Features(reference)
    pieces = [running.update(part(rows, low, low + portion)) for low in range(0, 200, portion)]
    for number in (0, 1):
        np.testing.assert_allclose(np.concatenate([p[number] for p in pieces]), at_once[number], atol=1e-5)


@pytest.mark.parametrize("portion", [1, 30])
def test_portions_of_rows_give_the_same_statistics(portion: int) -> None:
    rows = observed(90, 4)
    running = Statistics(4)
    pieces = [running.update(rows.e[i : i + portion], rows.z[i : i + portion], rows.e[i : i + portion])
              for i in range(0, 90, portion)]
    np.testing.assert_allclose(np.concatenate(pieces), rows.stats)


def test_healthy_rows_look_the_same_on_any_plant() -> None:
    for channels, seed in ((2, 3), (30, 4)):
        channel, whole = Features(learn_reference([observed(3000, channels, seed)])).update(
            observed(3000, channels, seed + 10)
        )
        assert channel.shape == (3000, channels, FEATURES)
        assert whole.shape == (3000, GLOBALS)
        assert np.abs(channel[300:, :, :MOVING].mean((0, 1))).max() < 0.25
        assert channel[300:, :, :MOVING].std((0, 1)).min() > 0.35
        assert channel[300:, :, :MOVING].std((0, 1)).max() < 1.2
        assert np.median(np.abs(whole[:, :STATISTICS])) < 1.0


def test_the_averages_start_from_the_healthy_reference_whatever_the_first_row_is() -> None:
    reference = learn_reference([observed(2000, 3)])
    first = observed(1, 3, seed=5)
    first.e[:] = first.z[:] = 50.0
    channel, _ = Features(reference).update(first)
    slowest = 1 + RATES.index(0.01)
    assert channel[0, 0, 0] == pytest.approx(np.log1p(ROW_CLIP), abs=0.05), "the row itself is clipped"
    assert 0.0 < channel[0, 0, 2 * slowest] < channel[0, 0, 0]
    quiet = observed(1, 3, seed=6)
    quiet.e[:] = quiet.z[:] = 0.0
    assert np.abs(Features(reference).update(quiet)[0][0, :, :10]).max() < 0.5


def test_a_bias_raises_the_averages_and_noise_the_variance_of_its_own_channel_only() -> None:
    reference = learn_reference([observed(3000, 4)])
    rows = observed(400, 4, seed=7)
    rows.e[200:, 1] += 3.0
    rows.e[200:, 2] *= 4.0
    before, after = Features(reference).update(rows)[0][[199, 399]]
    mean, variance = 6, 10  # e averaged at 0.03, its variance at 0.1
    assert after[1, mean] > before[1, mean] + 1.5
    assert abs(after[3, mean]) < 1.5
    assert after[2, variance] > before[2, variance] + 1.0
    assert after[3, variance] < 1.5


def struck(e: Float64s, quiet_rows: int = 300) -> Float64s:
    """Return the last features f32[F] of the first of 3 channels that deviates by e f64[T] after a quiet time."""
    running = Features(learn_reference([observed(4000, 3)]))
    running.update(observed(quiet_rows, 3, seed=11))
    rows = observed(len(e), 3, seed=12)
    rows.e[:, 0] += e
    rows.z[:, 0] += e
    return running.update(rows)[0][-1, 0].astype(np.float64)


AGES = slice(MOVING + 2, MOVING + 6)
AGAINST_STEP = slice(MOVING + 6, MOVING + 11)


def ages(features: Float64s) -> Float64s:
    """Return how old the deviation of a channel seems to each memory, in rows."""
    return np.asarray(np.exp(features[AGES] + LOG_AGE))


def test_a_step_has_one_age_and_a_ramp_many() -> None:
    step, ramp = ages(struck(np.full(1500, 5.0))), ages(struck(np.linspace(0.0, 8.0, 6000)))
    np.testing.assert_allclose(step[2:], 1500, rtol=0.25)  # the shorter memories have forgotten that it began
    assert (step[:2] > 300).all()
    assert (np.diff(ramp) > 0).all()
    assert ramp[-1] > 5 * ramp[0]


@pytest.mark.parametrize("age", [60, 300, 1500, 6000])
def test_a_ramp_contradicts_a_step_of_any_age(age: int) -> None:
    step, ramp = struck(np.full(age, 12.0))[AGAINST_STEP], struck(np.linspace(0.0, 24.0, age))[AGAINST_STEP]
    assert np.abs(step).max() < 0.5
    assert ramp.max() > step.max() + 0.3


def test_ages_are_of_offsets_that_are_alike_in_all_regimes() -> None:
    reference = learn_reference([observed(4000, 3)])
    offset = np.full((6000, 3), 5.0)
    sharp = np.where(np.arange(6000)[:, None] < 5000, 0.5, 3.0)  # the later regime takes the same offset for larger
    rows = observed(6000, 3, seed=16)
    oldest = {}
    for name, given in {"offset": offset, "none": None}.items():
        deviating = Observed(rows.e + offset * sharp, rows.z, rows.unchanged, rows.stats, given)
        oldest[name] = ages(Features(reference).update(deviating)[0][-1, 0].astype(np.float64))[-1]
    assert oldest["offset"] > 1.5 * oldest["none"], "a step that the change of regime makes look new"


@pytest.mark.parametrize("portion", [1, 16, 400])
def test_rows_that_nobody_asked_for_leave_the_same_trace(portion: int) -> None:
    reference = learn_reference([observed(2000, 3)])
    rows = observed(500, 3, seed=13, drift=2.0)
    asked, followed = Features(reference), Features(reference)
    for low in range(0, 400, portion):
        asked.update(part(rows, low, low + portion))
        followed.follow(part(rows, low, low + portion))
    for one, other in zip(
        asked.update(part(rows, 400, 500)), followed.update(part(rows, 400, 500)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_rows_passed_over_are_in_the_long_memory_alone() -> None:
    reference = learn_reference([observed(2000, 3)])
    rows = observed(500, 3, seed=13)
    rows.e[:, 0] += 4.0
    whole, passed = Features(reference), Features(reference)
    at_once = whole.update(rows)[0][-1]
    passed.pass_over(rows.e[:400], rows.e[:400])
    later = passed.update(part(rows, 400, 500))[0][-1]
    np.testing.assert_allclose(later[:, 2:6], at_once[:, 2:6], atol=1e-3)
    np.testing.assert_allclose(ages(later[0])[1:], ages(at_once[0])[1:], rtol=0.3)


def test_bursts_noise_and_oscillations_look_different() -> None:
    rng, count = np.random.default_rng(14), 400
    kinds = {
        "noise": 3.0 * rng.standard_normal(count),
        "bursts": np.where(rng.random(count) < 0.05, 12.0, 0.0),
        "wave": 4.0 * np.sin(2 * np.pi * np.arange(count) / 6.0),
    }
    logs = slice(MOVING - 12, MOVING - 5)  # at the slower rate
    assert POWER_RATES[-1] == 0.01
    found = {name: struck(e)[logs] for name, e in kinds.items()}
    kurtosis = {name: logs[-1] for name, logs in found.items()}
    assert kurtosis["bursts"] > kurtosis["noise"] + 1.0 > kurtosis["wave"] + 1.0
    third = {name: logs[4] - logs[3] for name, logs in found.items()}  # differences over 3 rows and over 1
    assert third["wave"] > third["noise"] + 0.3, "half a wave apart"


def test_a_value_that_stands_still_is_counted_across_portions() -> None:
    running = Features(learn_reference([observed(2000, 3)]))
    rows = observed(80, 3, seed=15)
    rows.unchanged[20:, 1] = True
    pieces = [running.update(part(rows, low, low + 10))[0] for low in range(0, 80, 10)]
    stay = np.concatenate(pieces)[:, :, MOVING - 1]
    assert (np.diff(stay[20:, 1]) > 0).all()
    assert stay[-1, 1] > stay[20:, [0, 2]].max()


def test_a_missing_value_keeps_the_averages_and_is_no_evidence() -> None:
    reference = learn_reference([observed(1000, 3)])
    rows = observed(60, 3, seed=8)
    rows.e[30:, 1] = rows.z[30:, 1] = np.nan
    rows.stats[30:] = np.nan
    channel, whole = Features(reference).update(rows)
    assert np.isfinite(channel).all()
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(channel[59, 1, 2:10], channel[29, 1, 2:10], atol=1e-6)
    np.testing.assert_allclose(whole[30:, :STATISTICS], 0.0, atol=1e-4)


def test_a_channel_that_drifts_when_healthy_is_known_to_be_restless() -> None:
    steady, restless = (learn_reference([observed(4000, 3, drift=d)]).unrest() for d in (0.0, 2.0))
    assert np.abs(steady).max() < 0.7
    assert restless[0, 6] > steady[0, 6] + 1.0, "e averaged at 0.01 wanders"
    assert np.abs(restless[1] - steady[1]).max() < 1e-9


def test_statistics_are_one_on_white_rows_from_the_first_row_on() -> None:
    rng = np.random.default_rng(9)
    first, late = np.zeros(STATISTICS), np.zeros(STATISTICS)
    for _ in range(200):
        white = rng.standard_normal((60, 10))
        found = Statistics(10).update(white, white, white)
        first, late = first + found[0] / 200, late + found[-1] / 200
    at = slice(0, 9)  # D2 and T2 at every rate; the others are not scaled to 1
    np.testing.assert_allclose(first[at], 1.0, atol=0.15)
    np.testing.assert_allclose(late[at], 1.0, atol=0.15)


def test_squash_keeps_the_sign_and_tames_the_large() -> None:
    np.testing.assert_allclose(squash(np.array([-1e6, -1e-3, 0.0, 1e-3])), [-13.8155, -1e-3, 0.0, 1e-3], atol=1e-4)


def reference_spread(values: Float64s) -> Float64s:
    channels = values.shape[1]
    rows = Observed(values, values, np.zeros(values.shape, bool), Statistics(channels).update(values, values, values))
    return learn_reference([rows]).spread


def test_the_spread_is_never_believed_to_be_smaller_than_that_of_independent_rows() -> None:
    alternating = np.tile([[1.0, 1.0], [-1.0, 1.0]], (500, 1))
    alternating[:, 1] = np.random.default_rng(0).standard_normal(1000)
    slow = 2 * (1 + RATES.index(0.01))
    assert reference_spread(alternating)[0, slow] == pytest.approx(np.sqrt(0.01 / 1.99), rel=0.05)
