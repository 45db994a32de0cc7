"""What is told of the record that an agent has made: the budget, the fire drill, the week, and the API beside them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.build import JOURNAL
from agent.line.alert import Alert
from agent.store.codec import format_time
from agent.store.journal import JournalReader
from tests.agent.commands import in_a_child
from tests.end_to_end.alerts import states
from tests.end_to_end.place import SECOND_NS
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)

AFTERWARDS_S = 90
"""By then the evidence has forgotten a fault."""
MAINTENANCE_S = 100


def told(*words: str | Path) -> Any:
    """What a command prints as JSON."""
    done = in_a_child(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def raised(folder: Path) -> list[Alert]:
    """The alerts of the journal as they stand, the first one first."""
    journal = JournalReader.open(folder / "state" / JOURNAL)
    found = list(reversed(journal.alerts(limit=500).alerts))
    journal.close()
    return found


async def drift(plant: Site, kelvin: float, rows: int) -> None:
    """Let the temperatures of all drift away."""
    for above in np.linspace(0.0, kelvin, rows).tolist():
        plant.off = dict.fromkeys(plant.assets, (0.0, above))
        await plant.play(1)


async def fault(plant: Site) -> None:
    await drift(plant, 4.0, 60)
    plant.off = {}
    await plant.play(AFTERWARDS_S)


async def live_through_two_faults_and_some_work(plant: Site) -> None:
    async with plant.running():
        await plant.play(300)
        await fault(plant)
        await plant.say("/alerts/pump-1/acknowledge", by="Ana")
        await plant.say("/alerts/pump-1/label", by="Ana", answer="real", fault="fouling")
        await plant.say("/assets/pump/failures", by="Bo", alert_id="pump-1", downtime_s=7200, comment="the seal")
        await plant.play(200)
    async with plant.running():
        await plant.play(100)
        await fault(plant)
        await plant.say("/assets/pump/out-of-service", by="Ana", reason="new seal", duration_s=MAINTENANCE_S)
        await plant.play(40)
        plant.faulty = {"pump"}  # of the work: nobody is told of it
        await plant.play(20)
        plant.faulty = set()
        await plant.play(280)
        assert [alert_id for alert_id, _, _ in await states(plant)] == ["pump-1", "pump-2"]


def test_budget_drill_week_and_ledger_tell_of_what_the_agent_recorded_and_agree(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], 'budget = "1/week"\n').on_the_wire() as plant:
            begin_ns = plant.clock.time_ns()
            await live_through_two_faults_and_some_work(plant)
            end_ns = plant.clock.time_ns() + SECOND_NS
            alerts = raised(tmp_path)
            ids = [alert.id for alert in alerts]
            assert ids == ["pump-1", "pump-2"]

            (budget,) = told("budget", file, "--ramps", "0", "--budgets", "10000/day,1/year")
            assert (budget["budget"], budget["alerts"], budget["not_counted"]) == ("1/week", ids, ["pump-1"])
            assert budget["achieved"]["alerts"] == 1
            loosest, own, tightest = budget["budgets"]
            assert [one["budget"] for one in (loosest, own, tightest)] == ["10000/day", "1/week", "1/year"]
            assert own["later_s"] == dict.fromkeys(ids, 0.0), "judged anew they are raised when they were"
            assert loosest["alerts"] >= own["alerts"] == len(ids) >= tightest["alerts"]
            assert all(loosest["later_s"][each] < 0.0 < tightest["later_s"][each] for each in ids)

            (drill,) = told(
                "drill", file, "--within", "60s", "--faults", "bias", "--tags", "temperature", "--repeats", "8"
            )
            (finding,) = drill["findings"]
            assert (finding["tag"], finding["fault"], drill["budget"]) == ("temperature", "bias", "1/week")
            least, *_, most = finding["sizes"]
            assert most["of"] == drill["moments"] >= 5
            assert most["seen"] >= drill["moments"] - 1, "in the work nobody is told of it"
            assert most["slowest_s"] <= 60
            assert least["seen"] < most["seen"]

            end = format_time(end_ns)
            week = told("report", "weekly", file, "--until", end, "--out", tmp_path / "week.html")
            (pump,) = week["assets"]
            span, rows = pump["span"], pump["record"]["rows"]
            assert (span["alerts"], span["answers"]["real"], span["answers"]["unlabelled"]) == (2, 1, 1)
            assert (span["failures"], span["missed"], span["downtime_s"]) == (1, 0, 7200.0)
            assert span["withheld_s"]["out_of_service"] == pytest.approx(MAINTENANCE_S, abs=2)
            assert rows == pytest.approx((end_ns - begin_ns) / SECOND_NS, abs=3)
            assert rows > 1000
            assert sum(pump["record"]["conditions_s"].values()) == rows
            assert "2 alerts were raised on 1 of 1 machine" in (tmp_path / "week.html").read_text()

            async with plant.running():
                shown = await plant.get("/assets/pump/budget")
                assert (shown["budget"], shown["alerts"], shown["not_counted"]) == ("1/week", 1, 1)
                assert shown["budget_per_week"] == pytest.approx(1.0)
                (ledger,) = (await plant.get("/ledger", until=end))["items"]
                since = format_time(begin_ns)
                before = format_time(alerts[1].raised_time_ns)
                (narrow,) = (await plant.get("/ledger", since=since, until=before))["items"]
                assert (narrow["span"]["alerts"], narrow["span"]["failures"]) == (1, 1)
                assert (ledger["span"], ledger["ever"]) == (span, pump["ever"])
                assert await plant.get("/assets/pump/drill") == drill

    asyncio.run(scenario())


def test_a_tighter_budget_counts_fewer_rows_of_the_same_drift_as_deviations_and_raises_later(tmp_path: Path) -> None:
    budgets = {"loose": "100/day", "usual": "1/week", "tight": "1/year"}
    of_assets = {asset: f'budget = "{said}"\n' for asset, said in budgets.items()}

    async def scenario() -> int:
        async with Site(tmp_path, tuple(budgets), "", of_assets).on_the_wire() as plant, plant.running():
            await plant.play(60)
            await drift(plant, 1.5, 180)
            for asset, said in budgets.items():
                assert (await plant.get(f"/assets/{asset}/budget"))["budget"] == said
            return plant.clock.time_ns() + SECOND_NS

    end_ns = asyncio.run(scenario())
    week = told("report", "weekly", tmp_path / "agent.toml", "--until", format_time(end_ns))
    over = {one["asset"]: one["record"]["conditions_s"]["deviating"] for one in week["assets"]}
    assert over["loose"] > over["usual"] > over["tight"] > 0
    assert [alert.asset for alert in raised(tmp_path)] == ["loose", "usual", "tight"]
