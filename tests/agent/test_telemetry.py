from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from agent.line.alert import Acknowledge
from agent.store import export
from agent.store.blocks import Layout, Start, Started, Step
from agent.store.journal import StoreError
from agent.store.segments import SUFFIX, segments
from agent.store.series import Rows, Series, Window, summarise
from agent.store.telemetry import Retention, TelemetryLog
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, Frame
from tests.agent.samples import SECOND_NS, START_NS, frame

LAYOUT: Layout = {"pump": (("pressure", "bar"), ("temperature", "degC")), "press": (("force", "kN"),)}


def step(second: int, asset: str = "pump", commands: tuple[Acknowledge, ...] = ()) -> Step:
    now_ns = START_NS + second * SECOND_NS
    values = (float(second), np.nan if second % 5 == 0 else 40.0) if asset == "pump" else (float(second),)
    return Step(asset, now_ns, frame(now_ns - 1000, *values), commands)


def same(one: Step, other: Step) -> bool:
    alike = ("asset", "now_ns", "commands", "recovered", "state")
    return all(getattr(one, name) == getattr(other, name) for name in alike) and all(
        np.array_equal(getattr(one.frame, name), getattr(other.frame, name), equal_nan=name == "values")
        for name in ("source_time_ns", "values", "status")
    )


def fill(log: TelemetryLog, seconds: range) -> list[Step]:
    steps = [step(second, asset) for second in seconds for asset in LAYOUT]
    for one in steps:
        log.append(one, one.now_ns)
    return steps


def assert_same(found: Iterator[Step], wanted: list[Step]) -> None:
    listed = list(found)
    assert len(listed) == len(wanted)
    assert all(same(one, other) for one, other in zip(listed, wanted, strict=True))


def series_of(steps: Iterable[Step], columns: list[int], window: Window) -> Series:
    rows = (Rows(one.frame.source_time_ns, one.frame.values[:, columns]) for one in steps)
    return summarise(rows, len(columns), window).series()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TelemetryLog]:
    log = TelemetryLog(tmp_path / "telemetry", LAYOUT, segment_bytes=700, sync_interval_ns=5 * SECOND_NS)
    yield log
    log.close()


def test_steps_come_back_exactly_and_in_order(log: TelemetryLog) -> None:
    spoken = step(5, commands=(Acknowledge("pump-1", "Ana", START_NS, "ok"), Acknowledge("pump-1", "Bo", 0)))
    log.append(spoken, 0)
    steps = [spoken, *fill(log, range(2))]  # in the order they were taken, whatever their clocks said
    log.sync()
    assert_same(log.scan(), steps)


def test_recovered_steps_come_back_as_such_and_count_by_their_source_times(log: TelemetryLog) -> None:
    past = replace(step(3), now_ns=START_NS + 99 * SECOND_NS, recovered=True)
    steps = [step(98), past, replace(step(98, "press"), recovered=True), step(99)]
    for one in steps:
        log.append(one, one.now_ns)
    log.sync()
    assert_same(log.scan(), steps)
    assert_same(log.rows("pump", START_NS + 2 * SECOND_NS, START_NS + 3 * SECOND_NS), [past])


def test_what_is_not_yet_on_disk_is_readable_too(log: TelemetryLog) -> None:
    steps = fill(log, range(12))
    assert len(segments(log.directory)) >= 1
    assert log.health.steps < len(steps)
    assert_same(log.scan(), steps)
    log.sync()
    assert log.health.steps == len(steps)
    assert_same(log.scan(), steps)


def test_the_disk_is_synced_at_the_interval_of_the_caller(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=10 * SECOND_NS)
    written = []
    for second in range(31):
        log.append(step(second), second * SECOND_NS)
        written.append(log.health.steps)
    assert [second for second in range(1, 31) if written[second] != written[second - 1]] == [10, 20, 30]
    log.close()
    assert log.health.steps == 31


def test_one_asset_and_a_span_of_time(log: TelemetryLog) -> None:
    steps = fill(log, range(300))
    since_ns, until_ns = START_NS + 100 * SECOND_NS, START_NS + 200 * SECOND_NS
    wanted = [one for one in steps if one.asset == "press" and since_ns <= one.now_ns < until_ns]
    assert len(wanted) == 100
    assert_same(log.scan("press", since_ns, until_ns), wanted)
    assert len(segments(log.directory)) > 2


def test_the_log_goes_on_after_a_restart(log: TelemetryLog) -> None:
    steps = fill(log, range(40))
    log.close()
    log.close()
    again = TelemetryLog(log.directory, LAYOUT)
    steps += fill(again, range(40, 50))
    assert_same(again.scan(), steps)
    assert again.health.bytes_damaged == 0
    again.close()


