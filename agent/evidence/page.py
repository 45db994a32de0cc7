"""The page of an evidence pack: what the agent saw, expected, said and was told, readable on paper and on a phone.

Names, comments and whatever else people or devices have written is text here, never markup; the page holds no script,
and its policy forbids any, and any request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.evidence import pack
from agent.evidence.incident import Course, Incident
from agent.evidence.plot import Axis, Mark, Trace, plot, strip
from agent.html import document, legend, listed, quoted
from agent.line.advise import DEADBAND
from agent.line.alert import Alert, Answer
from agent.line.assess import CONDITIONS
from agent.line.lifecycle import last_told
from agent.line.wording import cause, remaining_life
from agent.store import codec
from connectors.frame import BAD_NO_DATA, Int64s, is_bad
from models.bundle import Manifest

TAGS_MAX: Final = 5
MARKS_MAX: Final = 12
_BEFORE_PLOTS: Final = 2
"""Parts of the record's section before its first plot, which names the marks."""
CSS: Final = Path(__file__).with_name("page.css")
_HOW_TO_READ: Final = (
    '<p class="soft">How to read "expected": it is what the tag should have been at that moment, by all the other tags '
    "and what was learnt of the machine when it was well; where several deviate it is drawn away with them, so look "
    "which tag parted from it first.</p>"
)
_MACHINERY: Final = frozenset(
    {"revision", "updated_time", "verdict", "signature", "peak_signature", "advisory"}
)
"""What of a revision is told otherwise: it is its number, its time, and the table above."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says beside the incident: `replay`, one sentence, and whether it was `same`; of the agent, the
    model and the configuration name and value; the `files` in the data; whose `key` signs.
    """

    replay: str
    same: bool
    facts: Mapping[str, str]
    files: Mapping[str, bytes]
    key: str


def page(incident: Incident, course: Course | None, manifest: Manifest, told: Told) -> str:
    """Return the page, with a place each for manifest, signature and data."""
    revisions = [json.loads(body) for body in incident.revisions]
    alerts = [codec.decode(body) for body in incident.revisions]
    marks = _marks(revisions)
    parts = [
        _head(revisions[-1], told),
        _seen(incident),
        _first(alerts),
        _plots(incident, course, manifest, marks),
        "<h2>Timeline</h2>",
        _timeline(revisions),
        "<h2>What judged it</h2>",
        listed(told.facts.items()),
        "<h2>In this file</h2>",
        _contents(incident.alert.id, told),
    ]
    body = f"{chr(10).join(parts)}\n{pack.slot('manifest')}\n{pack.slot('signature')}"
    return document(f"{incident.alert.id}: evidence", CSS.read_text(encoding="utf-8"), body)


def _head(alert: Mapping[str, Any], told: Told) -> str:
    times = [(name.removesuffix("_time"), _time(alert[name])) for name in ("onset_time", "raised_time", "returned_time")
             if alert.get(name)]
    facts = {"Asset": alert["asset"], "State": alert["state"].replace("_", " "), "Priority": alert["priority"]}
    facts |= {name.capitalize(): f"{time} UTC" for name, time in times}
    return (
        f"<h1>{quoted(alert['id'])}: evidence of an alert</h1>\n<p>{quoted(alert['message'])}</p>\n"
        f'<p class="note {"good" if told.same else "bad"}">{quoted(told.replay)}</p>\n{listed(facts.items())}'
    )


