"""`GET /metrics`: the agent's figures in the text format of Prometheus; labels are configured names and states."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.api import present
from agent.line.stage import Stage
from agent.line.verdict import Condition
from agent.view import AgentView, ConnectionInfo
from connectors.link import LinkState

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Values = dict[tuple[str, ...], float | None]
"""The value for each combination of labels; None where there is none to tell."""


class AgentCollector(Collector):
    """Asks the agent at each scrape, but not its journal; keeps nothing."""

    def __init__(self, view: AgentView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        view = self._view
        yield gauge("info", "version of Forewarn", ["version"], {(present.package_version(),): 1})
        yield gauge("ready", "1 while it watches and can keep what it sees", [], {(): float(view.readiness().ready)})
        yield from connections(view)
        yield from assets(view)
        waiting, most = view.queue()
        yield gauge("queue_frames", "frames that wait to be judged", [], {(): waiting})
        yield gauge("queue_frames_max", "frames that can wait", [], {(): most})
        yield from telemetry(view)


def scrape(view: AgentView) -> bytes:
    """Return the answer to one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(view))
    return generate_latest(registry)


def connections(view: AgentView) -> Iterator[Metric]:
    """Give the metrics of the connections."""
    found = view.connections()
    labels = ["connection"]
    yield gauge(
        "connection_state", "1 for the state that the connection is in", ["connection", "state"],
        {(one.name, state.value): float(one.health.state is state) for one in found for state in LinkState},
    )
    yield gauge(
        "connection_last_good_timestamp_seconds", "when the last good value came", labels,
        {(one.name,): None if (at := one.health.last_good_ns) is None else at / 1e9 for one in found},
    )
    yield gauge(
        "connection_latency_seconds", "how long the last read took", labels,
        {(one.name,): one.health.latency_ms / 1e3 for one in found},
    )
    yield gauge(
        "connection_notes", "what to know although values come, such as tags that are read wrongly", labels,
        {(one.name,): len(one.health.notes) for one in found},
    )
    yield gauge(
        "connection_missing_seconds", "how much of past outages the device's history is still asked for", labels,
        {(one.name,): one.health.about.missing_s for one in found},
    )
    counted: tuple[tuple[str, str, Callable[[ConnectionInfo], int]], ...] = (
        ("attempts", "attempts to connect", lambda one: one.health.attempts),
        ("reads", "reads", lambda one: one.health.reads),
        ("reads_failed", "reads that gave nothing", lambda one: one.health.reads_failed),
        ("requests", "requests sent", lambda one: one.health.requests),
        ("ticks_missed", "reads due while another still ran", lambda one: one.ticks_missed),
        ("frames_dropped", "frames that found the queue full", lambda one: one.frames_dropped),
        ("values_dropped", "values that came faster than they were read", lambda one: one.health.values_dropped),
        ("rows_recovered", "rows of outages, from the device's history", lambda one: one.health.about.rows_recovered),
    )
    for name, told, count in counted:
        yield counter(f"connection_{name}", told, labels, {(one.name,): count(one) for one in found})


