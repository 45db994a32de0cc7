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

from agent.line.advisory import Advisory, Check
from agent.line.alert import (
    Acknowledgement,
    AlarmEvent,
    AlarmState,
    Alert,
    Answer,
    Label,
    Likeness,
    Priority,
    Signature,
    Trait,
    Withheld,
    WithheldKind,
)
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.likeness import Prototype
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
        return alert_of(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not an alert: {type(error).__name__}: {error}") from error


def decode_event(text: bytes | str) -> AssetEvent:
    """Return the event of its canonical JSON; raise CodecError where it is none."""
    try:
        return _event(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not an event: {type(error).__name__}: {error}") from error


def dumps(body: Json) -> bytes:
    """Return canonical JSON of plain values."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def format_time(time_ns: int) -> str:
    """Write UTC nanoseconds as RFC 3339, "2026-11-23T20:27:00.123456789Z"."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    # strftime's %Y has fewer than four digits before the year 1000 on some systems.
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{rest_ns:09d}Z"


def parse_time(text: str) -> int:
    """Return the UTC nanoseconds of an RFC 3339 time, with any offset; raise ValueError where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is no time; write it as in "2026-11-23T20:27:00Z"') from error
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
        "cause_probability": verdict.cause_probability,
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
        "label": None if alert.label is None else label_json(alert.label),
        "like": None if alert.like is None else likeness_json(alert.like),
        "signature": signature_json(alert.signature),
        "peak_signature": signature_json(alert.peak_signature),
        "advisory": None if alert.advisory is None else _advisory_json(alert.advisory),
        "verdict": verdict_json(alert.verdict),
    }


def likeness_json(like: Likeness) -> dict[str, Json]:
    """Return which labelled alert an alert is like as plain values."""
    return {
        "alert_id": like.alert_id,
        "raised_time": format_time(like.raised_time_ns),
        "name": like.name,
        "similarity": number(like.similarity),
    }


def signature_json(signature: Signature) -> list[Json]:
    """Return a signature as plain values."""
    return [
        {
            "tag": trait.tag,
            "level": number(trait.level),
            "spread": number(trait.spread),
            "still": number(trait.still),
        }
        for trait in signature
    ]


def prototype_json(prototype: Prototype) -> dict[str, Json]:
    """Return a labelled alert that others may be like as plain values."""
    return {
        "alert_id": prototype.alert_id,
        "raised_time": format_time(prototype.raised_time_ns),
        "name": prototype.name,
        "is_normal": prototype.is_normal,
        "signature": signature_json(prototype.signature),
        "peak_signature": signature_json(prototype.peak_signature),
        "shapes": [[fault, number(share)] for fault, share in prototype.shapes],
        "model_hash": prototype.model_hash,
    }


def prototype_of(body: Any) -> Prototype:
    """Read what `prototype_json` returned."""
    return Prototype(
        str(body["alert_id"]),
        parse_time(body["raised_time"]),
        str(body["name"]),
        bool(body["is_normal"]),
        _signature(body["signature"]),
        _signature(body["peak_signature"]),
        tuple((str(fault), _float(share)) for fault, share in body["shapes"]),
        str(body["model_hash"]),
    )


def label_json(label: Label) -> dict[str, Json]:
    """Return a label as plain values."""
    return {
        "answer": label.answer.value,
        "fault": label.fault,
        "by": label.by,
        "time": format_time(label.time_ns),
        "comment": label.comment,
    }


def _advisory_json(advisory: Advisory) -> dict[str, Json]:
    return {
        "machine_type": advisory.machine_type,
        "failure_mode": advisory.failure_mode,
        "mechanism": advisory.mechanism,
        "checks": [{"do": check.do, "why": check.why} for check in advisory.checks],
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
        "downtime_s": event.downtime_s,
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


def alert_of(body: Any) -> Alert:
    """Return the alert of what `alert_json` returned."""
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
        label=None if body.get("label") is None else label_of(body["label"]),
        like=None if body.get("like") is None else _likeness(body["like"]),
        signature=_signature(body.get("signature", [])),
        peak_signature=_signature(body.get("peak_signature", [])),
        advisory=_advisory(body.get("advisory")),
        verdict=_verdict(body["verdict"]),
        shadow=bool(body.get("shadow", False)),
    )


def _likeness(body: Any) -> Likeness:
    return Likeness(body["alert_id"], parse_time(body["raised_time"]), body["name"], _float(body["similarity"]))


def _signature(body: Any) -> Signature:
    return tuple(Trait(one["tag"], *(_float(one[key]) for key in ("level", "spread", "still"))) for one in body)


def label_of(body: Any) -> Label:
    """Return the label of what `label_json` returned."""
    return Label(Answer(body["answer"]), body["fault"], body["by"], parse_time(body["time"]), body["comment"])


def _advisory(body: Any) -> Advisory | None:
    if body is None:
        return None
    checks = tuple(Check(str(check["do"]), str(check["why"])) for check in body["checks"])
    return Advisory(str(body["machine_type"]), str(body["failure_mode"]), str(body["mechanism"]), checks)


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
        downtime_s=body.get("downtime_s"),  # earlier versions had none
    )


def _time(text: Any) -> int | None:
    return None if text is None else parse_time(text)


def _verdict(body: Any) -> Verdict:
    life = body["remaining_life_s"]
    # The journals of earlier versions have none of these, no health and no probability.
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
        cause_probability=body.get("cause_probability"),
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
