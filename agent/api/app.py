"""The REST API under /api/v1. Reads come from immutable snapshots and from disk; commands go to a queue.

A command is answered with 202 once it is queued: the line that owns the alert applies it at its next step,
within about one period of the asset, and the change is on disk before GET shows it. What can be known
beforehand is refused beforehand: an unknown alert (404), one that is acknowledged or over already (409).
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Response

from agent.api import PREFIX, metrics, models, present, problems
from agent.api.guard import Guard
from agent.api.problems import ApiError, describe
from agent.api.rehearsal_models import BudgetModel, DrillModel
from agent.api.trust_models import TagTrustList
from agent.line.alert import Acknowledge, AlarmState, Alert, Command, Shelve, Unshelve
from agent.store import codec
from agent.store.journal import AlertFilter
from agent.view import AgentView, AssetInfo, Submitted

SPAN_DAYS_MAX = 31
_HOUR_NS = 3_600_000_000_000
_COMMON = describe(
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
_NOT_FOUND = describe(HTTPStatus.NOT_FOUND)
_COMMAND = describe(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT
)

AssetName = Annotated[str, Path(description="the asset's name in the configuration")]
AlertId = Annotated[str, Path(description='such as "pump-3"')]


def create_app(view: AgentView, *, allowed_hosts: Iterable[str] = ()) -> FastAPI:
    """Return the API over `view`, guarded; `allowed_hosts` are names beside localhost that Host may carry."""
    app = FastAPI(
        title="Forewarn",
        version=present.package_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        description=(__doc__ or "").partition("\n\n")[2],
    )
    for router in (_status(view), _assets(view), _rehearsals(view), _alerts(view), _commands(view)):
        app.include_router(router, prefix=PREFIX, responses=_COMMON)
    app.add_api_route("/metrics", lambda: _metrics(view), include_in_schema=False)
    problems.install(app)
    app.add_middleware(Guard, allowed_hosts=tuple(allowed_hosts))
    schema_of = app.openapi

    def openapi() -> dict[str, Any]:
        return problems.as_problem_media_type(schema_of())

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to adjust its schema
    return app


def _status(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/health")
    async def health() -> models.Health:
        """Tell that the process answers."""
        return models.Health(status="live", version=present.package_version())

    @router.get("/readiness")
    async def readiness() -> models.Ready:
        """Tell whether the agent watches and can keep what it sees; 503 with the reasons where not."""
        found = view.readiness()
        if not found.ready:
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(found.reasons), {"Retry-After": "5"})
        telemetry = view.telemetry_health()
        return models.Ready(
            status="ready",
            telemetry_steps=telemetry.steps,
            telemetry_steps_lost=telemetry.steps_lost,
            telemetry_bytes_damaged=telemetry.bytes_damaged,
            telemetry_error=telemetry.error,
        )

    @router.get("/connections")
    async def connections() -> models.ConnectionList:
        """List the connections and how they are."""
        return models.ConnectionList(items=[present.connection(info) for info in view.connections()])

    @router.get("/telemetry")
    async def telemetry() -> models.Historian:
        """Show how the telemetry is kept, and how long the flash card lasts at this pace."""
        return present.historian(view.historian())

    return router


def _assets(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["assets"])
    summarising = Lock()  # the only request whose work grows with what is recorded: never more than one core of it

    @router.get("/assets")
    async def assets() -> models.AssetList:
        """List the assets at a glance."""
        return models.AssetList(
            items=[present.summary(info, view.snapshot(info.name)) for info in view.assets]
        )

    @router.get("/assets/{asset}", responses=_NOT_FOUND)
    async def asset(asset: AssetName) -> models.AssetDetail:
        """Show one asset with its live verdict, its open alert and its newest values."""
        info = _info(view, asset)
        return present.detail(info, view.snapshot(info.name), view.commands_dropped(info.name))

    @router.get("/assets/{asset}/tags", responses=_NOT_FOUND)
    async def tags(asset: AssetName) -> TagTrustList:
        """Show how far each tag of an asset is to be trusted, and why."""
        info = _info(view, asset)
        return present.tags(info, view.snapshot(info.name), view.now_ns())

    @router.get("/assets/{asset}/telemetry", responses=_NOT_FOUND)
    def telemetry(
        asset: AssetName,
        tags: Annotated[list[str] | None, Query(description="names, repeated; default: all")] = None,
        since: Annotated[models.TimeNs | None, Query(description="default: an hour before `until`")] = None,
        until: Annotated[models.TimeNs | None, Query(description="default: now")] = None,
        max_points: Annotated[int, Query(ge=1, le=5000)] = 500,
    ) -> models.TelemetryWindow:
        """Show recorded values with since <= time < until, summarised into `max_points` at most.

        One request at a time: another one meanwhile is answered with 503 and Retry-After.
        """
        info = _info(view, asset)
        names = tags or [name for name, _ in info.tags]
        known = [name for name, _ in info.tags]
        if unknown := [name for name in names if name not in known]:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"query.tags: {asset} has no tag {', '.join(unknown)}; it has: {', '.join(known)}",
            )
        until_ns = view.now_ns() + 1 if until is None else until
        since_ns = until_ns - _HOUR_NS if since is None else since
        if not 0 < until_ns - since_ns <= SPAN_DAYS_MAX * 24 * _HOUR_NS:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"query.since: must be before until, by {SPAN_DAYS_MAX} days at most",
            )
        if not summarising.acquire(blocking=False):
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "telemetry is summarised for one request at a time, and one is under way; try again",
                {"Retry-After": "1"},
            )
        try:
            series = view.series(asset, names, since_ns, until_ns, max_points)
        finally:
            summarising.release()
        return present.window(info, names, since_ns, until_ns, series)

    return router


def _rehearsals(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["assets"])

    @router.get("/assets/{asset}/budget", responses=_NOT_FOUND)
    def budget(asset: AssetName) -> BudgetModel:
        """Show how many alerts an asset has raised a week against its alarm budget, and how far that can be told."""
        info = _info(view, asset)
        return BudgetModel.of(info, view.achieved(info.name))

    @router.get("/assets/{asset}/drill", responses=_NOT_FOUND)
    def drill(asset: AssetName) -> DrillModel:
        """Show the last fire drill of an asset: which faults would be seen, how often and how soon."""
        info = _info(view, asset)
        held = view.last_drill(info.name)
        if held is None:
            raise ApiError(HTTPStatus.NOT_FOUND, f"no drill of {asset} was held yet; forewarn drill holds one")
        return DrillModel.of(held)

    return router


def _alerts(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["alerts"])

    @router.get("/alerts", response_model=models.AlertPage)
    def alerts(
        asset: Annotated[str | None, Query(description="of this asset")] = None,
        state: Annotated[AlarmState | None, Query(description="in this alarm state")] = None,
        is_open: Annotated[bool | None, Query(alias="open", description="true: not over yet")] = None,
        since: Annotated[models.TimeNs | None, Query(description="raised at or after this time")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[int | None, Query(ge=0, description="`before` of the previous page")] = None,
    ) -> Response:
        """List alerts, the newest first."""
        if asset is not None:
            _info(view, asset)
        page = view.alerts(AlertFilter(asset, state, is_open, since), limit=limit, before=before)
        return _json(present.alert_page(page.alerts, page.before))

    @router.get("/alerts/{alert_id}", response_model=models.AlertModel, responses=_NOT_FOUND)
    def alert(alert_id: AlertId) -> Response:
        """Show one alert as it stands, with what contributed to it: the journal's own bytes."""
        return _json(codec.encode(_find(view, alert_id)))

    @router.get("/alerts/{alert_id}/history", response_model=models.AlertHistory, responses=_NOT_FOUND)
    def history(alert_id: AlertId) -> Response:
        """Show every revision of an alert, the oldest first."""
        _find(view, alert_id)
        return _json(codec.dumps({"items": [codec.alert_json(one) for one in view.history(alert_id)]}))

    return router


