from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmEvent,
    Alert,
    Answer,
    Command,
    DeclareNormal,
    EndHold,
    GiveLabel,
    Group,
    Label,
    Likeness,
    OutcomeKind,
    Rebaseline,
    RecordOutcome,
    ReturnToService,
    SeeChange,
    Shelve,
    TakeOutOfService,
    Trait,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.event import AssetEvent, EventKind
from agent.line.likeness import prototype
from agent.line.stage import Decide, Decision
from agent.store import codec, command_codec
from tests.agent.samples import START_NS, alert, verdict

TIMES = st.integers(0, 4_102_444_800_000_000_000)


def rich() -> Alert:
    return replace(
        alert(),
        acknowledgement=Acknowledgement("Ana", START_NS + 5, "seen"),
        returned_time_ns=START_NS + 9,
        label=Label(Answer.SENSOR, None, "Bo", START_NS + 8),
        like=Likeness("pump-0", START_NS - 9, "impeller blockage", 0.91),
        signature=(Trait("pressure", -2.5, 0.25, 0.0), Trait("temperature", 0.0, 0.0, 1.0)),
        peak_signature=(Trait("pressure", -7.25, 0.5, 0.0),),
        event=AlarmEvent.SHELVE,
        by="Bo",
        withheld=(
            Withheld(WithheldKind.SUPPRESSED, None, START_NS, None, "cleaning is 1"),
            Withheld(WithheldKind.SHELVED, "Bo", START_NS, START_NS + 7, "spare part ordered"),
        ),
    )


def test_an_alert_survives_the_journey_there_and_back() -> None:
    for original in (
        alert(),
        rich(),
        replace(alert(), verdict=replace(verdict(), remaining_life_s=None, cause=None, regime=None)),
    ):
        text = codec.encode(original)
        again = codec.decode(text)
        assert codec.encode(again) == text
        assert math.isnan(again.verdict.contributions[1].measured)
        assert repr(again) == repr(original)


def test_an_alert_of_a_version_without_health_is_read() -> None:
    body = json.loads(codec.encode(replace(alert(), verdict=replace(verdict(), remaining_life_s=None))))
    del body["verdict"]["health"], body["verdict"]["remaining_life_until"]
    read = codec.decode(json.dumps(body)).verdict
    assert math.isnan(read.health)
    assert (read.remaining_life_s, read.remaining_life_until) == (None, None)


def test_an_alert_of_a_version_that_knew_only_shelves_is_read() -> None:
    body = json.loads(codec.encode(alert()))
    for key in ("withheld", "label", "like", "signature", "peak_signature", "event", "by", "standing_since"):
        del body[key]
    window = {"since": codec.format_time(START_NS), "until": codec.format_time(START_NS + 7)}
    shelf = {"by": "Bo", "reason": "part"} | window
    plain, shelved = (codec.decode(json.dumps(body | {"shelf": one})) for one in (None, shelf))
    assert (plain.withheld, plain.event, plain.by) == ((), None, None)
    assert plain.standing_since_ns == plain.updated_time_ns
    assert shelved.withheld == (Withheld(WithheldKind.SHELVED, "Bo", START_NS, START_NS + 7, "part"),)


@pytest.mark.parametrize("until_ns", [None, START_NS + 9])
def test_an_event_survives_the_journey(until_ns: int | None) -> None:
    kind = EventKind.OUT_OF_SERVICE
    event = AssetEvent("pump:3", "pump", kind, START_NS, START_NS + 5, until_ns, "Bo", "neue Dichtung, süß", None)
    assert codec.decode_event(codec.encode(event)) == event
    by_tag = replace(event, kind=EventKind.SUPPRESSED, by=None, about="cleaning")
    assert codec.decode_event(codec.encode(by_tag)) == by_tag
    failure = replace(event, kind=EventKind.FAILURE, about="pump-1", downtime_s=14_400.5)
    assert codec.decode_event(codec.encode(failure)) == failure
    earlier = codec.encode(event).replace(b'"downtime_s":null,', b"")
    assert codec.decode_event(earlier) == event, "as earlier versions wrote it"


def test_the_form_is_canonical() -> None:
    text = codec.encode(rich()).decode()
    body = json.loads(text)
    assert text == json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert body["raised_time"] == "2026-09-21T14:13:21.123456789Z"
    assert body["verdict"]["contributions"][1]["measured"] is None
    assert body["verdict"]["fault_probabilities"][0] == {"fault": "seal_leak", "probability": 0.7}


