"""Sealed telemetry: what was in the log is in the folder, to the bit, whatever happens while it gets there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from agent.line.alert import Acknowledge
from agent.store import reading, seal, sealed, segments
from agent.store.blocks import Layout, Start, Started, Step
from agent.store.telemetry import HOUR_NS, Retention, TelemetryLog
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, Frame
from tests.agent.samples import SECOND_NS, START_NS
from tests.agent.test_telemetry import assert_same, same

LAYOUT: Layout = {
    "pump": (("pressure", "bar"), ("time", "h"), ("steps", ""), ("time.status", "")),
    "press": (("force", "kN"),),
}
STARTED = Started({"pump": Start(3), "press": Start()})
RECORDING = Path(__file__).parent / "recordings" / "earlier-format.fwt"


def some_steps(seed: int, count: int) -> list[Step]:
    """Steps as they come: of one row, of several and of none, with gaps, odd numbers, commands and clocks that step."""
    random = np.random.default_rng(seed)
    steps, now_ns = [], START_NS
    for number in range(count):
        asset = "pump" if random.random() < 0.7 else "press"
        rows, columns = int(random.choice([0, 1, 1, 1, 3])), len(LAYOUT[asset])
        now_ns += int(random.integers(-SECOND_NS, 4 * SECOND_NS)) if random.random() < 0.9 else 0
        status = random.choice(np.array([0, 0, 0, 0x40940000, BAD_TIMEOUT, BAD_NO_DATA], np.uint32), (rows, columns))
        values = np.round(random.normal(50, 5, (rows, columns)), 2)
        values[random.random(values.shape) < 0.2] = random.choice([-0.0, 0.0, 1e-42, 3e38, np.pi])
        times = now_ns - random.integers(0, 10**7, rows)
        commands = (Acknowledge("pump-3", "Ana", now_ns, "häufig"),) if number % 17 == 5 else ()
        recovered = number % 11 == 3
        times -= recovered * 2 * HOUR_NS
        frame = Frame.clean(times, values.astype(np.float32), status)
        state = b'{"line":{"number":%d}}' % number if number % 13 == 4 and not recovered else b""
        steps.append(Step(asset, now_ns, frame, commands if not recovered else (), recovered, state))
    return steps


def logged(directory: Path, steps: list[Step]) -> Path:
    """Write a segment that is over."""
    log = TelemetryLog(directory, LAYOUT, started=STARTED)
    for number, step in enumerate(steps):
        log.append(step, number * SECOND_NS)
    log.close()
    return segments.segments(directory)[-1]


def read(directory: Path) -> list[Step | Started]:
    damaged: list[Any] = []
    found = list(reading.events(directory, LAYOUT, lambda path, size: damaged.append((path, size))))
    assert not damaged
    return found


def test_what_is_sealed_is_what_was_logged(tmp_path: Path) -> None:
    for seed in range(6):
        directory = tmp_path / str(seed)
        steps = some_steps(seed, 120)
        path = logged(directory, steps)
        said = seal.seal(path)
        (folder,) = sealed.folders(directory)
        assert said["bytes"] == sum(one.stat().st_size for one in folder.path.iterdir())
        assert not path.exists()
        assert segments.segments(directory) == []
        started, *found = read(directory)
        assert started == STARTED
        assert_same(iter(found), steps)
        values = [step.frame.values for step in found if step.asset == "pump"]
        wanted = [step.frame.values for step in steps if step.asset == "pump"]
        for one, other in zip(values, wanted, strict=True):  # the sign of zero too
            held = ~np.isnan(one)
            assert np.array_equal(one.view(np.uint32)[held], other.view(np.uint32)[held])


def test_others_can_read_it_as_the_module_says(tmp_path: Path) -> None:
    times = [START_NS + i * SECOND_NS for i in range(9)]
    steps = [Step("press", time_ns, Frame.of(time_ns, [i / 10], [0])) for i, time_ns in enumerate(times)]
    seal.seal(logged(tmp_path, steps))
    (folder,) = sealed.folders(tmp_path)
    table = pl.read_parquet(folder.path / "press.parquet")
    assert table.columns == ["time", "taken_after_ns", "steps", "force"]
    assert table["force"].cum_sum().to_numpy().view(np.float32).tolist() == pytest.approx([i / 10 for i in range(9)])
    assert table.schema["time"] == pl.Datetime("ns", "UTC")


def test_a_log_of_the_earlier_format_is_read_and_sealed(tmp_path: Path) -> None:
    path = tmp_path / "000000000007.fwt"
    shutil.copy(RECORDING, path)
    layout: Layout = {"pump": (("pressure", "bar"), ("temperature", "degC")), "press": (("force", "kN"),)}
    before = list(reading.events(tmp_path, layout, lambda *_: pytest.fail("damaged")))
    assert isinstance(before[0], Started)
    assert before[0].starts["pump"].next_number == 3
    spoken, *rest = before[1:]
    assert isinstance(spoken, Step)
    assert spoken.commands == (Acknowledge("pump-1", "Ana", START_NS, "ok"),)
    assert len(rest) == 68
    seal.seal(path)
    after = list(reading.events(tmp_path, layout, lambda *_: pytest.fail("damaged")))
    assert after[0] == before[0]
    assert all(isinstance(one, Step) and isinstance(two, Step) and same(one, two)
               for one, two in zip(after[1:], before[1:], strict=True))


def test_rows_of_some_tags_are_read_by_time_from_both(tmp_path: Path) -> None:
    steps = some_steps(1, 300)
    seal.seal(logged(tmp_path, steps[:150]))
    logged(tmp_path, steps[150:])
    since_ns, until_ns = START_NS + 50 * SECOND_NS, START_NS + 300 * SECOND_NS
    tags = [("steps", ""), ("pressure", "Pa"), ("pressure", "bar")]  # another unit is another tag
    found = list(reading.rows(tmp_path, "pump", tags, since_ns, until_ns, lambda *_: pytest.fail("damaged")))
    times = np.concatenate([rows.time_ns for rows in found])
    values = np.concatenate([rows.values for rows in found])
    frames = [step.frame for step in steps if step.asset == "pump"]
    all_times = np.concatenate([frame.source_time_ns for frame in frames])
    inside = (all_times >= since_ns) & (all_times < until_ns)
    assert 100 < inside.sum() < len(inside)
    assert np.array_equal(times, all_times[inside])
    wanted = np.concatenate([frame.values for frame in frames])[inside]
    assert np.array_equal(values[:, [0, 2]], wanted[:, [2, 0]], equal_nan=True)
    assert np.isnan(values[:, 1]).all()


def test_a_flipped_bit_costs_a_file_and_never_gives_a_wrong_value(tmp_path: Path) -> None:
    steps = some_steps(2, 200)
    seal.seal(logged(tmp_path, steps))
    (folder,) = sealed.folders(tmp_path)
    random, unnoticed = np.random.default_rng(8), 0
    for path in sorted(folder.path.iterdir()):
        body = path.read_bytes()
        for place in random.integers(0, len(body), 40):
            damaged = bytearray(body)
            damaged[place] ^= 1 << int(random.integers(8))
            path.write_bytes(damaged)
            told: dict[Path, int] = {}
            found = [one for one in reading.events(tmp_path, LAYOUT, told.__setitem__) if isinstance(one, Step)]
            lost = path.name.removesuffix(".parquet")
            wanted = [] if path.name == sealed.REST else [s for s in steps if s.asset != lost or not s.frame.rows]
            assert_same(iter(found), wanted if told else steps)  # there are bits that mean nothing to zstd
            unnoticed += not told
        path.write_bytes(body)
    assert unnoticed <= 2


def test_damage_in_the_log_is_moved_aside_with_a_note_when_the_rest_is_sealed(tmp_path: Path) -> None:
    path = logged(tmp_path, some_steps(3, 200))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 8
    path.write_bytes(body)
    said = seal.seal(path)
    assert 0 < int(said["damaged"]) < len(body)
    assert (tmp_path / f"{path.name}.damaged").read_bytes() == bytes(body)
    note = (tmp_path / f"{path.name}.damaged.txt").read_text()
    assert f"{said['damaged']} of its {len(body)} bytes are damaged; the rest was sealed" in note
    assert 150 < len(read(tmp_path)) < 201


class PowerCutError(BaseException):
    """Nothing after it is done: what a process that is killed does not do."""


def cut_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> Callable[[], int]:
    """Let the nth call to the disk, and all that follow, not happen; return how many there were."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count >= nth:
                raise PowerCutError
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "rename", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(pl.DataFrame, "write_parquet", counted(pl.DataFrame.write_parquet))
    return lambda: count


