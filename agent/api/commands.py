"""What people say over the API: each command is checked against what can be known, and queued for the asset's line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response

from agent.api import PREFIX
from agent.api.command_models import (
    AcknowledgeBody,
    CommandAccepted,
    GoLiveBody,
    InServiceBody,
    LabelBody,
    ModelBody,
    NormalBody,
    NothingChangedBody,
    OutcomeBody,
    OutOfServiceBody,
    RebaselineBody,
    RollbackBody,
    ShelveBody,
    UnshelveBody,
)
from agent.api.lookup import AlertId, AssetName, find_alert, find_asset
from agent.api.problems import ApiError, describe
from agent.line.alert import (
    Acknowledge,
    AlarmState,
    Alert,
    Command,
    DeclareNormal,
    EndHold,
    GiveLabel,
    Label,
    OutcomeKind,
    Rebaseline,
    RecordOutcome,
    ReturnToService,
    Shelve,
    TakeOutOfService,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.lifecycle import shelf_of
from agent.line.stage import Decide, Decision, Stage
from agent.shadow import versions
from agent.shadow.standing import IN_FORCE_KINDS
from agent.shadow.versions import Role
from agent.store import codec
from agent.view import AgentView, Submitted

AHEAD_NS_MAX: Final = 366 * 86_400_000_000_000
"""Planned work further ahead is refused: more likely a slip of the pen."""
_RESPONSES = describe(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT
)


def commands(view: AgentView) -> APIRouter:
    """Return the operations by which people say something to an alert or an asset."""
    router = APIRouter(tags=["commands"])
    _say_to_alerts(view, router)
    _say_to_assets(view, router)
    _decide(view, router)
    _choose(view, router)
    return router


def _post(router: APIRouter, path: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    accepted = HTTPStatus.ACCEPTED.value
    return router.post(path, status_code=accepted, response_model=CommandAccepted, responses=_RESPONSES)


def _post_each(router: APIRouter, of: str, said: Mapping[str, Callable[..., Response]]) -> None:
    for path, command in said.items():
        _post(router, f"{of}/{path}")(command)


class AssetCommands:
    """What people say to an asset: each is checked, and queued for its line.

    Each raises ApiError where it is refused; "body.FIELD: " is before what is wrong with a field.
    """

    def __init__(self, view: AgentView) -> None:
        self._view = view

    def take_out_of_service(self, asset: AssetName, body: OutOfServiceBody) -> Response:
        """Take an asset out of service, now or later: no alert of it is raised meanwhile. 409 where it is already."""
        now_ns = self._view.now_ns()
        since_ns = now_ns if body.since is None else max(body.since, now_ns)
        if since_ns > now_ns + AHEAD_NS_MAX:
            said = "body.since: is more than a year ahead; say it when it is nearer"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, said)
        out = _way(self._view, asset, WithheldKind.OUT_OF_SERVICE)
        if out is not None and out.until_ns is not None and out.until_ns > now_ns:
            window = f"{codec.format_time(out.since_ns)} to {codec.format_time(out.until_ns)}"
            said = f"{asset} is out of service from {window} already; return it to service first"
            raise ApiError(HTTPStatus.CONFLICT, said)
        until_ns = since_ns + int(body.duration_s * 1e9)
        command = TakeOutOfService(asset, body.by, now_ns, since_ns, until_ns, body.reason)
        return _queue(self._view, "out-of-service", asset, None, command)

    def return_to_service(self, asset: AssetName, body: InServiceBody) -> Response:
        """Return an asset to service, or call off that it be taken out. 409 where it is in service."""
        if _way(self._view, asset, WithheldKind.OUT_OF_SERVICE) is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} is in service, and nothing else is planned")
        command = ReturnToService(asset, body.by, self._view.now_ns(), body.comment)
        return _queue(self._view, "in-service", asset, None, command)

    def nothing_changed(self, asset: AssetName, body: NothingChangedBody) -> Response:
        """Say that a change that was seen changed nothing: alerts are no longer on hold. 409 where they are not."""
        if _way(self._view, asset, WithheldKind.ON_HOLD) is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} is not on hold")
        command = EndHold(asset, body.by, self._view.now_ns(), body.comment)
        return _queue(self._view, "nothing-changed", asset, None, command)

    def rebaseline(self, asset: AssetName, body: RebaselineBody) -> Response:
        """Learn the level of some tags anew, from the rows to come; they are not judged until it is known."""
        now, tags = self._view.snapshot(find_asset(self._view, asset).name), tuple(dict.fromkeys(body.tags))
        if switches := [tag for tag in tags if tag in now.switches]:
            why = "switches between a few values, and has no level in between: learn another model"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, f"body.tags: {', '.join(switches)}: {why}")
        if unknown := [tag for tag in tags if tag not in now.levels]:
            has = f"the model has no level of that; it has of: {', '.join(now.levels)}"
            said = f"body.tags: {', '.join(unknown)}: {has if now.levels else 'there is no model yet'}"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, said)
        if len(tags) == len(now.levels):
            said = "body.tags: are all tags that have a level; leave out one to go by, or learn another model"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, said)
        command = Rebaseline(asset, tags, body.by, self._view.now_ns(), body.comment)
        return _queue(self._view, "rebaseline", asset, None, command)

    def declare_normal(self, asset: AssetName, body: NormalBody) -> Response:
        """Say that what an asset did is normal: it may be learnt from, whatever was made of it."""
        find_asset(self._view, asset)
        now_ns = self._view.now_ns()
        until_ns = now_ns if body.until is None else body.until
        if not body.since < until_ns <= now_ns:
            said = "body.since: must be before body.until, and neither is to come: only what was seen can be normal"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, said)
        command = DeclareNormal(asset, body.by, now_ns, body.since, until_ns, body.comment)
        return _queue(self._view, "normal", asset, None, command)

    def record_failure(self, asset: AssetName, body: OutcomeBody) -> Response:
        """Record that an asset failed, now or before, and which alert had warned of it, if one had."""
        return _record(self._view, asset, OutcomeKind.FAILURE, body)

    def record_repair(self, asset: AssetName, body: OutcomeBody) -> Response:
        """Record that an asset was repaired before it failed, and which alert had told of it, if one had."""
        return _record(self._view, asset, OutcomeKind.REPAIR, body)


class AlertCommands:
    """What people say to an alert, as AssetCommands."""

    def __init__(self, view: AgentView) -> None:
        self._view = view

    def acknowledge(self, alert_id: AlertId, body: AcknowledgeBody) -> Response:
        """Take an alert on. It takes effect at the next step; 409 where that was done already."""
        alert = find_alert(self._view, alert_id)
        if (seen := alert.acknowledgement) is not None:
            said = f"{alert_id} was acknowledged by {seen.by} at {codec.format_time(seen.time_ns)}"
            raise ApiError(HTTPStatus.CONFLICT, said)
        _refuse_if_over(alert)
        command = Acknowledge(alert_id, body.by, self._view.now_ns(), body.comment)
        return _queue(self._view, "acknowledge", alert.asset, alert_id, command)

    def shelve(self, alert_id: AlertId, body: ShelveBody) -> Response:
        """Put an alert aside. It takes effect at the next step; 409 where that was done already."""
        alert, now_ns = find_alert(self._view, alert_id), self._view.now_ns()
        shelf = shelf_of(alert)
        if shelf is not None and shelf.until_ns is not None and shelf.until_ns > now_ns:
            said = f"{alert_id} is shelved until {codec.format_time(shelf.until_ns)}; unshelve it first"
            raise ApiError(HTTPStatus.CONFLICT, said)
        _refuse_if_over(alert)
        until_ns = now_ns + int(body.duration_s * 1e9)
        command = Shelve(alert_id, body.by, now_ns, until_ns, body.reason)
        return _queue(self._view, "shelve", alert.asset, alert_id, command)

    def unshelve(self, alert_id: AlertId, body: UnshelveBody) -> Response:
        """Take a shelved alert back. It takes effect at the next step; 409 where it is not shelved."""
        alert = find_alert(self._view, alert_id)
        if shelf_of(alert) is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{alert_id} is not shelved")
        return _queue(self._view, "unshelve", alert.asset, alert_id, Unshelve(alert_id, body.by, self._view.now_ns()))

    def label(self, alert_id: AlertId, body: LabelBody) -> Response:
        """Say what an alert was, open or over, or correct what was said. It takes effect at the next step."""
        alert = find_alert(self._view, alert_id)
        label = Label(body.answer, body.fault, body.by, self._view.now_ns(), body.comment)
        return _queue(self._view, "label", alert.asset, alert_id, GiveLabel(alert_id, label))


def _say_to_alerts(view: AgentView, router: APIRouter) -> None:
    say = AlertCommands(view)
    _post_each(router, "/alerts/{alert_id}", {
        "acknowledge": say.acknowledge,
        "shelve": say.shelve,
        "unshelve": say.unshelve,
        "label": say.label,
    })


def _say_to_assets(view: AgentView, router: APIRouter) -> None:
    say = AssetCommands(view)
    _post_each(router, "/assets/{asset}", {
        "out-of-service": say.take_out_of_service,
        "in-service": say.return_to_service,
        "nothing-changed": say.nothing_changed,
        "rebaseline": say.rebaseline,
        "normal": say.declare_normal,
        "failures": say.record_failure,
        "repairs": say.record_repair,
    })


def _decide(view: AgentView, router: APIRouter) -> None:
    @_post(router, "/assets/{asset}/go-live")
    def go_live(asset: AssetName, body: GoLiveBody) -> Response:
        """Let people see an asset's alerts from now on. 409 where they do, or where there is no model yet."""
        stage = view.snapshot(find_asset(view, asset).name).stage
        if stage is not Stage.SHADOW:
            why = "live already" if stage is Stage.LIVE else f"{stage}: there is no model that could raise anything"
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} is {why}")
        command = Decide(asset, Decision.GO_LIVE, body.by, view.now_ns(), body.comment)
        return _queue(view, "go-live", asset, None, command)