def test_oldest_segments_are_dropped_above_the_retention_and_counted(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT, segment_bytes=1500, keep=Retention(6000))
    steps = fill(log, range(2000))
    log.close()
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 6000 + 1500
    assert log.health.segments_dropped > 3
    assert log.health.bytes_dropped > 4000
    reader = TelemetryLog(tmp_path, LAYOUT)
    kept = list(reader.scan())
    assert 100 < len(kept) < len(steps)
    assert all(same(one, other) for one, other in zip(kept, steps[-len(kept) :], strict=True))
    reader.close()


def last_bytes(log: TelemetryLog) -> tuple[Path, bytes]:
    path = segments(log.directory)[-1]
    return path, path.read_bytes()


def test_a_torn_tail_costs_the_last_block_only(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=SECOND_NS)
    steps = fill(log, range(10))
    log.sync()
    path, body = last_bytes(log)
    log.close()
    for cut in range(1, 60):
        for left in segments(tmp_path):
            left.unlink()
        path.write_bytes(body[:-cut])
        again = TelemetryLog(tmp_path, LAYOUT)
        found = list(again.scan())
        again.close()
        assert 0 < len(steps) - len(found) <= 4, f"cut by {cut}"
        assert all(same(one, other) for one, other in zip(found, steps, strict=False))
        assert again.health.bytes_damaged > 0
        assert path.stat().st_size + again.health.bytes_damaged == len(body) - cut
        assert not list(tmp_path.glob("*.damaged"))


def test_no_flipped_bit_gives_a_wrong_value_or_costs_more_than_its_block(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=SECOND_NS)
    steps = fill(log, range(40))
    log.sync()
    path, body = last_bytes(log)
    log.close()
    header = body.index(b"FWT2", 4)
    random = np.random.default_rng(3)
    for place in random.integers(header, len(body), 150):
        for left in tmp_path.iterdir():
            left.unlink()
        damaged = bytearray(body)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        again = TelemetryLog(tmp_path, LAYOUT)
        found = list(again.scan())
        again.close()
        assert 0 < len(steps) - len(found) <= 4, f"bit at byte {place}"
        assert all(any(same(one, other) for other in steps) for one in found)
        assert again.health.bytes_damaged > 0


