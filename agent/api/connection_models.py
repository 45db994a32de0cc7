"""The bodies of the API that say how connections are."""

from __future__ import annotations

from pydantic import Field

from agent.api.models import TIME, Model, Time, example
from connectors.link import LinkState


class ConnectionModel(Model):
    """One connection and its health."""

    model_config = example(
        {
            "connection": "line3_plc",
            "protocol": "modbus-tcp",
            "device": "192.0.2.10:502",
            "tags": 12,
            "period_ms": 1000,
            "state": "delivering",
            "since": TIME,
            "last_good": TIME,
            "attempts": 1,
            "reads": 900,
            "reads_failed": 2,
            "requests": 1800,
            "latency_ms": 4.2,
            "retry_in_ms": 0.0,
            "error": "",
            "ticks_missed": 0,
            "frames_dropped": 0,
            "values_dropped": 0,
            "server": "",
            "clock_skew_ms": None,
            "rows_recovered": 0,
            "missing_s": 0.0,
            "given_up_s": 0.0,
            "notes": ["unit 7 does not answer; it is asked ever more rarely, up to 16 s apart"],
        }
    )

    connection: str
    protocol: str
    device: str
    tags: int
    period_ms: int
    state: LinkState
    since: Time
    last_good: Time | None
    attempts: int
    reads: int
    reads_failed: int
    requests: int
    latency_ms: float
    retry_in_ms: float
    error: str = Field(description="the last fault in words, empty while all is well")
    ticks_missed: int = Field(description="reads that were due while another still ran")
    frames_dropped: int = Field(description="frames that found the queue to the lines full")
    values_dropped: int = Field(description="values that came faster than they were read, here or in the device")
    server: str = Field(description="which of redundant servers is in use; empty where the device does not say")
    clock_skew_ms: float | None = Field(description="the device's clock minus this machine's; null where unknown")
    rows_recovered: int = Field(description="rows of past outages that the device's own history filled")
    missing_s: float = Field(description="how much of past outages it is still asked for")
    given_up_s: float = Field(description="how much of past outages it could not fill")
    notes: list[str] = Field(description="what to know although values come: silent units, a backup in use")


class ConnectionList(Model):
    """All connections, in the order of the configuration."""

    items: list[ConnectionModel]