def _choose(view: AgentView, router: APIRouter) -> None:
    @_post(router, "/assets/{asset}/promote")
    def promote(asset: AssetName, body: ModelBody) -> Response:
        """Let the challenger of an asset take the champion's place, within a minute. 409 where there is none."""
        challenger = view.standing(find_asset(view, asset).name).challenger
        if challenger is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} has no challenger; forewarn models add puts one beside it")
        command = Decide(asset, Decision.PROMOTE, body.by, view.now_ns(), body.comment, challenger)
        return _queue(view, "promote", asset, None, command)

    @_post(router, "/assets/{asset}/rollback")
    def roll_back(asset: AssetName, body: RollbackBody) -> Response:
        """Give the place back to the model before the promoted one, or to `version`, within a minute.

        409 where nothing was promoted, or that model has not judged the asset before, or could not as it is configured.
        """
        name = find_asset(view, asset).name
        found = view.standing(name).previous if body.version is None else _judged_before(view, name, body.version)
        if found is None:
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} is judged by no model that was promoted")
        if (why := view.unusable(name, found)) is not None:
            raise ApiError(HTTPStatus.CONFLICT, f"{asset} cannot be judged by {versions.version(found)}: {why}")
        command = Decide(asset, Decision.ROLL_BACK, body.by, view.now_ns(), body.comment, found)
        return _queue(view, "rollback", asset, None, command)