def test_an_infinity_becomes_a_number_that_json_can_hold() -> None:
    body = json.loads(codec.encode(replace(alert(), peak_evidence=float("inf"))))
    assert body["peak_evidence"] == 1.7976931348623157e308


@given(TIMES)
def test_every_nanosecond_survives(time_ns: int) -> None:
    assert codec.parse_time(codec.format_time(time_ns)) == time_ns


@given(TIMES, TIMES)
def test_times_sort_as_text(one_ns: int, other_ns: int) -> None:
    assert (one_ns < other_ns) == (codec.format_time(one_ns) < codec.format_time(other_ns))


def test_times_with_other_offsets_and_fewer_digits_are_understood() -> None:
    assert codec.parse_time("1970-01-01T01:00:00.5+01:00") == 500_000_000
    assert codec.parse_time("1970-01-01T00:00:01Z") == 1_000_000_000
    assert codec.parse_time("1970-01-01 00:00:01,25Z") == 1_250_000_000
    with pytest.raises(ValueError, match="time zone"):
        codec.parse_time("1970-01-01T00:00:01")


def test_a_label_survives_the_journey_with_the_alert_that_it_is_of() -> None:
    label = Label(Answer.REAL, "impeller blockage", "Ana", START_NS, "a rag")
    for past in (None, replace(rich(), label=label)):
        text = command_codec.encode_command(GiveLabel("pump-1", label, past))
        again = command_codec.decode_command(text)
        assert command_codec.encode_command(again) == text
        assert repr(again) == repr(GiveLabel("pump-1", label, past))


def test_what_another_alert_may_be_like_survives_the_journey() -> None:
    label = Label(Answer.REAL, "impeller blockage", "Ana", START_NS)
    original = prototype(replace(rich(), label=label))
    assert original is not None
    assert codec.prototype_of(json.loads(codec.dumps(codec.prototype_json(original)))) == original


@pytest.mark.parametrize(
    "command",
    [
        Acknowledge("pump-1", "Ana", START_NS, "ok"),
        Shelve("pump-1", "Bo", START_NS, START_NS + 5, "part ordered"),
        Unshelve("pump-1", "Bo", START_NS),
        TakeOutOfService("pump", "Bo", START_NS, START_NS + 5, START_NS + 9, "new seal"),
        Group("pump-1", "fan-3", START_NS),
        Group("pump-1", None, START_NS),
        ReturnToService("pump", "Bo", START_NS, "seal replaced"),
        Decide("pump", Decision.GO_LIVE, "Bo", START_NS, "all of it was real"),
        Decide("pump", Decision.LEARNT, None, START_NS, "", "ab12"),
        SeeChange("pump", "the firmware was changed", "line3_plc", START_NS),
        EndHold("pump", "Bo", START_NS, "a recipe"),
        Rebaseline("pump", ("flow", "heat"), "Bo", START_NS, "new sensors"),
        DeclareNormal("pump", "Bo", START_NS, START_NS - 9, START_NS - 5, "the new product"),
        RecordOutcome("pump", OutcomeKind.FAILURE, "Bo", START_NS, START_NS - 9, "pump-3", 14400.5, "Lager fest"),
        RecordOutcome("pump", OutcomeKind.REPAIR, "Bo", START_NS, START_NS, None, None, "impeller cleaned"),
    ],
)
def test_commands_survive_the_journey(command: Command) -> None:
    assert command_codec.decode_command(command_codec.encode_command(command)) == command


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"kind":"open"}',
        b"\xff",
        codec.encode(alert()).replace(b"unacknowledged", b"burning"),
    ],
)
def test_what_is_not_ours_is_refused_by_one_error(text: bytes) -> None:
    with pytest.raises(codec.CodecError):
        codec.decode(text)
    with pytest.raises(codec.CodecError):
        command_codec.decode_command(text)
    with pytest.raises(codec.CodecError):
        codec.decode_event(text)


@pytest.mark.parametrize("text", [
    "0001-01-01T00:00:00.000000000Z", "0026-09-21T13:00:00.000000000Z", "0999-12-31T23:59:59.999999999Z",
    "1601-01-01T00:00:00.000000000Z", "9999-12-31T23:59:59.000000001Z",
])
def test_a_time_of_any_year_is_read_back(text: str) -> None:
    assert codec.format_time(codec.parse_time(text)) == text
