"""The bodies of the API that tell what was recorded, and how it is kept."""

from __future__ import annotations

from pydantic import Field

from agent.api.models import TIME, Model, Time, example


class TagSeries(Model):
    """One tag in a window: mean, least and greatest value per point, null where nothing was measured."""

    tag: str
    unit: str
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


class TelemetryWindow(Model):
    """Recorded telemetry; a point stands for one row, or for several."""

    model_config = example(
        {
            "asset": "pump",
            "since": TIME,
            "until": TIME,
            "rows": 2,
            "times": [TIME],
            "tags": [
                {
                    "tag": "discharge_pressure",
                    "unit": "bar",
                    "mean": [9.3],
                    "low": [9.2],
                    "high": [9.4],
                }
            ],
        }
    )

    asset: str
    since: Time
    until: Time
    rows: int = Field(description="rows summarised")
    times: list[Time]
    tags: list[TagSeries]


class Historian(Model):
    """How the telemetry is kept, counted since the start, and what the agent writes to the flash card."""

    model_config = example(
        {
            "steps": 8640,
            "steps_lost": 0,
            "starts_lost": 0,
            "values": 103680,
            "log_bytes_written": 160000,
            "sealed_bytes_written": 170000,
            "segments_sealed": 2,
            "seal_failures": 0,
            "bytes_kept": 330000,
            "bytes_kept_max": 1024000000,
            "days_kept_max": 400.0,
            "bytes_dropped": 0,
            "bytes_damaged": 0,
            "error": None,
            "flash_bytes_written": 35000000,
            "flash_bytes_per_day": 350000000.0,
            "flash_life_years": 125.2,
        }
    )

    steps: int
    steps_lost: int
    starts_lost: int = Field(description="new beginnings of a line, with another model, not recorded")
    values: int
    log_bytes_written: int
    sealed_bytes_written: int
    segments_sealed: int
    seal_failures: int = Field(description="child processes that failed to seal; it is tried again")
    bytes_kept: int = Field(description="as of the last segment that was begun")
    bytes_kept_max: int
    days_kept_max: float
    bytes_dropped: int
    bytes_damaged: int
    error: str | None
    flash_bytes_written: int | None = Field(description="by all of the agent, journal included; null: not known")
    flash_bytes_per_day: float | None = Field(description="null in the first ten minutes")
    flash_life_years: float | None = Field(description="of a card of flash_gb and flash_cycles, at this pace")
