"""One way to write an alert: canonical JSON, the same bytes in the journal, over the API and from a replay.

Keys are sorted, there are no spaces, a float is Python's shortest exact form (`repr`), a time is RFC 3339 in
UTC with nine digits (a nanosecond count would not survive a reader that knows doubles only). NaN is null; an
infinity, which no honest computation yields, becomes the largest float of its sign.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any

from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmEvent,
    AlarmState,
    Alert,
    Command,
    Group,
    Priority,
    ReturnToService,
    Shelve,
    TakeOutOfService,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.memory import Memory, Remembered
from agent.line.stage import Decide, Decision
from agent.line.verdict import Cause, Condition, Contribution, Drift, LifeEnd, Verdict

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class CodecError(Exception):
    """Bytes are not what this module writes."""


def encode(entry: Entry) -> bytes:
    """Return the canonical JSON of an alert or an event, UTF-8, without a newline."""
    return dumps(event_json(entry) if isinstance(entry, AssetEvent) else alert_json(entry))


def decode(text: bytes | str) -> Alert:
    """Return the alert of its canonical JSON; raise CodecError where it is none."""
    try:
        return _alert(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not an alert: {type(error).__name__}: {error}") from error


def decode_event(text: bytes | str) -> AssetEvent:
    """Return the event of its canonical JSON; raise CodecError where it is none."""
    try:
        return _event(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not an event: {type(error).__name__}: {error}") from error


def encode_command(command: Command) -> bytes:
    """Return the canonical JSON of a command."""
    body: dict[str, Json] = {"time": format_time(command.time_ns)}
    if not isinstance(command, Group):
        body["by"] = command.by
    match command:
        case Group():
            body |= {"kind": "group", "alert_id": command.alert_id, "root": command.root}
        case Acknowledge():
            body |= {"kind": "acknowledge", "alert_id": command.alert_id, "comment": command.comment}
        case Shelve():
            body |= {"kind": "shelve", "alert_id": command.alert_id}
            body |= {"until": format_time(command.until_ns), "reason": command.reason}
        case Unshelve():
            body |= {"kind": "unshelve", "alert_id": command.alert_id}
        case TakeOutOfService():
            body |= {"kind": "take_out_of_service", "asset": command.asset, "reason": command.reason}
            body |= {"since": format_time(command.since_ns), "until": format_time(command.until_ns)}
        case ReturnToService():
            body |= {"kind": "return_to_service", "asset": command.asset, "comment": command.comment}
        case Decide():
            body |= {"kind": "decide", "asset": command.asset, "comment": command.comment}
            body |= {"decision": command.decision.value, "about": command.about}
    return dumps(body)


def decode_command(text: bytes | str) -> Command:
    """Return the command of its canonical JSON; raise CodecError where it is none."""
    try:
        body = json.loads(text)
        time_ns = parse_time(body["time"])
        if body["kind"] == "group":
            return Group(body["alert_id"], body["root"], time_ns)
        by = body["by"]
        match body["kind"]:
            case "acknowledge":
                return Acknowledge(body["alert_id"], by, time_ns, body["comment"])
            case "shelve":
                return Shelve(body["alert_id"], by, time_ns, parse_time(body["until"]), body["reason"])
            case "unshelve":
                return Unshelve(body["alert_id"], by, time_ns)
            case "take_out_of_service":
                window = parse_time(body["since"]), parse_time(body["until"])
                return TakeOutOfService(body["asset"], by, time_ns, *window, body["reason"])
            case "return_to_service":
                return ReturnToService(body["asset"], by, time_ns, body["comment"])
            case "decide":
                decision = Decision(body["decision"])
                return Decide(body["asset"], decision, by, time_ns, body["comment"], body["about"])
            case kind:
                raise CodecError(f"not a command: {kind!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not a command: {type(error).__name__}: {error}") from error


def memory_json(memory: Memory) -> dict[str, Json]:
    """Return a memory as plain values."""
    return {
        "time": format_time(memory.time_ns),
        "life": _remembered_json(memory.life),
        "wander": _remembered_json(memory.wander),
    }


def _remembered_json(part: Remembered | None) -> Json:
    return None if part is None else {"model_hash": part.model_hash, "state": list(part.state)}


def decode_memory(text: bytes | str) -> Memory:
    """Return the memory of its JSON; raise CodecError where it is none."""
    try:
        body = json.loads(text)
        if "state" in body:  # earlier versions remembered the life alone
            return Memory(parse_time(body["time"]), _remembered(body), None)
        return Memory(parse_time(body["time"]), _remembered(body["life"]), _remembered(body["wander"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not a memory: {type(error).__name__}: {error}") from error


def _remembered(body: Any) -> Remembered | None:
    if body is None:
        return None
    return Remembered(str(body["model_hash"]), tuple(float(value) for value in body["state"]))


def dumps(body: Json) -> bytes:
    """Return canonical JSON of plain values."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def format_time(time_ns: int) -> str:
    """Write UTC nanoseconds as RFC 3339, "2026-11-23T20:27:00.123456789Z"."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def parse_time(text: str) -> int:
    """Return the UTC nanoseconds of an RFC 3339 time, with any offset; raise ValueError where it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" does not say its time zone; write it as in "2026-11-23T20:27:00Z"')
    seconds = math.floor(moment.replace(microsecond=0).timestamp())
    digits = text.replace(",", ".").partition(".")[2]
    fraction = digits[: next((i for i, c in enumerate(digits) if not c.isdigit()), len(digits))][:9]
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


