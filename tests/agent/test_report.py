"""What the agent cost a PLC: counted by a running agent, kept over restarts, printed for its owner."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.journal import StoreError
from agent.store.loads import DAYS_MAX, FILE, Loads, read_loads, together
from connectors.load import Load
from tests.agent.commands import forewarn
from tests.agent.plant import Plant
from tests.agent.samples import CONFIG, SECOND_NS, START_NS

DAY_NS = 86_400 * SECOND_NS
DAY = Load(watched_ns=DAY_NS, requests=86_400, requests_max_per_s=3, errors=2, values=864_000, bytes_sent=1_036_800,
           bytes_received=2_505_600, busy_ns=DAY_NS // 250, connections=1, slow_downs=1)


def configured(folder: Path) -> Path:
    (folder / "state").mkdir()
    file = folder / "agent.toml"
    file.write_text(CONFIG)
    return file


def test_the_report_says_what_a_plc_was_asked(tmp_path: Path) -> None:
    file = configured(tmp_path)
    loads = Loads(tmp_path / "state" / FILE)
    loads.note("line3_plc", DAY, START_NS)
    loads.note("line3_plc", DAY, START_NS + DAY_NS)
    loads.keep()
    shown = forewarn("report", "plc-load", file)
    assert shown.exit_code == 0
    assert "this agent cost your PLC 0.40% of its communication time, 1.00 requests a second, never more than 3" in (
        shown.output
    )
    assert "192.0.2.10:502" in shown.output
    said = json.loads(forewarn("report", "plc-load", file, "--json").output)["line3_plc"]
    assert said["total"]["requests"] == 172_800
    assert said["total"]["busy_share"] == pytest.approx(0.004)
    assert list(said["days"]) == ["2026-09-21", "2026-09-22"]


def test_without_figures_the_report_says_when_there_will_be_some(tmp_path: Path) -> None:
    shown = forewarn("report", "plc-load", configured(tmp_path))
    assert shown.exit_code == 2
    assert "nothing is known yet; the agent writes it every ten minutes" in shown.output


def test_a_running_agent_counts_and_goes_on_counting_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(2):
            plant = Plant(tmp_path)
            async with plant.running():
                await plant.advance(30)
            plant.close()

    asyncio.run(main())
    found = read_loads(tmp_path / FILE)
    assert set(found) == {"line3_plc", "press_plc"}
    assert together(found["line3_plc"]).requests == 2 * 31
    assert together(found["press_plc"]).requests == 2 * 16


def test_a_damaged_file_costs_the_figures_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text('{"line3_plc": {"2026-09-21": {"requ')
    with pytest.raises(StoreError, match="damaged"):
        read_loads(path)
    loads = Loads(path)
    loads.note("line3_plc", DAY, START_NS)
    loads.keep()
    assert together(read_loads(path)["line3_plc"]) == DAY


def test_a_disk_that_refuses_does_not_stop_the_agent(tmp_path: Path) -> None:
    loads = Loads(tmp_path / "gone" / FILE)
    loads.note("line3_plc", DAY, START_NS)
    loads.keep()
    assert read_loads(tmp_path / "gone" / FILE) == {}


@given(st.integers(1, 300))
def test_the_file_stays_small(days: int) -> None:
    loads = Loads(Path("/nonexistent") / FILE)
    for day in range(days):
        loads.note("a", DAY, START_NS + day * DAY_NS)
    kept = loads.days("a")
    assert len(kept) == min(days, DAYS_MAX)
    assert together(kept).requests == len(kept) * DAY.requests
