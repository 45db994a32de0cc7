"""Alerts that are kept from people while their machine goes on: put aside by a person, and suppressed in cleaning."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from agent.store import codec
from tests.end_to_end.alerts import revisions, states
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)

IMPATIENT = 'escalate_after_h = 0.01\nconsequence = "minor"\n'  # 36 s


async def seen(plant: Site) -> tuple[str, list[str]]:
    """What people see of the alert: how it stands, and what withholds it."""
    alert = await plant.get("/alerts/pump-1")
    return alert["state"], [one["kind"] for one in alert["withheld"]]


async def color(plant: Site) -> str:
    """What the page of all machines shows of the pump at a glance."""
    (found,) = re.findall(r'<li class="(\w*)">', (await plant.browse("/")).text)
    return str(found)


def test_what_a_person_puts_aside_goes_on_underneath_and_is_back_by_itself_or_by_a_person(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], IMPATIENT).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.faulty = {"pump"}
            await plant.play(20)
            assert await color(plant) == "bad"
            begin_ns = plant.clock.time_ns()
            said = await plant.command("shelve", "pump-1", "--for", "4m", "--by", "Ana", "--reason", "part ordered")
            assert said == "pump-1: shelve takes effect with the asset's next read\n"
            await plant.play(60)
            (shelf,) = (await plant.get("/alerts/pump-1"))["withheld"]
            since, until = codec.format_time(begin_ns), codec.format_time(begin_ns + 240_000_000_000)
            assert shelf == {"kind": "shelved", "by": "Ana", "since": since, "until": until, "reason": "part ordered"}
            assert await color(plant) == "aside", "nobody has to look"
            assert "unacknowledged, shelved" in await plant.command("alerts", "--open")
            again = await plant.refused("/alerts/pump-1/shelve", by="Bo", reason="too", duration_s=60)
            assert again == HTTPStatus.CONFLICT

            plant.faulty = set()
            await plant.play(80)
            assert await seen(plant) == ("returned_unacknowledged", ["shelved"])
            plant.faulty = {"pump"}
            await plant.play(50)
            assert await seen(plant) == ("unacknowledged", ["shelved"])
            await plant.play(55)
            assert await seen(plant) == ("unacknowledged", [])
            assert await color(plant) == "bad"
            await plant.play(40)
            await plant.command("shelve", "pump-1", "--for", "1d", "--by", "Bo", "--reason", "wrong part came")
            await plant.play(50)
            await plant.command("unshelve", "pump-1", "--by", "Cy")
            await plant.play(50)
            told = await revisions(plant)
            assert [(one["event"], one["by"], one["priority"]) for one in told] == [
                ("raise", None, "low"),
                ("shelve", "Ana", "low"), ("return", None, "low"), ("raise", None, "low"), ("unshelve", None, "low"),
                ("escalate", None, "medium"),
                ("shelve", "Bo", "medium"), ("unshelve", "Cy", "medium"),
                ("escalate", None, "high"),
            ]
            back_ns, risen_ns = (codec.parse_time(told[row]["updated_time"]) for row in (4, 5))
            assert 0 <= (back_ns - codec.parse_time(until)) / 1e9 < 2
            assert 36 <= (risen_ns - back_ns) / 1e9 < 36 + 2, "it begins to wait when it is back"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_an_alert_that_stands_is_suppressed_while_its_machine_is_cleaned_and_is_the_same_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], IMPATIENT).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.faulty = {"pump"}
            await plant.play(20)
            plant.cleaning = {"pump"}
            await plant.play(50)
            assert await seen(plant) == ("unacknowledged", ["suppressed"])
            assert await color(plant) == "aside"
            await plant.command("acknowledge", "pump-1", "--by", "Ana", "--comment", "after the cleaning")
            await plant.play(3)
            assert await seen(plant) == ("acknowledged", ["suppressed"])
            plant.cleaning = set()
            await plant.play(60)
            assert await seen(plant) == ("acknowledged", [])
            plant.faulty = set()
            await plant.play(60)
            assert await states(plant) == [("pump-1", "normal", None)]
            told = await revisions(plant)
            assert [(one["event"], one["by"], [way["reason"] for way in one["withheld"]]) for one in told] == [
                ("raise", None, []),
                ("suppress", None, ["cleaning is 1"]),
                ("acknowledge", "Ana", ["cleaning is 1"]),
                ("unsuppress", None, []),
                ("return", None, []),
            ]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