def verdict_json(verdict: Verdict) -> dict[str, Json]:
    """Return a verdict as plain values."""
    life, drift = verdict.remaining_life_s, verdict.drift
    return {
        "asset": verdict.asset,
        "time": format_time(verdict.time_ns),
        "condition": verdict.condition.value,
        "regime": verdict.regime,
        "regime_distances": [{"regime": name, "distance": number(far)} for name, far in verdict.regime_distances],
        "evidence": number(verdict.evidence),
        "contributions": [
            {
                "tag": part.tag,
                "unit": part.unit,
                "share": number(part.share),
                "measured": number(part.measured),
                "expected": number(part.expected),
            }
            for part in verdict.contributions
        ],
        "cause": verdict.cause.value if verdict.cause else None,
        "fault_probabilities": [
            {"fault": fault, "probability": number(share)} for fault, share in verdict.fault_probabilities
        ],
        "drift": None if drift is None else {"tag": drift.tag, "deviations": number(drift.deviations)},
        "health": number(verdict.health),
        "remaining_life_s": None if life is None else [number(quantile) for quantile in life],
        "remaining_life_until": verdict.remaining_life_until.value if verdict.remaining_life_until else None,
        "coverage": number(verdict.coverage),
        "model_hash": verdict.model_hash,
    }


def alert_json(alert: Alert) -> dict[str, Json]:
    """Return an alert as plain values."""
    seen = alert.acknowledgement
    return {
        "id": alert.id,
        "asset": alert.asset,
        "revision": alert.revision,
        "event": alert.event and alert.event.value,
        "by": alert.by,
        "state": alert.state.value,
        "priority": alert.priority.value,
        "message": alert.message,
        "onset_time": format_time(alert.onset_time_ns),
        "raised_time": format_time(alert.raised_time_ns),
        "updated_time": format_time(alert.updated_time_ns),
        "returned_time": _optional_time(alert.returned_time_ns),
        "standing_since": format_time(alert.standing_since_ns),
        "peak_evidence": number(alert.peak_evidence),
        "acknowledgement": None
        if seen is None
        else {"by": seen.by, "time": format_time(seen.time_ns), "comment": seen.comment},
        "withheld": [withheld_json(one) for one in alert.withheld],
        "root": alert.root,
        "shadow": alert.shadow,
        "verdict": verdict_json(alert.verdict),
    }


def withheld_json(way: Withheld) -> dict[str, Json]:
    """Return how alerts are withheld as plain values."""
    return {
        "kind": way.kind.value,
        "by": way.by,
        "since": format_time(way.since_ns),
        "until": _optional_time(way.until_ns),
        "reason": way.reason,
    }


