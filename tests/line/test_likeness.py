"""What is like what: the same pattern is near at any size, another one is not, and what has grown is normal no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.line.alert import Alert, Answer, Label, Signature, Trait
from agent.line.likeness import CHANCE, PROTOTYPES_MAX, SPREAD_CHANCE, Prototypes, similarity
from tests.agent import samples

FLOW: Signature = (Trait("flow", -9.0, 0.2, 0.0), Trait("pressure", 4.5, 0.0, 0.0))
LARGER: Signature = (Trait("flow", -27.0, 0.3, 0.0), Trait("pressure", 12.0, 0.0, 0.0))
SHAKING: Signature = (Trait("vibration", 0.4, 2.5, 0.0), Trait("flow", 0.5, 0.2, 0.0))
STUCK: Signature = (Trait("flow", 0.0, 0.0, 1.0),)
TRAITS = st.builds(Trait, st.sampled_from(["flow", "pressure", "speed"]), *[st.floats(-50, 50)] * 2, st.just(0.0))
SIGNATURES = st.lists(TRAITS, min_size=1, max_size=3, unique_by=lambda trait: trait.tag).map(tuple)


def labelled(answer: Answer, fault: str | None = None, signature: Signature = FLOW, number: int = 1) -> Alert:
    label = Label(answer, fault, "ada", samples.START_NS)
    return replace(samples.alert(number), label=label, signature=signature, peak_signature=signature)


def knowing(*alerts: Alert) -> Prototypes:
    known = Prototypes()
    for alert in alerts:
        known.learn(alert)
    return known


@given(SIGNATURES, SIGNATURES)
def test_likeness_is_mutual_and_at_most_one(one: Signature, other: Signature) -> None:
    assert similarity(one, other) == pytest.approx(similarity(other, one))
    assert abs(similarity(one, other)) <= 1 + 1e-9


def test_the_same_pattern_is_near_at_any_size_and_another_one_is_not() -> None:
    assert similarity(FLOW, LARGER) > 0.98
    assert similarity(FLOW, tuple(replace(trait, level=-trait.level) for trait in FLOW)) < -0.9
    assert abs(similarity(FLOW, SHAKING)) < 0.2
    assert similarity(FLOW, STUCK) == 0
    assert similarity(STUCK, STUCK) == 1
    noise = (Trait("flow", CHANCE, SPREAD_CHANCE, 0.0),)
    assert similarity(noise, noise) == 0


def test_types_of_fault_tell_two_of_one_tag_apart() -> None:
    drift, jumps = (("ramp", 0.8), ("bias", 0.2)), (("noise", 0.7), ("intermittent", 0.3))
    assert similarity(FLOW, FLOW, drift, drift) > similarity(FLOW, FLOW, drift, jumps)


def test_the_nearest_labelled_alert_gives_the_name() -> None:
    known = knowing(labelled(Answer.REAL, "impeller blockage"), labelled(Answer.SENSOR, None, SHAKING, 2))
    found = [known.nearest(one, ()) for one in (LARGER, SHAKING, STUCK)]
    assert [one and (one.alert_id, one.name) for one in found] == [
        ("pump-1", "impeller blockage"), ("pump-2", "sensor"), None,
    ]
    assert Prototypes().nearest(FLOW, ()) is None


def test_a_correction_counts_and_nobody_having_looked_makes_no_pattern() -> None:
    known = knowing(labelled(Answer.NORMAL), labelled(Answer.REAL, "impeller blockage"))
    assert known.normal(FLOW, "ab12") is None
    found = known.nearest(FLOW, ())
    assert found is not None
    assert found.name == "impeller blockage"
    known.learn(labelled(Answer.NOT_LOOKED_AT))
    assert known.nearest(FLOW, ()) is None


def test_what_was_labelled_normal_is_no_more_when_it_grows_or_another_tag_joins_it() -> None:
    known = knowing(labelled(Answer.NORMAL))
    assert known.normal(FLOW, "ab12") is not None
    assert known.normal(LARGER, "ab12") is None
    assert known.normal((*FLOW, Trait("vibration", 0.0, 2.0, 0.0)), "ab12") is None
    assert known.normal(SHAKING, "ab12") is None
    assert known.normal(FLOW, "another model") is None


def test_it_may_become_as_large_as_it_was_while_the_labelled_alert_stood() -> None:
    known = knowing(replace(labelled(Answer.NORMAL), peak_signature=LARGER))
    assert known.normal(LARGER, "ab12") is not None
    assert known.normal(tuple(replace(trait, level=1.5 * trait.level) for trait in LARGER), "ab12") is None


def test_nothing_hides_behind_a_tag_that_stands_still_and_may() -> None:
    stuck = (Trait("flow", 1.0, 0.0, 1.0), Trait("pressure", 0.5, 0.0, 0.0))
    known = knowing(labelled(Answer.NORMAL, None, stuck))
    moved = (Trait("flow", 9.0, 0.0, 1.0), Trait("pressure", 1.0, 0.0, 0.0))
    assert known.normal(moved, "ab12") is not None, "the others move, and it stands still"
    assert known.normal((*stuck, Trait("vibration", 0.0, 3.0, 0.0)), "ab12") is None
    assert known.normal((*stuck, Trait("speed", 0.0, 0.0, 1.0)), "ab12") is None
    assert similarity(stuck, moved) == 1


def test_where_a_labelled_fault_is_nearer_it_is_not_taken_for_normal() -> None:
    almost = (Trait("flow", -9.0, 0.2, 0.0), Trait("pressure", 0.0, 0.0, 0.0))
    known = knowing(labelled(Answer.NORMAL, None, almost), labelled(Answer.REAL, "impeller blockage", FLOW, 2))
    assert known.normal(FLOW, "ab12") is None
    assert known.normal(almost, "ab12") is not None


def test_what_was_labelled_last_is_remembered_up_to_a_number() -> None:
    alerts = [labelled(Answer.REAL, f"fault {number}", FLOW, number) for number in range(PROTOTYPES_MAX + 5)]
    found = knowing(*alerts).nearest(FLOW, ())
    assert found is not None
    assert found.name == f"fault {PROTOTYPES_MAX + 4}"
    found = knowing(labelled(Answer.SENSOR, None, SHAKING, 999), *alerts).nearest(SHAKING, ())
    assert found is None
