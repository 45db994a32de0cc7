"""How the machines look on the dashboard: all of them at a glance, and one with what can be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import Response

from agent.api.lookup import find_asset
from agent.api.pages import COMMENT_MAX, NAME_MAX, page
from agent.html import quoted
from agent.label_link import LabelLinks, Ticket
from agent.line.alert import Alert, Withheld, WithheldKind
from agent.line.lifecycle import shelf_of
from agent.line.stage import Stage
from agent.line.verdict import Condition
from agent.store.journal import EventFilter, StoreError
from agent.told import happened, kept_back, second, standing
from agent.view import AgentView, Snapshot
from connectors.link import LinkState
from models.bundle import BundleError

Form = Mapping[str, str]

TICKED: Final = "tag."
"""Before the name of a tag that is ticked."""
_AGAIN_S: Final = 30
_EVENTS_SHOWN: Final = 8
_LINK_GOOD_NS: Final = 86_400_000_000_000
_CONDITIONS: Final = {
    Condition.NORMAL: ("well", "well"),
    Condition.DEVIATING: ("odd", "deviates"),
    Condition.UNSEEN_REGIME: ("odd", "runs as it never did before"),
    Condition.SETTLING: ("", "settles after it was switched"),
    Condition.BLIND: ("", "too little is read to tell"),
}
"""The colour of a machine without an alert (pages.css), and its state in words."""
_UNJUDGED: Final = {
    Stage.COLLECTING: "its first record is collected",
    Stage.LEARNING: "what is normal is being learnt",
}
_UP: Final = (LinkState.CONNECTED, LinkState.DELIVERING)


def overview(view: AgentView) -> Response:
    """Return the page of all machines; above them what fails in the agent itself, and on its connections."""
    wrong = [
        *view.readiness().reasons,
        *(f"{one.name} ({one.device}) is {one.health.state.replace('_', ' ')}: {one.health.error or 'no answer yet'}"
          for one in view.connections() if one.health.state not in _UP),
    ]
    above = "".join(f'<p class="note bad">{quoted(one)}</p>' for one in wrong)
    now_ns = view.now_ns()
    rows = "".join(_row(info.name, view.snapshot(info.name), now_ns) for info in view.assets)
    body = f'<h1>Machines</h1>{above}<ul class="machines">{rows}</ul><p class="soft">As of {second(now_ns)}</p>'
    return page("Machines", body, again_s=_AGAIN_S)


def _row(asset: str, now: Snapshot, now_ns: int) -> str:
    alert = now.alert
    told = [] if alert is None else [f"{alert.id}, {standing(alert)}: {alert.message}"]
    told += map(kept_back, _ways(now))
    lines = "".join(f"<p>{quoted(line)}</p>" for line in told)
    link = f'<a href="machines/{quote(asset, safe="")}">{quoted(asset)}</a>'
    color, state = _state(now, now_ns)
    return f'<li class="{color}">{link} <span>{state}</span>{lines}</li>'


def _state(now: Snapshot, now_ns: int) -> tuple[str, str]:
    """Return the colour of a machine, and its state in words; well is only what was judged so."""
    condition = Condition.BLIND if now.verdict is None else now.verdict.condition
    color, state = ("", _UNJUDGED[now.stage]) if now.stage in _UNJUDGED else _CONDITIONS[condition]
    state += "; in shadow, nobody is told of its alerts" if now.stage is Stage.SHADOW else ""
    if any(one.since_ns <= now_ns for one in _ways(now)):
        return "aside", state
    return ("bad" if now.alert is not None else color), state


def _ways(now: Snapshot) -> tuple[Withheld, ...]:
    """Return what keeps a machine's alerts from people, now or at a time to come, and its open one."""
    return now.withheld + (() if now.alert is None else tuple(
        one for one in now.alert.withheld if one.kind not in {way.kind for way in now.withheld}
    ))


