"""The archive: old telemetry is sealed by a child and read by one; a child that fails costs neither agent nor data."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.archive import RETRY_NS, Archive
from agent.store import sealed, segments
from agent.store.blocks import Layout, Step
from agent.store.series import Window
from agent.store.telemetry import HOUR_NS, TelemetryLog
from connectors.frame import Frame
from tests.agent.doubles import until
from tests.agent.samples import SECOND_NS, START_NS
from tests.clock import ManualClock

LAYOUT: Layout = {"pump": (("pressure", "bar"), ("temperature", "degC"))}
TAGS = [("temperature", "degC"), ("pressure", "bar")]
BEGIN_NS = START_NS // HOUR_NS * HOUR_NS
HOURS = 5
EVERY_S = 60


def value(second: int) -> tuple[float, float]:
    return second / 10, 40.0 + second % 7


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TelemetryLog]:
    """Five hours, of which three may be sealed."""
    log = TelemetryLog(tmp_path, LAYOUT)
    for second in range(0, HOURS * 3600, EVERY_S):
        now_ns = BEGIN_NS + second * SECOND_NS
        log.append(Step("pump", now_ns, Frame.of(now_ns, value(second), [0, 0])), now_ns)
    yield log
    log.close()


def broken(tmp_path: Path, script: str) -> list[str]:
    """Return a stand-in for Python that does what `script` says."""
    path = tmp_path.parent / f"{tmp_path.name}-python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return [str(path)]


def test_what_is_sealed_and_what_is_not_is_one_series(log: TelemetryLog) -> None:
    archive = Archive(log, ManualClock())
    window = Window(BEGIN_NS + 1800 * SECOND_NS, BEGIN_NS + 5 * HOUR_NS, 27)
    before = archive.series("pump", TAGS, window)
    assert asyncio.run(archive.seal())
    assert [folder.number for folder in sealed.folders(log.directory)] == [1, 2, 3]
    assert archive.health.sealed == 3
    assert archive.health.bytes_written > 1000
    assert not archive.waiting()
    after = archive.series("pump", TAGS, window)
    assert after.rows == before.rows == 4.5 * 3600 / EVERY_S
    assert np.array_equal(after.time_ns, before.time_ns)
    assert np.allclose(after.mean, before.mean, rtol=1e-12)
    assert np.array_equal(after.low, before.low)
    assert np.array_equal(after.high, before.high)
    assert after.low[0].tolist() == [40.0, 180.0]


def test_the_last_hour_needs_no_child(log: TelemetryLog, tmp_path: Path) -> None:
    asyncio.run(Archive(log, ManualClock()).seal())
    now_ns = BEGIN_NS + HOURS * HOUR_NS
    archive = Archive(log, ManualClock(), broken(tmp_path, "exit 1"))
    assert archive.series("pump", TAGS, Window(now_ns - HOUR_NS, now_ns, 10)).rows == 3600 / EVERY_S


def test_a_damaged_file_is_moved_aside_with_a_note_and_counted_once(log: TelemetryLog) -> None:
    archive = Archive(log, ManualClock())
    asyncio.run(archive.seal())
    path = sealed.folders(log.directory)[1].path / "pump.parquet"
    body = bytearray(path.read_bytes())
    body[200] ^= 1
    path.write_bytes(body)
    window = Window(BEGIN_NS, BEGIN_NS + 3 * HOUR_NS, 30)
    rows = [archive.series("pump", TAGS, window).rows for _ in range(2)]
    assert 2 * 3600 / EVERY_S - 2 <= rows[0] == rows[1] <= 2 * 3600 / EVERY_S + 2
    assert log.health.bytes_damaged == len(body)
    assert path.with_name("pump.parquet.damaged").read_bytes() == bytes(body)
    assert f"{len(body)} bytes are not what was written" in path.with_name("pump.parquet.damaged.txt").read_text()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no room to seal' >&2; exit 3", "no room to seal"),
        ("kill -9 $$", "sealing ended with -9"),
        ("exit 1", "sealing ended with 1"),
    ],
)
def test_a_child_that_dies_is_counted_and_tried_again_later(
    log: TelemetryLog, tmp_path: Path, script: str, said: str
) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        archive = Archive(log, clock, broken(tmp_path, script))
        task = asyncio.create_task(archive.run())
        await until(lambda: archive.health.failures == 1)
        await clock.until_sleeping(1)
        assert (archive.health.failures, archive.health.error) == (1, said)
        await clock.advance(RETRY_NS - SECOND_NS, sleepers=1)
        assert archive.health.failures == 1
        broken(tmp_path, f'exec "{sys.executable}" "$@"')
        await clock.advance(2 * SECOND_NS, sleepers=1)
        await until(lambda: archive.health.sealed == 3 and archive.health.error is None)
        assert (archive.health.sealed, archive.health.error) == (3, None)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scenario())


def test_a_child_that_cannot_be_started_is_told(log: TelemetryLog) -> None:
    archive = Archive(log, ManualClock(), ["/nowhere/python"])
    assert not asyncio.run(archive.seal())
    assert archive.health.error == "/nowhere/python cannot be started: No such file or directory"
    assert len(segments.segments(log.directory)) == HOURS + 1 - 1


def test_the_agent_that_stops_takes_the_child_with_it(log: TelemetryLog, tmp_path: Path) -> None:
    async def scenario() -> None:
        archive = Archive(log, ManualClock(), broken(tmp_path, 'echo $$ > "$3/../pid"; exec sleep 1000'))
        task = asyncio.create_task(archive.seal())
        await until(lambda: pid.exists() and pid.read_text().endswith("\n"))
        task.cancel()
        await asyncio.wait([task])

    pid = tmp_path / "../pid"
    asyncio.run(scenario())
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_polars_is_never_in_the_daemon() -> None:
    code = "import sys, agent.build, agent.archive, agent.server; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
