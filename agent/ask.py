"""Questions and commands to a running agent's REST API, for the command line."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import BaseModel

from agent.api import PREFIX
from agent.loopback import opener_for
from agent.store.journal import StoreError

Answer = TypeVar("Answer", bound=BaseModel)

API_URL: Final = "http://127.0.0.1:8470"
TIMEOUT_S: Final = 10.0


def ask(url: str, path: str, query: Mapping[str, str | None] | None = None, *, else_do: str = "") -> bytes:
    """Return the body that the agent at `url` answers a GET of `path` (below /api/v1, quoted) with.

    `url` may end in /api/v1, as people copy it from elsewhere. Values of the query that are None are left out. Raise
    StoreError saying what to do where there is no answer, or a refusal; `else_do` is one more thing to do.
    """
    used = {key: value for key, value in (query or {}).items() if value is not None}
    return _request(url, path + (f"?{urllib.parse.urlencode(used)}" if used else ""), None, else_do)


def _request(url: str, path: str, body: bytes | None, else_do: str = "") -> bytes:
    if not url.startswith(("http://", "https://")):
        raise StoreError(f"--api {url}: must begin with http://, such as {API_URL}")
    address = f"{url.rstrip('/').removesuffix(PREFIX)}{PREFIX}{path}"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"} if body else {})  # noqa: S310
    try:
        with opener_for(address).open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            told = error.read() if "json" in error.headers.get_content_type() else b"{}"
        raise StoreError(f"{url}: {_detail(told) or error.reason}") from error
    except (OSError, ValueError) as error:
        raise nobody(url, str(getattr(error, "reason", error)), else_do) from error


def say(answer: type[Answer], url: str, path: str, body: bytes) -> Answer:
    """Return what the agent at `url` answers a POST of a JSON `body` to `path` with; raise StoreError as `ask` does."""
    return _understood(answer, url, _request(url, urllib.parse.quote(path), body))


def ask_for(
    body: type[Answer], url: str, path: str, query: Mapping[str, str | None] | None = None, *, else_do: str = ""
) -> Answer:
    """Return what `ask` does as what it is; raise StoreError where it is not that."""
    return _understood(body, url, ask(url, urllib.parse.quote(path), query, else_do=else_do))


def _understood(kind: type[Answer], url: str, told: bytes) -> Answer:
    try:
        return kind.model_validate_json(told)
    except ValueError as error:
        reason = "what answers is no agent of this version"
        raise nobody(url, reason, "restart it after an update") from error


def nobody(url: str, reason: str, else_do: str = "") -> StoreError:
    """Return the error that no agent, or none that we understand, answers at `url`."""
    ways = ["start it with `forewarn run`", "name its address with --api", else_do]
    *first, last = [way for way in ways if way]
    return StoreError(f"{url}: no agent answers there ({reason}); {', '.join(first)}, or {last}")


def _detail(problem: bytes) -> str:
    try:
        found = json.loads(problem)
    except ValueError:
        return ""
    return str(found.get("detail", "")) if isinstance(found, dict) else ""
