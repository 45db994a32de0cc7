"""Simulated machines: what counts as found, as false and as rightly named, and one machine from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.line.verdict import Cause, Contribution, Verdict
from benchmarks import simulated
from benchmarks.command import app
from benchmarks.fault_names import SHAPES, cause_is_right, shape_is_right, tag_is_right, type_is_right
from benchmarks.methods import OURS
from benchmarks.result import BenchmarkError
from benchmarks.simulated_case import ONSET_S, START_S, WEEK_S, Case, Outcome, play
from models.degradations import FAULTS
from simulators.faults import EFFECTS, degradation
from tests.agent import samples

DRIFT = degradation("pump", "sensor_drift", ONSET_S[0])
FOULING = degradation("pump", "filter_fouling", ONSET_S[0])


def verdict(cause: Cause, shape: str, *tags: str) -> Verdict:
    named = tuple(Contribution(tag, "bar", 0.2, 1.0, 2.0) for tag in tags)
    shapes = ((shape, 0.6), ("none", 0.4))
    return replace(samples.verdict(), contributions=named, cause=cause, fault_probabilities=shapes)


DRIFTS = verdict(Cause.SENSOR, "ramp", "discharge_pressure")


def test_every_degradation_has_shapes_and_every_shape_is_one_that_the_head_knows() -> None:
    assert set(SHAPES) == {kind for effects in EFFECTS.values() for kind in effects}
    assert all(shapes and shapes < set(FAULTS) - {"none"} for shapes in SHAPES.values())


@pytest.mark.parametrize(
    ("cause", "shape", "failing", "right"),
    [
        (Cause.SENSOR, "ramp", DRIFT, (True, True)),
        (Cause.SENSOR, "shift", DRIFT, (True, False)),
        (Cause.MACHINE, "bias", DRIFT, (False, True)),
        (Cause.MACHINE, "shift", FOULING, (True, True)),
        (Cause.SENSOR, "gain", FOULING, (False, True)),
        (Cause.COMMUNICATION, "stuck", FOULING, (False, False)),
    ],
)
def test_a_type_is_right_by_its_cause_and_its_shape(
    cause: Cause, shape: str, failing: simulated.Degradation, right: tuple[bool, bool]
) -> None:
    said = verdict(cause, shape)
    assert (cause_is_right("pump", failing, said), shape_is_right("pump", failing, said)) == right
    assert type_is_right("pump", failing, said) is all(right)


def test_of_the_named_tags_the_first_three_are_read() -> None:
    others = ("speed", "tank_level", "ambient_temperature")
    assert tag_is_right("pump", DRIFT, verdict(Cause.SENSOR, "ramp", *others[:2], "discharge_pressure"))
    assert not tag_is_right("pump", DRIFT, verdict(Cause.SENSOR, "ramp", *others, "discharge_pressure"))
    assert not tag_is_right("pump", DRIFT, verdict(Cause.SENSOR, "ramp", "flow"))


def outcome(kind: str | None, lead: float, false: int = 0, said: Verdict | None = None) -> Outcome:
    return Outcome(Case("pump", kind, 7), OURS, WEEK_S / 2, false, lead, said, said)


def test_what_is_missed_has_no_lead_and_says_nothing() -> None:
    outcomes = [
        outcome("sensor_drift", 0.9, said=DRIFTS), outcome("sensor_drift", 0.7, said=DRIFTS),
        outcome("filter_fouling", np.nan), outcome("filter_fouling", 0.2, 1, verdict(Cause.SENSOR, "gain", "flow")),
        outcome(None, np.nan, 2),
    ]
    figures = {figure.key: figure.value for figure in simulated.measure(outcomes)}
    case = simulated.ALL
    assert figures[case, "failures played"] == 4
    assert figures[case, simulated.FOUND] == 75
    assert figures[case, simulated.LEAD] == pytest.approx(100 * (0.7 + 0.2) / 2)
    assert figures[case, simulated.FALSE] == pytest.approx(3 / 2.5)
    assert figures[case, "cause right"] == pytest.approx(100 * 2 / 3)
    assert figures[case, "shape right"] == 100
    assert figures[case, simulated.TYPE] == pytest.approx(100 * 2 / 3)
    assert figures["all machines, machine faults", simulated.TYPE] == 0
    assert figures["pump: sensor_drift", simulated.LEAD] == pytest.approx(80)
    assert figures["pump: filter_fouling", simulated.FOUND] == 50
    assert set(simulated.TARGETS) <= set(figures)


def test_an_onset_is_drawn_anew_for_each_seed_and_kind_and_stays_what_it_was() -> None:
    cases = simulated.cases_of(("press",), 20)
    onsets = [case.failing.onset_s for case in cases if case.failing is not None]
    assert len(set(onsets)) > 0.9 * len(onsets)
    assert min(onsets) >= ONSET_S[0]
    assert max(onsets) < ONSET_S[1]
    again = [case.failing.onset_s for case in simulated.cases_of(("press",), 20) if case.failing is not None]
    assert again == onsets


def test_a_machine_that_is_not_there_is_named() -> None:
    with pytest.raises(BenchmarkError, match=r"no machine lathe; there are: pump, press, conveyor"):
        simulated.cases_of(("pump", "lathe"), 1)


def test_a_frozen_sensor_is_announced_and_an_alarm_that_stood_before_is_no_find() -> None:
    ours, always = play(Case("conveyor", "stuck_sensor", 7), (OURS, "always-on"))
    assert ours.found
    assert 0 < ours.lead < 1
    assert ours.raised is not None
    assert type_is_right("conveyor", degradation("conveyor", "stuck_sensor", 0), ours.raised)
    assert (always.found, always.false_alerts) == (False, 1)
    failing = ours.case.failing
    assert failing is not None
    assert ours.healthy_s == failing.onset_s - START_S


def test_a_quick_look_at_one_machine_of_the_usual_twenty(tmp_path: Path) -> None:
    arguments = ["simulated", "--subset", "conveyor", "--limit", "1", "--methods", "forewarn,always-on", "--json"]
    said = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path)])
    assert said.exit_code == 0, said.output
    objects = [json.loads(line) for line in said.stdout.splitlines()]
    assert {each["seeds"] for each in objects} == {simulated.SEEDS}
    assert {(each["case"], each["metric"]) for each in objects if each["target"]} == set(simulated.TARGETS)
    found = {(each["method"], each["case"], each["metric"]): each["value"] for each in objects}
    assert found[OURS, "conveyor: bearing_wear", simulated.FOUND] == 100
    assert found["always-on", simulated.ALL, simulated.FOUND] == 0
