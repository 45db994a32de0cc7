"""How the machines look on the dashboard: all of them at a glance, and one with what can be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import Response

from agent.api.lookup import find_asset
from agent.api.pages import COMMENT_MAX, NAME_MAX, moment, page
from agent.html import quoted
from agent.label_link import LabelLinks, Ticket
from agent.line.alert import AlarmState, Alert, Withheld, WithheldKind
from agent.line.stage import Stage
from agent.line.verdict import Condition
from agent.store.journal import EventFilter, StoreError
from agent.view import AgentView, Snapshot
from connectors.link import LinkState
from models.bundle import BundleError

Form = Mapping[str, str]

TICKED: Final = "tag."
"""Before the name of a tag that is ticked."""
AGAIN_S: Final = 30
EVENTS_SHOWN: Final = 8
LINK_NS: Final = 86_400_000_000_000
_CONDITIONS: Final = {
    Condition.NORMAL: "well",
    Condition.DEVIATING: "deviates",
    Condition.UNSEEN_REGIME: "runs as it never did before",
    Condition.SETTLING: "settles after it was switched",
    Condition.BLIND: "too little is read to tell",
}
_STAGES: Final = {
    Stage.COLLECTING: "its first record is collected",
    Stage.LEARNING: "what is normal is being learnt",
}
"""Where nothing judges it yet."""
_UP: Final = (LinkState.CONNECTED, LinkState.DELIVERING)
_HOURS: Final = '<input name="{}" type="number" min="0.1" max="{}" step="any" value="{}" inputmode="decimal">'
_TIME: Final = '<input name="{}" type="datetime-local" value="{}">'


def overview(view: AgentView) -> Response:
    """Return the page of all machines; above them what fails in the agent itself, and on its connections."""
    wrong = [
        *view.readiness().reasons,
        *(f"{one.name} ({one.device}) is {one.health.state.replace('_', ' ')}: {one.health.error or 'no answer yet'}"
          for one in view.connections() if one.health.state not in _UP),
    ]
    above = "".join(f'<p class="note bad">{quoted(one)}</p>' for one in wrong)
    rows = "".join(_row(info.name, view.snapshot(info.name)) for info in view.assets)
    return page("Machines", f'<h1>Machines</h1>{above}<ul class="machines">{rows}</ul>', again_s=AGAIN_S)


def _row(asset: str, now: Snapshot) -> str:
    alert = now.alert
    told = [] if alert is None else [f"{_standing(alert)}: {alert.message}"]
    told += [_withheld(one) for one in now.withheld]
    style = "bad" if alert is not None and not now.withheld else "aside" if now.withheld else ""
    lines = "".join(f"<p>{quoted(line)}</p>" for line in told)
    link = f'<a href="machines/{quote(asset, safe="")}">{quoted(asset)}</a>'
    return f'<li class="{style}">{link} <span>{_state(now)}</span>{lines}</li>'


def machine(
    view: AgentView, links: LabelLinks, asset: str, said: Form, told: str, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Return the page of a machine, its fields filled with what was `said`, and what was `told` of that on top.

    Raise ApiError where there is no such machine.
    """
    now = view.snapshot(find_asset(view, asset).name)
    note = f'<p class="note{"" if status is HTTPStatus.OK else " bad"}">{quoted(told)}</p>' if told else ""
    body = (
        f'<p><a href="../">All machines</a></p><h1>{quoted(asset)} <span class="soft">{_state(now)}</span></h1>{note}'
        # The enter key of a field presses the first button of its form: it must say nothing.
        f'<form method="post"><button disabled hidden></button>{_alert(view, links, now.alert)}'
        f"<h2>What is done to it</h2>{_who(said)}{''.join(_sections(now, said))}</form>{_events(view, asset)}"
    )
    return page(asset, body, status)


def _who(said: Form) -> str:
    name, comment = escape(said.get("name", "")), escape(said.get("comment", ""))
    return (
        f'<div class="fields"><label>Your name <input name="name" maxlength="{NAME_MAX}" value="{name}" '
        'autocomplete="name"></label><label>What is done, or was found '
        f'<textarea name="comment" maxlength="{COMMENT_MAX}" rows="1">{comment}</textarea></label></div>'
    )


def _alert(view: AgentView, links: LabelLinks, alert: Alert | None) -> str:
    """Return the open alert, what to check first, and what can be said of it."""
    if alert is None:
        return ""
    checks = "".join(f"<li>{quoted(one.do)}</li>" for one in (alert.advisory.checks if alert.advisory else ()))
    seen = alert.acknowledgement
    taken = "" if seen is None else (
        f'<p class="soft">{quoted(seen.by)} sees to it since {moment(seen.time_ns)}. {quoted(seen.comment)}</p>'
    )
    try:
        token = links.token(Ticket(alert.id, view.now_ns() + LINK_NS))
        asked = f'<p><a href="../l/{quote(token)}">Say what it was</a></p>'
    except BundleError as error:
        asked = f'<p class="note bad">{quoted(str(error))}</p>'
    return (
        f'<p class="note bad">{quoted(alert.message)}</p>'
        f'<p class="soft">{quoted(alert.id)}, {alert.priority}, {quoted(_standing(alert))}, raised '
        f"{moment(alert.raised_time_ns)}</p>{f'<h2>What to check first</h2><ol>{checks}</ol>' if checks else ''}"
        f"{taken}{asked}"
    )