def machine(
    view: AgentView, links: LabelLinks, asset: str, said: Form, told: str, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Return the page of a machine, its fields filled with what was `said`, and what was `told` of that on top.

    Raise ApiError where there is no such machine.
    """
    now = view.snapshot(find_asset(view, asset).name)
    _, state = _state(now, view.now_ns())
    note = f'<p class="note{"" if status is HTTPStatus.OK else " bad"}">{quoted(told)}</p>' if told else ""
    since = f'<p class="soft">As of {second(now.time_ns)}</p>' if now.time_ns else ""
    body = (
        f'<p><a href="../">All machines</a></p><h1>{quoted(asset)} <span class="soft">{state}</span></h1>{since}{note}'
        # The enter key of a field presses the first button of its form: it must say nothing. A number that is wrong in
        # a folded section must not keep a browser from sending what another one says.
        f'<form method="post" novalidate><button disabled hidden></button>{_alert(view, links, now.alert)}'
        f"<h2>What is done to it</h2>{_who(said)}{''.join(_sections(now, said))}</form>{_events(view, asset)}"
    )
    return page(asset, body, status)


def _who(said: Form) -> str:
    name, comment = escape(said.get("name", "")), escape(said.get("comment", ""))
    return _fields(
        f'Your name <input name="name" maxlength="{NAME_MAX}" value="{name}" autocomplete="name">',
        "What is done, or was found "
        f'<textarea name="comment" maxlength="{COMMENT_MAX}" rows="1">{comment}</textarea>',
    )


def _hours(said: Form, name: str, label: str, most: int, usual: str = "") -> str:
    value = escape(said.get(name, usual))
    number = f'type="number" min="0" max="{most}" step="any" inputmode="decimal"'
    return f'{label} <input name="{name}" {number} value="{value}">'


def _time(said: Form, name: str, label: str) -> str:
    value = escape(said.get(name, ""))
    kind = 'type="datetime-local" min="2000-01-01T00:00"'
    return f'{label}, UTC (empty: now) <input name="{name}" {kind} value="{value}">'


def _fields(*labelled: str) -> str:
    """Return fields, each behind its label, beside one another."""
    return f'<div class="fields">{"".join(f"<label>{one}</label>" for one in labelled)}</div>'


def _alert(view: AgentView, links: LabelLinks, alert: Alert | None) -> str:
    """Return the open alert, what to check first, and a link to the page that asks what it was."""
    if alert is None:
        return ""
    checks = "".join(f"<li>{quoted(one.do)}</li>" for one in (alert.advisory.checks if alert.advisory else ()))
    seen = alert.acknowledgement
    taken = "" if seen is None else (
        f'<p class="soft">{quoted(seen.by)} sees to it since {second(seen.time_ns)}. {quoted(seen.comment)}</p>'
    )
    try:
        token = links.token(Ticket(alert.id, view.now_ns() + _LINK_GOOD_NS))
        asked = f'<p><a href="../l/{quote(token)}">Say what it was</a></p>'
    except BundleError as error:
        asked = f'<p class="note bad">{quoted(str(error))}</p>'
    return (
        f'<p class="note bad">{quoted(alert.message)}</p><p class="soft">{quoted(alert.id)}, {alert.priority}, '
        f"{quoted(standing(alert))}, raised {second(alert.raised_time_ns)}</p>"
        f"{f'<h2>What to check first</h2><ol>{checks}</ol>' if checks else ''}{taken}{asked}"
    )


def _sections(now: Snapshot, said: Form) -> Iterator[str]:
    """Give what can be said of a machine as it stands, each with the fields that it needs."""
    ways = _ways(now)
    yield from (f'<p class="note">{quoted(kept_back(one))}</p>' for one in ways)
    if now.alert is not None:
        yield from _of_alert(now.alert, said)
    kinds = {one.kind for one in ways}
    if WithheldKind.ON_HOLD in kinds:
        yield _button("nothing-changed", "Nothing was changed", "its alerts are no longer on hold")
    if WithheldKind.OUT_OF_SERVICE in kinds:
        yield _button("in-service", "In service", "the work is done, or called off")
    else:
        yield _folded(
            said, "Take it out of service",
            _fields(_hours(said, "hours", "Hours", 2160, "4"), _time(said, "since", "From")),
            ("out-of-service", "Out of service", "planned work: no alert is raised meanwhile"),
        )
    if now.levels:
        yield _rebaseline(now, said)
    yield _folded(
        said, "It failed, or was repaired",
        _fields(_hours(said, "downtime", "Hours of downtime", 8784), _time(said, "at", "When")),
        ("failure", "It failed", "the hours are what that cost"),
        ("repair", "It was repaired", "before it failed; the hours are what that saved"),
    )


def _of_alert(alert: Alert, said: Form) -> Iterator[str]:
    yield f'<input type="hidden" name="alert" value="{escape(alert.id)}">'
    if alert.acknowledgement is None:
        yield _button("acknowledge", "I see to the alert", "and it is acknowledged")
    if shelf_of(alert) is not None:
        yield _button("unshelve", "Take the alert back", "it is no longer put aside")
    else:
        yield _folded(
            said, "Put the alert aside", _fields(_hours(said, "aside", "Hours", 720, "24")),
            ("shelve", "Put aside", "say above why; it comes back by itself"),
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
    return _folded(
        said, "A sensor was replaced, or its span changed", f'{known}<div class="ticks">{boxes}</div>',
        ("rebaseline", "Learn their level anew", "from the next rows; the others are judged as ever"),
    )


def _folded(said: Form, head: str, fields: str, *buttons: tuple[str, str, str]) -> str:
    """Return a section that is folded, but for the one of which something was said."""
    unfolded = " open" if said.get("say") in {command for command, _, _ in buttons} else ""
    return f"<details{unfolded}><summary>{head}</summary>{fields}{''.join(_button(*one) for one in buttons)}</details>"


def _button(command: str, what: str, more: str) -> str:
    return f'<button name="say" value="{command}"><b>{what}</b> {more}</button>'


def _events(view: AgentView, asset: str) -> str:
    """Return what happened to a machine last."""
    try:
        events = view.events(EventFilter(asset), limit=_EVENTS_SHOWN, before=None).events
    except StoreError as error:
        return f'<p class="note bad">{quoted(str(error))}</p>'
    rows = "".join(f"<li>{second(one.time_ns)} {quoted(happened(one))}</li>" for one in events)
    return f'<h2>What happened to it</h2><ul class="soft">{rows}</ul>' if rows else ""
