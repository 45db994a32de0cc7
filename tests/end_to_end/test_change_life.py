"""What was done to a machine, as the agent sees it and as people say over the API: normal, changed, unchanged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.store import codec
from tests.end_to_end.alerts import states
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)


def test_what_a_person_says_is_normal_is_kept_as_an_event_and_the_alert_stands(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            since = codec.format_time(plant.clock.time_ns())
            plant.faulty = {"pump"}
            await plant.play(30)
            await plant.say("/assets/pump/normal", by="Ana", since=since, comment="hotter oil is what we want")
            await plant.play(5)
            (event,) = (await plant.get("/events", kind="normal"))["items"]
            assert (event["by"], event["since"], event["comment"]) == ("Ana", since, "hotter oil is what we want")
            (alert,) = (await plant.get("/alerts"))["items"]
            assert alert["state"] == "unacknowledged", "it takes a model that has learnt this to think so too"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_download_that_moved_the_words_puts_alerts_on_hold_until_a_person_has_looked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], "hold_after_change_h = 1\n").on_the_wire() as plant, plant.running():
            await plant.play(200)
            assert await plant.events() == []
            await plant.download("CDAB")
            for _ in range(25):
                await plant.play(10)
                if events := await plant.events():
                    break
            told = events[-1]
            assert (told["kind"], told["about"], told["by"]) == ("change_seen", "plc", None)
            assert "what its registers mean has changed: as CDAB this is a smooth" in told["comment"]
            assert [one["kind"] for one in (await plant.get("/assets/pump"))["withheld"]] == ["on_hold"]

            await plant.download("ABCD")
            plant.faulty = {"pump"}
            await plant.play(60)
            assert (await plant.get("/alerts"))["items"] == []
            await plant.say("/assets/pump/nothing-changed", by="Ana", comment="the old program is back")
            await plant.play(60)
            ended = (await plant.get("/events", kind="hold_ended"))["items"][0]
            assert ended["by"] == "Ana"
            assert ended["comment"].startswith("the old program is back; meanwhile ")
            assert "rows deviated" in ended["comment"]
            (alert,) = (await plant.get("/alerts"))["items"]
            assert alert["withheld"] == []

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_sensor_that_was_replaced_is_re_baselined_over_a_restart_and_judged_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                plant.faulty = {"pump"}  # of the sensor, not of the machine: it shows 6 K more
                await plant.play(30)
                assert await states(plant) == [("pump-1", "unacknowledged", None)]
                await plant.say("/alerts/pump-1/acknowledge", by="Ana")
                await plant.say("/assets/pump/rebaseline", by="Ana", tags=["temperature"], comment="new sensor")
                await plant.play(100)
                assert await states(plant) == [("pump-1", "normal", None)]
            async with plant.running():
                await plant.play(660)
            async with plant.running():
                await plant.play(40)
                events = await plant.events()
                told = [(one["kind"], one["by"]) for one in events]
                assert told == [("rebaselined", None), ("rebaseline_begun", "Ana")]
                assert await states(plant) == [("pump-1", "normal", None)]
                plant.faulty = set()  # 6 K below where it stands now
                await plant.play(40)
                assert await states(plant) == [("pump-1", "normal", None), ("pump-2", "unacknowledged", None)]
                alert = await plant.get("/alerts/pump-2")
                assert alert["verdict"]["contributions"][0]["tag"] == "temperature"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_sensor_that_comes_back_as_another_is_a_change_that_is_told_with_the_remedy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(60)
            plant.broken = {"pump"}
            await plant.play(70)
            plant.broken, plant.faulty = set(), {"pump"}
            await plant.play(60)
            (event,) = await plant.events()
            assert (event["kind"], event["about"]) == ("change_seen", "temperature")
            assert "standard deviations above where it was" in event["comment"]
            assert "re-baselined" in event["comment"]
            (alert,) = (await plant.get("/alerts"))["items"]
            assert [one["reason"] for one in alert["withheld"]] == [event["comment"]]
            await plant.say("/assets/pump/rebaseline", by="Ana", tags=["temperature"])
            await plant.play(2)
            told = [(one["kind"], one["by"]) for one in await plant.events()]
            assert told == [("rebaseline_begun", "Ana"), ("hold_ended", "Ana"), ("change_seen", None)]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