def _sections(now: Snapshot, said: Form) -> Iterator[str]:
    """Give what can be said of a machine as it stands, each with the fields that it needs."""
    if now.alert is not None and now.alert.acknowledgement is None:
        own = f'<input type="hidden" name="alert" value="{escape(now.alert.id)}">'
        yield own + _button("acknowledge", "I see to the alert", "and it is acknowledged")
    ways = {one.kind: one for one in now.withheld}
    for one in ways.values():
        yield f'<p class="note">{quoted(_withheld(one))}</p>'
    if WithheldKind.ON_HOLD in ways:
        yield _button("nothing-changed", "Nothing was changed", "its alerts are no longer on hold")
    if WithheldKind.OUT_OF_SERVICE in ways:
        yield _button("in-service", "In service", "the work is done, or called off")
    else:
        hours = _HOURS.format("hours", 2160, escape(said.get("hours", "4")))
        since = _TIME.format("since", escape(said.get("since", "")))
        yield (
            f'<details{_unfold(said, "hours")}><summary>Take it out of service</summary><div class="fields">'
            f"<label>Hours {hours}</label><label>From, UTC (empty: now) {since}</label></div>"
            f'{_button("out-of-service", "Out of service", "planned work: no alert is raised meanwhile")}'
            "</details>"
        )
    if now.levels:
        yield _rebaseline(now, said)
    told = f'<input type="hidden" name="told" value="{escape(now.alert.id)}">' if now.alert else ""
    hours = _HOURS.format("downtime", 8784, escape(said.get("downtime", "")))
    at = _TIME.format("at", escape(said.get("at", "")))
    yield (
        f'<details{_unfold(said, "downtime", "at")}><summary>It failed, or was repaired</summary>{told}'
        f'<div class="fields"><label>Hours of downtime {hours}</label><label>When, UTC (empty: now) {at}</label></div>'
        f'{_button("failure", "It failed", "the hours are what that cost")}'
        f'{_button("repair", "It was repaired", "before it failed; the hours are what that saved")}</details>'
    )


def _rebaseline(now: Snapshot, said: Form) -> str:
    boxes = "".join(
        f'<label class="tick"><input type="checkbox" name="{escape(TICKED + tag)}"'
        f'{" checked" if TICKED + tag in said else ""}> {quoted(tag)}</label>'
        for tag in now.levels
    )
    busy = now.rebaselining
    known = "" if busy is None else (
        f'<p class="soft">{quoted(", ".join(busy.tags))}: {busy.rows} of {busy.rows_needed} rows have come.</p>'
    )
    open_ = " open" if any(name.startswith(TICKED) for name in said) or busy else ""
    return (
        f"<details{open_}><summary>A sensor was replaced, or its span changed</summary>{known}"
        f'<div class="ticks">{boxes}</div>'
        f'{_button("rebaseline", "Learn their level anew", "from the next rows; the others are judged as ever")}'
        "</details>"
    )


def _unfold(said: Form, *fields: str) -> str:
    """Return what unfolds a section of which something was said already."""
    return " open" if any(said.get(field) for field in fields) else ""


def _button(command: str, what: str, more: str) -> str:
    return f'<button name="say" value="{command}"><b>{what}</b> {more}</button>'


def _events(view: AgentView, asset: str) -> str:
    """Return what happened to a machine last."""
    try:
        events = view.events(EventFilter(asset), limit=EVENTS_SHOWN, before=None).events
    except StoreError as error:
        return f'<p class="note bad">{quoted(str(error))}</p>'
    rows = "".join(
        f'<li>{moment(one.time_ns)}: {one.kind.replace("_", " ")}{f", {quoted(one.by)}" if one.by else ""}'
        f'{f": {quoted(one.comment)}" if one.comment else ""}</li>'
        for one in events
    )
    return f'<h2>What happened to it</h2><ul class="soft">{rows}</ul>' if rows else ""


def _state(now: Snapshot) -> str:
    verdict = now.verdict
    condition = _CONDITIONS[Condition.BLIND if verdict is None else verdict.condition]
    words = _STAGES.get(now.stage, condition)
    return f"{words}; in shadow, nobody is told of its alerts" if now.stage is Stage.SHADOW else words


def _standing(alert: Alert) -> str:
    return {
        AlarmState.UNACKNOWLEDGED: "nobody sees to it yet",
        AlarmState.ACKNOWLEDGED: f"{alert.acknowledgement.by if alert.acknowledgement else 'somebody'} sees to it",
        AlarmState.RETURNED_UNACKNOWLEDGED: "over, and seen by nobody",
        AlarmState.NORMAL: "over",
    }[alert.state]


def _withheld(one: Withheld) -> str:
    """Say what keeps a machine's alerts from people, until when, who said so and why."""
    until = "" if one.until_ns is None else f" until {moment(one.until_ns)}"
    by = "" if one.by is None else f", by {one.by}"
    return f"{one.kind.replace('_', ' ').capitalize()} from {moment(one.since_ns)}{until}{by}: {one.reason}"
