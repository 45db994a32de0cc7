"""`forewarn export`: what was recorded, sealed or not, as tables for others; what cannot be given is said."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from agent.store import seal, sealed, segments
from agent.store.blocks import Step
from agent.store.codec import format_time
from agent.store.telemetry import HOUR_NS, TelemetryLog
from connectors.frame import BAD_TIMEOUT, Frame
from tests.agent.commands import forewarn
from tests.agent.samples import SECOND_NS

BEGIN_NS = 1_790_000_000 // 3600 * HOUR_NS


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three hours of a pump, a row a minute, the first hour sealed; each seventh temperature a time-out."""
    log = TelemetryLog(tmp_path / "state" / "telemetry", {"pump": (("pressure", "bar"), ("temperature", "degC"))})
    for minute in range(180):
        now_ns = BEGIN_NS + minute * 60 * SECOND_NS
        status = [0, BAD_TIMEOUT if minute % 7 == 0 else 0]
        log.append(Step("pump", now_ns, Frame.of(now_ns, [minute / 10, 40.0], status)), now_ns)
    log.close()
    seal.seal(segments.segments(log.directory)[0])
    assert len(sealed.folders(log.directory)) == 1
    return tmp_path / "state"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_all_of_it(state: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"all.{suffix}"
    done = forewarn("export", state, "--asset", "pump", "--out", out)
    assert (done.exit_code, done.output) == (0, f"{out}: 180 rows\n")
    table = pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out, try_parse_dates=True)
    assert table.columns == ["time", "pressure", "temperature"]
    assert table["pressure"].to_list() == pytest.approx([minute / 10 for minute in range(180)])
    assert table["temperature"].null_count() == 26
    assert table["time"].is_sorted()


def test_some_tags_of_some_time(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.parquet"
    since, until = (format_time(BEGIN_NS + minute * 60 * SECOND_NS) for minute in (30, 60))
    options = ["--asset", "pump", "--tags", "pressure", "--since", since, "--until", until, "--out", out]
    done = forewarn("export", state / "telemetry", *options)
    assert done.exit_code == 0, done.output
    table = pl.read_parquet(out)
    assert table.columns == ["time", "pressure"]
    assert table["pressure"].to_list() == pytest.approx([minute / 10 for minute in range(30, 60)])


def test_an_outage_that_was_filled_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    """And one that was not is there: rows without values say that nothing came."""
    log = TelemetryLog(tmp_path / "telemetry", {"pump": (("pressure", "bar"),)})

    def put(minute: float, value: float | None, *, recovered: bool = False) -> None:
        at_ns = BEGIN_NS + int(minute * 60 * SECOND_NS)
        row = Frame.bad(at_ns, 1, BAD_TIMEOUT) if value is None else Frame.of(at_ns, [value], [0])
        log.append(Step("pump", BEGIN_NS + 3599 * SECOND_NS if recovered else at_ns, row, recovered=recovered), at_ns)

    for minute in range(60):
        put(minute + 0.1 if minute not in range(20, 40) else minute, None if minute in range(20, 40) else minute)
    for minute in range(20, 30):
        put(minute + 0.1, minute, recovered=True)
    log.close()
    out = tmp_path / "filled.parquet"
    assert forewarn("export", tmp_path, "--asset", "pump", "--out", out).exit_code == 0
    table = pl.read_parquet(out)
    assert table["time"].is_sorted()
    valued = table.drop_nulls()
    assert valued["pressure"].to_list() == [*range(30), *range(40, 60)]
    missing = table.filter(pl.col("pressure").is_null())["time"]
    assert [(time.timestamp() - BEGIN_NS / 1e9) / 60 for time in missing] == [*range(30, 40)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--asset", "press", "--out", "x.csv"], "has no telemetry of 'press'; it has: pump"),
        (["--asset", "pump", "--tags", "flow", "--out", "x.csv"], "pump has no flow; it has: pressure, temperature"),
        (["--asset", "pump", "--out", "x.xlsx"], "x.xlsx: must end in .parquet or .csv"),
        (["--asset", "pump", "--out", "/dev/null/x.csv"], "/dev/null/x.csv: cannot be written"),
        (["--asset", "pump", "--since", "yesterday", "--out", "x.csv"], "--since yesterday:"),
    ],
)
def test_what_cannot_be_given_is_said(state: Path, options: list[str], said: str) -> None:
    done = forewarn("export", state, *options)
    assert done.exit_code == 2, done.output
    assert said in done.output
