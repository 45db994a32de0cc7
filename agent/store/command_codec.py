"""What people and the agent say to a line as canonical JSON, for the telemetry: a replay obeys the same commands."""

from __future__ import annotations

import json

from agent.line.alert import (
    Acknowledge,
    Command,
    DeclareNormal,
    EndHold,
    GiveLabel,
    Group,
    OutcomeKind,
    Rebaseline,
    RecordOutcome,
    ReturnToService,
    SeeChange,
    Shelve,
    TakeOutOfService,
    Unshelve,
)
from agent.line.stage import Decide, Decision
from agent.store.codec import (
    CodecError,
    Json,
    alert_json,
    alert_of,
    dumps,
    format_time,
    label_json,
    label_of,
    parse_time,
)


def encode_command(command: Command) -> bytes:
    """Return the canonical JSON of a command."""
    body: dict[str, Json] = {"time": format_time(command.time_ns)}
    if not isinstance(command, Group | SeeChange):
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
        case GiveLabel():
            alert = command.alert
            body |= {"kind": "label", "alert_id": command.alert_id, "label": label_json(command.label)}
            body |= {"alert": None if alert is None else alert_json(alert)}
        case TakeOutOfService():
            body |= {"kind": "take_out_of_service", "asset": command.asset, "reason": command.reason}
            body |= {"since": format_time(command.since_ns), "until": format_time(command.until_ns)}
        case ReturnToService():
            body |= {"kind": "return_to_service", "asset": command.asset, "comment": command.comment}
        case Decide():
            body |= {"kind": "decide", "asset": command.asset, "comment": command.comment}
            body |= {"decision": command.decision.value, "about": command.about}
        case SeeChange():
            body |= {"kind": "see_change", "asset": command.asset, "cause": command.cause, "about": command.about}
        case Rebaseline():
            body |= {"kind": "rebaseline", "asset": command.asset, "comment": command.comment}
            body |= {"tags": list(command.tags)}
        case EndHold():
            body |= {"kind": "end_hold", "asset": command.asset, "comment": command.comment}
        case DeclareNormal():
            body |= {"kind": "declare_normal", "asset": command.asset, "comment": command.comment}
            body |= {"since": format_time(command.since_ns), "until": format_time(command.until_ns)}
        case RecordOutcome():
            body |= {"kind": f"record_{command.kind}", "asset": command.asset, "comment": command.comment}
            body |= {"at": format_time(command.at_ns)}
            body |= {"alert_id": command.alert_id, "downtime_s": command.downtime_s}
    return dumps(body)


def decode_command(text: bytes | str) -> Command:
    """Return the command of its canonical JSON; raise CodecError where it is none."""
    try:
        body = json.loads(text)
        time_ns = parse_time(body["time"])
        if body["kind"] == "group":
            return Group(body["alert_id"], body["root"], time_ns)
        if body["kind"] == "see_change":
            return SeeChange(body["asset"], body["cause"], body["about"], time_ns)
        by = body["by"]
        match body["kind"]:
            case "acknowledge":
                return Acknowledge(body["alert_id"], by, time_ns, body["comment"])
            case "shelve":
                return Shelve(body["alert_id"], by, time_ns, parse_time(body["until"]), body["reason"])
            case "unshelve":
                return Unshelve(body["alert_id"], by, time_ns)
            case "label":
                alert = body["alert"]
                return GiveLabel(body["alert_id"], label_of(body["label"]), None if alert is None else alert_of(alert))
            case "take_out_of_service":
                window = parse_time(body["since"]), parse_time(body["until"])
                return TakeOutOfService(body["asset"], by, time_ns, *window, body["reason"])
            case "return_to_service":
                return ReturnToService(body["asset"], by, time_ns, body["comment"])
            case "decide":
                decision = Decision(body["decision"])
                return Decide(body["asset"], decision, by, time_ns, body["comment"], body["about"])
            case "rebaseline":
                return Rebaseline(body["asset"], tuple(map(str, body["tags"])), by, time_ns, body["comment"])
            case "end_hold":
                return EndHold(body["asset"], by, time_ns, body["comment"])
            case "declare_normal":
                window = parse_time(body["since"]), parse_time(body["until"])
                return DeclareNormal(body["asset"], by, time_ns, *window, body["comment"])
            case "record_failure" | "record_repair" as kind:
                outcome = OutcomeKind(kind.removeprefix("record_"))
                said = body["alert_id"], body["downtime_s"], body["comment"]
                return RecordOutcome(body["asset"], outcome, by, time_ns, parse_time(body["at"]), *said)
            case kind:
                raise CodecError(f"not a command: {kind!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not a command: {type(error).__name__}: {error}") from error