def _seen(incident: Incident) -> str:
    verdict = incident.alert.verdict
    facts = {
        "Cause": cause(verdict),
        "Looks like": ", ".join(f"{fault} ({share:.0%})" for fault, share in verdict.fault_probabilities) or "not told",
        "Evidence": f"{verdict.evidence:g} when raised, {incident.alert.peak_evidence:g} at most; the limit is 1",
        "Regime": f"{verdict.regime or 'none known'}; distances: "
        + (", ".join(f"{name} {far:.3g}" for name, far in verdict.regime_distances) or "not told"),
        "Good values": f"{verdict.coverage:.0%} of the last 64 rows",
        "Time left": remaining_life(verdict),
    }
    rows = "".join(
        f'<tr><td>{quoted(part.tag).replace("_", "_<wbr>")}</td>'
        f'<td class="part"><span class="bar"><i style="width:{part.share:.0%}"></i></span>{part.share:.0%}</td>'
        f'<td class="number">{_number(part.measured)}</td>'
        f'<td class="number">{_number(part.expected)}</td><td>{quoted(part.unit)}</td></tr>'
        for part in verdict.contributions
    )
    table = (
        '<div class="scroll"><table class="fit"><thead><tr><th>Tag</th><th>Part in the evidence</th>'
        '<th class="number">Measured</th><th class="number">Expected</th><th>Unit</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="soft">Means of the last 32 rows before that. What is expected of a tag follows from the others: '
        "where several deviate together, it is drawn away with them, and may be a value that cannot be.</p>"
    )
    anew = verdict.time_ns != incident.alert.raised_time_ns
    when = "the cause became clearer" if anew else "it was raised"
    return f"<h2>What it saw when {when}</h2>\n{listed(facts.items())}\n{table if rows else ''}"


def _first(alerts: Sequence[Alert]) -> str:
    """Return what to check first; where somebody has looked and said what it was, what they had been told to check."""
    label = alerts[-1].label
    looked = label is not None and label.answer is not Answer.NOT_LOOKED_AT
    advisory = (last_told(alerts) if looked else alerts[-1]).advisory
    if advisory is None:
        return ""
    facts = {"Failure mode": advisory.failure_mode, "Mechanism": advisory.mechanism}
    facts["Written for"] = advisory.machine_type
    checks = "".join(
        f'<li>{quoted(one.do)} <span class="soft">{quoted(one.why)}</span></li>' for one in advisory.checks
    )
    head = "What it said to check first" if looked else "What to check first"
    return f"<h2>{head}</h2>\n<ol>{checks}</ol>\n{listed(facts.items())}"


def _plots(incident: Incident, course: Course | None, manifest: Manifest, marks: Sequence[Mark]) -> str:
    times, values, status = raw(incident)
    if not len(times):
        return '<h2>The record</h2>\n<p class="note bad">Nothing of that time is left in the telemetry.</p>'
    axis = Axis(int(times.min()), int(times.max()))
    parts = ["<h2>The record</h2>", _limits_of(incident, axis)]
    if course is not None and len(course.time_ns):
        parts.append(_evidence(axis, course, marks))
    if course is not None:
        parts.append(_HOW_TO_READ)
    columns = [tag.name for tag in manifest.tags]
    named = [part.tag for part in incident.alert.verdict.contributions if part.tag in columns]
    for name in (named or columns)[:TAGS_MAX]:
        at = columns.index(name)
        sampled = status[:, at] != BAD_NO_DATA
        traces = [Trace("measured", times[sampled], values[sampled, at])]
        if course is not None:
            traces.append(Trace("expected", course.time_ns, course.expected[:, at]))
        bad = is_bad(status[:, at]) & sampled
        keys = legend("measured", "line", "measured")
        keys += "" if course is None else legend("expected", "dashed", "expected")
        keys += legend("bad", "", f"bad status ({int(bad.sum())})") if bad.any() else ""
        parts.append(
            f"<figure><figcaption><b>{quoted(name)}</b> {quoted(manifest.tags[at].unit)} {keys}</figcaption>"
            f"{plot(axis, traces, marks, bad=(times, bad), named=len(parts) == _BEFORE_PLOTS)}</figure>"
        )
    return "\n".join(parts)


def raw(incident: Incident) -> tuple[Int64s, np.ndarray, np.ndarray]:
    """Return source times i64[N], values f32[N, C] and statuses u32[N, C] of what is shown, in the order of time."""
    frames = [step.frame for step in incident.steps if step.now_ns >= incident.begin_ns and step.frame.rows]
    if not frames:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros((0, 0), np.uint32)
    times = np.concatenate([frame.source_time_ns for frame in frames])
    order = np.argsort(times, kind="stable")
    values, status = (np.concatenate([getattr(frame, name) for frame in frames]) for name in ("values", "status"))
    return times[order], values[order], status[order]


