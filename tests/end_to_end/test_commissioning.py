"""An asset from an empty state directory to alerts that people see, over the API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from agent.store import codec
from tests.end_to_end.alerts import kinds
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import FAULT, Site

pytestmark = pytest.mark.timeout(300)

COLLECTED = 'learn_after_h = 0.25\n'  # 15 minutes, 900 rows
TOO_SOON = "learn_after_h = 0.01\n"  # 36 s
CHILD_S = 120.0
"""A child that learns and looks back takes its time on a busy machine: so long, on the wall, it is waited for."""
BREATH_S = 0.02


async def stage(site: Site, asset: str = "pump") -> str:
    (shown,) = [one for one in (await site.get("/assets"))["items"] if one["asset"] == asset]
    return str(shown["stage"])


async def until(site: Site, is_so: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(CHILD_S):
            while not await is_so():
                await site.play(1)
                await asyncio.sleep(BREATH_S)
    except TimeoutError:
        raise AssertionError(f"not yet: {await site.get('/assets/pump/commissioning')}") from None


async def until_stage(site: Site, wanted: str) -> None:
    async def is_so() -> bool:
        return await stage(site) == wanted

    await until(site, is_so)


async def until_looked_back(site: Site) -> str:
    async def looked_back() -> str | None:
        found = (await site.get("/assets/pump/commissioning"))["looked_back"]
        return None if found is None else str(found)

    async def is_so() -> bool:
        return await looked_back() is not None

    await until(site, is_so)
    return str(await looked_back())


async def labels(site: Site, alert_id: str) -> list[tuple[str, str | None, str, str] | None]:
    """What people had said of an alert at each of its revisions."""
    found = [one["label"] for one in (await site.get(f"/alerts/{alert_id}/history"))["items"]]
    return [one and (one["answer"], one["fault"], one["by"], one["comment"]) for one in found]


def test_a_new_machine_is_collected_learnt_and_in_shadow_until_a_person_goes_live(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], COLLECTED, bundle="").on_the_wire() as plant:
            async with plant.running():
                await plant.play(60)
                assert await stage(plant) == "collecting"
                told = await plant.get("/assets/pump/commissioning")
                assert told["model"] is None
                assert told["collected"]["recorded_h"] < told["collected"]["needed_h"] == 0.25
                assert await plant.refused("/assets/pump/go-live", by="Ana") == HTTPStatus.CONFLICT
            async with plant.running():  # what was collected before counts
                await until_stage(plant, "shadow")
                await until_looked_back(plant)
                assert [kind for kind, _ in await kinds(plant)] == ["learning", "learnt", "looked_back"]
                plant.faulty = {"pump"}
                await plant.play(60)
                assert (await plant.get("/alerts"))["items"] == []
                told = await plant.get("/assets/pump/commissioning")
                assert [(one["id"], one["shadow"]) for one in told["raised"]] == [("pump-1", True)]
                assert (await plant.get("/assets/pump"))["alert"] is None
                shown = await plant.command("commissioning", "pump")
                assert "next: look at these alerts, and then forewarn go-live pump --by NAME" in shown
                assert "pump-1" in shown
                await plant.command("label", "pump-1", "--real", "worn bearing", "--by", "Ana", "--comment", "it hums")
                assert await plant.refused("/alerts/pump-1/acknowledge", by="Ana") == HTTPStatus.CONFLICT
                await plant.play(3)
            async with plant.running():
                assert await stage(plant) == "shadow"
                marked = await plant.get("/alerts/pump-1")
                assert (marked["event"], marked["shadow"], marked["state"]) == ("label", True, "unacknowledged")
                assert await labels(plant, "pump-1") == [None, ("real", "worn bearing", "Ana", "it hums")]
                await plant.command("go-live", "pump", "--by", "Ana", "--comment", "that was real")
                await plant.play(30)
                assert await stage(plant) == "live"
                (alert,) = (await plant.get("/alerts"))["items"]
                assert (alert["id"], alert["event"], alert["by"]) == ("pump-1", "go_live", "Ana")
                assert alert["label"] == marked["label"], "what was said in shadow stays"
                assert ("live", "Ana") in await kinds(plant)
            async with plant.running():
                await plant.play(10)
                assert await stage(plant) == "live"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_is_recorded_out_of_service_and_in_cleaning_is_not_learnt_from_and_seen_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], COLLECTED, bundle="").on_the_wire() as plant, plant.running():
            begin_ns = plant.clock.time_ns()
            await plant.play(200)
            await plant.say("/assets/pump/out-of-service", by="Ana", reason="new bearing", duration_s=3600)
            plant.faulty = {"pump"}
            await plant.play(300)
            plant.faulty = set()
            await plant.say("/assets/pump/in-service", by="Ana")
            await plant.play(20)
            plant.cleaning, plant.off = {"pump"}, {"pump": (3.0, 0.0)}
            await plant.play(200)
            plant.cleaning, plant.off = set(), {}
            await plant.play(200)
            told = await plant.get("/assets/pump/commissioning")
            assert told["stage"] == "collecting"
            assert told["collected"]["recorded_h"] == pytest.approx(420 / 3600, abs=20 / 3600)
            await until_stage(plant, "shadow")
            (learning,), (learnt,) = [
                (await plant.get("/events", kind=kind))["items"] for kind in ("learning", "learnt")
            ]
            counts = re.findall(r"(\S+) rows were learnt from, .*; (\S+) from when", learnt["comment"])[0]
            rows, left_out = (int(count.replace(",", "")) for count in counts)
            assert left_out == pytest.approx(500, abs=20)
            assert rows >= 900, "as many as are asked for"
            recorded_ns = codec.parse_time(learning["time"]) - begin_ns
            assert rows + left_out == pytest.approx(recorded_ns / 1e9, abs=5), "whenever it was seen to be enough"
            await until_looked_back(plant)
            for off in ((0.0, FAULT), (3.0, 0.0)):
                plant.off = {"pump": off}
                await plant.play(40)
                plant.off = {}
                await plant.play(60)
            raised = (await plant.get("/assets/pump/commissioning"))["raised"]
            assert [one["id"] for one in raised] == ["pump-2", "pump-1"]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_given_bundle_is_in_shadow_where_that_is_said_and_tells_what_it_would_have_raised(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(60)
                plant.faulty = {"pump"}
                await plant.play(30)
                plant.faulty = set()
                await plant.play(60)
                assert await stage(plant) == "live"
                live = await plant.get("/alerts/pump-1")
            plant.keys += 'stage = "shadow"\n'
            async with plant.running():
                assert await until_looked_back(plant) == "1 alert would have been raised in what was recorded before"
                (before,) = (await plant.get("/assets/pump/commissioning"))["before"]
                assert before["id"] == f"pump~{before['verdict']['model_hash'][:12]}.past-1"
                assert before["raised_time"] == live["raised_time"]
                assert await stage(plant) == "shadow"
                assert (await plant.get("/assets/pump"))["alert"]["id"] == "pump-1", "what people were told of stays"
                await plant.command("label", before["id"], "--real", "worn bearing", "--by", "Ana")
                await plant.play(3)
            async with plant.running():
                (marked,) = (await plant.get("/assets/pump/commissioning"))["before"]
                assert (marked["id"], marked["label"]["fault"]) == (before["id"], "worn bearing")
                assert await labels(plant, before["id"]) == [None, ("real", "worn bearing", "Ana", "")]
                plant.faulty = {"pump"}
                await plant.play(60)
                again = await plant.get("/alerts/pump-1")
                assert (again["event"], again["like"]["alert_id"]) == ("raise", before["id"])
                assert again["like"]["name"] == "worn bearing", "what was marked names the next one"

    asyncio.run(scenario())


def test_a_record_that_teaches_nothing_is_told_and_goes_on_to_be_collected(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], TOO_SOON, bundle="").on_the_wire() as plant, plant.running():
            async def is_refused() -> bool:
                return ("not_learnt", None) in await kinds(plant)

            await until(plant, is_refused)
            assert await kinds(plant) == [("learning", None), ("not_learnt", None)]
            told = await plant.get("/assets/pump/commissioning")
            assert told["stage"] == "collecting"
            assert "at least 100 are needed" in told["collected"]["refused"]
            await plant.play(130)
            assert len(await kinds(plant)) == 2, "it is tried again a day later"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
