from __future__ import annotations

from agent.line.event import AssetEvent, EventKind
from agent.line.stage import Decision, Stage
from agent.shadow.standing import KINDS, Standing, standing

NS = 1_790_000_000_000_000_000
_K = EventKind


def events(*told: tuple[EventKind, str | None]) -> list[AssetEvent]:
    return [AssetEvent(f"pump:{n}", "pump", kind, NS + n, NS + n, None, None, "", about)
            for n, (kind, about) in enumerate(told, 1)]


def test_every_decision_has_an_event_of_its_name() -> None:
    assert {decision.value for decision in Decision} <= {kind.value for kind in EventKind}
    assert {kind.value for kind in KINDS} <= {decision.value for decision in Decision}


def test_an_asset_without_a_bundle_is_collecting_until_a_person_goes_live() -> None:
    told = events((_K.LEARNING, None), (_K.NOT_LEARNT, None), (_K.LEARNING, None), (_K.LEARNT, "a1"), (_K.LIVE, None))
    stages = [standing(told[:count], None, Stage.LIVE) for count in range(len(told) + 1)]
    assert [(one.stage, one.model) for one in stages] == [
        (Stage.COLLECTING, None), (Stage.LEARNING, None), (Stage.COLLECTING, None), (Stage.LEARNING, None),
        (Stage.SHADOW, "a1"), (Stage.LIVE, "a1"),
    ]
    assert [one.since_ns for one in stages] == [0, NS + 1, NS + 2, NS + 3, NS + 4, NS + 5]


def test_a_bundle_begins_where_the_configuration_says_and_comes_before_what_was_learnt() -> None:
    assert standing([], "b2", Stage.LIVE) == Standing(Stage.LIVE, 0, "b2")
    assert standing([], "b2", Stage.SHADOW) == Standing(Stage.SHADOW, 0, "b2")
    assert standing(events((_K.LIVE, None)), "b2", Stage.SHADOW) == Standing(Stage.LIVE, NS + 1, "b2")
    learnt = events((_K.LEARNING, None), (_K.LEARNT, "a1"))
    assert standing(learnt, "b2", Stage.LIVE) == Standing(Stage.LIVE, 0, "b2")


def test_other_events_change_nothing() -> None:
    told = events((_K.OUT_OF_SERVICE, None), (_K.IN_SERVICE, None))
    assert standing(told, "b2", Stage.SHADOW) == standing([], "b2", Stage.SHADOW)


def test_a_challenger_takes_the_champions_place_and_gives_it_back() -> None:
    told = events((_K.CHALLENGED, "c3"), (_K.PROMOTED, "c3"), (_K.ROLLED_BACK, "b2"))
    stages = [standing(told[:count], "b2", Stage.LIVE) for count in range(4)]
    assert [(one.model, one.challenger, one.previous) for one in stages] == [
        ("b2", None, None), ("b2", "c3", None), ("c3", None, "b2"), ("b2", None, None),
    ]
    assert (stages[1].challenged_ns, stages[2].promoted_ns) == (NS + 1, NS + 2)
    assert {one.stage for one in stages} == {Stage.LIVE}


def test_a_newer_challenger_takes_the_place_of_one_and_only_the_present_one_is_dismissed() -> None:
    told = events((_K.CHALLENGED, "c3"), (_K.CHALLENGED, "d4"), (_K.DISMISSED, "c3"), (_K.DISMISSED, "d4"))
    assert [standing(told[:count], "b2", Stage.LIVE).challenger for count in range(5)] == [None, "c3", "d4", "d4", None]


def test_a_promotion_that_comes_twice_or_of_no_challenger_changes_nothing() -> None:
    told = events((_K.CHALLENGED, "c3"), (_K.PROMOTED, "c3"), (_K.PROMOTED, "c3"))
    assert standing(told, "b2", Stage.LIVE).previous == "b2"
    gone = events((_K.CHALLENGED, "c3"), (_K.DISMISSED, "c3"), (_K.PROMOTED, "c3"))
    assert standing(gone, "b2", Stage.LIVE).model == "b2"
