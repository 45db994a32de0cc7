"""What lines remember survives restarts; a damaged file is never taken for a new machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent.line.memory import Memory, Remembered
from agent.replay import recorded
from agent.store import codec, memory_codec
from agent.store.blocks import Start, Started
from agent.store.journal import StoreError
from agent.store.memories import FORGOTTEN, Memories
from agent.store.telemetry import TelemetryLog
from tests.agent.samples import SECOND_NS, START_NS

INTERVAL_NS = 600 * SECOND_NS
SOME = Memory(START_NS, Remembered("ab12", (17.0, 0.1, -1e-300, 1 / 3)), Remembered("ab12", (0.25, -0.5)))
LATER = Memory(START_NS + SECOND_NS, None, Remembered("ab12", (0.5, -0.5)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memories"


def test_a_memory_comes_back_exactly(folder: Path) -> None:
    kept = Memories(folder)
    assert kept.load("pump") is None
    kept.keep("pump", SOME)
    assert Memories(folder).load("pump") == SOME
    kept.keep("pump", LATER)
    assert Memories(folder).load("pump") == LATER
    assert Memories(folder).load("press") is None
    assert [path.name for path in folder.iterdir()] == ["pump.json"]


def test_it_is_due_once_an_interval_for_each_asset(folder: Path) -> None:
    kept = Memories(folder, INTERVAL_NS)
    assert not kept.is_due("pump", 7)
    assert not kept.is_due("press", 8)
    assert not kept.is_due("pump", 6 + INTERVAL_NS)
    assert kept.is_due("pump", 7 + INTERVAL_NS)
    assert not kept.is_due("pump", 8 + INTERVAL_NS)
    assert kept.is_due("press", 8 + INTERVAL_NS)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"crc":1,"memory":"{}"}', None])
def test_a_damaged_file_is_not_taken_for_a_new_machine(
    folder: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Memories(folder)
    kept.keep("pump", SOME)
    file = folder / "pump.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"17", b"71") if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert Memories(folder).load("pump") == FORGOTTEN
    assert "no estimate" in caplog.text


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "pump.json").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"pump\.json: cannot be read"):
        Memories(folder).load("pump")


def test_a_disk_that_refuses_costs_what_is_newer(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_bytes(b"in the way")
    kept = Memories(folder)
    kept.keep("pump", SOME)
    kept.keep("pump", SOME)
    assert kept.errors.keys() == {"pump"}
    assert caplog.text.count("cannot be kept") == 1
    folder.unlink()
    kept.keep("pump", SOME)
    assert not kept.errors
    assert Memories(folder).load("pump") == SOME


@pytest.mark.parametrize("memory", [SOME, FORGOTTEN, None])
def test_a_replay_begins_with_what_was_remembered(tmp_path: Path, memory: Memory | None) -> None:
    layout = {"pump": (("pressure", "bar"),)}
    started = Started({"pump": Start(3, None, memory)})
    TelemetryLog(tmp_path / "telemetry", layout, started=started).close()
    assert next(iter(recorded(tmp_path, layout))) == started


def test_what_an_earlier_version_remembered_of_a_life_is_kept() -> None:
    old = codec.dumps({"model_hash": "ab12", "time": codec.format_time(START_NS), "state": [17.0, 0.5]})
    assert memory_codec.decode_memory(old) == Memory(START_NS, Remembered("ab12", (17.0, 0.5)), None)
