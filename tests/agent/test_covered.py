"""When each asset was recorded: by its own rows, whatever the clock of another says, sealed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backports import zstd

from agent.ledger.account import account
from agent.line.spans import length_ns
from agent.rehearsal.record import past_of
from agent.store import blocks, covered, reading, seal, segments
from agent.store.blocks import Block, Layout, Step
from agent.store.telemetry import HOUR_NS, TelemetryLog
from connectors.frame import Frame
from tests.agent.samples import SECOND_NS, START_NS
from tests.agent.test_sealed import LAYOUT as SOME_LAYOUT
from tests.agent.test_sealed import RECORDING, some_steps

LAYOUT: Layout = {"pump": (("pressure", "bar"),), "conveyor": (("speed", "m/s"),), "press": (("force", "kN"),)}
MONTHS_NS = 300 * 86_400 * SECOND_NS
"""The conveyor's clock is that far behind."""
MINUTES = 20
HEAD_BYTES = 28
ZSTANDARD, PASSED_OVER = b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"


def step(asset: str, now_ns: int, behind_ns: int = 0, *, recovered: bool = False) -> Step:
    times = np.array([now_ns - behind_ns - SECOND_NS, now_ns - behind_ns])
    frame = Frame(times, np.ones((2, 1), np.float32), np.zeros((2, 1), np.uint32))
    return Step(asset, now_ns, frame, recovered=recovered)


def steps_of(minutes: int, begin_ns: int = START_NS) -> list[Step]:
    """A row a second of pump and conveyor; the press is read in the first five minutes only."""
    found = []
    for second in range(1, minutes * 60, 2):
        now_ns = begin_ns + second * SECOND_NS
        found += [step("pump", now_ns), step("conveyor", now_ns, MONTHS_NS)]
        found += [step("press", now_ns)] if second < 300 else []
    return found


def record(directory: Path, steps: list[Step]) -> None:
    log = TelemetryLog(directory, LAYOUT)
    for one in steps:
        log.append(one, one.now_ns)
    log.close()


def seconds(directory: Path, asset: str, begin_ns: int = START_NS) -> list[tuple[float, float]]:
    return [
        ((begin - begin_ns) / SECOND_NS, (end - begin_ns) / SECOND_NS) for begin, end in reading.spans(directory, asset)
    ]


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_wrong_clock_spoils_neither_the_others_nor_its_own(tmp_path: Path, is_sealed: bool) -> None:
    record(tmp_path / "telemetry", steps_of(MINUTES))
    if is_sealed:
        seal.main([str(tmp_path / "telemetry"), "9"])
        assert not segments.segments(tmp_path / "telemetry")
    assert seconds(tmp_path, "pump") == []
    for asset in ("pump", "conveyor"):
        assert seconds(tmp_path / "telemetry", asset) == [(0, MINUTES * 60 - 1)]
    assert seconds(tmp_path / "telemetry", "press") == [(0, 299)], "it was not read after that"
    assert seconds(tmp_path / "telemetry", "another") == []
    until_ns = START_NS + HOUR_NS
    found = account(past_of(tmp_path, "pump", 1000), 1e-6, None, until_ns)
    assert found.recorded_s == MINUTES * 60 - 1
    assert found.achieved.weeks == pytest.approx(found.recorded_s / 604_800)


def test_what_was_recovered_counts_for_its_asset_alone(tmp_path: Path) -> None:
    past = [step("pump", START_NS - 3 * HOUR_NS + second * SECOND_NS, recovered=True) for second in range(0, 600, 2)]
    record(tmp_path, [*past, *steps_of(2)])
    assert seconds(tmp_path, "pump") == [(-10_801, -10_202), (0, 119)]
    assert seconds(tmp_path, "conveyor") == seconds(tmp_path, "press") == [(0, 119)]


def test_a_clock_that_is_set_within_a_frame_covers_no_more(tmp_path: Path) -> None:
    one = step("pump", START_NS)
    times = np.array([START_NS - MONTHS_NS, START_NS - SECOND_NS, START_NS])
    frame = Frame(times, np.ones((3, 1), np.float32), np.zeros((3, 1), np.uint32))
    record(tmp_path, [Step("pump", START_NS, frame), step("pump", START_NS + 2 * SECOND_NS), one])
    assert seconds(tmp_path, "pump") == [(-1, 2)]


