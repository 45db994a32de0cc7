"""The plant's year: what is drawn, what counts for and against the agent, and two days from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.line.verdict import Cause, Contribution, Verdict
from benchmarks import alerts
from benchmarks.command import app
from benchmarks.options import Options
from benchmarks.plant_model import PERIOD_S
from benchmarks.plant_year import FAULT_GAP_S_MIN, START_S, Asset, Fault
from benchmarks.plant_year_case import AssetYear, FaultOutcome, Life, Raised, play, seen_faults
from benchmarks.result import BenchmarkError
from simulators import wire
from simulators.faults import DAY_S, HOUR_S, degradation
from simulators.machine import EPOCH_NS
from simulators.wire import WireKind
from tests.agent import samples

FOULING = Fault(degradation("pump", "filter_fouling", 10 * DAY_S), 12 * HOUR_S, 6 * HOUR_S)
DRIFT = Fault(degradation("pump", "sensor_drift", 30 * DAY_S), 12 * HOUR_S, 6 * HOUR_S)


def said(cause: Cause, shape: str, tag: str) -> Verdict:
    named = (Contribution(tag, "bar", 0.2, 1.0, 2.0),)
    return replace(samples.verdict(), contributions=named, cause=cause, fault_probabilities=((shape, 0.6),))


def raised(time_s: float, verdict: Verdict, *, of_wire: bool = False) -> Raised:
    return Raised(time_s, "pump-1", "", verdict, of_wire, verdict)


def year(budget: float, faults: tuple[FaultOutcome, ...] = (), other: tuple[Raised, ...] = ()) -> AssetYear:
    return AssetYear(Asset(7, 0), budget, 70.0 * DAY_S, faults, other, 100, 60.0, 120.0)


def test_a_year_is_drawn_from_the_seed_and_faults_leave_time_for_their_repair() -> None:
    assets = [Asset(seed, number) for seed in (7, 8) for number in range(alerts.ASSETS)]
    drawn = [asset.faults() for asset in assets]
    assert [asset.faults() for asset in assets] == drawn
    assert len({asset.own_seed for asset in assets}) == len(assets)
    assert 2 <= sum(map(len, drawn)) / len(assets) <= 4, "degradations a machine-year"
    for asset, faults in zip(assets, drawn, strict=True):
        onsets = np.array([fault.degradation.onset_s for fault in faults])
        assert (np.diff(onsets) >= FAULT_GAP_S_MIN).all()
        assert (onsets >= START_S + DAY_S).all()
        assert all(fault.repair_s(None) < asset.end_s for fault in faults)
        wires = asset.wire_faults()
        assert all(EPOCH_NS + START_S * 10**9 <= fault.start_ns < EPOCH_NS + asset.end_s * 10**9 for fault in wires)
    assert [asset.name for asset in assets[:5]] == ["pump-1", "pump-2", "pump-3", "pump-4", "press-1"]


@pytest.mark.parametrize(("number", "never"), [(0, {"clock_step"}), (1, {"wrong_unit", "swapped_words"})])
def test_the_faults_of_a_wire_that_count_are_those_that_change_what_is_read(number: int, never: set[str]) -> None:
    asset = Asset(7, number, 30)
    plant = asset.plant(())
    tags = plant.opcua_tags if asset.own_seed % 2 else plant.tags
    drawn = asset.wire_faults()
    seen = seen_faults(drawn, tags)
    assert never == {str(kind) for kind in WireKind} - {str(fault.kind) for fault in seen}
    rng = np.random.default_rng(number)
    period_ns = PERIOD_S * 10**9
    for fault in drawn:
        first = (fault.start_ns - EPOCH_NS) // period_ns - 1
        times_ns = EPOCH_NS + period_ns * np.arange(first, (fault.end_ns - EPOCH_NS) // period_ns + 2)
        values = rng.uniform([tag.low for tag in tags], [tag.high for tag in tags], (len(times_ns), len(tags)))
        clean, read = (wire.apply(faults, times_ns, values.astype(np.float32), tags) for faults in ((), (fault,)))
        same = (clean.status == read.status).all() and (clean.source_time_ns == read.source_time_ns).all()
        changed = not (same and np.array_equal(clean.values, read.values, equal_nan=True))
        assert changed == (fault in seen), fault


def test_people_repair_some_time_after_the_alert_or_after_the_failure_at_the_latest() -> None:
    failure_s = FOULING.degradation.failure_s
    assert FOULING.repair_s(None) == failure_s + 8 * HOUR_S
    assert FOULING.repair_s(failure_s - 24 * HOUR_S) == failure_s - 12 * HOUR_S
    assert FOULING.repair_s(failure_s - 1) == failure_s + 8 * HOUR_S
    assert FOULING.repair_s(failure_s - 24 * HOUR_S + 1) == failure_s - 8 * HOUR_S, "the next round"


def test_what_counts_for_and_against_the_agent() -> None:
    onset_s, failure_s = FOULING.degradation.onset_s, FOULING.degradation.failure_s
    right, wrong = said(Cause.MACHINE, "gain", "filter_dp"), said(Cause.MACHINE, "gain", "speed")
    lost = said(Cause.COMMUNICATION, "stuck", "speed")
    half_s = (onset_s + failure_s) / 2
    found = FaultOutcome(
        FOULING, int(failure_s), (raised(half_s, right), raised(half_s + HOUR_S, wrong)),
        (Life(half_s, 0.0, DAY_S), Life(half_s + HOUR_S, 0.0, HOUR_S)), half_s + 8 * HOUR_S,
    )
    broken_s = int(DRIFT.degradation.failure_s)
    late = FaultOutcome(DRIFT, broken_s + HOUR_S, (raised(broken_s + 1, right),), (), None)
    sensor = FaultOutcome(DRIFT, broken_s, (raised(DRIFT.degradation.onset_s, wrong),), (), None)
    other = (raised(9.0, wrong), raised(99.0, lost, of_wire=True), raised(999.0, wrong, of_wire=True))
    years = [year(1.0, (found, late), other), year(1.0, (sensor,)), year(0.2), year(0.2, (), other[:1])]
    figures = {figure.key: figure.value for figure in alerts.measure(years)}

    def figure(metric: str) -> float:
        return figures[alerts.ALL, metric]

    assert figure(alerts.FOUND) == pytest.approx(200 / 3)
    assert figure(alerts.LEAD) == 50
    assert figure(alerts.ALERTS) == 1.5
    assert figure(alerts.MANY) == pytest.approx(2 / 20), "what says that the communication failed is not false"
    assert figure(alerts.STRICT) == pytest.approx(1 / 20)
    assert figure(alerts.CAUSE) == pytest.approx(100 * 2 / 4)
    assert figure(alerts.TYPE) == 50
    assert figure(alerts.TAG) == 50
    assert figure(alerts.MISTAKEN) == pytest.approx(100 * 2 / 3)
    assert figure(alerts.LIFE) == 50
    assert figure(alerts.CPU) == pytest.approx(12 * 3.0)
    assert figures["pump", alerts.FOUND] == figure(alerts.FOUND)
    assert set(alerts.TARGETS) <= set(figures)


@pytest.mark.parametrize(
    ("reached_h", "repaired_h", "held"),
    [(9, 50, True), (8, 50, True), (7.9, 50, False), (24, 50, True), (24.1, 50, False), (None, 20.1, False),
     (None, 20, None)],
)
def test_a_remaining_life_is_held_against_the_round_in_which_what_it_speaks_of_was_seen(
    reached_h: float | None, repaired_h: float, held: bool | None
) -> None:
    told = Life(4 * HOUR_S, 4 * HOUR_S, 16 * HOUR_S)
    assert told.holds(None if reached_h is None else reached_h * HOUR_S, repaired_h * HOUR_S) is held


def test_the_years_are_those_of_every_machine() -> None:
    assets = alerts.assets_of(Options(seeds=2))
    assert len(assets) == 2 * 12
    assert {asset.seed for asset in assets} == {1001, 1002}
    assert {asset.days for asset in assets} == {365}
    with pytest.raises(BenchmarkError, match=r"no machine lathe; there are: pump, press, conveyor"):
        alerts.assets_of(Options(subsets=("lathe",)))


def test_a_machine_s_days_are_the_same_again_and_their_faults_are_repaired() -> None:
    asset = next(each for each in (Asset(seed, 8, 8) for seed in range(7, 999)) if each.faults())
    print(asset)
    played, strict = play(asset, (1.0, 0.2))
    assert (strict.budget_per_week, strict.healthy_s) == (0.2, played.healthy_s)
    assert [each.fault for each in played.faults] == list(asset.faults())
    for done in played.faults:
        assert done.repaired_s == done.fault.repair_s(done.raised[0].time_s if done.raised else None)
    sick_s = sum(each.repaired_s + HOUR_S - each.fault.degradation.onset_s for each in played.faults)
    assert played.healthy_s == 8 * DAY_S - sick_s
    (again,) = play(asset, (1.0,))
    assert replace(again, simulating_cpu_s=0.0, judging_cpu_s=0.0) == replace(
        played, simulating_cpu_s=0.0, judging_cpu_s=0.0
    )


def test_a_day_without_a_fault_of_the_wire_that_is_seen_is_played_too() -> None:
    (played,) = play(Asset(1, 8, 1), (1.0,))
    assert (played.wire_faults, played.healthy_s) == (0, DAY_S)


def test_a_quick_look_is_two_days_of_one_conveyor(tmp_path: Path) -> None:
    arguments = ["alerts", "--subset", "conveyor", "--limit", "1", "--count", "2", "--seeds", "1", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(each["case"], each["metric"]) for each in objects if each["target"]} == set(alerts.TARGETS)
    found = {(each["case"], each["metric"]): each["value"] for each in objects}
    assert found[alerts.ALL, "healthy weeks"] == pytest.approx(2 / 7)
    assert found[alerts.ALL, alerts.CPU] > 0
    assert not list(tmp_path.iterdir())
