"""The page behind a link: one alert, and what it was in two taps. No script, no account; looking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from agent.api.pages import COMMENT_MAX, NAME_MAX, form, name_of, note, page, remember
from agent.html import quoted
from agent.label_link import LabelLinks, Ticket
from agent.line.alert import AlarmEvent, Alert, Answer, GiveLabel, Label
from agent.line.verdict import Cause
from agent.store.journal import StoreError
from agent.view import AgentView, Submitted
from models.bundle import BundleError

BY_LINK: Final = "by link"
FAULT_MAX: Final = 100
_FIELDS: Final = {"name": NAME_MAX, "fault": FAULT_MAX, "comment": COMMENT_MAX}
OFFERED_MAX: Final = 8
"""More buttons than that are no longer found at a glance on a phone; any other fault can be written."""
CHECKS_MAX: Final = 3
"""A reminder beside the machine: the whole list, and why, is with the alert."""
LABELLED_READ: Final = 50
LABELS_MAX: Final = 20
"""Nobody corrects themselves so often, and a link may fall into any hands: each label is a revision that is kept."""
_ANSWERS: Final[Mapping[Answer, tuple[str, str]]] = {
    Answer.REAL: ("A fault", "of the machine"),
    Answer.NORMAL: ("Normal", "nothing was wrong"),
    Answer.SENSOR: ("A sensor", "or its wiring"),
    Answer.NOT_LOOKED_AT: ("Not looked at", "nobody has, or will"),
}
"""The order in which they are offered, but for the one that the alert gives itself, which comes first."""


def label_pages(view: AgentView, links: LabelLinks) -> APIRouter:
    """Return the page of each link, and what it does when an answer is tapped."""
    router = APIRouter(include_in_schema=False)

    @router.get("/l/{token}")
    def show(token: str, request: Request) -> Response:
        found = _admit(view, links, token)
        if isinstance(found, Response):
            return found
        try:
            faults = _offered(view, found)
        except StoreError as error:
            return _unreadable(error)
        kept = {"name": name_of(request), "fault": (found.label and found.label.fault) or ""}
        return page(found.id, _question(found, faults, kept))

    @router.post("/l/{token}")
    def answer(token: str, said: Annotated[dict[str, str], Depends(form)]) -> Response:
        alert = _admit(view, links, token)
        if isinstance(alert, Response):
            return alert
        label = _label(said, view.now_ns())
        if label is None:
            return note(HTTPStatus.UNPROCESSABLE_ENTITY, "No answer was chosen", "Go back and tap one of the answers.")
        if alert.label is not None and _adds_nothing(label, alert.label):
            return page(alert.id, _kept(alert.id, alert.label))
        try:
            if label.fault == "":
                asked = _question(alert, _offered(view, alert), said, "Which fault was it? Write it here, or tap one.")
                return page(alert.id, asked, HTTPStatus.UNPROCESSABLE_ENTITY)
            labels = sum(one.event is AlarmEvent.LABEL for one in view.history(alert.id))
        except StoreError as error:
            return _unreadable(error)
        if labels >= LABELS_MAX:
            said_so = f"{alert.id} was answered {labels} times; its links take no more answers. forewarn label does."
            return note(HTTPStatus.CONFLICT, "Not changed any more", said_so)
        if alert.asset not in {info.name for info in view.assets}:
            return note(HTTPStatus.CONFLICT, "This machine is not watched any more", "Nobody would record the answer.")
        if view.submit(alert.asset, GiveLabel(alert.id, label)) is Submitted.QUEUE_FULL:
            return note(HTTPStatus.SERVICE_UNAVAILABLE, "Too many answers wait", "Go back and try again in a minute.")
        done = page(alert.id, _thanks(alert, label))
        if label.by != BY_LINK:
            remember(done, label.by)
        return done

    return router


def _admit(view: AgentView, links: LabelLinks, token: str) -> Alert | Response:
    """Return the alert that a link is for, or the page that says why it is for none."""
    try:
        ticket = links.ticket(token)
    except BundleError as error:
        return note(HTTPStatus.SERVICE_UNAVAILABLE, "Links cannot be checked now", str(error))
    if ticket is None:
        return note(HTTPStatus.NOT_FOUND, "This link does not work", "It is not one of this agent's, or not all of it "
                     "was copied. Open it from the message again, or ask for another.")
    if ticket.expires_ns <= view.now_ns():
        return _expired(ticket)
    try:
        alert = view.alert(ticket.alert_id)
    except StoreError as error:
        return _unreadable(error)
    if alert is None:
        return note(HTTPStatus.NOT_FOUND, "There is no such alert", f"This agent knows no alert {ticket.alert_id}.")
    return alert


def _unreadable(error: StoreError) -> Response:
    said = f"{error}. Nothing was changed; open the link again in a few minutes."
    return note(HTTPStatus.SERVICE_UNAVAILABLE, "The alerts cannot be read now", said)


def _label(said: Mapping[str, str], now_ns: int) -> Label | None:
    """Return the label that a form gives, None where it gives none: one of the faults offered, or another answer.

    Its fault is empty where one was tapped but not named.
    """
    tapped = said.get("known", "").strip()[:FAULT_MAX]
    try:
        what = Answer.REAL if tapped else Answer(said.get("answer", ""))
    except ValueError:
        return None
    fault = (tapped or said.get("fault", "").strip()[:FAULT_MAX]) if what is Answer.REAL else None
    by = said.get("name", "").strip()[:NAME_MAX] or BY_LINK
    return Label(what, fault, by, now_ns, said.get("comment", "").strip()[:COMMENT_MAX])


def _adds_nothing(new: Label, kept: Label) -> bool:
    """Say whether a label says what is kept already, by the same person, and no more."""
    return (new.answer, new.fault, new.by) == (kept.answer, kept.fault, kept.by) and new.comment in ("", kept.comment)


def _offered(view: AgentView, alert: Alert) -> list[str]:
    """Return the faults that one tap names, the likeliest first; raise StoreError.

    What the alert says itself, what people named at this machine, the last first, and the other failure modes that this
    machine's advisories know.
    """
    names = _own_faults(alert)
    labels = [one.label for one in view.labelled(alert.asset, LABELLED_READ)]
    names += [label.fault for label in labels if label and label.fault]
    names += _modes(next((info.failure_modes for info in view.assets if info.name == alert.asset), ()))
    once: dict[str, str] = {}
    for name in names:
        once.setdefault(name.casefold(), name)
    return list(once.values())[:OFFERED_MAX]


def _own_faults(alert: Alert) -> list[str]:
    """Return the faults that an alert names itself: what it is like, and its failure mode after ISO 14224."""
    like = [] if alert.like is None or alert.like.name in (Answer.NORMAL, Answer.SENSOR) else [alert.like.name]
    own = [alert.advisory.failure_mode] if alert.advisory and alert.verdict.cause is Cause.MACHINE else []
    return like + _modes(own)


def _own_answer(alert: Alert) -> Answer:
    """Return the answer that an alert gives itself."""
    if alert.verdict.cause in (Cause.SENSOR, Cause.COMMUNICATION):
        return Answer.SENSOR
    like = None if alert.like is None else alert.like.name
    return Answer(like) if like in (Answer.NORMAL, Answer.SENSOR) else Answer.REAL


def _modes(failure_modes: Sequence[str]) -> list[str]:
    """Return failure modes, such as "VIB, vibration", without their codes."""
    return [mode.partition(", ")[2] for mode in failure_modes]


def _expired(ticket: Ticket) -> Response:
    said = f"It was good until {_moment(ticket.expires_ns)}. Ask for another one: forewarn label-link {ticket.alert_id}"
    return note(HTTPStatus.GONE, "This link has expired", said)


def _question(alert: Alert, faults: Sequence[str], said: Mapping[str, str], missing: str = "") -> str:
    """Return the page's question, its fields filled with what was `said` so far; `missing` is what a fault lacks."""
    name, fault, comment = (escape(said.get(field, "")[:most]) for field, most in _FIELDS.items())
    known = f'<p class="note">So far: {quoted(_words(alert.label))}, {_by(alert.label)}.</p>' if alert.label else ""
    # What names a fault for itself is one of the four answers, so that one tap is enough.
    named = faults[0] if faults and not missing and _own_faults(alert) else None
    head = "A fault: which one?" if named is None else "Another fault: which one?"
    which = _which(head, faults if named is None else faults[1:], fault, missing)
    answers = "".join(_answers(alert, named, asked=bool(missing)))
    return (
        f'<p class="soft">{quoted(alert.asset)}, {_moment(alert.raised_time_ns)}</p>'
        # The enter key of a field presses the first button of its form: it must not answer.
        f'<h1>{quoted(alert.message)}</h1>{_checks(alert)}{known}'
        '<form method="post"><button disabled hidden></button><div class="fields">'
        f'<label>Your name <input name="name" maxlength="{NAME_MAX}" value="{name}" '
        'autocomplete="name" placeholder="if you like"></label>'
        f'<label>What else is to be kept <textarea name="comment" maxlength="{COMMENT_MAX}" rows="1">{comment}'
        f"</textarea></label></div><h2>What was it?</h2>{which + answers if missing else answers + which}</form>"
    )