def test_of_slow_rows_those_that_know_how_slow_join_them(tmp_path: Path) -> None:
    record(tmp_path, [step("pump", START_NS + minute * 60 * SECOND_NS) for minute in range(0, 100, 10)])
    assert length_ns(reading.spans(tmp_path, "pump")) == 10 * SECOND_NS
    assert reading.spans(tmp_path, "pump", 600_000) == [(START_NS - SECOND_NS, START_NS + 5400 * SECOND_NS)]


@pytest.mark.parametrize(
    ("steps", "begins"),
    [
        ([step(asset, START_NS + second * SECOND_NS) for second in range(60) for asset in LAYOUT], ZSTANDARD),
        ([step("pump", START_NS), step("conveyor", START_NS)], PASSED_OVER),
        (steps_of(2), PASSED_OVER),
    ],
    ids=["all that there is", "no row of the press", "a wrong clock"],
)
def test_a_block_says_it_only_where_its_head_does_not(steps: list[Step], begins: bytes) -> None:
    packed = blocks.pack_steps(steps, LAYOUT)
    assert packed[HEAD_BYTES : HEAD_BYTES + 4] == begins
    (block,) = blocks.blocks(blocks.pack_opening(LAYOUT) + packed)
    assert isinstance(block, Block)
    assert [(one.asset, one.now_ns) for one in block.steps(LAYOUT)] == [(one.asset, one.now_ns) for one in steps]


def test_of_a_block_of_an_earlier_version_the_steps_tell(tmp_path: Path) -> None:
    steps = steps_of(MINUTES)
    packed = blocks.pack_steps(steps, LAYOUT)
    (block,) = blocks.blocks(blocks.pack_opening(LAYOUT) + packed)
    assert isinstance(block, Block)
    plain = blocks.pack(zstd.decompress(block.packed), block.first_ns, block.last_ns)
    assert len(plain) < len(packed)
    (tmp_path / "000000000001.fwt").write_bytes(blocks.pack_opening(LAYOUT) + plain)
    assert seconds(tmp_path, "pump") == seconds(tmp_path, "conveyor") == [(0, MINUTES * 60 - 1)]
    assert seconds(tmp_path, "press") == [(0, 299)]
    (tmp_path / "000000000002.fwt").write_bytes(RECORDING.read_bytes())
    assert len(list(segments.read(tmp_path / "000000000002.fwt"))) > 0
    assert reading.spans(tmp_path, next(iter(reading.layout(tmp_path))))


def test_damage_ends_what_is_told_and_raises_nothing(tmp_path: Path) -> None:
    record(tmp_path, steps_of(MINUTES))
    (path,) = segments.segments(tmp_path)
    whole = path.read_bytes()
    for at in (3, 20, 40, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:at])
        assert length_ns(reading.spans(tmp_path, "pump")) <= MINUTES * 60 * SECOND_NS
        path.write_bytes(whole[:at] + b"\xff" * 40 + whole[at + 40 :])
        reading.spans(tmp_path, "pump")


def test_steps_of_any_kind_are_sealed_with_what_they_cover(tmp_path: Path) -> None:
    log = TelemetryLog(tmp_path, SOME_LAYOUT)
    for one in some_steps(5, 300):
        log.append(one, one.now_ns)
    log.close()
    before = {asset: reading.spans(tmp_path, asset) for asset in SOME_LAYOUT}
    seal.main([str(tmp_path), "9"])
    for asset, spans in before.items():
        again = reading.spans(tmp_path, asset)
        assert len(again) == len(spans) >= 2, "rows that were recovered are of another time"
        assert np.abs(np.array(again) - np.array(spans)).max() <= covered.PLAIN_NS


def test_it_is_remembered_of_what_no_longer_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(3):
        record(tmp_path, steps_of(MINUTES, START_NS + hour * HOUR_NS))
    opened: list[Path] = []
    opens = Path.open

    def noted(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path)
        return opens(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", noted)
    first = reading.spans(tmp_path, "pump")
    assert len(first) == len(opened) == 3
    newest = opened[-1]
    with opens(newest, "ab") as file:
        file.write(blocks.pack_steps([step("pump", first[-1][1] + SECOND_NS)], LAYOUT))
    assert reading.spans(tmp_path, "pump")[-1][1] == first[-1][1] + SECOND_NS
    reading.spans(tmp_path, "conveyor")
    assert opened[3:] == [newest]
