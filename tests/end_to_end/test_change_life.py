"""What people say of a machine, over the API: that what it did is normal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.store import codec
from tests.end_to_end.site import site
from tests.end_to_end.test_alarm_life import replayed_as_recorded

pytestmark = pytest.mark.timeout(300)


def test_what_a_person_says_is_normal_is_kept_as_an_event_and_the_alert_stands(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path, ["pump"]) as plant, plant.running():
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