def _limits_of(incident: Incident, axis: Axis) -> str:
    begin, end = (np.datetime_as_string(np.datetime64(time, "ns"), "s").replace("T", " ") for time in
                  (axis.begin_ns, axis.end_ns))
    said = [f"All times are UTC. Shown is {begin} to {end}, by the clock of the source."]
    if incident.cut:
        said.append("The alert went on for longer than this file can hold.")
    if incident.damaged:
        said.append(f"{incident.damaged} bytes of the record are damaged and were left out.")
    return f'<p class="soft">{quoted(" ".join(said))}</p>'


def _evidence(axis: Axis, course: Course, marks: Sequence[Mark]) -> str:
    ends = np.array([axis.begin_ns, axis.end_ns])
    names = [condition.value for condition in CONDITIONS]
    seen = [name for number, name in enumerate(names) if (course.condition == number).any()]
    keys = legend("measured", "line", "evidence") + legend("limit", "dashed", "limit")
    keys += "".join(f'<span class="key"><i class="{name}"></i>{name.replace("_", " ")}</span>' for name in seen)
    below = strip(axis, course.time_ns, course.condition, names)
    traces = [Trace("limit", ends, np.ones(2)), Trace("measured", course.time_ns, course.evidence)]
    return (
        f"<figure><figcaption><b>Evidence against the learnt normal</b> {keys}</figcaption>"
        f"{plot(axis, traces, marks, least=(0.0, 1.2), below=below, named=True)}"
        "<figcaption><small>1 is the limit that the alarm budget allows; an alarm returns to normal below "
        f"{DEADBAND:g}. The band below the plot is the condition.</small></figcaption></figure>"
    )


def _marks(revisions: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Return when it began, was raised, was acknowledged and returned, once and again, in the order of time."""
    found: dict[Mark, None] = {}
    for alert in revisions:
        seen = alert.get("acknowledgement") or {}
        said = {"onset": alert.get("onset_time"), "raised": alert.get("raised_time"), "acknowledged": seen.get("time"),
                "returned": alert.get("returned_time")}
        found |= {Mark(name, _parse(time)): None for name, time in said.items() if time}
    return sorted(found, key=lambda mark: mark.time_ns)[:MARKS_MAX]


def _timeline(revisions: Sequence[Mapping[str, Any]]) -> str:
    before: Mapping[str, Any] = {}
    rows = []
    for said in revisions:
        told = {name: value for name, value in said.items() if name not in _MACHINERY and value != before.get(name)}
        changed = told if before else {name: told[name] for name in ("state", "priority", "message") if name in told}
        lines = [f"{quoted(_words(name))}: {_value(value)}" for name, value in changed.items()] or ["nothing shown"]
        rows.append(
            f'<tr><td class="number">{said["revision"]}</td><td class="time">{_time(said["updated_time"])}</td>'
            f'<td class="said">{"<br>".join(lines)}</td></tr>'
        )
        before = said
    return (
        '<div class="scroll"><table class="fit"><thead><tr><th class="number">No.</th>'
        "<th>When (UTC, the agent's clock)</th>"
        f"<th>What changed, and by whom</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        told = {_words(name): one for name, one in value.items() if one not in (None, "")}
        return ", ".join(f"{quoted(name)} {_value(one)}" for name, one in told.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return quoted(_time(text) if _is_time(text) else text)


def _contents(alert_id: str, told: Told) -> str:
    name = escape(alert_id)
    rows = "".join(
        f'<tr><td><code>{escape(file)}</code></td><td class="number">{len(content):,}</td>'
        f'<td class="hash">{pack.sha256(content)}</td></tr>'
        for file, content in told.files.items()
    )
    return (
        f'<p>Signed with the key <span class="hash">{escape(told.key)}</span>. Compare it with the gateway\'s '
        "<code>signing.pub</code>, which did not come with this file.</p>\n"
        f"<p><code>forewarn evidence --verify {name}.html</code> checks every byte of this file; "
        f"<code>forewarn replay {name}.html</code> computes the alert anew from the data in it.</p>\n"
        f"{pack.slot('data')} download=\"{name}.zip\">Save the data as a zip</a>\n"
        '<div class="scroll"><table class="fit"><thead><tr><th>File</th><th class="number">Bytes</th>'
        f"<th>SHA-256</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5g}"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _is_time(text: str) -> bool:
    return len(text) == 30 and text[10] == "T" and text.endswith("Z")


def _parse(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