def _answers(alert: Alert, named: str | None, *, asked: bool) -> Iterator[str]:
    """Give the four answers, first the one that the alert gives itself; `named` is the fault that it names.

    That it was a fault is not offered again where it is `asked` which.
    """
    own = _own_answer(alert)
    for answer in sorted(_ANSWERS, key=lambda one: one is not own):
        if asked and answer is Answer.REAL:
            continue
        short, rest = _ANSWERS[answer]
        told = f"{rest}{', as the alert says' if answer is own else ''}"
        if answer is Answer.REAL and named is not None:
            yield f'<button name="known" value="{escape(named)}"><b>{short}: {quoted(named)}</b> {told}</button>'
        else:
            yield f'<button name="answer" value="{answer.value}"><b>{short}</b> {told}</button>'


def _which(head: str, faults: Sequence[str], fault: str, missing: str) -> str:
    """Return the faults that one tap names, and a field for any other: folded, but where it is asked which it was."""
    buttons = "".join(f'<button name="known" value="{escape(one)}"><b>{quoted(one)}</b></button>' for one in faults)
    asked = f'<p class="note">{missing}</p>' if missing else ""
    keys = " autofocus" if missing and not faults else ""
    return (
        f"<details{' open' if missing else ''}><summary>{head}</summary>{asked}"
        f'<div class="faults">{buttons}</div>'
        f'<label>Another one <input name="fault" maxlength="{FAULT_MAX}" value="{fault}" '
        f'autocomplete="off" placeholder="such as impeller blockage"{keys}></label>'
        f'<button name="answer" value="{Answer.REAL.value}"><b>Another fault</b> the one written here</button>'
        "</details>"
    )