@pytest.fixture
def unpatched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_an_end_at_any_call_while_sealing_leaves_all_of_it_readable(tmp_path: Path) -> None:
    steps = some_steps(4, 80)
    nth, whole = 0, False
    while not whole:
        nth += 1
        directory = tmp_path / str(nth)
        path = logged(directory, steps)
        with pytest.MonkeyPatch.context() as patch:
            made = cut_at(patch, nth)
            try:
                seal.seal(path)
                whole = True
            except PowerCutError:
                assert made() >= nth
        assert_same((one for one in read(directory) if isinstance(one, Step)), steps)
        assert seal.main([str(directory), "99"]) == 0, "and is sealed by the next"
        assert_same((one for one in read(directory) if isinstance(one, Step)), steps)
        assert [one.name for one in directory.iterdir()] == [sealed.folders(directory)[0].path.name]
    assert nth > 8


def test_what_would_be_written_twice_for_nothing_stays_in_the_log(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    layout: Layout = {"line": tuple((f"tag_{number}", "") for number in range(100))}
    log = TelemetryLog(tmp_path, layout)
    steps = []
    for second in range(1200):
        now_ns = START_NS + second * SECOND_NS
        row = random.normal(50, 20, 100).astype(np.float32)  # every bit of the mantissa is noise
        steps.append(Step("line", now_ns, Frame.of(now_ns, row, np.zeros(100))))
        log.append(steps[-1], now_ns)
    log.close()
    (path,) = segments.segments(tmp_path)
    size = path.stat().st_size
    assert seal.main([str(tmp_path), "99"]) == 0
    (kept,) = segments.segments(tmp_path)
    assert (kept.name, kept.stat().st_size) == ("000000000001.kept.fwt", size)
    assert seal.main([str(tmp_path), "99"]) == 0
    assert segments.segments(tmp_path) == [kept]
    assert_same(reading.events(tmp_path, layout, lambda *_: pytest.fail("damaged")), steps)


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "agent.store.seal", *arguments], capture_output=True, text=True)


