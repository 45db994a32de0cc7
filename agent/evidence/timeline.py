"""The timeline of an evidence pack: each revision of the alert and what happened to its asset meanwhile, and the marks
of both in the plots.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.evidence.incident import Incident
from agent.evidence.plot import Mark
from agent.html import quoted
from agent.line.event import AssetEvent, EventKind
from agent.store import codec
from agent.store.codec import Json

MARKS_MAX: Final = 12
SHOWN: Final = (
    EventKind.CHANGE_SEEN, EventKind.HOLD_ENDED, EventKind.REBASELINE_BEGUN, EventKind.REBASELINED,
    EventKind.REBASELINE_FAILED, EventKind.FAILURE, EventKind.REPAIR,
)
"""Events of the asset that bear on what is drawn, or on what the alert was."""
_MARKED: Final = {
    EventKind.REBASELINE_BEGUN: "re-baselining", EventKind.REBASELINED: "re-baselined",
    EventKind.FAILURE: "failure", EventKind.REPAIR: "repair",
}
_MACHINERY: Final = frozenset({"revision", "updated_time", "verdict", "signature", "peak_signature", "advisory"})
"""What of a revision is told otherwise: it is its number, its time, and the tables above."""


def marks(incident: Incident) -> list[Mark]:
    """Return when it began, was raised, was acknowledged and returned, once and again, and when what was expected
    became another, in the order of time.
    """
    found: dict[Mark, None] = {}
    for alert in map(json.loads, incident.revisions):
        seen = alert.get("acknowledgement") or {}
        said = {"onset": alert.get("onset_time"), "raised": alert.get("raised_time"), "acknowledged": seen.get("time"),
                "returned": alert.get("returned_time")}
        found |= {Mark(name, codec.parse_time(time)): None for name, time in said.items() if time}
    for event in incident.events:
        if event.kind in _MARKED:
            found[Mark(_MARKED[event.kind], _by_the_source(incident, event))] = None
    return sorted(found, key=lambda mark: mark.time_ns)[:MARKS_MAX]


def _by_the_source(incident: Incident, event: AssetEvent) -> int:
    """Return the time of an event by the clock that the plots go by: that of the rows which were judged then."""
    if event.since_ns != event.time_ns:  # a person says when it was
        return event.since_ns
    judged = [step for step in incident.steps if step.frame.rows and step.now_ns <= event.time_ns]
    return int(judged[-1].frame.source_time_ns.max()) if judged else event.time_ns


def timeline(incident: Incident) -> str:
    """Return all revisions and events as a table, the oldest first."""
    rows = sorted([*_revisions(incident), *_events(incident)], key=lambda row: row[0])
    body = "".join(
        f'<tr><td class="number">{number}</td><td class="time">{moment(codec.format_time(time_ns))}</td>'
        f'<td class="said">{said}</td></tr>'
        for time_ns, number, said in rows
    )
    return (
        '<div class="scroll"><table class="fit"><thead><tr><th class="number">No.</th>'
        "<th>When (UTC, the agent's clock)</th>"
        f"<th>What changed, and by whom</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _revisions(incident: Incident) -> Iterator[tuple[int, str, str]]:
    before: Mapping[str, Any] = {}
    for said in map(json.loads, incident.revisions):
        told = {name: value for name, value in said.items() if name not in _MACHINERY and value != before.get(name)}
        changed = told if before else {name: told[name] for name in ("state", "priority", "message") if name in told}
        yield codec.parse_time(said["updated_time"]), str(said["revision"]), _lines(changed) or "nothing shown"
        before = said


def _events(incident: Incident) -> Iterator[tuple[int, str, str]]:
    for event in incident.events:
        told: dict[str, Json] = {"event": event.kind.value.replace("_", " "), "about": event.about, "by": event.by}
        told |= {"comment": event.comment}
        if event.since_ns != event.time_ns:
            told["at"] = codec.format_time(event.since_ns)
        yield event.time_ns, "", _lines({name: value for name, value in told.items() if value})


def _lines(named: Mapping[str, object]) -> str:
    return "<br>".join(f"{quoted(_words(name))}: {_value(value)}" for name, value in named.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        told = {_words(name): one for name, one in value.items() if one not in (None, "")}
        return ", ".join(f"{quoted(name)} {_value(one)}" for name, one in told.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return quoted(moment(text) if _is_time(text) else text)


def moment(text: str) -> str:
    """Return a time (RFC 3339) as people read it."""
    return text[:19].replace("T", " ")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _is_time(text: str) -> bool:
    return len(text) == 30 and text[10] == "T" and text.endswith("Z")