def _checks(alert: Alert) -> str:
    """Return what to check first, in few words; nothing where somebody has looked and says what it was."""
    if alert.advisory is None or (alert.label and alert.label.answer is not Answer.NOT_LOOKED_AT):
        return ""
    checks = "".join(f"<li>{quoted(one.do)}</li>" for one in alert.advisory.checks[:CHECKS_MAX])
    return f"<h2>What to check first</h2><ol>{checks}</ol>"


def _thanks(alert: Alert, label: Label) -> str:
    return (
        f"<h1>Thank you</h1><p>{quoted(alert.id)} was: <b>{quoted(_words(label))}</b>.</p>"
        f'<p class="soft">Said {_by(label)}. It is kept with the next read of {quoted(alert.asset)}. Was it something '
        "else? Open the link again: the last answer counts.</p>"
    )


def _kept(alert_id: str, label: Label) -> str:
    return (
        f"<h1>Kept already</h1><p>{quoted(alert_id)} was: <b>{quoted(_words(label))}</b>, {_by(label)}.</p>"
        '<p class="soft">The same answer again changes nothing. Was it something else? Open the link again.</p>'
    )


def _words(label: Label) -> str:
    return label.fault or _ANSWERS[label.answer][0].lower()


def _by(label: Label) -> str:
    return BY_LINK if label.by == BY_LINK else f"by {quoted(label.by)}"


def _moment(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M} UTC"