def _commands(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["commands"])
    accepted = HTTPStatus.ACCEPTED.value

    @router.post(
        "/alerts/{alert_id}/acknowledge",
        status_code=accepted,
        response_model=models.CommandAccepted,
        responses=_COMMAND,
    )
    def acknowledge(alert_id: AlertId, body: models.AcknowledgeBody) -> Response:
        """Take an alert on. It takes effect at the next step; 409 where that was done already."""
        alert = _find(view, alert_id)
        if alert.acknowledgement is not None:
            seen = alert.acknowledgement
            raise ApiError(
                HTTPStatus.CONFLICT,
                f"{alert_id} was acknowledged by {seen.by} at {codec.format_time(seen.time_ns)}",
            )
        _refuse_if_over(alert)
        return _queue(view, alert, "acknowledge", Acknowledge(alert_id, body.by, view.now_ns(), body.comment))

    @router.post(
        "/alerts/{alert_id}/shelve",
        status_code=accepted,
        response_model=models.CommandAccepted,
        responses=_COMMAND,
    )
    def shelve(alert_id: AlertId, body: models.ShelveBody) -> Response:
        """Put an alert aside. It takes effect at the next step; 409 where that was done already."""
        alert, now_ns = _find(view, alert_id), view.now_ns()
        if alert.shelf is not None and alert.shelf.until_ns > now_ns:
            raise ApiError(
                HTTPStatus.CONFLICT,
                f"{alert_id} is shelved until {codec.format_time(alert.shelf.until_ns)}; unshelve it first",
            )
        _refuse_if_over(alert)
        until_ns = now_ns + int(body.duration_s * 1e9)
        return _queue(view, alert, "shelve", Shelve(alert_id, body.by, now_ns, until_ns, body.reason))

    @router.post(
        "/alerts/{alert_id}/unshelve",
        status_code=accepted,
        response_model=models.CommandAccepted,
        responses=_COMMAND,
    )
    def unshelve(alert_id: AlertId, body: models.UnshelveBody) -> Response:
        """Take a shelved alert back. It takes effect at the next step; 409 where it is not shelved."""
        alert = _find(view, alert_id)
        if alert.shelf is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{alert_id} is not shelved")
        return _queue(view, alert, "unshelve", Unshelve(alert_id, body.by, view.now_ns()))

    return router


