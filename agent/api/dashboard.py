"""The dashboard: a page of all machines, one of each, and what people say there of a machine and its alert.

A page says what the API's commands say, and is refused for the same reasons. Looking says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from agent.api import machine_page
from agent.api.command_models import (
    AcknowledgeBody,
    InServiceBody,
    NothingChangedBody,
    OutcomeBody,
    OutOfServiceBody,
    RebaselineBody,
    ShelveBody,
    UnshelveBody,
)
from agent.api.commands import AlertCommands, AssetCommands
from agent.api.lookup import find_alert
from agent.api.machine_page import TICKED, Form
from agent.api.pages import is_ours, long_form, name_of, note, remember
from agent.api.problems import ApiError
from agent.api.refusals import reason
from agent.label_link import LabelLinks
from agent.store.journal import StoreError
from agent.view import AgentView

_HOUR_S: Final = 3600.0
_MINUTE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
"""What browsers make of a date and a time."""
_FIELDS: Final = {
    "by": "Your name", "reason": "What is done", "comment": "What is done", "duration_s": "Hours", "since": "From",
    "tags": "Tags", "downtime_s": "Hours of downtime", "at": "When",
}
"""What the fields of the API's bodies are called on the page."""
_NOT_OURS: Final = (
    "A form counts only from a page of this address. Open the machine's page here and say it there; behind a proxy, "
    "have it pass on the Host that the browser asked for."
)


def dashboard(view: AgentView, links: LabelLinks) -> APIRouter:
    """Return the pages, and what their buttons do; `links` lead to the page that asks what an alert was."""
    router = APIRouter(include_in_schema=False)
    sayings = _Sayings(view)

    def shown(asset: str, said: Form, told: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        try:
            return machine_page.machine(view, links, asset, said, told, status)
        except ApiError as error:
            return note(error.status, "There is no such machine", error.detail)

    @router.get("/")
    def machines() -> Response:
        return machine_page.overview(view)

    @router.get("/machines/{asset}")
    def machine(asset: str, request: Request, sent: str = "") -> Response:
        what = f'"{sent.replace("-", " ")}" was sent' if sent in sayings.known else ""
        told = f"{what}; it takes effect with the next read of {asset}, and is shown here then." if what else ""
        return shown(asset, {"name": name_of(request)}, told)

    @router.post("/machines/{asset}")
    def say(asset: str, request: Request, said: Annotated[dict[str, str], Depends(long_form)]) -> Response:
        if not is_ours(request):
            return note(HTTPStatus.FORBIDDEN, "Not from this page", _NOT_OURS)
        try:
            command = sayings.say(asset, said)
        except ValidationError as error:
            wrong = "; ".join(_refusal(one) for one in error.errors(include_url=False))
            return shown(asset, said, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
        except ApiError as error:
            return shown(asset, said, _named(error.detail), error.status)
        except StoreError as error:
            return shown(asset, said, str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        # Who reloads what comes next asks for the page again, and does not say it twice. It is beside this one, also
        # behind a proxy that knows it by a longer path.
        answer = Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": f"?sent={command}"})
        remember(answer, said["name"])
        return answer

    return router


class _Sayings:
    """What the buttons of a machine's page say, as bodies of the API."""

    def __init__(self, view: AgentView) -> None:
        self._view, self._alerts, self._assets = view, AlertCommands(view), AssetCommands(view)
        self.known: Mapping[str, Callable[[str, Form], object]] = {
            "acknowledge": lambda asset, said: self._alerts.acknowledge(
                self._alert(asset, said), AcknowledgeBody(**_both(said))
            ),
            "shelve": lambda asset, said: self._alerts.shelve(
                self._alert(asset, said), ShelveBody.model_validate(_reason(said) | _duration("aside", said))
            ),
            "unshelve": lambda asset, said: self._alerts.unshelve(
                self._alert(asset, said), UnshelveBody(by=said.get("name", ""))
            ),
            "out-of-service": lambda asset, said: self._assets.take_out_of_service(
                asset,
                OutOfServiceBody.model_validate(_reason(said) | _duration("hours", said) | _time("since", said)),
            ),
            "in-service": lambda asset, said: self._assets.return_to_service(asset, InServiceBody(**_both(said))),
            "nothing-changed": lambda asset, said: self._assets.nothing_changed(
                asset, NothingChangedBody(**_both(said))
            ),
            "rebaseline": lambda asset, said: self._assets.rebaseline(
                asset, RebaselineBody(**_both(said), tags=_ticked(said))
            ),
            "failure": lambda asset, said: self._assets.record_failure(asset, _outcome(said)),
            "repair": lambda asset, said: self._assets.record_repair(asset, _outcome(said)),
        }

    def say(self, asset: str, said: Form) -> str:
        """Say one thing and return which; raise ApiError or ValidationError where it is refused, StoreError."""
        command = said.get("say", "")
        if command not in self.known:
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Nothing was said: press one of the buttons.")
        self.known[command](asset, said)
        return command

    def _alert(self, asset: str, said: Form) -> str:
        """Return the alert that was shown; raise ApiError where it is none of this machine, StoreError."""
        alert = find_alert(self._view, said.get("alert", ""))
        if alert.asset != asset:
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{alert.id} is of {alert.asset}; say it there.")
        return alert.id


def _both(said: Form) -> dict[str, str]:
    return {"by": said.get("name", ""), "comment": said.get("comment", "")}


def _reason(said: Form) -> dict[str, object]:
    return {"by": said.get("name", ""), "reason": said.get("comment", "")}


def _ticked(said: Form) -> list[str]:
    return [name.removeprefix(TICKED) for name in said if name.startswith(TICKED)]


def _outcome(said: Form) -> OutcomeBody:
    hours = said.get("downtime", "")
    downtime = {"downtime_s": _seconds(hours)} if hours else {}
    return OutcomeBody.model_validate(_both(said) | downtime | _time("at", said))


def _duration(field: str, said: Form) -> dict[str, object]:
    return {"duration_s": _seconds(said.get(field, ""))}


def _seconds(hours: str) -> float | str:
    """Return hours as seconds, and what is no number as it is, for the body to refuse."""
    try:
        return float(hours) * _HOUR_S
    except ValueError:
        return hours


def _time(field: str, said: Form) -> dict[str, str]:
    """Return a time as a body takes it, nothing where none was given; it is UTC, which browsers do not say."""
    time = said.get(field, "")
    return {field: f"{time}:00Z" if _MINUTE.fullmatch(time) else time} if time else {}


def _refusal(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a field, and why."""
    field, limits = str(error["loc"][0]), dict(error.get("ctx", {}))
    if field.endswith("_s"):
        limits |= {name: f"{limits[name] / _HOUR_S:g}" for name in ("gt", "ge", "le") if name in limits}
    return f"{_FIELDS[field]}: {reason({**error, 'ctx': limits})}"


def _named(detail: str) -> str:
    """Return what the API says of a field of a body in the words of the page."""
    field, colon, rest = detail.removeprefix("body.").partition(": ")
    return f"{_FIELDS[field]}{colon}{rest}" if field in _FIELDS else detail
