"""The page of an evidence pack: what the agent saw, expected, said and was told, readable on paper and on a phone.

Names, comments and whatever else people or devices have written is text here, never markup; the page holds no script,
and its policy forbids any, and any request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from agent.evidence import pack
from agent.evidence.incident import BLINDNESS, Course, Incident
from agent.evidence.plot import Axis, Mark, Trace, plot, strip
from agent.evidence.timeline import marks, moment, timeline
from agent.html import document, legend, listed, quoted
from agent.line.advise import DEADBAND
from agent.line.alert import AlarmEvent, Alert, Answer, Label
from agent.line.assess import CONDITIONS, LOOK_BACK_ROWS, WINDOW_ROWS
from agent.line.lifecycle import last_told
from agent.line.verdict import Verdict
from agent.line.wording import cause, remaining_life
from agent.store import codec
from connectors.frame import BAD_NO_DATA, Int64s, is_bad
from models.bundle import Manifest

TAGS_MAX: Final = 5
_BEFORE_PLOTS: Final = 2
"""Parts of the record's section before its first plot, which names the marks."""
CSS: Final = Path(__file__).with_name("page.css")
_FOUND: Final = {
    Answer.REAL: "a fault", Answer.NORMAL: "normal, nothing was wrong", Answer.SENSOR: "a sensor or its wiring",
    Answer.NOT_LOOKED_AT: "not looked at",
}
_HOW_TO_READ: Final = (
    '<p class="soft">How to read "expected": it is what the tag should have been at that moment, by all the other tags '
    "and what was learnt of the machine when it was well; where several deviate it is drawn away with them, so look "
    "which tag parted from it first.</p>"
)


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
    alerts = [codec.decode(body) for body in incident.revisions]
    parts = [
        _head(alerts[-1], told),
        *_seen(alerts),
        _first(alerts),
        _plots(incident, _named(alerts), course, manifest),
        "<h2>Timeline</h2>",
        timeline(incident),
        "<h2>What judged it</h2>",
        listed(told.facts.items()),
        "<h2>In this file</h2>",
        _contents(incident.alert.id, told),
    ]
    body = f"{chr(10).join(parts)}\n{pack.slot('manifest')}\n{pack.slot('signature')}"
    return document(f"{incident.alert.id}: evidence", CSS.read_text(encoding="utf-8"), body)


def _head(alert: Alert, told: Told) -> str:
    facts = {"Asset": alert.asset, "State": alert.state.replace("_", " "), "Priority": alert.priority}
    times = {"Onset": alert.onset_time_ns, "Raised": alert.raised_time_ns, "Returned": alert.returned_time_ns}
    facts |= {name: f"{_time(time_ns)} UTC" for name, time_ns in times.items() if time_ns is not None}
    return (
        f"<h1>{quoted(alert.id)}: evidence of an alert</h1>\n<p>{quoted(alert.message)}</p>\n{_found(alert.label)}"
        f'<p class="note {"good" if told.same else "bad"}">{quoted(told.replay)}</p>\n{listed(facts.items())}'
    )


def _found(label: Label | None) -> str:
    """Return what people found."""
    if label is None:
        return '<p class="note">Nobody has said yet what it was.</p>\n'
    said = _FOUND[label.answer] + (f": {label.fault}" if label.fault else "")
    comment = f" {quoted(label.comment)}" if label.comment else ""
    return (
        f'<p class="note">What it was: <b>{quoted(said)}</b>.{comment} '
        f'<span class="soft">{quoted(label.by)}, {_time(label.time_ns)} UTC</span></p>\n'
    )


def _seen(alerts: Sequence[Alert]) -> Iterator[str]:
    """Give what it saw when it was raised, and what made it say something else, where it did."""
    last = alerts[-1]
    raised = next((one for one in reversed(alerts) if one.event is AlarmEvent.RAISE), alerts[0])
    peak = f"{last.peak_evidence:g} at most; the limit is 1"
    yield _saw("What it saw when it was raised", raised.verdict, f"{raised.verdict.evidence:g} when raised, {peak}")
    if last.verdict.time_ns == raised.verdict.time_ns:
        return
    changed = next(one for one in alerts if one.verdict.time_ns == last.verdict.time_ns)
    why = "it had grown" if changed.event is AlarmEvent.REALARM else "another cause became clear"
    evidence = f"{last.verdict.evidence:g} then; the limit is 1"
    yield _saw(f"What it saw when {why}, {_time(last.verdict.time_ns)} UTC", last.verdict, evidence)


def _named(alerts: Sequence[Alert]) -> list[str]:
    """Return the tags that it named, those of the raise first."""
    return list(dict.fromkeys(part.tag for one in alerts for part in one.verdict.contributions))


def _saw(head: str, verdict: Verdict, evidence: str) -> str:
    facts = {
        "Cause": cause(verdict),
        "Looks like": ", ".join(f"{fault} ({share:.0%})" for fault, share in verdict.fault_probabilities) or "not told",
        "Evidence": evidence,
        "Regime": f"{verdict.regime or 'none known'}; distances: "
        + (", ".join(f"{name} {far:.3g}" for name, far in verdict.regime_distances) or "not told"),
        "Good values": f"{verdict.coverage:.0%} of the last {WINDOW_ROWS} rows",
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
        f'<p class="soft">Means of the last {LOOK_BACK_ROWS} rows before that. What is expected of a tag follows from '
        "the others: where several deviate together, it is drawn away with them, and may be a value that cannot be.</p>"
    )
    return f"<h2>{head}</h2>\n{listed(facts.items())}\n{table if rows else ''}"


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


def _plots(incident: Incident, named: Sequence[str], course: Course | None, manifest: Manifest) -> str:
    times, values, status = raw(incident)
    if not len(times):
        return '<h2>The record</h2>\n<p class="note bad">Nothing of that time is left in the telemetry.</p>'
    axis = Axis(int(times.min()), int(times.max()))
    marked = marks(incident)
    parts = ["<h2>The record</h2>", _limits_of(incident, axis)]
    if course is not None and len(course.time_ns):
        parts.append(_evidence(axis, course, marked))
    if course is not None:
        parts.append(_HOW_TO_READ)
    columns = [tag.name for tag in manifest.tags]
    for name in ([name for name in named if name in columns] or columns)[:TAGS_MAX]:
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
            f"{plot(axis, traces, marked, bad=(times, bad), named=len(parts) == _BEFORE_PLOTS)}</figure>"
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
    begin, end = _time(axis.begin_ns), _time(axis.end_ns)
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
        f"{DEADBAND:g}. The band below the plot is the condition.{_blind(course)}</small></figcaption></figure>"
    )


def _blind(course: Course) -> str:
    """Return why it was blind, in so far as it was."""
    counts = [int((course.blindness == why).sum()) for why in range(len(BLINDNESS))]
    told = [f"{rows:,} rows, because {why}" for rows, why in zip(counts, BLINDNESS, strict=True) if rows]
    return f" Blind were {'; '.join(told)}." if told else ""


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


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5g}"


def _time(time_ns: int) -> str:
    return moment(codec.format_time(time_ns))