def _metrics(view: AgentView) -> Response:
    return Response(metrics.scrape(view), media_type=metrics.MEDIA_TYPE)


def _info(view: AgentView, asset: str) -> AssetInfo:
    for info in view.assets:
        if info.name == asset:
            return info
    names = ", ".join(info.name for info in view.assets)
    raise ApiError(HTTPStatus.NOT_FOUND, f'there is no asset "{asset}"; there are: {names}')


def _find(view: AgentView, alert_id: str) -> Alert:
    alert = view.alert(alert_id)
    if alert is None:
        raise ApiError(
            HTTPStatus.NOT_FOUND, f'there is no alert "{alert_id}"; GET {PREFIX}/alerts lists them'
        )
    return alert


def _refuse_if_over(alert: Alert) -> None:
    if alert.state is AlarmState.NORMAL:
        raise ApiError(HTTPStatus.CONFLICT, f"{alert.id} is over")


def _queue(view: AgentView, alert: Alert, name: str, command: Command) -> Response:
    if view.submit(alert.asset, command) is Submitted.QUEUE_FULL:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"too many commands wait for {alert.asset}; try again",
            {"Retry-After": "1"},
        )
    href = f"{PREFIX}/alerts/{alert.id}"
    body = codec.dumps({"command": name, "alert_id": alert.id, "href": href})
    return Response(
        body, HTTPStatus.ACCEPTED.value, media_type="application/json", headers={"Location": href}
    )


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
