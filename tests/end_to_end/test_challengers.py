"""A re-learnt model beside the one that judges: tried in shadow, promoted by a person or by rule, taken back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.config.file import load
from agent.shadow import versions
from models.bundle import Bundle
from models.learn import learn
from tests.agent.samples import quiet_rows
from tests.end_to_end.alerts import kinds
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)

TAGS = [("pressure", "bar"), ("temperature", "degC")]
WAIT_S = 1000
"""Longer than any of what is awaited takes, in the machine's time."""
RULE = 'promote = "rule"\npromote_after_days = 0.002\n'  # some 3 minutes


def learnt(rows: np.ndarray, name: str) -> Bundle:
    return learn([rows], TAGS, 1000, name=name, source=f"rows of {name}")


def put(folder: Path, bundle: Bundle) -> str:
    """Put a bundle where the models of the pump are; return its version."""
    config = load(folder / "agent.toml")
    bundle.save(versions.folder(config, "pump") / versions.version(bundle.hash))
    return versions.version(bundle.hash)


async def roles(site: Site) -> dict[str, str]:
    return {one["name"]: one["role"] for one in (await site.get("/assets/pump/models"))["items"]}


async def until(site: Site, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for _ in range(WAIT_S):
        if wanted(found := await site.get("/assets/pump/models")):
            return dict(found)
        await site.play(1)
    raise AssertionError(str(found))


def role(name: str, wanted: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: any(one["name"] == name and one["role"] == wanted for one in found["items"])


def tried(name: str) -> Callable[[dict[str, Any]], bool]:
    """It is the challenger, and judges: making its line takes as long as it takes."""
    return lambda found: role(name, "challenger")(found) and found["trial"] is not None and found["trial"]["days"] > 0


async def judged_by(site: Site) -> str:
    return str((await site.get("/assets/pump"))["verdict"]["model_hash"])


async def until_judged_by(site: Site, model: str) -> None:
    for _ in range(WAIT_S):
        if await judged_by(site) == model:
            return
        await site.play(1)
    raise AssertionError(await judged_by(site))


async def until_alert(site: Site, number: int, state: str) -> None:
    for _ in range(WAIT_S):
        newest = (await site.get("/alerts"))["items"][:1]
        if [(one["id"], one["state"]) for one in newest] == [(f"pump-{number}", state)]:
            return
        await site.play(1)
    raise AssertionError(str(newest))


def test_a_challenger_is_tried_in_shadow_promoted_by_a_person_and_rolled_back_by_one(tmp_path: Path) -> None:
    new = learnt(quiet_rows(900), "new")

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                old = await judged_by(plant)
                assert await plant.refused("/assets/pump/promote", by="Ana") == HTTPStatus.CONFLICT
                new.save(tmp_path / "relearnt")
                words = ["models", "add", str(tmp_path / "agent.toml"), "pump", str(tmp_path / "relearnt")]
                added = await asyncio.to_thread(CliRunner().invoke, app, words)
                assert "is the challenger within a minute" in added.output
                await until(plant, tried("new"))
                await plant.play(60)
                plant.faulty = {"pump"}
                await plant.play(40)
                plant.faulty = set()
                await plant.play(60)
                shown = await plant.command("models", "list", "pump")
                assert "they agree in 100%" in shown
                assert "challenger: 1 alert" in shown
                trial = (await plant.get("/assets/pump/models"))["trial"]
                assert (trial["champion"]["alerts"], trial["challenger"]["alerts"]) == (1, 1)
                assert (trial["agreement"], trial["missed"], trial["alone"]) == (1.0, [], [])
                assert [one["id"] for one in (await plant.get("/alerts"))["items"]] == ["pump-1"]
                assert await judged_by(plant) == old
            async with plant.running():  # the trial goes on
                assert await roles(plant) == {"m": "champion", "new": "challenger"}
                said = await plant.command("models", "promote", "pump", "--by", "Ana", "--comment", "they agree")
                assert said == "pump: promote takes effect within a minute\n"
                await until_judged_by(plant, new.hash)
                assert await roles(plant) == {"m": "previous", "new": "champion"}
            async with plant.running():
                await plant.play(5)
                assert await judged_by(plant) == new.hash
                graph = tmp_path / "bundle" / "model.onnx"
                kept = graph.read_bytes()
                graph.write_bytes(b"damaged")
                assert await plant.refused("/assets/pump/rollback", by="Bo") == HTTPStatus.CONFLICT
                graph.write_bytes(kept)
                await plant.command("models", "rollback", "pump", "--by", "Bo", "--comment", "not yet")
                await until_judged_by(plant, old)
                assert await roles(plant) == {"m": "champion", "new": "none"}
                assert await kinds(plant) == [
                    ("in_force", None), ("challenged", None), ("promoted", "Ana"), ("rolled_back", "Bo"),
                ]
                shown = await plant.command("models", "show", "pump", versions.version(new.hash))
                assert "promoted by Ana: they agree" in shown

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_challenger_is_promoted_by_rule_and_rolled_back_when_it_leaves_the_budget(tmp_path: Path) -> None:
    new = learnt(quiet_rows(900), "new")

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], RULE).on_the_wire() as plant, plant.running():
            await plant.play(10)
            old = await judged_by(plant)
            put(tmp_path, new)
            await until(plant, role("new", "champion"))
            await until_judged_by(plant, new.hash)
            for number in range(1, 4):  # three alerts in some minutes, of a budget of one a week
                plant.faulty = {"pump"}
                await until_alert(plant, number, "unacknowledged")
                plant.faulty = set()
                if number < 3:
                    await until_alert(plant, number, "returned_unacknowledged")
                    await plant.say(f"/alerts/pump-{number}/acknowledge", by="Ana")
                    await until_alert(plant, number, "normal")
            await until(plant, role("m", "champion"))
            await until_judged_by(plant, old)
            assert await kinds(plant) == [
                ("in_force", None), ("challenged", None), ("promoted", None), ("rolled_back", None),
            ]
            (last, *_) = (await plant.get("/events", asset="pump"))["items"]
            assert "more than the budget" in last["comment"]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_challenger_that_misses_an_alert_is_not_promoted_by_rule_and_one_that_does_not_fit_is_dismissed(
    tmp_path: Path,
) -> None:
    noisy = quiet_rows(900)
    noisy[:, 1] += np.where(np.arange(900) % 100 < 50, 6.0, 0.0).astype(np.float32)  # knows the fault as a way to run
    deaf = learnt(noisy, "deaf")
    other = learn([quiet_rows(900)], [("pressure", "bar"), ("heat", "degC")], 1000, name="other")

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], RULE).on_the_wire() as plant, plant.running():
            await plant.play(10)
            put(tmp_path, other)
            for _ in range(WAIT_S):
                if ("dismissed", None) in await kinds(plant):
                    break
                await plant.play(1)
            (last, *_) = (await plant.get("/events", asset="pump"))["items"]
            assert "learnt with heat" in last["comment"]
            put(tmp_path, deaf)
            await until(plant, tried("deaf"))
            await plant.play(60)
            plant.faulty = {"pump"}
            await plant.play(30)
            plant.faulty = set()
            await plant.play(300)
            trial = (await plant.get("/assets/pump/models"))["trial"]
            assert trial["missed"] == ["pump-1"]
            assert trial["days"] > 0.002
            assert await roles(plant) == {"m": "champion", "deaf": "challenger", "other": "none"}

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_the_rule_counts_the_time_in_which_the_challenger_judged(tmp_path: Path) -> None:
    async def days(plant: Site) -> float:
        return float((await plant.get("/assets/pump/models"))["trial"]["days"])

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], RULE).on_the_wire() as plant:
            async with plant.running():
                await plant.play(10)
                put(tmp_path, learnt(quiet_rows(900), "new"))
                await until(plant, tried("new"))
                await plant.play(30)
                judged = await days(plant)
                await plant.command("out-of-service", "pump", "--for", "1h", "--reason", "planned", "--by", "Ana")
                await plant.play(2)
                withheld = await days(plant)
                await plant.play(300)  # longer than the rule asks for
                assert await days(plant) == withheld
                assert 0 < judged <= withheld < 0.001
            await plant.clock.advance(3_600_000_000_000)  # the agent is off, until the machine is in service again
            async with plant.running():
                await plant.play(60)
                assert withheld < await days(plant) < withheld + 0.001
                assert await roles(plant) == {"m": "champion", "new": "challenger"}
                await until(plant, role("new", "champion"))
                assert (await plant.get("/assets/pump/models"))["since_promotion"]["weeks"] < 0.001

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_an_older_model_does_not_come_back_unseen_and_a_person_brings_it_back_by_name(tmp_path: Path) -> None:
    place, old, new = tmp_path / "bundle", tmp_path / "old", learnt(quiet_rows(900), "new")

    async def in_force(plant: Site) -> list[tuple[str, str | None, str]]:
        await plant.play(65)
        events = (await plant.get("/events", asset="pump"))["items"]
        return [(one["kind"], one["about"], one["comment"]) for one in events]

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                ((kind, first, said),) = await in_force(plant)
                assert (kind, said) == ("in_force", "the configuration names it; not signed")
                assert first == await judged_by(plant)
            place.rename(old)
            new.save(place)
            async with plant.running():
                newest, _ = await in_force(plant)
                assert newest[:2] == ("in_force", new.hash)
                assert "older" not in newest[2]
            shutil.rmtree(place)
            shutil.copytree(old, place)
            async with plant.running():  # the machine is watched all the same, and everybody can see by what
                newest, *_ = await in_force(plant)
                assert newest[:2] == ("in_force", first)
                assert "an older model: it was replaced" in newest[2]
                assert "nobody has rolled back to it" in newest[2]
                put(tmp_path, new)
                assert len(await in_force(plant)) == 3, "what has judged before is no challenger"
                words = ["models", "add", str(tmp_path / "agent.toml"), "pump", str(old)]
                refused = await asyncio.to_thread(CliRunner().invoke, app, words)
                assert f"forewarn models rollback pump --to {versions.version(str(first))}" in refused.output
                version = versions.version(new.hash)
                unknown = await plant.refused("/assets/pump/rollback", by="Ana", version="0123456789ab")
                assert unknown == HTTPStatus.CONFLICT
                await plant.command("models", "rollback", "pump", "--to", version, "--by", "Ana")
                await until_judged_by(plant, new.hash)
                assert (await kinds(plant))[-1] == ("rolled_back", "Ana")
                assert len(await in_force(plant)) == 4

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
