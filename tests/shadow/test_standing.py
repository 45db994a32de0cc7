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
