"""Whether a sensor is off or the machine fails is told from what the other tags say, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.line.alert import AlarmEvent, Priority
from agent.line.cause import LEFT_TOGETHER, weigh
from agent.line.line import Line
from agent.line.second_look import HELD_NS
from agent.line.verdict import Cause, Condition, Verdict
from models.runtime import Detector
from tests.line.frames import WEEKLY, play
from tests.line.scripted import SECOND_NS, START_NS
from tests.models.plants import TAGS, Float32s, coupled, taught

NAMES = tuple(name for name, _ in TAGS)
SYMPTOMS = ("current", "heat")
ONSET, ROWS = 300, 1200


def told(detector: Detector, values: Float32s, symptoms: tuple[str, ...] = SYMPTOMS) -> Verdict:
    """The newest verdict on a machine whose tags in `symptoms` are measured to see its faults."""
    return play(detector, values, line=Line("pump", detector, replace(WEEKLY, symptoms=symptoms))).last


def drifting(tag: str, sd: float) -> Float32s:
    values = coupled(ROWS, seed=5)
    column = values[:, NAMES.index(tag)]
    column[ONSET:] += np.linspace(0.0, sd * column[:ONSET].std(), ROWS - ONSET, dtype=np.float32)
    return values


@pytest.mark.parametrize("tag", [name for name in NAMES if name not in SYMPTOMS])
def test_a_tag_that_drifts_while_the_others_agree_points_to_its_sensor(running: Detector, tag: str) -> None:
    verdict = told(running, drifting(tag, 3.0))
    assert verdict.cause is Cause.SENSOR
    assert verdict.cause_probability is not None
    assert 0.5 < verdict.cause_probability < 1.0
    assert verdict.contributions[0].tag == tag
    assert verdict.fault_probabilities[0][0] in {"bias", "ramp"}


@pytest.mark.parametrize(("tag", "sd", "cause"), [
    ("current", 0.5, Cause.MACHINE), ("heat", 0.3, Cause.MACHINE),
    ("current", 6.0, Cause.SENSOR), ("heat", 6.0, Cause.SENSOR),
])
def test_a_symptom_alone_points_to_the_machine_until_it_has_gone_far_and_leaves_a_doubt(
    running: Detector, tag: str, sd: float, cause: Cause
) -> None:
    verdict = told(running, drifting(tag, sd))
    assert verdict.cause is cause
    assert verdict.cause_probability is not None
    assert 0.5 < verdict.cause_probability < 0.95
    assert verdict.contributions[0].tag == tag


def test_without_symptoms_any_tag_may_be_one(running: Detector) -> None:
    verdict = told(running, drifting("speed", 3.0), ())
    assert verdict.cause is Cause.MACHINE
    assert verdict.cause_probability is not None
    assert verdict.cause_probability < 0.9


def test_tags_that_disagree_with_each_other_point_to_the_machine(running: Detector) -> None:
    values = coupled(ROWS, seed=5)
    for tag, sd in (("flow", 2.0), ("power", -2.0), ("speed", 2.0)):
        column = values[:, NAMES.index(tag)]
        column[ONSET:] += np.float32(sd * column[:ONSET].std())
    verdict = told(running, values)
    assert verdict.cause is Cause.MACHINE
    assert verdict.cause_probability is not None
    assert verdict.cause_probability > 0.9


def test_a_noisy_tag_that_shows_one_value_again_and_again_is_stuck_long_before_its_limit(running: Detector) -> None:
    values = coupled(ROWS, seed=5)
    values[ONSET:, 2] = values[:, 2].max()
    verdict = told(running, values[: ONSET + 40])
    assert (verdict.cause, verdict.fault_probabilities) == (Cause.SENSOR, (("stuck", 1.0),))


def test_an_alert_tells_another_cause_once_that_is_clear_for_some_time(running: Detector) -> None:
    """A tag that is no symptom deviates alone, and later others do, too: no sensor was off."""
    held = HELD_NS // SECOND_NS
    values = coupled(ONSET + 3 * held, seed=5)
    scale = values[:ONSET].std(0)
    values[ONSET:, 0] += np.float32(3.0) * scale[0]
    values[ONSET + held :, [3, 4]] += np.float32(3.0) * scale[[3, 4]] * np.array([-1.0, 1.0], np.float32)
    played = play(running, values, line=Line("pump", running, replace(WEEKLY, symptoms=SYMPTOMS)))
    raised, reassessed = played.alerts
    assert (raised.event, raised.verdict.cause, raised.priority) == (AlarmEvent.RAISE, Cause.SENSOR, Priority.LOW)
    assert (reassessed.event, reassessed.verdict.cause) == (AlarmEvent.REASSESS, Cause.MACHINE)
    assert reassessed.priority is not Priority.LOW, "a machine is more urgent than a sensor"
    assert (reassessed.by, reassessed.state, reassessed.revision) == (None, raised.state, 2)
    assert reassessed.raised_time_ns == raised.raised_time_ns
    assert reassessed.standing_since_ns == raised.standing_since_ns
    assert "behaves unlike it ever did" in reassessed.message
    since_s = (reassessed.verdict.time_ns - START_NS) // SECOND_NS - ONSET
    assert 2 * held <= since_s < 2 * held + 120


@pytest.mark.parametrize(("tags", "cause"), [([0, 1, 3, 5], Cause.COMMUNICATION), ([3], Cause.SENSOR)])
def test_nonsense_in_several_tags_that_is_over_at_once_points_to_the_wire(
    running: Detector, tags: list[int], cause: Cause
) -> None:
    """As of a reply with swapped words; one tag alone that comes and goes has a loose contact."""
    values = coupled(ROWS, seed=5)
    for row in (ONSET, ONSET + 7, ONSET + 14):
        values[row : row + 4, tags] = np.array([60.0, -20.0, 70.0, -10.0], np.float32)[: len(tags)]
    verdict = told(running, values[: ONSET + 20])
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is cause


@pytest.mark.parametrize(("zeros", "cause"), [(range(6), Cause.COMMUNICATION), ([3], Cause.SENSOR)])
def test_zeros_in_all_tags_point_to_a_plc_that_answers_before_its_program_has_run(
    zeros: Sequence[int], cause: Cause
) -> None:
    """Also where nought is what all tags but one are near: then one is wild, and the others agree with each other."""
    level = np.where(np.arange(6) == 3, np.float32(-40.0), coupled(3000, seed=1).mean(0))
    detector = Detector(taught(coupled(3000, seed=1) - level))
    values = coupled(ROWS, seed=5) - level
    for row in (ONSET, ONSET + 7, ONSET + 14):
        values[row : row + 4, list(zeros)] = 0.0
    verdict = told(detector, values[: ONSET + 20])
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is cause


def two_machines(rows: int, seed: int) -> Float32s:
    return np.hstack([coupled(rows, seed), coupled(rows, seed + 1000)])


def test_nonsense_in_one_tag_while_others_have_no_value_points_to_the_wire() -> None:
    tags = (*TAGS, *((f"second_{name}", unit) for name, unit in TAGS))
    detector = Detector(taught(two_machines(3000, 1), tags))
    values = two_machines(ROWS, 5)
    values[ONSET : ONSET + 6, 3] = -60.0
    values[ONSET : ONSET + 6, 4] = np.nan
    lone = told(detector, values[: ONSET + 8])
    values[ONSET : ONSET + 6, 8] = np.nan
    several = told(detector, values[: ONSET + 8])
    assert lone.condition is several.condition is Condition.DEVIATING
    assert lone.cause is not Cause.COMMUNICATION
    assert (several.cause, several.cause_probability) == (Cause.COMMUNICATION, None)
    assert several.fault_probabilities == (), "the shape of nonsense says nothing"


def test_tags_that_go_away_together_and_come_back_slowly_point_to_the_machine(running: Detector) -> None:
    values = coupled(ROWS, seed=5)
    fading = np.repeat([1.0, 0.6, 0.35, 0.2, 0.1], 3)[:, None].astype(np.float32)
    values[ONSET : ONSET + 15, [0, 3, 4]] += fading * np.array([40.0, -60.0, 80.0], np.float32)
    verdict = told(running, values[: ONSET + 18])
    assert verdict.condition is Condition.DEVIATING
    assert verdict.cause is Cause.MACHINE


def test_the_probability_of_a_sensor_follows_from_what_is_left_without_each_tag() -> None:
    none, first = np.zeros(10, np.bool_), np.arange(10) == 0
    healthy_without = {tag: np.where(np.arange(10) == tag, 0.5, 9.0) for tag in (0, 3)}
    sensor, alone, tag = weigh(healthy_without[3], first)
    assert (sensor > 0.7, alone < 0.1, tag) == (True, True, 3)
    symptom, alone, tag = weigh(healthy_without[0], first)
    assert (symptom < 0.1, alone > 0.8, tag) == (True, True, 0)
    far = np.where(np.arange(10) == 0, 0.5, 1000.0)
    assert weigh(far, first)[0] > 0.8, "so large a fault of the machine would have moved another tag"
    assert weigh(far, none)[0] < 0.5, "unless nobody said which tags its faults show in"
    unknown, _, _ = weigh(healthy_without[3], none)
    assert symptom < unknown < 0.5 < sensor
    several, alone, _ = weigh(np.full(10, 3.0 * LEFT_TOGETHER), first)
    assert max(several, alone) < 0.01
    huge, _, tag = weigh(np.where(np.arange(10) == 3, 1e12, 1e15), first)
    assert (0.0 <= huge < 0.01, tag) == (True, 3)
