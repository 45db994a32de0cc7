"""Degradations move what they say they move, grow beyond doubt, and their truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from simulators.faults import (
    EFFECTS,
    Cause,
    Degradation,
    Shape,
    damage,
    degradation,
    effect,
    ground_truth,
    parse,
    truth,
)
from simulators.machine import BLOCK_S
from simulators.plant import MACHINES, Plant

KINDS = {
    "bearing_wear",
    "cavitation",
    "filter_fouling",
    "belt_slip",
    "seal_leak",
    "valve_stiction",
    "heater_ageing",
    "sensor_drift",
    "stuck_sensor",
    "loose_connection",
}
EVERY = [(machine, kind) for machine, effects in EFFECTS.items() for kind in effects]
MACHINE_CAUSES = [(m, kind) for m, kind in EVERY if EFFECTS[m][kind].cause is Cause.MACHINE]
SEED = 3
HOURS = 4


@cache
def healthy(machine: str) -> np.ndarray:
    return Plant(machine, SEED).rows(0, 24 * BLOCK_S)


def names(machine: str) -> list[str]:
    return [tag.name for tag in MACHINES[machine].tags]


def last_hour(machine: str, wrong: Degradation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the last of some hours of a machine, degraded and healthy, and where it runs."""
    window = slice((HOURS - 1) * BLOCK_S, HOURS * BLOCK_S)
    sick, well = Plant(machine, SEED, [wrong]).rows(0, HOURS * BLOCK_S)[window], healthy(machine)[window]
    running = well[:, names(machine).index("running")] > 0.5
    assert running.mean() > 0.5
    return sick, well, running


def failed(machine: str, kind: str) -> Degradation:
    """Return a degradation that has failed two hours before the last hour ends: slow heat has followed."""
    return replace(degradation(machine, kind, BLOCK_S), duration_s=float(BLOCK_S))


def sign(machine: str, kind: str, rows: np.ndarray) -> np.ndarray:
    """Return the plainest sign: the first tag moved; for a sticking valve command less position."""
    if (machine, kind) == ("pump", "valve_stiction"):
        values = (
            rows[:, names(machine).index("valve_command")] - rows[:, names(machine).index("valve_position")]
        )
        return np.abs(values)
    return rows[:, names(machine).index(EFFECTS[machine][kind].tags[0])]


def test_every_kind_is_on_some_machine_and_names_its_tags() -> None:
    assert {kind for _, kind in EVERY} == KINDS
    for machine, effects in EFFECTS.items():
        for known in effects.values():
            assert set(known.tags) <= set(names(machine))
            assert len(set(known.tags)) == len(known.tags) > 0
            assert known.duration_s >= 3600


@pytest.mark.parametrize(("machine", "kind"), EVERY)
def test_it_moves_the_tags_it_declares_and_no_others(machine: str, kind: str) -> None:
    sick, well, running = last_hour(machine, failed(machine, kind))
    moved = EFFECTS[machine][kind].tags
    for column, name in enumerate(names(machine)):
        difference = (sick[:, column] - well[:, column])[running]
        if name in moved:
            assert np.any(difference), f"{name} should move"
        elif machine == "press":  # its cycles shift in time, which is no change of what they are
            assert abs(difference.mean()) <= 0.1 * healthy(machine)[:, column].std(), (
                f"{name} should not move"
            )
        else:
            assert not np.any(difference), f"{name} should not move"


@pytest.mark.parametrize(("machine", "kind"), MACHINE_CAUSES)
def test_at_failure_it_is_beyond_all_that_a_healthy_machine_does(machine: str, kind: str) -> None:
    sick, _, running = last_hour(machine, failed(machine, kind))
    day = healthy(machine)
    usual = sign(machine, kind, day[day[:, -1] > 0.5])
    seen = sign(machine, kind, sick[running])
    assert np.mean((seen < usual.min()) | (seen > usual.max())) > 0.5


@pytest.mark.parametrize(("machine", "kind"), MACHINE_CAUSES)
def test_below_a_tenth_it_hides_in_what_a_healthy_machine_does(machine: str, kind: str) -> None:
    early = Degradation(kind, 0.0, 10.0 * HOURS * BLOCK_S)  # a tenth when the last hour ends
    sick, well, running = last_hour(machine, early)
    day = healthy(machine)
    usual = sign(machine, kind, day[day[:, -1] > 0.5])
    shift = np.abs(sign(machine, kind, sick[running]).mean() - sign(machine, kind, well[running]).mean())
    assert shift < 0.5 * usual.std()


