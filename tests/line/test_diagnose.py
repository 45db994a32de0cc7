"""Faults that a test has planted are named: which tag, what it should be, where to look, what it looks like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.line.assess import LOOK_BACK_ROWS, RECOVERY_ROWS, Assessor
from agent.line.diagnose import NAMED_MAX, diagnose
from agent.line.verdict import Cause, Condition, Verdict
from agent.line.window import Grid
from models.frozen import FACTOR, ROWS_MIN
from models.runtime import Detector
from tests.line.conftest import SETTLE_ROWS
from tests.line.frames import WEEKLY, grid
from tests.models.plants import TAGS, Bools, Float32s, coupled, settling

NAMES = [name for name, _ in TAGS]
SHIFT = 8.0
NO_SYMPTOMS = np.zeros(len(TAGS), np.bool_)


def verdict_on(detector: Detector, values: Float32s, row: int = -1) -> Verdict:
    assessor = Assessor(detector, WEEKLY.alerts_per_s)
    assessment = assessor.update(grid(values))
    return diagnose("pump", assessment, row % len(values), detector, NO_SYMPTOMS)


def newest_deviation(detector: Detector, values: Float32s) -> Verdict:
    """The verdict on the last row that deviates: between two bursts there is nothing to tell."""
    assessor = Assessor(detector, WEEKLY.alerts_per_s)
    assessment = assessor.update(grid(values))
    row = int(np.flatnonzero(assessment.evidence >= 1.0)[-1])
    return diagnose("pump", assessment, row, detector, NO_SYMPTOMS)


def loose_contact(rows: int) -> Float32s:
    """Bursts of two rows."""
    struck = np.random.default_rng(2).random(rows) < 0.08
    return np.asarray(np.convolve(struck, np.ones(2))[:rows] > 0, np.float32)


def faulty(change: Callable[[Float32s], None], rows: int = 400) -> Float32s:
    """A day with a fault from row 200 on."""
    values = coupled(rows, seed=5)
    change(values[200:])
    return values


def shifted(tag: int) -> Callable[[Float32s], None]:
    def shift(values: Float32s) -> None:
        values[:, tag] += SHIFT

    return shift


@pytest.mark.parametrize("tag", range(6), ids=NAMES)
def test_a_tag_that_is_off_is_named_first_with_what_it_should_show(running: Detector, tag: int) -> None:
    values = faulty(shifted(tag))
    verdict = verdict_on(running, values)
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.MACHINE, "most faults of a machine show in one tag first"
    first = verdict.contributions[0]
    assert (first.tag, first.unit) == TAGS[tag]
    recent = values[-LOOK_BACK_ROWS:, tag]
    assert first.measured == pytest.approx(float(recent.mean()), rel=1e-3)
    assert first.expected == pytest.approx(float(recent.mean()) - SHIFT, abs=2.0)
    assert verdict.fault_probabilities[0][0] in {"bias", "ramp"}, "a step of a few rows' age may be the top of a ramp"


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_what_tags_did_while_the_machine_settled_explains_no_deviation(switched: Detector, seed: int) -> None:
    values = settling(1032, seed=seed, settle_rows=SETTLE_ROWS, dwell=500)
    values[950:, 4] += SHIFT
    assessment = Assessor(switched, WEEKLY.alerts_per_s).update(grid(values))
    verdict = diagnose("pump", assessment, len(values) - 1, switched, np.zeros(len(TAGS) + 1, np.bool_))
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.MACHINE
    first = verdict.contributions[0]
    assert first.tag == NAMES[4]
    assert first.measured == pytest.approx(first.expected + SHIFT, abs=2.0)


def test_several_tags_that_move_together_point_to_the_machine(running: Detector) -> None:
    def loosen(values: Float32s) -> None:
        values[:, 1] += 9.0
        values[:, 3] -= 9.0
        values[:, 4] += 7.0

    verdict = verdict_on(running, faulty(loosen))
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.MACHINE


def test_tags_that_lose_their_coupling_point_to_the_machine(running: Detector) -> None:
    def decouple(values: Float32s) -> None:
        values[:, :3] = coupled(len(values), seed=77)[:, :3]

    assert verdict_on(running, faulty(decouple)).cause is Cause.MACHINE


def test_a_deviation_while_data_are_missing_points_to_the_communication(running: Detector) -> None:
    values = faulty(shifted(2))
    values[200:, 4] = np.nan
    assert verdict_on(running, values).cause is Cause.MACHINE, "a sixth is missing"
    values[-LOOK_BACK_ROWS : -RECOVERY_ROWS - 10] = np.nan
    verdict = verdict_on(running, values)
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.COMMUNICATION


def test_a_stuck_sensor_is_stuck(running: Detector) -> None:
    def stick(values: Float32s) -> None:
        values[:, 2] = values[0, 2]

    values = faulty(stick)
    verdict = verdict_on(running, values, row=200 + ROWS_MIN)
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.SENSOR
    assert verdict.fault_probabilities == (("stuck", 1.0),)
    assert [part.tag for part in verdict.contributions] == ["current"]
    assert verdict.contributions[0].share == 1.0
    assert verdict.contributions[0].measured == pytest.approx(float(values[200, 2]), rel=1e-5)


@pytest.mark.parametrize("tag", [0, 1, 3, 4, 5], ids=[*NAMES[:2], *NAMES[3:]])
def test_a_stuck_sensor_does_not_hide_another_tag_that_deviates(running: Detector, tag: int) -> None:
    values = coupled(800, seed=5)
    values[200:, 2] = values[200, 2]
    values[200 + ROWS_MIN :, tag] += SHIFT
    verdict = verdict_on(running, values, row=200 + ROWS_MIN + LOOK_BACK_ROWS)
    assert (verdict.cause, verdict.fault_probabilities) == (Cause.SENSOR, (("stuck", 1.0),))
    stuck, *others = verdict.contributions
    assert stuck.tag == NAMES[2]
    assert others[0].tag == NAMES[tag]
    shares = [part.share for part in verdict.contributions]
    assert shares == sorted(shares, reverse=True)
    assert 0.9 < sum(shares) <= 1.0


def test_a_tag_that_deviates_and_stands_still_is_stuck_before_it_is_frozen(running: Detector) -> None:
    values = coupled(400, seed=5)
    values[200:, 2] = 60.0
    early, late = (verdict_on(running, values, row) for row in (230, 200 + ROWS_MIN // FACTOR))
    assert early.condition is late.condition is Condition.DEVIATING
    assert early.cause is Cause.MACHINE
    assert "stuck" not in dict(early.fault_probabilities)
    assert (late.cause, late.fault_probabilities) == (Cause.SENSOR, (("stuck", 1.0),))


@pytest.mark.parametrize(
    ("away", "cause"),
    [
        ([5, 12, 20, 31], Cause.SENSOR),
        ([10, 11, 20, 21, 30, 31], Cause.SENSOR),
        ([27, 28, 29, 30, 31], Cause.MACHINE),  # not back yet
        ([5, 6, 28, 29, 30, 31], Cause.SENSOR),  # away twice
        ([25, 26, 27, 28, 29, 30], Cause.MACHINE),  # back once
        ([*range(1, 32, 2), 0, 4, 8], Cause.MACHINE),  # more often away than not
    ],
)
def test_what_comes_and_goes_is_a_contact(running: Detector, away: list[int], cause: Cause) -> None:
    values = coupled(400, seed=5)
    rows = 400 - LOOK_BACK_ROWS + np.array(away)
    values[rows, 2] += 40.0
    verdict = verdict_on(running, values)
    assert verdict.condition is Condition.DEVIATING
    assert verdict.contributions[0].tag == "current"
    assert verdict.cause is cause
    assert ("intermittent" in dict(verdict.fault_probabilities)) is (cause is Cause.SENSOR)


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("noise", lambda v: np.random.default_rng(0).normal(0.0, 6.0, len(v))),
        ("oscillation", lambda v: 6.0 * np.sin(np.arange(len(v)) / 2)),
        ("intermittent", lambda v: 25.0 * loose_contact(len(v))),
    ],
)
def test_the_shape_of_a_deviation_is_told(
    running: Detector, fault: str, change: Callable[[Float32s], Float32s]
) -> None:
    values = coupled(400, seed=5)
    values[200:, 2] += change(values[200:]).astype(np.float32)
    verdict = newest_deviation(running, values)
    assert verdict.contributions[0].tag == "current"
    assert verdict.fault_probabilities[0][0] == fault
    assert 0.3 < verdict.fault_probabilities[0][1] <= 1.0


def test_a_ramp_is_told_while_it_rises(running: Detector) -> None:
    values = coupled(264, seed=5)
    values[200:, 2] += np.linspace(0.0, 12.0, 64, dtype=np.float32)
    verdict = verdict_on(running, values)
    assert verdict.contributions[0].tag == "current"
    assert verdict.fault_probabilities[0][0] == "ramp"


def test_a_healthy_machine_has_no_cause_and_no_fault(running: Detector) -> None:
    verdict = verdict_on(running, coupled(300, seed=5))
    assert (verdict.condition, verdict.cause, verdict.fault_probabilities) == (Condition.NORMAL, None, ())
    assert (verdict.asset, verdict.regime, verdict.remaining_life_s) == ("pump", "R1", None)
    assert (verdict.coverage, verdict.model_hash) == (1.0, running.hash)
    assert 0.0 <= verdict.evidence < 1.0


def test_a_blind_asset_says_nothing(running: Detector) -> None:
    values = coupled(300, seed=5)
    values[290:] = np.nan
    verdict = verdict_on(running, values)
    assert verdict.condition is Condition.BLIND
    assert (verdict.regime, verdict.contributions, verdict.cause, verdict.fault_probabilities) == (None, (), None, ())
    assert np.isnan(verdict.evidence)
    assert verdict.coverage == pytest.approx(54 / 64, abs=1e-6)


def test_shares_are_parts_of_a_whole_in_order(running: Detector) -> None:
    assert not verdict_on(running, faulty(shifted(2)), 199).contributions, "of a healthy machine no tag is to blame"
    for row in (220, 399):
        shares = [part.share for part in verdict_on(running, faulty(shifted(2)), row).contributions]
        assert 0 < len(shares) <= NAMED_MAX
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1.0 + 1e-5


def test_a_lost_tag_is_never_named(running: Detector) -> None:
    values = faulty(shifted(2))
    values[100:, 4] = np.nan
    values[:, 0] = np.where(np.arange(400) < 390, values[:, 0], values[:, 0] + 1.0)
    for row in (199, 399):
        named = [part.tag for part in verdict_on(running, values, row).contributions]
        assert "speed" not in named
        assert not any(np.isnan(part.measured) for part in verdict_on(running, values, row).contributions)


def test_probabilities_stay_finite_when_the_head_is_sure(running: Detector) -> None:
    for size in (1e3, 1e6, 1e30):
        values = coupled(300, seed=5)
        values[200:, 2] = size
        verdict = verdict_on(running, values)
        assert np.isfinite(verdict.evidence)
        assert all(0.0 < share <= 1.0 for _, share in verdict.fault_probabilities)


def in_portions(detector: Detector, values: Float32s, good: Bools, rows: int) -> list[Verdict]:
    """The verdict on every row, the rows coming so many at a time."""
    assessor, found = Assessor(detector, WEEKLY.alerts_per_s), []
    everything = grid(values, good)
    for start in range(0, len(values), rows):
        part = slice(start, start + rows)
        some = Grid(everything.time_ns[part], everything.values[part], everything.good[part])
        assessment = assessor.update(some)
        found += [diagnose("pump", assessment, row, detector, NO_SYMPTOMS) for row in range(assessment.rows)]
    return found


def test_a_verdict_does_not_depend_on_rows_that_come_later(running: Detector) -> None:
    """A replay by the hour says of each row what the gateway said of it, row by row."""
    values = faulty(shifted(2))
    good = np.ones(values.shape, np.bool_)
    good[60:100, 0] = False  # lost and back, long before the deviation
    one_by_one, at_once = (in_portions(running, values, good, rows) for rows in (1, len(values)))
    for live, replayed in zip(one_by_one, at_once, strict=True):
        assert (live.condition, live.regime, live.cause) == (replayed.condition, replayed.regime, replayed.cause)
        assert live.drift is not None
        assert replayed.drift is not None
        assert live.drift.tag == replayed.drift.tag
        assert live.drift.deviations == pytest.approx(replayed.drift.deviations, rel=1e-4, abs=1e-9)
    assert {verdict.cause for verdict in one_by_one if verdict.cause} == {Cause.MACHINE}


def test_the_nearest_regimes_are_named_with_their_distances(running: Detector) -> None:
    healthy, off = verdict_on(running, coupled(400, seed=5)), verdict_on(running, faulty(shifted(2)))
    for verdict in (healthy, off):
        assert verdict.regime_distances[0][0] == verdict.regime
        distances = [far for _, far in verdict.regime_distances]
        assert distances == sorted(distances)
    assert 0.3 < healthy.regime_distances[0][1] < 2.0 < off.regime_distances[0][1]


def test_of_two_regimes_the_one_that_the_machine_is_in_comes_first(switched: Detector) -> None:
    for row, regimes in ((450, ("R1", "R2")), (950, ("R2", "R1"))):
        verdict = verdict_on(switched, settling(1000, seed=2, settle_rows=SETTLE_ROWS, dwell=500), row)
        (near, at_home), (far, away) = verdict.regime_distances
        assert {near, far} == set(regimes)
        assert near == verdict.regime
        assert at_home < 2.0 < away
    first = verdict_on(switched, settling(1000, seed=2, settle_rows=SETTLE_ROWS, dwell=500), 450).regime
    assert first != verdict.regime, "switched off and on it is in different regimes"


def test_the_tag_that_has_moved_most_is_named_as_drift(running: Detector) -> None:
    values = coupled(4000, seed=5)
    values[:, 3] += np.float32(0.5 * values[:, 3].std())
    drift = verdict_on(running, values).drift
    assert drift is not None
    assert drift.tag == NAMES[3]
    assert drift.deviations > 0