def test_the_child_seals_up_to_the_number_and_says_what_it_did(tmp_path: Path) -> None:
    first = logged(tmp_path, some_steps(5, 20))
    second = logged(tmp_path, some_steps(6, 20))
    done = child(str(tmp_path), str(segments.number_of(first)))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["segment"] == first.name
    assert segments.segments(tmp_path) == [second]


def test_a_disk_without_room_stops_it_cleanly(tmp_path: Path, small_disk: Path) -> None:
    path = logged(small_disk, some_steps(7, 400))
    (small_disk / "other").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 8192))
    done = child(str(small_disk), "99")
    assert done.returncode == seal.NO_ROOM, done.stderr
    assert f"no room to seal {path.name}; free some, or lower telemetry_max_mb" in done.stderr
    (small_disk / "other").unlink()
    assert child(str(small_disk), "99").returncode == 0
    assert len([one for one in read(small_disk) if isinstance(one, Step)]) == 400


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_segments_begin_anew_each_hour_and_are_sealable_an_hour_later(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=SECOND_NS)
    begin_ns = START_NS // HOUR_NS * HOUR_NS
    counts = []
    for minute in range(0, 240, 10):
        now_ns = begin_ns + minute * 60 * SECOND_NS
        log.append(Step("press", now_ns, Frame.of(now_ns, [1.0], [0])), now_ns)
        counts.append((len(segments.segments(tmp_path)), log.sealable()))
    log.close()
    assert [counts[i][0] for i in (0, 6, 12, 18, 23)] == [1, 2, 3, 4, 4]
    assert [counts[i][1] for i in (0, 6, 11, 12, 18, 23)] == [0, 0, 0, 1, 2, 2]


def test_a_segment_holds_no_more_than_a_child_can_seal_in_little_memory(tmp_path: Path) -> None:
    layout: Layout = {"line": tuple((f"tag_{number}", "") for number in range(1000))}
    log = TelemetryLog(tmp_path, layout)
    rows = 500
    frame = Frame(np.arange(rows), np.zeros((rows, 1000), np.float32), np.zeros((rows, 1000), np.uint32))
    for number in range(20):  # ten million values, which take next to nothing
        log.append(Step("line", START_NS + number, frame), number)
    log.close()
    held = [sum(step.frame.values.size for step in segments.read(path)) for path in segments.segments(tmp_path)]
    assert sum(held) == 10_000_000
    assert max(held) <= 5_000_000


def test_what_is_older_than_the_retention_goes_with_the_next_segment(tmp_path: Path) -> None:
    begin_ns = START_NS // HOUR_NS * HOUR_NS
    log = TelemetryLog(tmp_path, LAYOUT, sync_interval_ns=SECOND_NS, keep=Retention(age_max_s=5 * 3600))
    for minute in range(0, 24 * 60, 20):
        now_ns = begin_ns + minute * 60 * SECOND_NS
        log.append(Step("press", now_ns, Frame.of(now_ns, [1.0], [0])), now_ns)
        for path in segments.segments(tmp_path):
            if segments.number_of(path) <= log.sealable():
                seal.seal(path)
    assert log.health.segments_dropped == 24 - 7
    oldest = sealed.folders(tmp_path)[0]
    assert oldest.last_s > (begin_ns + 23 * HOUR_NS) / 1e9 - 6 * 3600
    log.close()