@pytest.mark.parametrize("machine", tuple(EFFECTS))
def test_sensor_faults_are_in_the_sensor(machine: str) -> None:
    tag = "ambient_temperature"
    column = names(machine).index(tag)
    window = slice(2 * BLOCK_S, 3 * BLOCK_S)
    well = healthy(machine)[window, column]

    def seen(kind: str, duration_s: float | None = None) -> np.ndarray:
        wrong = degradation(machine, kind, BLOCK_S, duration_s, tag=tag)
        rows = Plant(machine, SEED, [wrong]).rows(0, 3 * BLOCK_S)
        others = np.delete(rows, column, axis=1)
        assert np.array_equal(others, np.delete(healthy(machine)[: len(rows)], column, axis=1))
        return rows[window, column]

    assert set(seen("stuck_sensor")) == {healthy(machine)[BLOCK_S, column]}
    drift = seen("sensor_drift", 600) - well
    assert np.allclose(drift, MACHINES[machine].channels[column].drift, atol=0.11)
    opens = seen("loose_connection", 600) < 0.5 * well
    assert 0.1 < opens.mean() < 0.5
    assert np.diff(opens.astype(int)).any(), "a loose contact comes back"


def test_the_truth_about_severity_and_remaining_life() -> None:
    line = degradation("pump", "filter_fouling", 1000, 2000)
    assert [truth(line, t).severity for t in (0, 1000, 2000, 3000, 9000)] == [0, 0, 0.5, 1, 1]
    assert [truth(line, t).remaining_life_s for t in (999, 1000, 2500, 3000, 9000)] == [
        np.inf,
        2000,
        500,
        0,
        0,
    ]
    growth = Degradation("bearing_wear", 1000, 2000, Shape.EXPONENTIAL)
    assert growth.severity([1000, 3000]) == pytest.approx([0, 1])
    assert growth.severity(2000) < 0.2
    assert np.all(np.diff(growth.severity(np.arange(1000, 3000, 50))) > 0)
    stuck = degradation("pump", "stuck_sensor", 1000)
    assert [truth(stuck, t).severity for t in (999, 1000)] == [0, 1]
    assert stuck.failure_s == 1000 + 12 * 3600
    plant = Plant("pump", 1, [line, stuck])
    assert [one.degradation for one in plant.truth(1500)] == [line, stuck]
    assert plant.truth(1500)[0].remaining_life_s == 1500
    assert damage(np.array([0.0, 0.1, 1.0])) == pytest.approx([0, 0.01, 1])


def test_the_ground_truth_for_others_to_read() -> None:
    wrong = [
        degradation("pump", "bearing_wear", 600, 5000),
        degradation("pump", "stuck_sensor", 60, 10, tag="flow"),
    ]
    wear, stuck = ground_truth("pump", wrong, 7_000_000_000)
    assert wear == {
        "kind": "bearing_wear",
        "cause": "machine",
        "tags": list(EFFECTS["pump"]["bearing_wear"].tags),
        "onset_ns": 607_000_000_000,
        "failure_ns": 5_607_000_000_000,
        "severity": pytest.approx([truth(wrong[0], 600 + 500 * tenth).severity for tenth in range(11)], abs=1e-6),
    }
    assert (stuck["cause"], stuck["tags"], stuck["severity"]) == ("sensor", ["flow"], [1.0] * 11)


def test_two_of_one_kind_do_not_add_up_beyond_failure() -> None:
    one = degradation("pump", "filter_fouling", 0, 100)
    two = degradation("pump", "filter_fouling", 50, 100)
    both, single = Plant("pump", 1, [one, two]).rows(200, 50), Plant("pump", 1, [one]).rows(200, 50)
    assert np.array_equal(both, single)


def test_a_degradation_is_read_from_text() -> None:
    assert parse("pump", "bearing_wear@3600") == Degradation(
        "bearing_wear", 3600, 3 * 86400, Shape.EXPONENTIAL
    )
    assert parse("pump", "cavitation@60:120").failure_s == 180
    assert parse("pump", "sensor_drift/flow@0", ["flow"]).tag == "flow"
    assert parse("press", "sensor_drift@0").tag == "accumulator_pressure"
    assert effect("pump", parse("pump", "stuck_sensor/flow@0")).tags == ("flow",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("belt_slip@0", "cannot have the fault 'belt_slip'; it can have: bearing_wear, cavitation"),
        ("bearing_wear", "kind@onset_s"),
        ("bearing_wear@noon", "kind@onset_s"),
        ("bearing_wear@0:0", "duration above 0"),
        ("bearing_wear@0:-5", "duration above 0"),
        ("bearing_wear@-5", "onset of 0 seconds or more"),
        ("bearing_wear@nan", "onset of 0 seconds or more"),
        ("bearing_wear/flow@0", "belongs to the machine"),
        ("sensor_drift/colour@0", "no sensor 'colour'; it has: flow"),
    ],
)
def test_an_impossible_degradation_is_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse("pump", text, ["flow"])
