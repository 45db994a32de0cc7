"""The REST API under /api/v1. Reads come from immutable snapshots and from disk; commands go to a queue.

A command is answered with 202 once it is queued: the line that owns the alert applies it at its next step,
within about one period of the asset, and the change is on disk before GET shows it. What can be known
beforehand is refused beforehand: an unknown alert (404), one that is acknowledged or over already (409).
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.concurrency import run_in_threadpool

from agent.api import PREFIX, metrics, models, present, problems, telemetry_models
from agent.api.commands import commands
from agent.api.commissioning_models import CommissioningModel
from agent.api.connection_models import ConnectionList
from agent.api.dashboard import dashboard
from agent.api.event_models import EventPage
from agent.api.guard import Guard
from agent.api.label_page import label_pages
from agent.api.ledger_models import AccountModel, AssetLedger, LedgerModel
from agent.api.lookup import AlertId, AssetName, find_alert, find_asset
from agent.api.problems import ApiError, describe
from agent.api.rehearsal_models import BudgetModel, DrillModel
from agent.api.trust_models import TagTrustList
from agent.api.version_models import RateModel, TrialModel, VersionList, VersionModel
from agent.evidence.child import EvidenceError
from agent.label_link import LabelLinks
from agent.line.alert import AlarmState
from agent.line.event import EventKind
from agent.store import codec
from agent.store.journal import AlertFilter, EventFilter
from agent.view import AgentView

SPAN_DAYS_MAX = 31
SHADOW_MAX = 500
_HOUR_NS = 3_600_000_000_000
WEEK_NS = 7 * 24 * _HOUR_NS
_COMMON = describe(
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
_NOT_FOUND = describe(HTTPStatus.NOT_FOUND)
_HTML = "text/html"
_EVIDENCE: dict[int | str, dict[str, Any]] = {
    200: {"content": {_HTML: {"schema": {"type": "string"}}}, "description": "the file, for a browser or to verify"},
    **describe(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
}


def create_app(view: AgentView, *, allowed_hosts: Iterable[str] = (), links: LabelLinks | None = None) -> FastAPI:
    """Return the API over `view`, guarded; `allowed_hosts` are names beside localhost that Host may carry.

    With `links` it has the pages behind them, and the dashboard.
    """
    app = FastAPI(
        title="Forewarn",
        version=present.package_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        description=(__doc__ or "").partition("\n\n")[2],
    )
    for router in (
        _status(view), _assets(view), _rehearsals(view), _ledger(view), _alerts(view), _events(view), commands(view),
    ):
        app.include_router(router, prefix=PREFIX, responses=_COMMON)
    if links is not None:
        app.include_router(label_pages(view, links))
        app.include_router(dashboard(view, links))
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
    async def connections() -> ConnectionList:
        """List the connections and how they are."""
        return ConnectionList(items=[present.connection(info) for info in view.connections()])

    @router.get("/telemetry")
    async def telemetry() -> telemetry_models.Historian:
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
        info = find_asset(view, asset)
        return present.detail(info, view.snapshot(info.name), view.commands_dropped(info.name))

    @router.get("/assets/{asset}/tags", responses=_NOT_FOUND)
    async def tags(asset: AssetName) -> TagTrustList:
        """Show how far each tag of an asset is to be trusted, and why."""
        info = find_asset(view, asset)
        return present.tags(info, view.snapshot(info.name), view.now_ns())

    @router.get("/assets/{asset}/telemetry", responses=_NOT_FOUND)
    def telemetry(
        asset: AssetName,
        tags: Annotated[list[str] | None, Query(description="names, repeated; default: all")] = None,
        since: Annotated[models.TimeNs | None, Query(description="default: an hour before `until`")] = None,
        until: Annotated[models.TimeNs | None, Query(description="default: now")] = None,
        max_points: Annotated[int, Query(ge=1, le=5000)] = 500,
    ) -> telemetry_models.TelemetryWindow:
        """Show recorded values with since <= time < until, summarised into `max_points` at most.

        One request at a time: another one meanwhile is answered with 503 and Retry-After.
        """
        info = find_asset(view, asset)
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
        with _one_at_a_time(summarising, "telemetry is summarised", 1):
            series = view.series(asset, names, since_ns, until_ns, max_points)
        return present.window(info, names, since_ns, until_ns, series)

    return router


@contextmanager
def _one_at_a_time(lock: Lock, what: str, again_s: int) -> Iterator[None]:
    """Do what costs much for one request; raise ApiError, with when to ask again, where one is under way."""
    if not lock.acquire(blocking=False):
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{what} for one request at a time, and one is under way; try again",
            {"Retry-After": str(again_s)},
        )
    try:
        yield
    finally:
        lock.release()


def _rehearsals(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["assets"])

    @router.get("/assets/{asset}/budget", responses=_NOT_FOUND)
    def budget(asset: AssetName) -> BudgetModel:
        """Show how many alerts an asset has raised a week against its alarm budget, and how far that can be told."""
        info = find_asset(view, asset)
        return BudgetModel.of(info, view.account(info.name, None, view.now_ns()))

    @router.get("/assets/{asset}/commissioning", responses=_NOT_FOUND)
    def commissioning(asset: AssetName) -> CommissioningModel:
        """Show how far an asset is on the way to alerts that people see, and what it would have raised."""
        info = find_asset(view, asset)
        now, last = view.standing(info.name), EventFilter(info.name, EventKind.LOOKED_BACK)
        looked = [one.comment for one in view.events(last, limit=1, before=None).events if one.about == now.model]
        alerts = view.alerts(AlertFilter(info.name, shadow=True), limit=SHADOW_MAX, before=None).alerts
        snapshot, found = view.snapshot(info.name), view.collected(info.name)
        return present.commissioning(info, now, found, snapshot, looked[0] if looked else None, alerts)

    @router.get("/assets/{asset}/models", responses=_NOT_FOUND)
    def versions(asset: AssetName) -> VersionList:
        """List the models of an asset, what was decided of each, and how a challenger does beside the champion."""
        info = find_asset(view, asset)
        trial, promoted = view.trial(info.name)
        return VersionList(
            asset=info.name,
            items=[VersionModel.of(one) for one in view.versions(info.name)],
            trial=None if trial is None else TrialModel.of(trial),
            since_promotion=None if promoted is None else RateModel.of(promoted),
        )

    @router.get("/assets/{asset}/drill", responses=_NOT_FOUND)
    def drill(asset: AssetName) -> DrillModel:
        """Show the last fire drill of an asset: which faults would be seen, how often and how soon."""
        info = find_asset(view, asset)
        held = view.last_drill(info.name)
        if held is None:
            raise ApiError(HTTPStatus.NOT_FOUND, f"no drill of {asset} was held yet; forewarn drill holds one")
        return DrillModel.of(held)

    return router


def _ledger(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["assets"])

    @router.get("/ledger", responses=_NOT_FOUND)
    def ledger(
        asset: Annotated[str | None, Query(description="of this asset")] = None,
        since: Annotated[models.TimeNs | None, Query(description="default: a week before `until`")] = None,
        until: Annotated[models.TimeNs | None, Query(description="default: now")] = None,
    ) -> LedgerModel:
        """Show what came of the alerts: what people say of them, failures, leads, and how the assets were watched."""
        until_ns = view.now_ns() if until is None else until
        since_ns = until_ns - WEEK_NS if since is None else since
        if since_ns >= until_ns:
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "query.since: must be before until")
        chosen = view.assets if asset is None else (find_asset(view, asset),)
        return LedgerModel(items=[
            AssetLedger(
                asset=info.name,
                budget=info.budget,
                span=AccountModel.of(view.account(info.name, since_ns, until_ns)),
                ever=AccountModel.of(view.account(info.name, None, until_ns)),
            )
            for info in chosen
        ])

    return router


def _alerts(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["alerts"])
    making = Lock()  # a replay of hours, in a child process: never more than one beside the agent

    @router.get("/alerts", response_model=models.AlertPage)
    def alerts(
        asset: Annotated[str | None, Query(description="of this asset")] = None,
        state: Annotated[AlarmState | None, Query(description="in this alarm state")] = None,
        is_open: Annotated[bool | None, Query(alias="open", description="true: not over yet")] = None,
        since: Annotated[models.TimeNs | None, Query(description="raised at or after this time")] = None,
        shadow: Annotated[bool, Query(description="those that nobody was told of, instead of the others")] = False,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[int | None, Query(ge=0, description="`before` of the previous page")] = None,
    ) -> Response:
        """List alerts, the newest first."""
        if asset is not None:
            find_asset(view, asset)
        page = view.alerts(AlertFilter(asset, state, is_open, since, shadow), limit=limit, before=before)
        return _json(present.alert_page(page.alerts, page.before))

    @router.get("/alerts/{alert_id}", response_model=models.AlertModel, responses=_NOT_FOUND)
    def alert(alert_id: AlertId) -> Response:
        """Show one alert as it stands, with what contributed to it: the journal's own bytes."""
        return _json(codec.encode(find_alert(view, alert_id)))

    @router.get("/alerts/{alert_id}/history", response_model=models.AlertHistory, responses=_NOT_FOUND)
    def history(alert_id: AlertId) -> Response:
        """Show every revision of an alert, the oldest first."""
        find_alert(view, alert_id)
        return _json(codec.dumps({"items": [codec.alert_json(one) for one in view.history(alert_id)]}))

    @router.get("/alerts/{alert_id}/evidence", response_class=Response, responses=_EVIDENCE)
    async def evidence(alert_id: AlertId) -> Response:
        """Give what was recorded of an alert, and its replay, as one signed file that opens without a network.

        One request at a time, and it may take minutes: another one meanwhile is answered with 503 and Retry-After.
        """
        with _one_at_a_time(making, "evidence is made", 10):
            try:
                await run_in_threadpool(find_alert, view, alert_id)
                content = await view.evidence(alert_id)
            except EvidenceError as error:
                raise ApiError(HTTPStatus.CONFLICT, str(error)) from error
            except CancelledError as error:  # by the server, which stops
                detail = "the agent stops, and the evidence is not made; ask again once it runs"
                raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "60"}) from error
        return Response(
            content, media_type=_HTML, headers={"Content-Disposition": f'attachment; filename="{alert_id}.html"'}
        )

    return router


def _events(view: AgentView) -> APIRouter:
    router = APIRouter(tags=["events"])

    @router.get("/events", response_model=EventPage)
    def events(
        asset: Annotated[str | None, Query(description="of this asset")] = None,
        kind: Annotated[EventKind | None, Query(description="of this kind")] = None,
        since: Annotated[models.TimeNs | None, Query(description="told at or after this time")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[int | None, Query(ge=0, description="`before` of the previous page")] = None,
    ) -> Response:
        """List what happened to assets, the newest first."""
        if asset is not None:
            find_asset(view, asset)
        page = view.events(EventFilter(asset, kind, since), limit=limit, before=before)
        return _json(present.event_page(page.events, page.before))

    return router


def _metrics(view: AgentView) -> Response:
    return Response(metrics.scrape(view), media_type=metrics.MEDIA_TYPE)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
