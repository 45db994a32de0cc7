"""`GET /metrics` and `GET /telemetry`: every figure is right, described, and none grows without bound."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.api import telemetry_models
from agent.api.metrics import scrape
from agent.flash import SETTLED_NS, FlashWear, written_bytes
from agent.line.alert import Acknowledge
from agent.line.verdict import Condition
from agent.line.watched import Watched
from connectors.link import LinkState
from tests.agent.plant import Plant
from tests.agent.samples import SECOND_NS
from tests.agent.test_api import client
from tests.clock import ManualClock

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@pytest.fixture
def text(tmp_path: Path) -> str:
    """Eleven minutes in which the pressure rises above the limit, and the other PLC falls silent."""

    async def scenario() -> str:
        plant = Plant(tmp_path)
        async with plant.running(), client(plant) as http:
            await plant.advance(2)
            plant.pressure, plant.temperature = 11.0, None
            for _ in range(66):
                await plant.advance(10)
            answer = await http.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            await plant.advance(1)
        plant.close()
        return answer.text

    return asyncio.run(scenario())


@pytest.fixture
def scraped(text: str) -> Samples:
    return samples(text)


def test_every_metric_is_described_with_its_labels_and_no_other(text: str) -> None:
    rows = re.findall(r"^\| `(forewarn_\w+)` \|(.*?)\| .+ \|$", DOCS.read_text(), re.MULTILINE)
    described = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    families = list(text_string_to_metric_families(text))
    names = {one.name + ("_total" if one.type == "counter" else "") for one in families}
    assert described.keys() == names
    given = {one.name: set(one.labels) for family in families for one in family.samples}
    assert {name: described[name] for name in given} == given


def test_the_figures_are_those_of_the_agent(scraped: Samples) -> None:
    def figure(name: str, **labels: str) -> float:
        return scraped[f"forewarn_{name}", tuple(sorted(labels.items()))]

    line, press = "line3_plc", "press_plc"
    assert figure("ready") == 1
    assert [figure("connection_state", connection=line, state=one) for one in LinkState] == [
        float(one is LinkState.DELIVERING) for one in LinkState
    ]
    assert figure("connection_reads_total", connection=line) == 663
    assert figure("connection_reads_total", connection=press) == 332
    assert figure("connection_latency_seconds", connection=line) == 0.0015
    assert [figure("asset_condition", asset="pump", condition=one) for one in Condition] == [
        float(one is Condition.DEVIATING) for one in Condition
    ]
    assert figure("asset_model_info", asset="pump", model="ab12") == 1
    assert figure("asset_health", asset="pump") == 0.26
    assert figure("asset_coverage", asset="pump") == 0.95
    assert figure("asset_evidence", asset="pump") == pytest.approx(1.1)
    assert figure("alert_open", asset="pump") == 1
    assert figure("asset_rows_total", asset="pump") == 663 + 332
    assert (figure("queue_frames"), figure("queue_frames_max")) == (0, 1000)
    written = figure("telemetry_steps_total")
    assert 900 < written <= 663 + 332
    assert figure("telemetry_values_total") == 2 * written
    assert 0 < figure("telemetry_written_bytes_total", form="log") < 20 * written
    assert figure("telemetry_written_bytes_total", form="sealed") == 0
    assert figure("telemetry_ok") == 1
    assert figure("telemetry_kept_seconds_max") == 400 * 86_400


def test_what_is_not_known_is_absent_and_never_nought(tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def once() -> str:
        async with client(plant) as http:
            return (await http.get("/metrics")).text

    names = {name for name, _ in samples(asyncio.run(once()))}
    plant.close()
    assert "forewarn_asset_condition" in names
    assert not names & {
        "forewarn_asset_evidence", "forewarn_asset_health", "forewarn_asset_model_info", "forewarn_flash_life_years",
        "forewarn_flash_bytes_per_day", "forewarn_connection_last_good_timestamp_seconds",
    }


def test_the_journal_is_not_asked(tmp_path: Path) -> None:
    """A journal that cannot be read is what these figures are looked at for, and each of many scrapes would read it."""
    plant = Plant(tmp_path)
    judged = Watched("ab12", 0, 0.0)
    plant.line.snapshot = replace(plant.line.snapshot, trial=(judged, judged))
    plant.journal.close()
    challenger = samples(scrape(plant.agent).decode())["forewarn_asset_challenger", (("asset", "pump"),)]
    plant.close()
    assert challenger == 1


def test_labels_are_bounded_whatever_happens(scraped: Samples, tmp_path: Path) -> None:
    """Nothing that people or PLCs say becomes a label."""

    async def scenario() -> str:
        plant = Plant(tmp_path / "other")
        async with plant.running(), client(plant) as http:
            for pressure in (9.0, 11.0, math.nan, None, 12.0):
                plant.pressure = pressure
                await plant.advance(5)
                plant.worker.submit("pump", Acknowledge("pump-1", f"Ana {pressure}", 0, "ok"))
            text = (await http.get("/metrics")).text
            await plant.advance(1)
        plant.close()
        return text

    assert samples(asyncio.run(scenario())).keys() <= scraped.keys()


def test_the_telemetry_is_told_over_rest_too(tmp_path: Path) -> None:
    async def scenario() -> telemetry_models.Historian:
        plant = Plant(tmp_path)
        async with plant.running(), client(plant) as http:
            for _ in range(6):
                await plant.advance(10)
            told = telemetry_models.Historian.model_validate((await http.get("/api/v1/telemetry")).json())
            await plant.advance(1)
        plant.close()
        return told

    told = asyncio.run(scenario())
    assert told.values == 2 * told.steps >= 2 * 75
    assert (told.steps_lost, told.starts_lost, told.error, told.days_kept_max) == (0, 0, None, 400)
    assert told.flash_bytes_per_day is None, "one minute tells nothing of a day"


def test_the_life_of_a_card_is_what_it_takes_by_what_is_written(tmp_path: Path) -> None:
    counters, clock = tmp_path / "io", ManualClock()

    def written(size: int, cancelled: int) -> None:
        counters.write_text(f"rchar: 5\nwrite_bytes: {size}\ncancelled_write_bytes: {cancelled}\n")

    async def scenario() -> None:
        written(7_000, 2_000)
        wear = FlashWear(clock, card_bytes=16e9, cycles=1000, counters=counters)
        await clock.advance(SETTLED_NS - SECOND_NS)
        written(1_009_000, 4_000)
        early = wear.read()
        assert (early.bytes_written, early.bytes_per_day, early.life_years) == (1_000_000, None, None)
        await clock.advance(86_400 * SECOND_NS - SETTLED_NS + SECOND_NS)
        written(160_000_000 + 9_000, 4_000)
        day = wear.read()
        assert (day.bytes_written, day.bytes_per_day) == (160_000_000, 160_000_000)
        assert day.life_years == pytest.approx(16e12 / 160e6 / 365.25)
        counters.unlink()
        assert (wear.read().bytes_written, wear.read().life_years) == (None, None)

    asyncio.run(scenario())


def test_the_kernel_counts_what_is_written_here(tmp_path: Path) -> None:
    before = written_bytes(Path("/proc/self/io"))
    if before is None:
        pytest.skip("this kernel does not count")
    assert before >= 0
