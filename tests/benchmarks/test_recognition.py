"""A labelled fault is recognised the next time where its name comes first: not before it was labelled, and no other."""

from __future__ import annotations

from dataclasses import replace

from agent.line.alert import Signature, Trait
from benchmarks.plant_year import Asset, Fault
from benchmarks.plant_year_case import AssetYear, FaultOutcome, Raised
from benchmarks.recognition import FALSELY_NAMED, MISNAMED, RECOGNISED, recognition
from simulators.faults import DAY_S, HOUR_S, degradation
from tests.agent import samples

FOULING: Signature = (Trait("filter_dp", 3.0, 0.0, 0.0), Trait("flow", -2.0, 0.0, 0.0))
LEAK: Signature = (Trait("seal_pressure", -4.0, 0.0, 0.0),)
OTHER: Signature = (Trait("vibration", 0.0, 3.0, 0.0),)


def raised(time_s: float, signature: Signature) -> Raised:
    told = replace(samples.verdict(), fault_probabilities=())
    return Raised(time_s, f"pump-{time_s:g}", "", told, of_wire=False, seen=told, signature=signature)


def outcome(kind: str, day: int, signature: Signature) -> FaultOutcome:
    fault = Fault(degradation("pump", kind, day * DAY_S), HOUR_S, HOUR_S)
    return FaultOutcome(fault, (day + 1) * DAY_S, (raised(day * DAY_S + HOUR_S, signature),), (), None)


def year(number: int, *faults: FaultOutcome, other: tuple[Raised, ...] = (), seed: int = 7) -> AssetYear:
    return AssetYear(Asset(seed, number), 1.0, 70.0 * DAY_S, faults, other, 0, 1.0, 1.0)


def figures(*years: AssetYear) -> dict[str, float]:
    return {figure.metric: figure.value for figure in recognition("all", years)}


def test_it_counts_from_its_repair_on_and_on_the_machines_of_its_make_and_plant() -> None:
    first = outcome("filter_fouling", 10, FOULING)
    sister = year(1, outcome("filter_fouling", 30, FOULING))
    assert figures(year(0, first), sister)[RECOGNISED] == 100
    found = figures(year(0, first), year(1, outcome("filter_fouling", 10, FOULING)))
    assert found["labelled faults that came again"] == 0, "the first is not repaired yet"
    for stranger in (year(5, outcome("filter_fouling", 30, FOULING)), replace(sister, asset=Asset(8, 1))):
        assert figures(year(0, first), stranger)["labelled faults that came again"] == 0


def test_what_looks_otherwise_is_not_recognised_and_another_name_is_a_mistake() -> None:
    first, leak = outcome("filter_fouling", 10, FOULING), outcome("seal_leak", 12, LEAK)
    found = figures(year(0, first, leak, outcome("filter_fouling", 30, OTHER), outcome("seal_leak", 50, FOULING)))
    assert found[RECOGNISED] == 0
    assert found["labelled faults that came again"] == 2
    assert found[MISNAMED] == 25


def test_a_false_alert_that_has_the_name_of_a_fault_has_a_figure() -> None:
    false = (raised(5 * DAY_S, FOULING), raised(40 * DAY_S, FOULING), raised(41 * DAY_S, OTHER))
    found = figures(year(0, outcome("filter_fouling", 10, FOULING), other=false))
    assert round(found[FALSELY_NAMED]) == 33
