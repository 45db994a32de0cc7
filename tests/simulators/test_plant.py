"""A plant is a function of seed and time, however it is asked, and obeys the physics of its machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.frame import Dtype, ModbusAddress, NodeAddress, Table
from simulators.faults import HOUR_S, degradation
from simulators.machine import BLOCK_S, Memory
from simulators.plant import MACHINES, Plant
from simulators.schedule import DAY_S, plan

HOURS = 3


def column(plant: Plant, rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, [tag.name for tag in plant.tags].index(name)].astype(np.float64)


def steady(plant: Plant, rows: np.ndarray, settle_s: int = 600) -> np.ndarray:
    """Return where the machine has run with one product for a while."""
    product, running = plan(plant.machine.shifts, plant.seed, plant.machine.number, np.arange(len(rows)))
    changes = np.flatnonzero(np.diff(product) | np.diff(running.astype(int))) + 1
    ok = running.copy()
    for change in changes:
        ok[change - 1 : change + settle_s] = False
    return ok


@pytest.fixture(scope="module", params=tuple(MACHINES))
def day(request: pytest.FixtureRequest) -> tuple[Plant, np.ndarray]:
    plant = Plant(request.param, seed=4)
    return plant, plant.rows(0, DAY_S)


@pytest.mark.parametrize("machine", tuple(MACHINES))
def test_rows_do_not_depend_on_how_they_are_asked_for(machine: str) -> None:
    wrong = [
        degradation(machine, kind, 2000, 9000)
        for kind in ("bearing_wear", "stuck_sensor", "loose_connection")
    ]
    whole = Plant(machine, 5, wrong).rows(0, HOURS * BLOCK_S)
    plant = Plant(machine, 5, wrong)
    pieces = [plant.rows(start, min(977, len(whole) - start)) for start in range(0, len(whole), 977)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert np.array_equal(plant.rows(50, 10), whole[50:60]), "going back"
    for period_s in (7, 10, 60, 5000):
        read = whole[13::period_s]
        for again in (Plant(machine, 5, wrong), plant):
            assert np.array_equal(again.rows(13, len(read), period_s), read), f"every {period_s} s"
    assert np.array_equal(Plant(machine, 5, wrong).rows(2 * BLOCK_S + 7, 5), whole[2 * BLOCK_S + 7 :][:5]), (
        "a jump"
    )


def test_an_old_hour_is_the_same_when_it_is_made_again() -> None:
    plant = Plant("press", 2)
    first = plant.rows(0, 100)
    plant.rows(20 * BLOCK_S, 1)  # far enough for the first hour to be forgotten
    assert np.array_equal(plant.rows(0, 100), first)


@pytest.mark.parametrize("machine", tuple(MACHINES))
def test_the_seed_decides(machine: str) -> None:
    assert np.array_equal(Plant(machine, 8).rows(0, 4000), Plant(machine, 8).rows(0, 4000))
    assert not np.array_equal(Plant(machine, 8).rows(0, 4000), Plant(machine, 9).rows(0, 4000))


def test_a_repaired_machine_is_as_new_and_can_fail_again() -> None:
    first, second = (degradation("pump", "stuck_sensor", at_s, HOUR_S) for at_s in (HOUR_S, 5 * HOUR_S))
    healthy, failing = Plant("pump", 3), Plant("pump", 3, [first])
    column = [tag.name for tag in healthy.tags].index("discharge_pressure")
    before = failing.rows(0, 3 * HOUR_S)
    repaired = failing.repaired(3 * HOUR_S, [second])
    np.testing.assert_array_equal(repaired.rows(0, HOUR_S), before[:HOUR_S])
    np.testing.assert_array_equal(repaired.rows(3 * HOUR_S, 2 * HOUR_S), healthy.rows(3 * HOUR_S, 2 * HOUR_S))
    stuck = repaired.rows(5 * HOUR_S, HOUR_S)[:, column]
    assert np.unique(stuck) == healthy.rows(5 * HOUR_S, 1)[0, column]
    assert stuck[0] != before[-1, column]


def test_no_rows_and_unknown_machines() -> None:
    assert Plant("pump", 0).rows(7, 0).shape == (0, len(MACHINES["pump"].tags))
    with pytest.raises(ValueError, match="no machine 'lathe'; there are: pump, press, conveyor"):
        Plant("lathe", 0)
    with pytest.raises(ValueError, match="0 or more"):
        Plant("pump", -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.5, 50_000), st.integers(1, 1500), st.booleans())
def test_the_lag_is_the_recursion_it_stands_for(seed: int, tau_s: float, count: int, two: bool) -> None:
    target = np.random.default_rng(seed).normal(50, 20, (count, 3) if two else count)
    memory, state, expected = Memory(), target[0], []
    gain = 1 - np.exp(-1 / tau_s)
    for row in target:
        state = state + gain * (row - state)
        expected.append(state)
    half = count // 2
    halves = [memory.lag("x", part, tau_s) for part in (target[:half], target[half:]) if len(part)]
    np.testing.assert_allclose(np.concatenate(halves), expected, rtol=1e-9, atol=1e-9)
    some = slice(seed % 7, None, 7)
    assert np.array_equal(Memory().lag("x", target, tau_s, some), Memory().lag("x", target, tau_s)[some])


def test_wandering_noise_has_unit_variance_and_its_time_constant() -> None:
    noise = np.random.default_rng(1).standard_normal((200_000, 2))
    walk = Memory().wander("w", noise, 20.0)
    assert np.allclose(walk.std(axis=0), 1.0, atol=0.05)
    lagged = [np.mean(walk[:-20, c] * walk[20:, c]) for c in range(2)]
    assert np.allclose(lagged, np.exp(-1), atol=0.05)


def test_values_are_finite_within_the_sensor_and_on_the_wire_s_grid(day: tuple[Plant, np.ndarray]) -> None:
    plant, rows = day
    assert np.isfinite(rows).all()
    for tag, values in zip(plant.tags, rows.T.astype(np.float64), strict=True):
        assert values.min() >= tag.low, tag.name
        assert values.max() <= tag.high, tag.name
        if tag.dtype in (Dtype.INT16, Dtype.UINT16):
            raw = (values - tag.offset) / tag.scale
            assert np.allclose(raw, np.round(raw), atol=1e-3), tag.name
        elif tag.dtype is Dtype.BIT:
            assert set(np.unique(values)) <= {0.0, 1.0}


def test_every_day_has_every_product_and_a_stop(day: tuple[Plant, np.ndarray]) -> None:
    plant, rows = day
    product, running = plan(plant.machine.shifts, plant.seed, plant.machine.number, np.arange(DAY_S))
    assert set(product[running]) == set(range(plant.machine.shifts.products))
    assert np.array_equal(column(plant, rows, "running") > 0.5, running)
    assert 0.5 < running.mean() < 0.99
    held = np.diff(np.flatnonzero(np.diff(product)))
    assert held.min() >= 30 * 60


def test_it_is_noisy_and_the_weather_moves_it(day: tuple[Plant, np.ndarray]) -> None:
    plant, rows = day
    ambient = column(plant, rows, "ambient_temperature")
    assert 4.0 < np.ptp(ambient) < 30.0
    assert ambient[7 * 3600 : 11 * 3600].mean() > ambient[20 * 3600 : 23 * 3600].mean(), (
        "the afternoon is warmer"
    )
    ok = steady(plant, rows)
    for tag, values in zip(plant.tags, rows.T, strict=True):
        if tag.dtype is not Dtype.BIT:
            assert len(np.unique(values[ok])) > 10, f"{tag.name} hardly moves"


def test_addresses_are_what_a_plc_has(day: tuple[Plant, np.ndarray]) -> None:
    plant, _ = day
    taken: set[tuple[Table, int]] = set()
    for tag, other in zip(plant.tags, plant.opcua_tags, strict=True):
        assert isinstance(tag.address, ModbusAddress)
        assert tag.address.unit_id == 1
        width = 2 if tag.dtype is Dtype.FLOAT32 else 1
        cells = {(tag.address.table, tag.address.register + word) for word in range(width)}
        assert not cells & taken, f"{tag.name} overlaps"
        taken |= cells
        assert other.address == NodeAddress("urn:forewarn:simulators", f"s={plant.name}.{tag.name}")
        assert (other.name, other.unit, other.low, other.high) == (tag.name, tag.unit, tag.low, tag.high)
        assert (other.scale, other.offset) == (1.0, 0.0)
    kinds = {(tag.dtype, tag.address.order) for tag in plant.tags if isinstance(tag.address, ModbusAddress)}
    assert {
        (Dtype.FLOAT32, "ABCD"),
        (Dtype.FLOAT32, "CDAB"),
        (Dtype.INT16, "ABCD"),
        (Dtype.BIT, "ABCD"),
    } <= kinds


def test_the_pump_obeys_its_curve_and_the_affinity_laws() -> None:
    plant = Plant("pump", 6)
    rows = plant.rows(0, 8 * BLOCK_S)
    ok = steady(plant, rows)
    speed, flow, suction, discharge, filter_dp, current = (
        column(plant, rows, name)[ok]
        for name in ("speed", "flow", "suction_pressure", "discharge_pressure", "filter_dp", "motor_current")
    )
    head = discharge - suction
    # H / n^2 is one function of Q / n, whatever the speed: fit it on slow running, try it on fast running.
    reduced_head, reduced_flow = head / speed**2 * 1e6, flow / speed * 1e3
    slow = speed < np.median(speed)
    curve = np.polyfit(reduced_flow[slow] ** 2, reduced_head[slow], 1)
    error = np.polyval(curve, reduced_flow[~slow] ** 2) - reduced_head[~slow]
    assert np.abs(error).mean() < 0.01 * reduced_head.mean()
    assert curve[0] < 0, "head falls with flow"
    loss = filter_dp / flow**2
    assert loss.std() < 0.03 * loss.mean()
    hydraulic_kw = flow * head / 36.0
    assert np.corrcoef(hydraulic_kw / speed, current)[0, 1] > 0.98, "current follows torque"


def test_the_press_latches_cycles_and_balances_its_heat() -> None:
    plant = Plant("press", 6)
    rows = plant.rows(0, 6 * BLOCK_S)
    ok = steady(plant, rows, 1500)
    peak, decay, cycle_s, platen, ambient, duty = (
        column(plant, rows, name)
        for name in (
            "peak_pressure",
            "hold_decay",
            "cycle_time",
            "platen_temperature",
            "ambient_temperature",
            "heater_duty",
        )
    )
    changes = np.flatnonzero(np.diff(peak))
    assert 10 < np.median(np.diff(changes)) < 25, "one value per cycle"
    assert abs(np.median(np.diff(changes)) - np.median(cycle_s[ok])) < 3.0
    assert 0.005 < (decay[ok] / peak[ok]).min() < (decay[ok] / peak[ok]).max() < 0.04
    spent = 0.26 * (platen - ambient)[ok] + 2.6 * 60.0 / cycle_s[ok]
    assert np.corrcoef(spent, duty[ok])[0, 1] > 0.9
    assert np.abs(spent - duty[ok]).mean() < 3.0


def test_the_conveyor_slips_a_little_and_counts_what_passes() -> None:
    plant = Plant("conveyor", 6)
    rows = plant.rows(0, 6 * BLOCK_S)
    ok = steady(plant, rows)
    drive, belt, rate, load, current = (
        column(plant, rows, name)[ok]
        for name in ("drive_speed", "belt_speed", "part_rate", "spindle_load", "spindle_current")
    )
    slip = 1.0 - belt / (drive * 2.0 * np.pi * 0.1 / (20.0 * 60.0))
    assert 0.005 < slip.mean() < 0.03
    product, _ = plan(plant.machine.shifts, plant.seed, plant.machine.number, np.arange(len(rows)))
    pitch_m = np.array([0.50, 0.40, 0.60, 0.50])[product][ok]
    assert np.abs(rate / (60.0 * belt / pitch_m) - 1.0).mean() < 0.06
    assert np.corrcoef(load, current)[0, 1] > 0.98
