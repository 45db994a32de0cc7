"""The record on the grid: what the line saw, from whatever holds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.build import load_detectors
from agent.config.file import Config
from agent.line.spans import length_ns
from agent.rehearsal.record import PART_ROWS, Part, span
from agent.store import export, reading, seal, sealed, segments
from agent.store.journal import StoreError
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from tests.agent.samples import SECOND_NS as NS
from tests.agent.samples import START_NS
from tests.agent.test_replay import faulty_frames, live_run
from tests.rehearsal.recordings import BEGIN_S, PERIOD_S, record_of, recorded_machine


def values_of(parts: list[Part]) -> np.ndarray:
    return np.concatenate([part.grid.values for part in parts])


def test_it_is_what_the_machine_showed_sealed_or_not(pump: Config) -> None:
    folder = pump.agent.state_dir / "telemetry"
    assert len(sealed.folders(folder)) > 50
    assert segments.segments(folder)
    parts = list(record_of(pump).parts())
    rows = 60 * 3600 // PERIOD_S
    assert np.array_equal(values_of(parts), Plant("pump", 1002).rows(BEGIN_S, rows, PERIOD_S))
    assert parts[0].first_ns == EPOCH_NS + BEGIN_S * NS
    assert [part.fresh for part in parts] == [True] + [False] * (len(parts) - 1)
    assert max(part.grid.rows for part in parts) < 2 * PART_ROWS
    first_ns, last_ns = span(pump.agent.state_dir, "pump")
    assert abs(first_ns - parts[0].first_ns) <= NS
    assert abs(last_ns - parts[-1].last_ns) <= NS
    assert span(folder, "pump") == (first_ns, last_ns)
    spans = reading.spans(folder, "pump")
    assert (spans[0][0], spans[-1][1]) == (first_ns, last_ns)
    assert 59 * 3600 * NS < length_ns(spans) <= 60 * 3600 * NS, "the seconds between two segments are not counted"


def test_a_part_of_it_is_read_without_the_rest(pump: Config) -> None:
    since_ns = EPOCH_NS + (BEGIN_S + 20 * 3600) * NS
    parts = list(record_of(pump, since_ns=since_ns, until_ns=since_ns + 3600 * NS).parts())
    assert abs(parts[0].first_ns - since_ns) <= 60 * NS
    assert abs(parts[-1].last_ns - since_ns - 3600 * NS) <= 60 * NS


def test_a_table_of_it_gives_the_same_rows(pump: Config, tmp_path: Path) -> None:
    config_tags = [tag.name for tag in pump.assets["pump"].tags]
    layout = {"pump": tuple((tag.name, tag.unit) for tag in load_detectors(pump)["pump"].manifest.tags)}
    events = reading.events(pump.agent.state_dir / "telemetry", layout, lambda *_: pytest.fail("damaged"))
    next(events)  # the start
    export.write_parquet(events, config_tags, tmp_path / "pump.parquet")
    whole, table = record_of(pump), record_of(pump, tmp_path / "pump.parquet")
    assert np.array_equal(values_of(list(table.parts())), values_of(list(whole.parts())))
    assert span(tmp_path / "pump.parquet", "pump")[0] == EPOCH_NS + BEGIN_S * NS


def test_damage_costs_a_segment_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = recorded_machine(tmp_path, seed=3, hours=5)
    (path, *_) = (config.agent.state_dir / "telemetry").glob("*/pump.parquet")
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    path.write_bytes(body)
    assert sum(part.grid.rows for part in record_of(config).parts()) == pytest.approx(4 * 720, abs=70)
    assert "damaged telemetry is passed over" in caplog.text


def test_where_the_agent_was_started_lines_begin_anew(file: Path) -> None:
    config = Config.parse(file.read_text(), file)
    live_run(config, load_detectors(config), faulty_frames())
    parts = list(record_of(config).parts())
    fresh = [part for part in parts if part.fresh]
    assert [round((part.first_ns - START_NS) / NS) for part in fresh] == [0, 500, 1000]
    assert fresh[0].wander is None
    assert fresh[1].wander is not None
    assert sum(part.grid.rows for part in parts) == 1200, "and what was recovered is not judged"


def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing of pump is recorded"):
        span(tmp_path, "pump")


def test_what_is_sealed_while_it_is_read_is_read_all_the_same(pump: Config, tmp_path: Path) -> None:
    """The agent goes on sealing meanwhile: the names of the beginning are no longer there."""
    shutil.copytree(pump.agent.state_dir / "telemetry", tmp_path / "telemetry")
    layout = {"pump": tuple((tag.name, tag.unit) for tag in load_detectors(pump)["pump"].manifest.tags)}
    events = reading.events(tmp_path / "telemetry", layout, lambda *_: pytest.fail("damaged"))
    next(events)
    for path in segments.segments(tmp_path / "telemetry"):
        seal.seal(path)
    rows = sum(event.frame.rows for event in events)  # type: ignore[union-attr]
    assert rows == 60 * 3600 // PERIOD_S
