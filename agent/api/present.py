"""From the agent's own types to the bodies of the API."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from agent.api import models, telemetry_models
from agent.api.commissioning_models import CollectedModel, CommissioningModel
from agent.api.connection_models import ConnectionModel
from agent.api.trust_models import TagTrustList, TagTrustModel
from agent.line.alert import AlarmState, Alert, series_of
from agent.line.event import AssetEvent
from agent.line.quality import SAMPLES, trust
from agent.line.verdict import Condition
from agent.line.wording import NO_ESTIMATE, remaining_life
from agent.shadow import versions
from agent.shadow.standing import Collected, Standing
from agent.store import codec
from agent.store.series import Float64s, Series
from agent.view import AssetInfo, ConnectionInfo, HistorianInfo, Snapshot
from connectors.frame import status_name

_DAY_NS = 86_400_000_000_000


def package_version() -> str:
    """Return the version of Forewarn that runs."""
    try:
        return version("forewarn")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


def alert_page(alerts: Sequence[Alert], before: int | None) -> bytes:
    """Return a page of alerts as canonical JSON."""
    return codec.dumps({"items": [codec.alert_json(alert) for alert in alerts], "before": before})


def event_page(events: Sequence[AssetEvent], before: int | None) -> bytes:
    """Return a page of events as canonical JSON."""
    return codec.dumps({"items": [codec.event_json(event) for event in events], "before": before})


def withheld(snapshot: Snapshot) -> list[models.WithheldModel]:
    """Return what keeps the alerts of an asset from people."""
    return [models.WithheldModel.model_validate(codec.withheld_json(one)) for one in snapshot.withheld]


def summary(info: AssetInfo, snapshot: Snapshot) -> models.AssetSummary:
    """Return an asset at a glance; one that was not judged yet is blind."""
    verdict, alert = snapshot.verdict, snapshot.alert
    return models.AssetSummary(
        asset=info.name,
        stage=snapshot.stage,
        time=codec.format_time(verdict.time_ns) if verdict else None,
        condition=verdict.condition if verdict else Condition.BLIND,
        regime=verdict.regime if verdict else None,
        evidence=codec.number(verdict.evidence) if verdict else None,
        health=codec.number(verdict.health) if verdict else None,
        remaining_life=remaining_life(verdict) if verdict else NO_ESTIMATE,
        alert_id=alert.id if alert else None,
        alarm_state=alert.state if alert else AlarmState.NORMAL,
        withheld=withheld(snapshot),
    )


def detail(info: AssetInfo, snapshot: Snapshot, commands_dropped: int) -> models.AssetDetail:
    """Return everything about an asset."""
    verdict, alert, anew = snapshot.verdict, snapshot.alert, snapshot.rebaselining
    return models.AssetDetail(
        asset=info.name,
        stage=snapshot.stage,
        period_ms=info.period_ms,
        budget=info.budget,
        bundle=info.bundle,
        snapshot_time=codec.format_time(snapshot.time_ns),
        verdict=models.VerdictModel.model_validate(codec.verdict_json(verdict)) if verdict else None,
        alert=models.AlertModel.model_validate(codec.alert_json(alert)) if alert else None,
        withheld=withheld(snapshot),
        rebaselining=None if anew is None else models.RebaseliningModel(
            tags=list(anew.tags), rows=anew.rows, rows_needed=anew.rows_needed
        ),
        readings=[
            models.ReadingModel(
                tag=reading.tag,
                unit=reading.unit,
                value=codec.number(reading.value),
                status=status_name(reading.status),
                status_code=reading.status,
                time=codec.format_time(reading.time_ns) if reading.time_ns else None,
            )
            for reading in snapshot.readings
        ],
        rows=snapshot.rows,
        rows_late=snapshot.rows_late,
        commands_dropped=commands_dropped,
        clock_steps=snapshot.clock_steps,
    )


def commissioning(
    info: AssetInfo, now: Standing, found: Collected, snapshot: Snapshot, looked_back: str | None,
    alerts: Sequence[Alert],
) -> CommissioningModel:
    """Return the stage of an asset and what `alerts` it has, or would have, raised in shadow, the newest first."""
    silent_ns = snapshot.time_ns - snapshot.quality.good_ns
    before = [alert for alert in alerts if now.model and series_of(alert) == versions.past_series(info.name, now.model)]
    raised = [alert for alert in alerts if series_of(alert) == info.name]
    return CommissioningModel(
        asset=info.name,
        stage=now.stage,
        since=codec.format_time(now.since_ns) if now.since_ns else None,
        model=versions.version(now.model) if now.model else None,
        collected=CollectedModel(
            recorded_h=found.recorded_h,
            needed_h=found.needed_h,
            missing=[name for (name, _), since in zip(info.tags, silent_ns.tolist(), strict=True) if since > _DAY_NS],
            refused=found.refused,
        ),
        looked_back=looked_back,
        before=[models.AlertModel.model_validate(codec.alert_json(alert)) for alert in before],
        raised=[models.AlertModel.model_validate(codec.alert_json(alert)) for alert in raised],
    )


def tags(info: AssetInfo, snapshot: Snapshot, now_ns: int) -> TagTrustList:
    """Return how far each tag of an asset is to be trusted at `now_ns`."""
    quality, items = snapshot.quality, []
    for column, ((name, unit), reading) in enumerate(zip(info.tags, snapshot.readings, strict=True)):
        period_ms = info.periods_ms[column] if info.periods_ms else info.period_ms
        told = trust(quality, column, period_ms * 1_000_000, now_ns)
        good_ns = int(quality.good_ns[column])
        items.append(
            TagTrustModel(
                tag=name,
                unit=unit,
                period_ms=period_ms,
                value=codec.number(reading.value),
                status=status_name(reading.status),
                status_code=reading.status,
                time=codec.format_time(reading.time_ns) if reading.time_ns else None,
                age_s=max(now_ns - good_ns, 0) / 1e9 if good_ns else None,
                trust=told.score,
                reasons=[*told.reasons, *_learnt_anew(name, snapshot)],
                stale=told.stale,
                last_good=codec.format_time(good_ns) if good_ns else None,
                samples_hour=int(quality.hour[SAMPLES, column]),
                samples_day=int(quality.day[SAMPLES, column]),
            )
        )
    return TagTrustList(items=items)


def _learnt_anew(tag: str, snapshot: Snapshot) -> list[str]:
    anew = snapshot.rebaselining
    if anew is None or tag not in anew.tags:
        return []
    return [f"not judged: its level is learnt anew, by {anew.rows} of {anew.rows_needed} rows so far"]


def connection(info: ConnectionInfo) -> ConnectionModel:
    """Return a connection and its health."""
    health = info.health
    return ConnectionModel(
        connection=info.name,
        protocol=info.protocol,
        device=info.device,
        tags=info.tags,
        period_ms=info.period_ms,
        state=health.state,
        since=codec.format_time(health.since_ns),
        last_good=None if health.last_good_ns is None else codec.format_time(health.last_good_ns),
        attempts=health.attempts,
        reads=health.reads,
        reads_failed=health.reads_failed,
        requests=health.requests,
        latency_ms=health.latency_ms,
        retry_in_ms=health.retry_in_ms,
        error=health.error,
        ticks_missed=info.ticks_missed,
        frames_dropped=info.frames_dropped,
        values_dropped=health.values_dropped,
        server=health.about.device,
        clock_skew_ms=health.about.clock_skew_ms,
        rows_recovered=health.about.rows_recovered,
        missing_s=health.about.missing_s,
        given_up_s=health.about.given_up_s,
        notes=list(health.notes),
    )


def historian(info: HistorianInfo) -> telemetry_models.Historian:
    """Return how the telemetry is kept."""
    log, archive, wear = info.telemetry, info.archive, info.wear
    return telemetry_models.Historian(
        steps=log.steps,
        steps_lost=log.steps_lost,
        starts_lost=log.starts_lost,
        values=log.cells,
        log_bytes_written=log.bytes_written,
        sealed_bytes_written=archive.bytes_written,
        segments_sealed=archive.sealed,
        seal_failures=archive.failures,
        bytes_kept=log.bytes_kept,
        bytes_kept_max=info.bytes_max,
        days_kept_max=info.age_max_s / 86_400,
        bytes_dropped=log.bytes_dropped,
        bytes_damaged=log.bytes_damaged,
        error=log.error or archive.error,
        flash_bytes_written=wear.bytes_written,
        flash_bytes_per_day=wear.bytes_per_day,
        flash_life_years=wear.life_years,
    )


def window(
    info: AssetInfo, names: Sequence[str], since_ns: int, until_ns: int, series: Series
) -> telemetry_models.TelemetryWindow:
    """Return summarised telemetry."""
    units = dict(info.tags)
    return telemetry_models.TelemetryWindow(
        asset=info.name,
        since=codec.format_time(since_ns),
        until=codec.format_time(until_ns),
        rows=series.rows,
        times=[codec.format_time(int(time_ns)) for time_ns in series.time_ns],
        tags=[
            telemetry_models.TagSeries(
                tag=name,
                unit=units[name],
                mean=_numbers(series.mean[:, column]),
                low=_numbers(series.low[:, column]),
                high=_numbers(series.high[:, column]),
            )
            for column, name in enumerate(names)
        ],
    )


def _numbers(values: Float64s) -> list[float | None]:
    return [codec.number(value) for value in values]