def test_damage_in_an_older_segment_is_passed_over_and_counted_once(log: TelemetryLog) -> None:
    steps = fill(log, range(300))
    first = segments(log.directory)[0]
    body = bytearray(first.read_bytes())
    body[len(body) // 2] ^= 4
    first.write_bytes(body)
    found = [len(list(log.scan())) for _ in range(2)]
    assert found[0] == found[1]
    assert 0 < len(steps) - found[0] <= 12
    damaged = log.health.bytes_damaged
    assert 0 < damaged < len(body)
    list(log.scan())
    assert log.health.bytes_damaged == damaged


def test_a_segment_whose_names_are_gone_is_set_aside(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT)
    fill(log, range(5))
    log.close()
    path = segments(tmp_path)[0]
    body = bytearray(path.read_bytes())
    body[30] ^= 1
    path.write_bytes(body)
    again = TelemetryLog(tmp_path, LAYOUT)
    assert list(again.scan()) == []
    assert [p.name for p in tmp_path.glob("*.damaged")] == [f"{path.name}.damaged"]
    assert again.health.bytes_damaged == len(body)
    again.close()


def test_tags_that_came_or_went_since_are_laid_out_by_name_and_unit(log: TelemetryLog) -> None:
    fill(log, range(1, 2))
    log.close()
    now = TelemetryLog(
        log.directory, {"pump": (("flow", "l/s"), ("temperature", "degC"), ("pressure", "Pa"))}
    )
    (found,) = now.scan()
    assert found.asset == "pump"
    assert found.frame.values[0, 1] == 40.0
    assert found.frame.status[0].tolist() == [BAD_NO_DATA, 0, BAD_NO_DATA]
    now.close()


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let the disk refuse what would make a file larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


def test_a_disk_that_refuses_costs_telemetry_not_the_agent(log: TelemetryLog) -> None:
    fill(log, range(3))
    log.sync()
    with no_file_above(segments(log.directory)[-1].stat().st_size + 10):
        fill(log, range(3, 6))
        log.sync()
        assert log.health.error is not None
        assert "File too large" in log.health.error
    fill(log, range(6, 9))
    log.sync()
    assert (log.health.steps, log.health.steps_lost, log.health.error) == (12, 6, None)
    assert_same(log.scan(), [step(s, a) for s in (0, 1, 2, 6, 7, 8) for a in LAYOUT])


def test_a_new_beginning_that_cannot_be_recorded_is_counted(log: TelemetryLog) -> None:
    fill(log, range(3))
    log.sync()
    with no_file_above(10):
        log.begin(Started({"pump": Start()}))
        assert log.health.error is not None
        assert "File too large" in log.health.error
    fill(log, range(3, 6))
    log.sync()
    assert (log.health.starts_lost, log.health.steps_lost, log.health.error) == (1, 0, None)
    assert_same(log.scan(), [step(s, a) for s in range(6) for a in LAYOUT])


def test_an_old_segment_that_cannot_be_dropped_is_told_and_the_agent_goes_on(tmp_path: Path) -> None:
    (tmp_path / f"0{SUFFIX}.kept").mkdir()  # unlink refuses a folder, for root too
    (tmp_path / f"1{SUFFIX}.gone").symlink_to(tmp_path / "gone")  # stat refuses a link to nothing
    log = TelemetryLog(tmp_path, LAYOUT, segment_bytes=1500, keep=Retention(0))
    fill(log, range(1000))
    log.sync()
    assert log.health.segments_dropped > 3, "those that can be dropped are"
    assert log.health.steps > 1000
    assert log.health.error is not None
    assert f"0{SUFFIX}.kept cannot be dropped: Is a directory" in log.health.error
    (tmp_path / f"0{SUFFIX}.kept").rmdir()
    fill(log, range(1000, 2000))
    log.close()
    assert log.health.error is None


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file: the telemetry log cannot be opened: File exists"):
        TelemetryLog(tmp_path / "file", LAYOUT)


def test_a_window_gives_every_row_where_there_is_room(log: TelemetryLog) -> None:
    fill(log, range(20))
    since_ns, until_ns = START_NS + 4 * SECOND_NS, START_NS + 9 * SECOND_NS
    series = series_of(log.rows("pump", since_ns, until_ns), [0, 1], Window(since_ns, until_ns, 100))
    assert series.rows == 5
    assert series.time_ns.tolist() == [START_NS + s * SECOND_NS - 1000 for s in range(5, 10)]
    assert series.mean[:, 0].tolist() == [5, 6, 7, 8, 9]
    assert np.isnan(series.mean[0, 1])
    assert np.isnan(series.low[0, 1])
    assert series.mean[1, 1] == 40


def test_a_window_is_summarised_into_at_most_so_many_points(log: TelemetryLog) -> None:
    fill(log, range(600))
    since_ns, until_ns = START_NS - SECOND_NS, START_NS + 599 * SECOND_NS
    series = series_of(log.rows("pump", since_ns, until_ns), [0], Window(since_ns, until_ns, 10))
    assert series.rows == 600
    assert len(series.time_ns) == 10
    assert series.low[:, 0].tolist() == [60 * i for i in range(10)]
    assert series.high[:, 0].tolist() == [60 * i + 59 for i in range(10)]
    assert series.mean[:, 0].tolist() == [60 * i + 29.5 for i in range(10)]


def test_rows_on_the_edges_of_the_longest_window_are_in_their_intervals() -> None:
    points, day_ns = 5000, 86_400 * SECOND_NS
    since_ns, until_ns = START_NS, START_NS + 31 * day_ns
    width_ns = 31 * day_ns // points
    edges = since_ns + width_ns * np.arange(points)
    steps = [Step("pump", int(t), frame(int(t), float(i))) for i, t in enumerate(edges)]
    steps.append(Step("pump", until_ns, frame(until_ns - 1, -1.0)))
    steps.append(Step("pump", until_ns, frame(until_ns, -2.0)))
    series = series_of(steps, [0], Window(since_ns, until_ns, points))
    assert series.rows == points + 1
    assert series.time_ns.tolist() == edges.tolist()
    assert series.high[:, 0].tolist() == list(range(points))
    assert series.low[-1, 0] == -1


def test_an_empty_window_has_no_points(log: TelemetryLog) -> None:
    series = series_of(log.rows("pump", 0, 1000), [0, 1], Window(0, 1000, 10))
    assert (series.rows, series.mean.shape) == (0, (0, 2))


def test_parquet_there_and_back(log: TelemetryLog, tmp_path: Path) -> None:
    steps = [one for one in fill(log, range(30)) if one.asset == "pump"]
    two_rows = Frame(
        np.array([1, 2], np.int64),
        np.array([[1, 2], [3, np.nan]], np.float32),
        np.array([[0, 0], [0, BAD_TIMEOUT]], np.uint32),
    )
    steps.append(Step("pump", START_NS + 99 * SECOND_NS, two_rows))
    path = tmp_path / "pump.parquet"
    assert export.write_parquet(steps, ["pressure", "temperature"], path) == 32
    assert pl.read_parquet(path).columns == [
        "time",
        "taken",
        "pressure",
        "temperature",
        "pressure.status",
        "temperature.status",
    ]
    assert_same(export.read_parquet(path, "pump", ["pressure", "temperature"]), steps)


def test_a_plain_table_is_read_with_null_as_bad(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pl.DataFrame({"time": [0.5, 1.5], "b": [1, 2], "a": [None, 4.0]}).write_parquet(path)
    one, two = export.read_parquet(path, "x", ["a", "b"])
    assert (one.now_ns, two.now_ns) == (500_000_000, 1_500_000_000)
    assert one.frame.status[0, 0] != 0
    assert two.frame.values[0].tolist() == [4.0, 2.0]


def test_what_is_wrong_with_a_parquet_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(StoreError, match=r"x.parquet: there is no such file or folder"):
        list(export.read_parquet(path, "x", ["a"]))
    path.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=r"x.parquet: not a readable Parquet file.*; copy or export it again"):
        list(export.read_parquet(path, "x", ["a"]))
    pl.DataFrame({"time": [0], "b": [1]}).write_parquet(path)
    with pytest.raises(StoreError, match=r"x.parquet: no column a; it has: time, b"):
        list(export.read_parquet(path, "x", ["a", "b"]))
    pl.DataFrame({"time": [0], "a": ["off"], "b": [True], "c": [None]}).write_parquet(path)
    with pytest.raises(StoreError, match=r"x.parquet: column a is String; a tag must be a number"):
        list(export.read_parquet(path, "x", ["a", "b", "c"]))
    (step,) = export.read_parquet(path, "x", ["b", "c"])
    assert step.frame.values[0, 0] == 1.0
    assert step.frame.status[0, 1] != 0
    pl.DataFrame({"time": ["now"], "b": [1]}).write_parquet(path)
    with pytest.raises(StoreError, match=r'column "time" is String; a date with time, or seconds, is needed'):
        list(export.read_parquet(path, "x", ["b"]))


class PowerCutError(BaseException):
    """Nothing after it is done."""


def cut_at(patch: pytest.MonkeyPatch, nth: int) -> None:
    """Let the nth call to the disk happen by half where it is a write, and all that follow not at all."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == nth and real is pwrite:
                pwrite(args[0], args[1][: len(args[1]) // 2], args[2])
            if count >= nth:
                raise PowerCutError
            return real(*args)

        return call

    pwrite = os.pwrite
    for name in ("pwrite", "fsync", "fdatasync", "unlink", "rename"):
        patch.setattr(os, name, counted(getattr(os, name)))


def test_an_end_at_any_call_to_the_disk_costs_one_sync_interval_at_most(tmp_path: Path) -> None:
    nth, cut = 0, True
    while cut:
        nth, cut = nth + 1, False
        directory, taken = tmp_path / str(nth), []
        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, nth)
            try:
                log = TelemetryLog(
                    directory, LAYOUT, sync_interval_ns=3 * SECOND_NS, segment_bytes=600, keep=Retention(1500)
                )
                for second in range(60):
                    one = step(second)
                    taken.append(one)
                    log.append(one, one.now_ns)
            except PowerCutError:
                cut = True
        again = TelemetryLog(directory, LAYOUT)
        found = list(again.scan())
        again.close()
        kept = [one for one in taken if found and one.now_ns >= found[0].now_ns]
        assert len(kept) - len(found) <= 4, f"cut at call {nth}"
        assert_same(iter(found), kept[: len(found)])
    assert nth > 50


def test_a_full_disk_gives_up_the_oldest_and_goes_on(tmp_path: Path) -> None:
    """The disk is full as long as more than so much lies there: what ENOSPC says."""
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=SECOND_NS, segment_bytes=1000)
    pwrite = os.pwrite

    def filled(handle: int, data: bytes, position: int) -> int:
        if sum(path.stat().st_size for path in tmp_path.iterdir()) > 5000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(handle, data, position)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", filled)
        fill(log, range(300))
        assert log.health.steps_lost > 0
        assert log.health.segments_dropped > 0
        assert log.health.steps + log.health.steps_lost > 590
        assert log.health.steps_lost < 30
        log.close()
