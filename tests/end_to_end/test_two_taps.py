"""What an alert was, said by a technician without an account: from a PLC's rows to the link, and into the history."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer
from typer.testing import CliRunner

from agent.say_command import add_say
from tests.end_to_end.alerts import deviates, revisions
from tests.end_to_end.place import SECOND_NS
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)

LINK_NS = 7 * 86_400 * SECOND_NS
"""For so long a link is good, where the configuration does not say otherwise."""


async def link_to(plant: Site, folder: Path, alert_id: str) -> str:
    """The path of the link that `forewarn label-link` prints at the time of the plant."""
    at_its_time = typer.Typer()
    add_say(at_its_time, plant.clock)
    words = ["label-link", alert_id, str(folder / "agent.toml")]
    done = await asyncio.to_thread(CliRunner().invoke, at_its_time, words)
    assert done.exit_code == 0, done.output
    return urlsplit(done.output.strip()).path


async def said_of(plant: Site, alert_id: str = "pump-1") -> list[tuple[str, str | None, str, str]]:
    """The labels in an alert's history; the alert itself tells the last of them."""
    labels = [one["label"] for one in await revisions(plant, alert_id) if one["event"] == "label"]
    assert (await plant.get(f"/alerts/{alert_id}"))["label"] == (labels[-1] if labels else None)
    return [(one["answer"], one["fault"], one["by"], one["comment"]) for one in labels]


async def tapped(plant: Site, link: str, answer: str, **fields: str) -> None:
    """Open the page of a link, and tap one of its answers."""
    page = await plant.browse(link)
    assert page.status_code == HTTPStatus.OK, page.text
    assert f'<button name="answer" value="{answer}">' in page.text, page.text
    thanks = await plant.browse(link, {"answer": answer, **fields})
    assert "Thank you" in thanks.text, thanks.text
    await plant.play(3)


def test_a_technician_says_what_an_alert_was_by_a_link_that_is_good_for_its_days(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                plant.faulty = {"pump"}
                await plant.play(30)
                ends_ns = plant.clock.time_ns() + LINK_NS
                link = await link_to(plant, tmp_path, "pump-1")
                asked = await plant.browse(link)
                assert "pump behaves unlike it ever did" in asked.text
                await plant.play(3)
                assert await said_of(plant) == [], "a look says nothing"
                await tapped(plant, link, "not_looked_at")
                await tapped(plant, link, "real", fault="impeller blockage", name="Ana", comment="a rag")
                both = [("not_looked_at", None, "by link", ""), ("real", "impeller blockage", "Ana", "a rag")]
                assert await said_of(plant) == both
                assert "labelled impeller blockage" in await plant.command("alerts")
            await plant.clock.advance(ends_ns - plant.clock.time_ns() - 10 * SECOND_NS)
            async with plant.running():
                assert (await plant.browse(link)).status_code == HTTPStatus.OK
                await plant.play(12)
                for form in (None, {"answer": "normal"}):
                    refused = await plant.browse(link, form)
                    assert (refused.status_code, "This link has expired" in refused.text) == (HTTPStatus.GONE, True)
                await plant.play(3)
                assert await said_of(plant) == both

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_link_that_was_changed_says_nothing_of_any_alert(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump", "fan"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.faulty = {"pump", "fan"}
            await plant.play(30)
            link = await link_to(plant, tmp_path, "pump-1")
            for form in (None, {"answer": "normal"}):
                refused = await plant.browse(link.replace("pump-1", "fan-1"), form)
                assert refused.status_code == HTTPStatus.NOT_FOUND
                assert "This link does not work" in refused.text
            await plant.play(3)
            assert (await said_of(plant), await said_of(plant, "fan-1")) == ([], [])
            await tapped(plant, link, "sensor")
            assert (await said_of(plant), await said_of(plant, "fan-1")) == ([("sensor", None, "by link", "")], [])

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_nobody_looked_at_is_no_example_of_anything_until_somebody_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            await deviates(plant, "pump", temperature=6.0)
            await plant.command("label", "pump-1", "--not-looked-at", "--by", "Ana", "--comment", "night shift")
            await plant.play(3)
            assert await said_of(plant) == [("not_looked_at", None, "Ana", "night shift")]
            (pump,) = [one["ever"] for one in (await plant.get("/ledger"))["items"]]
            assert (pump["answers"]["not_looked_at"], pump["judged"]) == (1, 0)
            await deviates(plant, "pump", temperature=6.0)
            second = await plant.get("/alerts/pump-2")
            assert second["like"] is None
            assert "; like " not in second["message"]
            await plant.command("label", "pump-1", "--real", "worn bearing", "--by", "Bo")
            await plant.play(3)
            await deviates(plant, "pump", temperature=6.0)
            third = await plant.get("/alerts/pump-3")
            assert (third["like"]["alert_id"], third["like"]["name"]) == ("pump-1", "worn bearing")

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
