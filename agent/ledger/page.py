"""The report as one page that opens without a network, for a screen and for paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from agent.evidence import page as evidence
from agent.evidence.plot import Axis, Mark, Trace, plot, strip
from agent.html import document, legend, listed, quoted
from agent.ledger.account import CONFIRMED_MIN, Account
from agent.ledger.chart import Bar, lane, rates, time_axis
from agent.ledger.course import Course
from agent.ledger.history import Raised
from agent.ledger.report import ANSWERS, Asset, Report, counted, percent, precision
from agent.line.alert import WithheldKind
from agent.line.assess import CONDITIONS
from agent.line.spans import common
from agent.line.wording import lasting
from agent.rehearsal.achieved import WEEK_S, Achieved
from connectors.load import Load

_CSS: Final = Path(__file__).with_name("report.css")
_ABSENT: Final = len(CONDITIONS)
_WORST_TAGS: Final = 3
_COLORS: Final = {"real": "real", "sensor": "sensor", "normal": "harmless", "not_looked_at": "unlooked",
                  "unlabelled": "unlabelled"}
_HOW: Final = (
    "An alert counts in the week in which it was raised first. Of those that people judged, right are faults of "
    "the machine, and of a sensor where the alert said so when people were told; shares are given with an "
    "interval of 95 %. Known normal are deviations of which nobody was told, since people had labelled an alert "
    "like them normal. A failure or a repair was told of by the alert that the person named, else by the one that "
    f"stood then; its lead runs from when that was raised. No precision is claimed of fewer than {CONFIRMED_MIN} "
    f"judged alerts, and no lead of fewer than {CONFIRMED_MIN} failures and repairs. Downtime is what people said "
    "it was. The alarm budget is for a healthy machine: alerts labelled real, or a sensor's fault, do not count "
    "against it, nor does time in which alerts were withheld. Evidence and condition are the record judged anew, "
    "as the agent is configured now."
)


def page(report: Report, made: str) -> str:
    """Return the page; `made` says when, and by what version."""
    css = evidence.CSS.read_text(encoding="utf-8") + _CSS.read_text(encoding="utf-8")
    parts = [
        f"<h1>Forewarn: {quoted(report.dates())}</h1>",
        *(f'<p class="lead">{quoted(sentence)}</p>' for sentence in report.sentences()),
        "<h2>At a glance</h2>",
        _glance(report.assets),
        "<h2>Alerts</h2>",
        _lanes(report),
        _alerts(report),
        "<h2>Failures and repairs</h2>",
        _outcomes(report.assets),
        "<h2>Against the alarm budget</h2>",
        _rates(report.assets),
        "<h2>Machine by machine</h2>",
        *(_asset(asset, report) for asset in report.assets),
        "<h2>Connections</h2>",
        _connections(report),
        f'<h2>How this is counted</h2>\n<p class="soft">{quoted(_HOW)}</p>\n<p class="soft">{quoted(made)}</p>',
    ]
    return document(f"Forewarn: {report.dates()}", css, "\n".join(parts))


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = (), whole: Iterable[int] = (0,)
) -> str:
    """Return a table of cells that are HTML already; `numbers` are columns of numbers, `whole` are not broken."""
    kinds = dict.fromkeys(whole, ' class="time"') | dict.fromkeys(numbers, ' class="number"')
    head = "".join(f"<th{kinds.get(place, '')}>{quoted(name)}</th>" for place, name in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(f'<td{kinds.get(place, str())}>{cell}</td>' for place, cell in enumerate(row))}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _glance(assets: Sequence[Asset]) -> str:
    columns = ("Machine", "Alerts", "What people say", "Known normal", "Failures", "Missed", "Watched", "Alerts ever",
               "Right ever")
    rows = [
        (
            quoted(one.name),
            str(one.span.alerts),
            quoted(said(one.span)),
            str(one.span.known_patterns),
            str(one.span.failures),
            str(one.span.missed),
            percent(one.watched),
            str(one.ever.alerts),
            quoted(precision(one.ever)),
        )
        for one in assets
    ]
    return _table(columns, rows, (1, 3, 4, 5, 6, 7))


def said(one: Account) -> str:
    """Return what people say that the alerts were."""
    told = [f"{one.answers[answer]} {words}" for answer, words in ANSWERS.items() if one.answers[answer]]
    return ", ".join(told) or "-"


def _lanes(report: Report) -> str:
    axis = Axis(report.since_ns, report.until_ns)
    span = [(report.since_ns, report.until_ns)]
    keys = "".join(legend(_COLORS[_kind(answer)], "", words) for answer, words in ANSWERS.items())
    keys += legend("away", "", "withheld")
    lanes = "".join(
        lane(
            one.name,
            axis,
            common(one.history.unwatched(report.until_ns), span),
            [Bar(_kind(alert.answer), alert.raised_ns, alert.over_ns or report.until_ns) for alert in one.raised],
            [(outcome.event.kind.value, outcome.event.since_ns) for outcome in one.span.outcomes],
        )
        for one in report.assets
    )
    return (
        f"<figure><figcaption>{keys}</figcaption>{lanes}{time_axis(axis)}"
        "<figcaption><small>From when each was raised to when it was over. F is a failure, R a repair that people "
        "recorded. All times are UTC.</small></figcaption></figure>"
    )


def _kind(answer: object) -> str:
    return "unlabelled" if answer is None else str(answer)


def _alerts(report: Report) -> str:
    rows = [
        (
            quoted(one.alert_id),
            _time(one.raised_ns),
            _stood(one, report.until_ns),
            quoted(_label(one)),
            quoted(one.message),
        )
        for asset in report.assets
        for one in asset.raised
    ]
    columns = ("Alert", "Raised", "Stood", "What it was", "What it said")
    return _table(columns, rows, whole=range(2)) if rows else "<p>None stood.</p>"


def _label(one: Raised) -> str:
    under = f", under {one.root}" if one.root else ""
    return f"{ANSWERS[one.answer]}{f': {one.fault}' if one.fault else ''}{under}"


def _stood(one: Raised, until_ns: int) -> str:
    stands = one.over_ns is None or one.over_ns >= until_ns
    end_ns = until_ns if one.over_ns is None else min(one.over_ns, until_ns)
    return lasting((end_ns - one.raised_ns) / 1e9) + (", and stands" if stands else "")


def _outcomes(assets: Sequence[Asset]) -> str:
    rows = [
        (
            quoted(asset.name),
            one.event.kind.value,
            _time(one.event.since_ns),
            quoted(one.alert_id or ("missed" if one.missed else "none" if one.watched else "none: it was not watched")),
            "-" if one.lead_s is None else lasting(one.lead_s),
            "-" if one.event.downtime_s is None else lasting(one.event.downtime_s),
            quoted(f"{one.event.comment} ({one.event.by})"),
        )
        for asset in assets
        for one in asset.span.outcomes
    ]
    columns = ("Machine", "What", "When", "Alert before", "Lead", "Downtime", "Comment")
    return _table(columns, rows, whole=(0, 2, 3)) if rows else "<p>People recorded none in this time.</p>"


def _rates(assets: Sequence[Asset]) -> str:
    keys = legend("measured", "", "alerts a week, with the interval that agrees with them")
    keys += legend("limit", "", "budget")
    rows = [
        (quoted(one.name), quoted(one.budget), quoted(rate(one.span.achieved)), quoted(one.ever.achieved.sentence()))
        for one in assets
    ]
    drawn = rates([(one.name, one.ever.achieved) for one in assets])
    return (
        f"<figure><figcaption>{keys}</figcaption>{drawn}"
        "<figcaption><small>Alerts a week since the beginning.</small></figcaption></figure>"
        + _table(("Machine", "Budget", "In this time", "Since the beginning"), rows)
    )


def rate(one: Achieved) -> str:
    """Return how many alerts counted against the budget, in how long."""
    return f"{counted(one.alerts, 'alert')} in {lasting(one.weeks * WEEK_S)}"


def _asset(asset: Asset, report: Report) -> str:
    span, course = asset.span, asset.course
    withheld = {f"Alerts {_WITHHELD.get(kind, kind.value)}": lasting(seconds)
                for kind, seconds in span.withheld_s.items() if seconds}
    facts = {"Recorded": f"{lasting(span.recorded_s)} of {lasting(span.span_s)}"} | withheld
    drawn = '<p class="soft">Its record was not judged.</p>'
    if course is not None and course.rows:
        facts |= _of_course(course)
        drawn = _evidence(asset, course, report)
    return f"<section><h3>{quoted(asset.name)}</h3>\n{listed(facts.items())}\n{drawn}</section>"


_WITHHELD: Final = {
    WithheldKind.SUPPRESSED: "suppressed by design",
    WithheldKind.OUT_OF_SERVICE: "withheld, out of service",
    WithheldKind.ON_HOLD: "on hold",
}


def _of_course(course: Course) -> dict[str, str]:
    silent = f", of which no value at all for {lasting(course.silent_s)}" if course.silent else ""
    found = {"Blind": (lasting(course.blind_s) if course.blind_s else "never") + silent}
    if (share := course.availability) is not None:
        found["Good values"] = percent(share)
    if worst := course.worst_tags(_WORST_TAGS):
        found["Fewest good values"] = ", ".join(f"{name} {percent(good)}" for name, good in worst)
    return found


def _evidence(asset: Asset, course: Course, report: Report) -> str:
    axis = Axis(report.since_ns, report.until_ns)
    ends = np.array([axis.begin_ns, axis.end_ns])
    names = [*(condition.value for condition in CONDITIONS), "absent"]
    kinds = np.where(course.condition < 0, _ABSENT, course.condition)
    seen = [name for number, name in enumerate(names) if (kinds == number).any()]
    keys = legend("measured", "line", "evidence") + legend("limit", "dashed", "limit")
    keys += "".join(
        f'<span class="key"><i class="{name}"></i>{"no record" if name == "absent" else name.replace("_", " ")}</span>'
        for name in seen
    )
    marks = [Mark("raised", one.raised_ns) for one in asset.raised]
    drawn = plot(
        axis,
        [Trace("limit", ends, np.ones(2)), Trace("measured", course.time_ns, course.evidence)],
        marks,
        least=(0.0, 1.2),
        below=strip(axis, course.time_ns, kinds, names),
    )
    return f"<figure><figcaption>{keys}</figcaption>{drawn}</figure>"


def _connections(report: Report) -> str:
    def row(name: str, load: Load) -> tuple[str, ...]:
        lost = load.errors / load.requests if load.requests else 0.0
        return (
            quoted(name), lasting(load.watched_ns / 1e9), f"{load.requests:,}", f"{load.errors:,} ({percent(lost)})",
            f"{load.connections:,}", f"{load.slow_downs:,}",
        )  # fmt: skip

    if not report.loads:
        return "<p>Nothing is known of them in this time.</p>"
    columns = ("Connection", "Watched", "Requests", "Unanswered", "Times made", "Slow-downs")
    told = "By whole days, UTC. A connection is made at each start of the agent, and anew after an outage."
    rows = _table(columns, [row(name, load) for name, load in report.loads.items()], range(2, 6))
    return f'{rows}<p class="soft">{told}</p>'


def _time(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%d %b %H:%M}"
