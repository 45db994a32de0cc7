"""The dashboard: a page of all machines, one of each, and what people say there of what is done to a machine.

A page says what the API's commands say, and is refused for the same reasons. Looking changes nothing.
"""

from __future__ import annotations

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
)
from agent.api.commands import AlertCommands, AssetCommands
from agent.api.machine_page import TICKED, Form
from agent.api.pages import form, is_ours, name_of, note, remember
from agent.api.problems import ApiError, reason
from agent.label_link import LabelLinks
from agent.store.journal import StoreError
from agent.view import AgentView

_HOUR_S: Final = 3600.0
_FIELDS: Final = {
    "by": "Your name", "reason": "What is done", "comment": "What is done", "duration_s": "Hours", "since": "From",
    "tags": "Tags", "downtime_s": "Hours of downtime", "at": "When", "alert_id": "The alert",
}
"""What the fields of the API's bodies are called on the page."""
_DONE: Final = {
    "acknowledge": "The alert is yours.",
    "out-of-service": "The machine is taken out of service.",
    "in-service": "The machine is returned to service.",
    "nothing-changed": "Nothing was changed; its alerts are no longer on hold.",
    "rebaseline": "The level of these tags is learnt anew.",
    "failure": "The failure is recorded.",
    "repair": "The repair is recorded.",
}
"""What is said of a command that was accepted."""


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
    def machine(asset: str, request: Request, done: str = "") -> Response:
        said = _DONE.get(done)
        told = f"{said} It takes effect with the next read of {asset}." if said else ""
        return shown(asset, {"name": name_of(request)}, told)

    @router.post("/machines/{asset}")
    def say(asset: str, request: Request, said: Annotated[dict[str, str], Depends(form)]) -> Response:
        command = said.get("say", "")
        if not is_ours(request):
            return note(HTTPStatus.FORBIDDEN, "Not from this page", "Open the machine's page here, and say it there.")
        try:
            sayings.say(asset, command, said)
        except ValidationError as error:
            wrong = "; ".join(_refusal(one) for one in error.errors(include_url=False))
            return shown(asset, said, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
        except ApiError as error:
            return shown(asset, said, _named(error.detail), error.status)
        except StoreError as error:
            return shown(asset, said, str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        # Who reloads what comes next asks for the page again, and does not say it twice. It is beside this one, also
        # behind a proxy that knows it by a longer path.
        answer = Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": f"?done={command}"})
        remember(answer, said["name"])
        return answer

    return router


class _Sayings:
    """What the buttons of a machine's page say, as bodies of the API."""

    def __init__(self, view: AgentView) -> None:
        self._alerts, self._assets = AlertCommands(view), AssetCommands(view)
        self._of: Mapping[str, Callable[[str, Form, dict[str, Any]], object]] = {
            "acknowledge": self._acknowledge,
            "out-of-service": self._out_of_service,
            "in-service": lambda asset, _, both: self._assets.return_to_service(asset, InServiceBody(**both)),
            "nothing-changed": lambda asset, _, both: self._assets.nothing_changed(asset, NothingChangedBody(**both)),
            "rebaseline": self._rebaseline,
            "failure": lambda asset, said, both: self._assets.record_failure(asset, _outcome(said, both)),
            "repair": lambda asset, said, both: self._assets.record_repair(asset, _outcome(said, both)),
        }

    def say(self, asset: str, command: str, said: Form) -> None:
        """Say one thing; raise ApiError or ValidationError where it is refused, StoreError."""
        if command not in self._of:
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Nothing was said: press one of the buttons")
        self._of[command](asset, said, {"by": said.get("name", ""), "comment": said.get("comment", "")})

    def _acknowledge(self, _asset: str, said: Form, both: dict[str, Any]) -> None:
        self._alerts.acknowledge(said.get("alert", ""), AcknowledgeBody(**both))

    def _out_of_service(self, asset: str, said: Form, both: dict[str, Any]) -> None:
        body = {"by": both["by"], "reason": both["comment"], "duration_s": _seconds(said.get("hours", ""))}
        self._assets.take_out_of_service(asset, OutOfServiceBody.model_validate(body | _time("since", said)))

    def _rebaseline(self, asset: str, said: Form, both: dict[str, Any]) -> None:
        tags = [name.removeprefix(TICKED) for name in said if name.startswith(TICKED)]
        self._assets.rebaseline(asset, RebaselineBody(**both, tags=tags))


def _outcome(said: Form, both: dict[str, Any]) -> OutcomeBody:
    downtime = said.get("downtime")
    told = {"alert_id": said.get("told") or None, "downtime_s": _seconds(downtime) if downtime else None}
    return OutcomeBody.model_validate(both | told | _time("at", said))


def _seconds(hours: str) -> float | str:
    """Return hours as seconds, and what is no number as it is, for the body to refuse."""
    try:
        return float(hours) * _HOUR_S
    except ValueError:
        return hours


def _time(field: str, said: Form) -> dict[str, str]:
    """Return a time as a body takes it, nothing where none was given; browsers leave out the seconds and the zone."""
    return {field: f"{said[field]}:00Z"} if said.get(field) else {}


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
