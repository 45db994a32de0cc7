"""Where a record has no values: what is asked for at a start is what is missing in it, sealed or not."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archive import Archive
from agent.store import holes, seal, segments
from agent.store.blocks import Layout, Step
from agent.store.holes import Asked, Found
from agent.store.telemetry import TelemetryLog
from connectors.frame import BAD_NO_COMMUNICATION, GOOD, Frame
from tests.agent.samples import SECOND_NS, START_NS
from tests.clock import ManualClock

LAYOUT: Layout = {"pump": (("pressure", "bar"), ("time", "h")), "press": (("force", "kN"), ("oil", "degC"))}
TAGS = {"pump": [("pressure", "bar"), ("time", "h")], "press": [("force", "kN")]}
"""Of one connection: that which has the oil temperature is another."""
LONGEST_S = 2

Row = tuple[str, int, tuple[bool, bool], bool]
"""An asset, the second of its source time, which of its values are good, whether it was recovered."""


def at(second: int) -> int:
    return START_NS + second * SECOND_NS


def step(row: Row, now_s: int) -> Step:
    asset, second, good, recovered = row
    status = np.where([good], GOOD, BAD_NO_COMMUNICATION).astype(np.uint32)
    frame = Frame.clean(np.array([at(second)]), np.array([[1.5, 2.5]], np.float32), status)
    return Step(asset, at(now_s), frame, recovered=recovered)


def record(directory: Path, parts: list[list[Row]], sealed: int) -> None:
    """Record rows in segments, the first of which are sealed."""
    now_s = 0
    for part in parts:
        log = TelemetryLog(directory, LAYOUT)
        for row in part:
            now_s = now_s if row[3] else max(now_s, row[1])
            log.append(step(row, now_s), 0)
        log.close()
    for path in segments.segments(directory)[:sealed]:
        seal.seal(path)


def find(directory: Path, since_s: int = -1000) -> Found:
    damaged: list[Path] = []
    found = holes.find(
        directory, Asked(TAGS, at(since_s), LONGEST_S * SECOND_NS), lambda path, _: damaged.append(path)
    )
    assert not damaged
    return found


def seconds(*spans: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((at(since_s), at(until_s)) for since_s, until_s in spans)


@st.composite
def records(draw: st.DrawFn) -> list[list[Row]]:
    """Live rows of a clock that is far ahead now and then, with a filled stretch of the past here and there."""
    second = 0
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        part: list[Row] = []
        for _ in range(draw(st.integers(0, 12))):
            asset = draw(st.sampled_from(sorted(LAYOUT)))
            good = draw(st.tuples(st.booleans(), st.booleans()))
            kind = draw(st.sampled_from(["live"] * 8 + ["past", "ahead"]))
            second += draw(st.sampled_from([1, 1, 1, 2, 3, 9])) if kind != "past" else 0
            shown = {"live": second, "past": draw(st.integers(0, second)), "ahead": 10**6}[kind]
            part.append((asset, shown, good, kind == "past"))
        parts.append(part)
    return parts


def has_value(row: Row) -> bool:
    return any(row[2]) if row[0] == "pump" else row[2][0]


@settings(max_examples=150, deadline=None)
@given(records(), st.integers(0, 4), st.integers(-5, 60))
def test_the_holes_of_a_record_are_what_is_asked_for(parts: list[list[Row]], sealed: int, since_s: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        record(Path(name), parts, sealed)
        found = find(Path(name), since_s)
    rows = [row for part in parts for row in part]
    wanted = []
    for before_s in (since_s, since_s + 1):  # sealed parts say their ends to a second
        live = newest_live(parts, before_s)
        if not any(has_value(row) and row[1] < since_s for row in rows):
            wanted.append(model(rows, max(live, default=None), since_s, reaches_back=False))
        if any(row[1] < since_s or row[3] for row in rows):  # what was recovered was taken after 0 s
            wanted.append(model(rows, max(live, default=since_s), since_s, reaches_back=True))
    assert found in wanted


def newest_live(parts: list[list[Row]], before_s: int) -> list[int]:
    """Return the newest of each asset in the newest part that has any, but no part older than one of before a time."""
    taken_s, now_s = [], 0
    for part in parts:
        now_s = max([now_s, *(row[1] for row in part if not row[3])])
        taken_s.append(now_s)
    for part, last_s in zip(reversed(parts), reversed(taken_s), strict=True):
        if newest := {row[0]: row[1] for row in part if has_value(row) and not row[3]}:
            return list(newest.values())
        if part and last_s < before_s:
            break
    return []


def model(rows: list[Row], until_s: int | None, since_s: int, *, reaches_back: bool) -> Found:
    if until_s is None:
        return Found(None, ())
    times = {row[1] for row in rows if has_value(row)} | ({since_s} if reaches_back else set())
    ordered = sorted(time for time in times if since_s <= time <= until_s)
    pairs = itertools.pairwise(ordered)
    return Found(at(until_s), seconds(*((a, b) for a, b in pairs if b - a > LONGEST_S)))


def test_an_outage_that_began_before_the_window_is_missing_since_its_beginning(tmp_path: Path) -> None:
    good: list[Row] = [("pump", second, (True, True), False) for second in range(10)]
    bad: list[Row] = [("pump", second, (False, False), False) for second in range(10, 50)]
    record(tmp_path, [good + bad[:20], bad[20:]], 1)
    assert find(tmp_path, 40) == Found(at(9), ())
    assert find(tmp_path, 55) == Found(at(55), ()), "how long ago is not looked for in the newest of what is older"
    record(tmp_path, [[("pump", 55, (True, True), False)]], 0)
    assert find(tmp_path, 40) == Found(at(55), seconds((40, 55)))
    assert find(tmp_path) == Found(at(55), seconds((9, 55)))


def test_nothing_is_missing_of_tags_that_were_never_recorded(tmp_path: Path) -> None:
    record(tmp_path, [[("press", second, (True, True), False)] for second in (0, 10)], 1)
    other = Asked({"press": [("oil", "bar")], "mill": [("speed", "rpm")]}, at(-1000), SECOND_NS)
    assert holes.find(tmp_path, other, lambda *_: None) == Found(None, ())


def test_a_damaged_segment_is_passed_over_counted_and_set_aside_where_it_is_sealed(tmp_path: Path) -> None:
    parts: list[list[Row]] = [[("pump", 10 * part + i, (True, True), False) for i in range(10)] for part in range(4)]
    record(tmp_path, parts, 2)
    sealed_file = sorted(tmp_path.glob("*/pump.parquet"))[1]
    logged = segments.segments(tmp_path)[0]
    for file in (sealed_file, logged):
        content = bytearray(file.read_bytes())
        content[-10] ^= 1
        file.write_bytes(content)
    log = TelemetryLog(tmp_path, LAYOUT)
    archive = Archive(log, ManualClock())
    found = archive.holes({"a": Asked(TAGS, at(-1000), LONGEST_S * SECOND_NS)})
    assert found == {"a": Found(at(39), seconds((9, 30)))}
    assert log.health.bytes_damaged > 0
    assert not sealed_file.exists()
    assert logged.exists()
    log.close()
