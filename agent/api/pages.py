"""What the pages of the API share: one look, no script, and a form that only a page of ours can send."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fastapi import Request, Response

from agent.html import quoted

NAME_MAX, COMMENT_MAX = 100, 2000
_COOKIE: Final = "name"
_YEAR_S: Final = 365 * 86_400
_CSS: Final = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a plain form, the first of each name; none of a form that is not ours."""
    return await _fields(request, 20)


async def long_form(request: Request) -> dict[str, str]:
    """Return the same of a form that has a field for each tag of a machine."""
    return await _fields(request, 2000)


async def _fields(request: Request, most: int) -> dict[str, str]:
    text = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=most)
    except ValueError:
        return {}
    return {name: values[0].replace("\r\n", "\n") for name, values in fields.items()}


def is_ours(request: Request) -> bool:
    """Say whether a form was sent by a page of this server.

    A page of any other may send a form here as well, with the rights of whoever reads it (OWASP, cross-site request
    forgery). Browsers say where it was: by Sec-Fetch-Site over TLS and on this machine, else by Origin.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host")
    except ValueError:  # such as "http://["
        return False


def page(title: str, body: str, status: HTTPStatus = HTTPStatus.OK, *, again_s: int | None = None) -> Response:
    """Return a page; a browser asks for it again every `again_s` seconds."""
    again = "" if again_s is None else f'<meta http-equiv="refresh" content="{again_s}">'
    whole = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}: Forewarn</title><style>{_CSS}</style></head><body><main>{body}</main></body></html>\n"
    )
    return Response(whole, status.value, headers=_HEADERS, media_type="text/html; charset=utf-8")


def note(status: HTTPStatus, head: str, rest: str) -> Response:
    """Return a page that says one thing."""
    return page(head, f"<h1>{quoted(head)}</h1><p>{quoted(rest)}</p>", status)


def name_of(request: Request) -> str:
    """Return the name of who reads a page, as it was last given in this browser; empty where it was not."""
    return unquote(request.cookies.get(_COOKIE, ""))[:NAME_MAX]


def remember(response: Response, name: str) -> None:
    """Let the browser keep the name of who reads a page, for the pages beside it."""
    response.set_cookie(_COOKIE, quote(name), max_age=_YEAR_S, path=None, httponly=True, samesite="strict")