def _judged_before(view: AgentView, asset: str, version: str) -> str:
    """Return the hash of a model that has judged an asset and judges it no more; raise ApiError."""
    before = {
        versions.version(one.model): one.model
        for one in view.versions(asset)
        if one.role is Role.PREVIOUS
        or (one.role is not Role.CHAMPION and any(event.kind in IN_FORCE_KINDS for event in one.decided))
    }
    if version not in before:
        there = ", ".join(before) or "none that is still there"
        why = f"{asset} was not judged by a model {version} before this one; it was by: {there}"
        raise ApiError(HTTPStatus.CONFLICT, why)
    return before[version]


def _record(view: AgentView, asset: str, kind: OutcomeKind, body: OutcomeBody) -> Response:
    _same_asset(view, asset, body.alert_id)
    now_ns = view.now_ns()
    if body.at is not None and body.at > now_ns:
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "body.at: is to come; record it once it has happened")
    at_ns = now_ns if body.at is None else body.at
    command = RecordOutcome(asset, kind, body.by, now_ns, at_ns, body.alert_id, body.downtime_s, body.comment)
    return _queue(view, kind.value, asset, None, command)


def _same_asset(view: AgentView, asset: str, alert_id: str | None) -> None:
    find_asset(view, asset)
    if alert_id is not None and (alert := find_alert(view, alert_id)).asset != asset:
        said = f"body.alert_id: {alert_id} is of {alert.asset}; name an alert of {asset}, or none"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, said)


def _way(view: AgentView, asset: str, kind: WithheldKind) -> Withheld | None:
    """Return how an asset's alerts are withheld in one way, now or at a time to come, None where they are not."""
    ways = view.snapshot(find_asset(view, asset).name).withheld
    return next((one for one in ways if one.kind is kind), None)


def _refuse_if_over(alert: Alert) -> None:
    if alert.shadow:
        raise ApiError(HTTPStatus.CONFLICT, f"{alert.id} is in shadow: nobody was told of it")
    if alert.state is AlarmState.NORMAL:
        raise ApiError(HTTPStatus.CONFLICT, f"{alert.id} is over")


def _queue(view: AgentView, name: str, asset: str, alert_id: str | None, command: Command) -> Response:
    if asset not in {info.name for info in view.assets}:
        raise ApiError(HTTPStatus.CONFLICT, f"{asset} is not configured any more: nobody would record it")
    if view.submit(asset, command) is Submitted.QUEUE_FULL:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"too many commands wait for {asset}; try again", {"Retry-After": "1"}
        )
    href = f"{PREFIX}/assets/{asset}" if alert_id is None else f"{PREFIX}/alerts/{alert_id}"
    body = codec.dumps({"command": name, "asset": asset, "alert_id": alert_id, "href": href})
    return Response(
        body, HTTPStatus.ACCEPTED.value, media_type="application/json", headers={"Location": href}
    )
