"""The page behind a link: one alert, and what it was in two taps. No script, no account; looking changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs, quote, unquote

from fastapi import APIRouter, Depends, Request, Response

from agent.label_link import LabelLinks, Ticket
from agent.line.alert import Alert, Answer, GiveLabel, Label
from agent.view import AgentView, Submitted
from models.bundle import BundleError

BY_LINK: Final = "by link"
UNNAMED: Final = "unnamed fault"
NAME_MAX, FAULT_MAX, COMMENT_MAX = 100, 100, 2000
_COOKIE: Final = "name"
_YEAR_S: Final = 365 * 86_400
_CSS: Final = (Path(__file__).parent / "label_page.css").read_text(encoding="utf-8")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_ANSWERS: Final[Mapping[Answer, tuple[str, str]]] = {
    Answer.REAL: ("A fault", "something was wrong with the machine"),
    Answer.SENSOR: ("A sensor", "or its wiring; the machine was well"),
    Answer.NORMAL: ("Normal", "nothing was wrong, it may do this"),
    Answer.NOT_LOOKED_AT: ("Not looked at", "nobody has, or will"),
}


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a plain form, the first of each name; none of a form that is not ours."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        return {}


def label_pages(view: AgentView, links: LabelLinks) -> APIRouter:
    """Return the page of each link, and what it does when an answer is tapped."""
    router = APIRouter(include_in_schema=False)

    @router.get("/l/{token}")
    def show(token: str, request: Request) -> Response:
        found = _admit(view, links, token)
        if isinstance(found, Response):
            return found
        return _page(found.id, _question(found, unquote(request.cookies.get(_COOKIE, ""))[:NAME_MAX]))

    @router.post("/l/{token}")
    def answer(token: str, said: Annotated[dict[str, str], Depends(_form)]) -> Response:
        alert = _admit(view, links, token)
        if isinstance(alert, Response):
            return alert
        try:
            what = Answer(said.get("answer", ""))
        except ValueError:
            return _note(HTTPStatus.UNPROCESSABLE_ENTITY, "No answer was chosen", "Go back and tap one of the four.")
        name = said.get("name", "").strip()[:NAME_MAX]
        known = UNNAMED if alert.label is None or alert.label.fault is None else alert.label.fault
        fault = (said.get("fault", "").strip()[:FAULT_MAX] or known) if what is Answer.REAL else None
        label = Label(what, fault, name or BY_LINK, view.now_ns(), said.get("comment", "").strip()[:COMMENT_MAX])
        if alert.asset not in {info.name for info in view.assets}:
            return _note(HTTPStatus.CONFLICT, "This machine is not watched any more", "Nobody would record the answer.")
        if view.submit(alert.asset, GiveLabel(alert.id, label)) is Submitted.QUEUE_FULL:
            return _note(HTTPStatus.SERVICE_UNAVAILABLE, "Too many answers wait", "Go back and try again in a minute.")
        done = _page(alert.id, _thanks(alert, label))
        if name:
            done.set_cookie(_COOKIE, quote(name), max_age=_YEAR_S, path=None, httponly=True, samesite="strict")
        return done

    return router


def _admit(view: AgentView, links: LabelLinks, token: str) -> Alert | Response:
    """Return the alert that a link is for, or the page that says why it is for none."""
    try:
        ticket = links.ticket(token)
    except BundleError as error:
        return _note(HTTPStatus.SERVICE_UNAVAILABLE, "Links cannot be checked now", str(error))
    if ticket is None:
        return _note(HTTPStatus.NOT_FOUND, "This link does not work", "It is not one of this agent's, or not all of it "
                     "was copied. Open it from the message again, or ask for another.")
    if ticket.expires_ns <= view.now_ns():
        return _expired(ticket)
    if (alert := view.alert(ticket.alert_id)) is None:
        return _note(HTTPStatus.NOT_FOUND, "There is no such alert", f"This agent knows no alert {ticket.alert_id}.")
    return alert


def _expired(ticket: Ticket) -> Response:
    said = f"It was good until {_moment(ticket.expires_ns)}. Ask for another one: forewarn label-link {ticket.alert_id}"
    return _note(HTTPStatus.GONE, "This link has expired", said)


def _question(alert: Alert, name: str) -> str:
    known = f'<p class="note">So far: {_text(_words(alert.label))}, {_by(alert.label)}.</p>' if alert.label else ""
    guess = alert.like.name if alert.like and alert.like.name not in (Answer.NORMAL, Answer.SENSOR) else ""
    if alert.label and alert.label.fault:
        guess = alert.label.fault
    buttons = "".join(
        f'<button name="answer" value="{answer.value}"><b>{short}</b> {rest}</button>'
        for answer, (short, rest) in _ANSWERS.items() if answer is not Answer.REAL
    )
    short, rest = _ANSWERS[Answer.REAL]
    return (
        f'<p class="soft">{_text(alert.asset)}, {_moment(alert.raised_time_ns)}</p>'
        # The enter key of a field presses the first button of its form: it must not answer.
        f'<h1>{_text(alert.message)}</h1>{known}<form method="post"><button disabled hidden></button>'
        "<h2>What was it?</h2>"
        f'<fieldset><label>If a fault, which one? <input name="fault" maxlength="{FAULT_MAX}" value="{escape(guess)}" '
        'autocomplete="off" placeholder="such as impeller blockage"></label>'
        f'<button name="answer" value="{Answer.REAL.value}"><b>{short}</b> {rest}</button></fieldset>{buttons}'
        f'<label>Your name, if you like <input name="name" maxlength="{NAME_MAX}" value="{escape(name)}" '
        'autocomplete="name"></label>'
        f'<label>What else is to be kept <textarea name="comment" maxlength="{COMMENT_MAX}" rows="2"></textarea>'
        "</label>"
        "</form>"
    )


def _thanks(alert: Alert, label: Label) -> str:
    return (
        f"<h1>Thank you</h1><p>{_text(alert.id)} was: <b>{_text(_words(label))}</b>.</p>"
        f'<p class="soft">Said {_by(label)}. It is kept with the next read of {_text(alert.asset)}. Was it something '
        "else? Open the link again: the last answer counts.</p>"
    )


def _note(status: HTTPStatus, head: str, rest: str) -> Response:
    return _page(head, f"<h1>{_text(head)}</h1><p>{_text(rest)}</p>", status)


def _page(title: str, body: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: Forewarn</title><style>{_CSS}</style></head><body><main>{body}</main></body></html>\n"
    )
    return Response(text, status.value, headers=_HEADERS, media_type="text/html; charset=utf-8")


def _words(label: Label) -> str:
    return label.fault or _ANSWERS[label.answer][0].lower()


def _by(label: Label) -> str:
    return BY_LINK if label.by == BY_LINK else f"by {_text(label.by)}"


def _moment(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M} UTC"


def _text(text: str) -> str:
    """Return a text that may come from anyone, kept to itself where it would change the direction of writing."""
    return f"<bdi>{escape(text)}</bdi>"