def assets(view: AgentView) -> Iterator[Metric]:
    """Give the metrics of the assets."""
    seen = {info.name: view.snapshot(info.name) for info in view.assets}
    verdicts = {name: snapshot.verdict for name, snapshot in seen.items()}
    now = {name: verdict.condition if verdict else Condition.BLIND for name, verdict in verdicts.items()}
    yield gauge(
        "asset_condition", "1 for the condition that the asset is in", ["asset", "condition"],
        {(name, one.value): float(one is condition) for name, condition in now.items() for one in Condition},
    )
    yield gauge(
        "asset_stage", "1 for the stage that the asset is in", ["asset", "stage"],
        {(name, one.value): float(one is snapshot.stage) for name, snapshot in seen.items() for one in Stage},
    )
    yield gauge(
        "asset_challenger", "1 while a second model judges the asset in shadow", ["asset"],
        {(name,): float(snapshot.trial is not None) for name, snapshot in seen.items()},
    )
    yield gauge(
        "asset_model_info", "hash of the model that judges", ["asset", "model"],
        {(name, verdict.model_hash): 1 for name, verdict in verdicts.items() if verdict},
    )
    for field, told in (
        ("evidence", "evidence against the learnt normal; 1 is the limit"),
        ("health", "health index, 1 as new"),
        ("coverage", "share of the model's tags that were good"),
    ):
        yield gauge(
            f"asset_{field}", told, ["asset"],
            {(name,): None if one is None else float(getattr(one, field)) for name, one in verdicts.items()},
        )
    yield gauge(
        "alert_open", "1 while the asset has an open alert", ["asset"],
        {(name,): float(snapshot.alert is not None) for name, snapshot in seen.items()},
    )
    counted: tuple[tuple[str, str, Callable[[str], int]], ...] = (
        ("rows", "rows judged", lambda asset: seen[asset].rows),
        ("rows_late", "rows too late for their place", lambda asset: seen[asset].rows_late),
        ("clock_steps", "how often the clock of its source was set", lambda asset: seen[asset].clock_steps),
        ("commands_dropped", "commands of people that found too many waiting", view.commands_dropped),
    )
    for name, told, count in counted:
        yield counter(f"asset_{name}", told, ["asset"], {(asset,): count(asset) for asset in seen})


def telemetry(view: AgentView) -> Iterator[Metric]:
    """Give the metrics of the telemetry and of the card that it wears."""
    found = view.historian()
    log, archive, wear = found.telemetry, found.archive, found.wear
    for name, told, value in (
        ("steps", "steps written", log.steps),
        ("values", "values written", log.cells),
        ("steps_lost", "steps that could not be written", log.steps_lost),
        ("starts_lost", "new beginnings of lines that could not be written", log.starts_lost),
        ("damaged_bytes", "bytes found damaged and passed over", log.bytes_damaged),
        ("dropped_bytes", "bytes dropped to keep within size and age", log.bytes_dropped),
        ("segments_sealed", "segments turned into Parquet", archive.sealed),
        ("seal_failures", "child processes that failed to", archive.failures),
    ):
        yield counter(f"telemetry_{name}", told, [], {(): value})
    yield counter(
        "telemetry_written_bytes", "bytes written, in the log and sealed", ["form"],
        {("log",): log.bytes_written, ("sealed",): archive.bytes_written},
    )
    yield gauge("telemetry_kept_bytes", "bytes kept", [], {(): log.bytes_kept})
    yield gauge("telemetry_kept_bytes_max", "bytes above which the oldest go", [], {(): found.bytes_max})
    yield gauge("telemetry_kept_seconds_max", "age above which it goes", [], {(): found.age_max_s})
    healthy = log.error is None and archive.error is None
    yield gauge("telemetry_ok", "1 while it can be written, sealed and dropped", [], {(): float(healthy)})
    yield counter("flash_written_bytes", "bytes that all of the agent had written", [], {(): wear.bytes_written})
    yield gauge("flash_bytes_per_day", "that, for a day", [], {(): wear.bytes_per_day})
    yield gauge("flash_life_years", "years until a card has taken all it can", [], {(): wear.life_years})


def gauge(name: str, told: str, labels: list[str], values: Values) -> Metric:
    """Return a gauge."""
    metric = GaugeMetricFamily(f"forewarn_{name}", told, labels=labels)
    for key, value in values.items():
        if value is not None:
            metric.add_metric(key, value)
    return metric


def counter(name: str, told: str, labels: list[str], values: Values) -> Metric:
    """Return a counter; Prometheus has `_total` at the end of its name."""
    metric = CounterMetricFamily(f"forewarn_{name}", told, labels=labels)
    for key, value in values.items():
        if value is not None:
            metric.add_metric(key, value)
    return metric
