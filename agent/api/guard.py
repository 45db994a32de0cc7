"""What every request passes before the application sees it: the host it names, its size, its pace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api import problems

BODY_BYTES_MAX = 256 * 1024
RECEIPT_S_MAX = 10.0
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Guard:
    """Refuses foreign Host headers (DNS rebinding), bodies over 256 KiB and such that take over 10 s to come.

    There is no CORS: a page of another origin can neither read an answer nor send JSON.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Iterable[str] = (), receipt_s_max: float = RECEIPT_S_MAX
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*_LOCAL, *allowed_hosts)}
        self._receipt_s_max = receipt_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            body = await self._admit(scope, receive)
        except problems.ApiError as refusal:
            answer = problems.response(refusal.status, refusal.detail, scope["path"], headers=refusal.headers)
            await answer(scope, receive, send_guarded)
        else:
            await self._app(scope, _replay(body, receive), send_guarded)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of an acceptable request; raise ApiError for any other."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = _name(headers.get(b"host", ""))
        if host not in self._hosts:
            detail = f'this is not "{host}"; ask for 127.0.0.1 or localhost, or name it in api.allowed_hosts'
            raise problems.ApiError(HTTPStatus.MISDIRECTED_REQUEST, detail)
        try:
            async with asyncio.timeout(self._receipt_s_max):
                body = await _body(receive, headers.get(b"content-length", ""))
        except TimeoutError:
            detail = f"the body did not come within {self._receipt_s_max:g} s"
            raise problems.ApiError(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from None
        if body is None:
            detail = f"the body is larger than {BODY_BYTES_MAX} bytes"
            raise problems.ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, {"Connection": "close"})
        return body


async def _body(receive: Receive, length: str) -> bytes | None:
    """Return the whole body, None where it is too large (what was announced is believed)."""
    if length.isdecimal() and int(length) > BODY_BYTES_MAX:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` first, then whatever comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _name(host: str) -> str:
    """Return the host of a Host header without its port, in small letters."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower().rstrip(".")