def event_json(event: AssetEvent) -> dict[str, Json]:
    """Return an event as plain values."""
    return {
        "id": event.id,
        "asset": event.asset,
        "kind": event.kind.value,
        "time": format_time(event.time_ns),
        "since": format_time(event.since_ns),
        "until": _optional_time(event.until_ns),
        "by": event.by,
        "comment": event.comment,
        "about": event.about,
    }


def _optional_time(time_ns: int | None) -> str | None:
    return None if time_ns is None else format_time(time_ns)


def number(value: float) -> float | None:
    """Return a float that JSON can hold: NaN as None, an infinity as the largest float of its sign."""
    value = float(value)
    if math.isnan(value):
        return None
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value


# Reading back. `Any` is what json.loads gives; a wrong shape raises an error that the callers above catch.


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _alert(body: Any) -> Alert:
    seen = body["acknowledgement"]
    # The journals of earlier versions have none of these, and a shelf instead of `withheld`.
    event, shelf, standing = body.get("event"), body.get("shelf"), body.get("standing_since", body["updated_time"])
    ways = body.get("withheld", [] if shelf is None else [shelf | {"kind": "shelved"}])
    return Alert(
        id=str(body["id"]),
        asset=str(body["asset"]),
        revision=int(body["revision"]),
        event=None if event is None else AlarmEvent(event),
        by=body.get("by"),
        state=AlarmState(body["state"]),
        priority=Priority(body["priority"]),
        message=str(body["message"]),
        onset_time_ns=parse_time(body["onset_time"]),
        raised_time_ns=parse_time(body["raised_time"]),
        updated_time_ns=parse_time(body["updated_time"]),
        returned_time_ns=_time(body["returned_time"]),
        standing_since_ns=parse_time(standing),
        peak_evidence=_float(body["peak_evidence"]),
        acknowledgement=seen and Acknowledgement(seen["by"], parse_time(seen["time"]), seen["comment"]),
        withheld=tuple(withheld_of(one) for one in ways),
        root=body.get("root"),
        verdict=_verdict(body["verdict"]),
        shadow=bool(body.get("shadow", False)),
    )


def withheld_of(body: Any) -> Withheld:
    """Read what `withheld_json` returned."""
    kind, since, until = WithheldKind(body["kind"]), body["since"], body["until"]
    return Withheld(kind, body["by"], parse_time(since), _time(until), body["reason"])


def _event(body: Any) -> AssetEvent:
    return AssetEvent(
        id=str(body["id"]),
        asset=str(body["asset"]),
        kind=EventKind(body["kind"]),
        time_ns=parse_time(body["time"]),
        since_ns=parse_time(body["since"]),
        until_ns=_time(body["until"]),
        by=body["by"],
        comment=str(body["comment"]),
        about=body["about"],
    )


def _time(text: Any) -> int | None:
    return None if text is None else parse_time(text)


def _verdict(body: Any) -> Verdict:
    life = body["remaining_life_s"]
    # The journals of earlier versions have none of these, and no health.
    until, drift, near = body.get("remaining_life_until"), body.get("drift"), body.get("regime_distances", [])
    return Verdict(
        asset=str(body["asset"]),
        time_ns=parse_time(body["time"]),
        condition=Condition(body["condition"]),
        regime=body["regime"],
        regime_distances=tuple((r["regime"], _float(r["distance"])) for r in near),
        evidence=_float(body["evidence"]),
        contributions=tuple(_contribution(part) for part in body["contributions"]),
        cause=None if body["cause"] is None else Cause(body["cause"]),
        fault_probabilities=tuple(
            (f["fault"], _float(f["probability"])) for f in body["fault_probabilities"]
        ),
        drift=drift and Drift(drift["tag"], _float(drift["deviations"])),
        health=_float(body.get("health")),
        remaining_life_s=None if life is None else (_float(life[0]), _float(life[1]), _float(life[2])),
        remaining_life_until=None if until is None else LifeEnd(until),
        coverage=_float(body["coverage"]),
        model_hash=str(body["model_hash"]),
    )


def _contribution(body: Any) -> Contribution:
    share, measured, expected = (_float(body[key]) for key in ("share", "measured", "expected"))
    return Contribution(body["tag"], body["unit"], share, measured, expected)
