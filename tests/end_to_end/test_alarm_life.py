"""The life of alerts as people see it over the API: cleaning, planned work, chatter, floods, groups, escalation."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from agent.store import codec
from tests.end_to_end.alerts import deviates, revisions, states
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(300)


def test_a_machine_in_cleaning_raises_nothing_and_is_watched_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.cleaning, plant.faulty = {"pump"}, {"pump"}
            await plant.play(60)
            assert await states(plant) == []
            (shown,) = (await plant.get("/assets"))["items"]
            assert [one["kind"] for one in shown["withheld"]] == ["suppressed"]
            plant.cleaning = set()
            await plant.play(60)
            assert await states(plant) == [("pump-1", "unacknowledged", None)]
            events = await plant.events()
            assert [(one["kind"], one["about"], one["comment"]) for one in events] == [
                ("unsuppressed", "cleaning", "cleaning is 0"), ("suppressed", "cleaning", "cleaning is 1"),
            ]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_slight_deviation_waits_for_its_cause_and_is_nothing_if_it_returns_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], "cause_delay_s = 160\n").on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.off = {"pump": (0.0, 0.6)}
            await plant.play(40)
            verdict = (await plant.get("/assets/pump"))["verdict"]
            assert (verdict["condition"], await states(plant)) == ("deviating", []), "neither tag is believed"
            plant.off = {}
            await plant.play(150)
            assert await states(plant) == []
            plant.off = {"pump": (0.0, 0.6)}
            await plant.play(190)
            assert await states(plant) == [("pump-1", "unacknowledged", None)]
            (told,) = await revisions(plant)
            waited_s = (codec.parse_time(told["raised_time"]) - codec.parse_time(told["onset_time"])) / 1e9
            assert 9 + 2 * 10 <= waited_s < 9 + 160, "the on delay, and three looks, one every ten seconds"
            assert told["verdict"]["cause_probability"] >= 0.9

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_planned_work_holds_over_a_restart_in_the_middle_and_ends_as_planned(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(20)
                later = codec.format_time(plant.clock.time_ns() + 10_000_000_000)
                await plant.say(
                    "/assets/pump/out-of-service", by="Ana", reason="new seal", duration_s=100, since=later
                )
                await plant.play(15)
                plant.faulty = {"pump"}
                await plant.play(30)
                assert await states(plant) == []
            async with plant.running():
                await plant.play(30)
                assert await states(plant) == []
                (way,) = (await plant.get("/assets/pump"))["withheld"]
                assert (way["kind"], way["by"], way["reason"]) == ("out_of_service", "Ana", "new seal")
                await plant.play(80)
                assert await states(plant) == [("pump-1", "unacknowledged", None)]
                events = await plant.events()
                assert [one["kind"] for one in events] == ["in_service", "out_of_service"]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_work_that_begins_now_and_is_done_early_is_said_on_the_machines_page(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(20)
            await plant.tap("pump", "out-of-service", name="Ana", comment="new seal", hours="4")
            await plant.play(2)
            plant.faulty = {"pump"}
            await plant.play(30)
            assert await states(plant) == []
            await plant.tap("pump", "in-service", name="Bo", comment="it leaks still")
            await plant.play(80)
            assert await states(plant) == [("pump-1", "unacknowledged", None)]
            await plant.tap("pump", "acknowledge", name="Bo", alert="pump-1")
            await plant.play(2)
            assert await states(plant) == [("pump-1", "acknowledged", None)]
            await plant.tap("pump", "repair", name="Bo", comment="another seal", downtime="6")
            await plant.play(2)
            told = [(one["kind"], one["by"], one["comment"], one["about"]) for one in await plant.events()]
            assert told == [
                ("repair", "Bo", "another seal", None),
                ("in_service", "Bo", "it leaks still", None),
                ("out_of_service", "Ana", "new seal", None),
            ]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_nobody_looks_at_rises_in_priority_and_what_nobody_mends_comes_back(tmp_path: Path) -> None:
    keys = 'escalate_after_h = 0.01\nrealarm_after_h = 0.02\nconsequence = "minor"\n'  # 36 s and 72 s

    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], keys).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.faulty = {"pump"}
            await plant.play(130)
            await plant.say("/alerts/pump-1/acknowledge", by="Ana", comment="on it")
            await plant.play(80)
            told = await revisions(plant)
            assert [(one["event"], one["state"], one["priority"], one["by"]) for one in told] == [
                ("raise", "unacknowledged", "low", None),
                ("escalate", "unacknowledged", "medium", None),
                ("escalate", "unacknowledged", "high", None),
                ("acknowledge", "acknowledged", "high", "Ana"),
                ("realarm", "unacknowledged", "high", None),
            ]
            times_ns = [codec.parse_time(one["updated_time"]) for one in told]
            first_s, second_s, _, again_s = ((to - since) / 1e9 for since, to in pairwise(times_ns))
            for waited_s, patience_s in ((first_s, 36), (second_s, 36), (again_s, 72)):
                assert patience_s <= waited_s < patience_s + 2, "with the next row"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_the_same_fault_is_more_urgent_where_a_failure_would_do_more(tmp_path: Path) -> None:
    says = {f"{one}_pump": f'consequence = "{one}"\n' for one in ("minor", "major", "severe")}

    async def scenario() -> None:
        async with Site(tmp_path, list(says), of_assets=says).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.off = dict.fromkeys(says, (0.0, 2.0))
            await plant.play(30)
            found = {one["asset"]: one for one in (await plant.get("/alerts"))["items"]}
            assert {asset: one["priority"] for asset, one in found.items()} == {
                "minor_pump": "low", "major_pump": "medium", "severe_pump": "high",
            }
            for one in found.values():
                assert one["verdict"]["cause"] == "machine"
                assert one["verdict"]["evidence"] < 2.0, "there are days to act on each"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_has_grown_to_twice_what_it_was_must_be_taken_on_again_and_who_had_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"], 'consequence = "minor"\n').on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.off = {"pump": (0.0, 1.0)}
            await plant.play(25)
            seen = {"by": "Ana", "time": codec.format_time(plant.clock.time_ns()), "comment": "looking at the seal"}
            await plant.command("acknowledge", "pump-1", "--by", "Ana", "--comment", "looking at the seal")
            plant.off = {"pump": (0.0, 3.0)}
            await plant.play(60)
            taken = await plant.get("/alerts/pump-1")
            assert (taken["state"], taken["acknowledgement"]) == ("acknowledged", seen), "not twice as bad yet"
            now = (await plant.get("/assets/pump"))["verdict"]
            assert now["evidence"] > 1.5 * taken["verdict"]["evidence"]

            plant.off = {"pump": (0.0, 30.0)}
            await plant.play(9)
            assert (await plant.get("/alerts/pump-1"))["state"] == "acknowledged", "not for the on delay yet"
            await plant.play(21)
            told = await revisions(plant)
            assert [(one["event"], one["state"], one["priority"], one["by"]) for one in told] == [
                ("raise", "unacknowledged", "low", None),
                ("acknowledge", "acknowledged", "low", "Ana"),
                ("realarm", "unacknowledged", "medium", None),
            ]
            raised, kept, again = told
            assert [one["acknowledgement"] for one in told] == [None, seen, None]
            assert again["verdict"]["evidence"] >= 2 * raised["verdict"]["evidence"]
            assert again["message"] != kept["message"] == raised["message"]
            await plant.command("acknowledge", "pump-1", "--by", "Bo")
            plant.off = {}
            await plant.play(60)
            over = await plant.get("/alerts/pump-1")
            assert (over["state"], over["acknowledgement"]["by"]) == ("normal", "Bo")

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_an_alarm_that_comes_and_goes_stands_longer_each_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            for _ in range(4):
                plant.faulty = {"pump"}
                await plant.play(25)
                plant.faulty = set()
                await plant.play(75)
            events = [one["event"] for one in await revisions(plant)]
            assert events == ["raise", "return", "raise", "return", "raise"], "the fourth time it still stands"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_a_failing_connection_does_to_machines_is_one_alert_and_another_fault_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump", "press", "fan"]).on_the_wire() as plant, plant.running():
            await plant.play(70)
            for _ in range(3):
                plant.off = dict.fromkeys(("pump", "press"), (30.0, -20.0))
                await plant.play(2)
                plant.off = {}
                await plant.play(4)
            plant.faulty = {"fan"}
            await plant.play(20)
            roots = [(alert, root) for alert, _, root in await states(plant)]
            assert roots == [("pump-1", None), ("press-1", "pump-1"), ("fan-1", None)]
            causes = {one["id"]: one["verdict"]["cause"] for one in (await plant.get("/alerts"))["items"]}
            assert (causes["pump-1"], causes["press-1"]) == ("communication", "communication")
            assert causes["fan-1"] != "communication"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_machines_on_one_cooling_water_are_one_alert_and_a_flood_is_one_too(tmp_path: Path) -> None:
    assets = [f"fan{number}" for number in range(10)] + ["pump", "press"]
    shared = dict.fromkeys(("pump", "press"), 'group = "cooling water"\n')

    async def scenario() -> None:
        async with Site(tmp_path, assets, of_assets=shared).on_the_wire() as plant, plant.running():
            await plant.play(30)
            for machine in ("pump", "fan0", "press"):
                plant.faulty |= {machine}
                await plant.play(15)
            await plant.play(15)
            assert await states(plant) == [
                ("pump-1", "unacknowledged", None), ("fan0-1", "unacknowledged", None),
                ("press-1", "unacknowledged", "pump-1"),
            ]
            plant.faulty = set(assets)
            await plant.play(30)
            found = await states(plant)
            assert len(found) == 12
            assert {root for _, _, root in found} == {None, "pump-1"}
            assert [alert_id for alert_id, _, root in found if root is None] == ["pump-1"]
            shown = await plant.get("/assets/fan9")
            assert shown["alert"]["root"] == "pump-1"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_an_alert_was_is_said_after_the_repair_and_corrected_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                plant.faulty = {"pump"}
                await plant.play(30)
                await plant.say("/alerts/pump-1/acknowledge", by="Ana")
                plant.faulty = set()
                await plant.play(90)
                assert await states(plant) == [("pump-1", "normal", None)]
                await plant.say("/alerts/pump-1/label", by="Ana", answer="normal")
                await plant.say("/alerts/pump-1/label", by="Ana", answer="sensor", comment="loose plug")
                await plant.play(3)
            async with plant.running():
                await plant.say("/alerts/pump-1/label", by="Bo", answer="real", fault="impeller blockage")
                await plant.play(3)
                told = await revisions(plant)
            assert [one["event"] for one in told] == ["raise", "acknowledge", "return", "label", "label", "label"]
            said = [(one["label"]["answer"], one["label"]["fault"], one["label"]["by"]) for one in told[-3:]]
            assert said == [
                ("normal", None, "Ana"), ("sensor", None, "Ana"), ("real", "impeller blockage", "Bo"),
            ]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_a_labelled_fault_is_named_the_next_time_on_its_machine_and_on_its_sisters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump", "fan"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                await deviates(plant, "pump", temperature=6.0)
                await plant.say("/alerts/pump-1/label", by="Ana", answer="real", fault="impeller blockage")
                await plant.play(3)
                await deviates(plant, "fan", temperature=6.0)
                await deviates(plant, "fan", pressure=1.5)
                first, other = await plant.get("/alerts/fan-1"), await plant.get("/alerts/fan-2")
            async with plant.running():
                await plant.play(30)
                await deviates(plant, "pump", temperature=8.0)
                again = await plant.get("/alerts/pump-2")
        for alert in (first, again):
            assert (alert["like"]["alert_id"], alert["like"]["name"]) == ("pump-1", "impeller blockage")
            near = alert["like"]["similarity"]
            assert near > 0.8
            assert alert["message"].endswith(f"; like 21 September 2026: impeller blockage, {near:.2f}")
        assert other["like"] is None

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_is_labelled_normal_is_raised_no_more_until_it_grows_and_nothing_else_is_silenced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump"]).on_the_wire() as plant:
            async with plant.running():
                await plant.play(30)
                await deviates(plant, "pump", temperature=6.0)
                await plant.say("/alerts/pump-1/label", by="Ana", answer="normal")
                await plant.play(3)
                await deviates(plant, "pump", temperature=5.5)
            async with plant.running():
                await plant.play(30)
                await deviates(plant, "pump", temperature=6.0)
                assert await states(plant) == [("pump-1", "normal", None)]
                told = [(one["kind"], one["about"]) for one in await plant.events()]
                assert told == [("known_pattern", "pump-1")] * 2
                await deviates(plant, "pump", pressure=1.5)
                await plant.play(180)  # it has come and gone four times, and stands longer for that
                plant.off = {"pump": (0.0, 6.0)}
                await plant.play(30)
                assert [one for one, _, _ in await states(plant)] == ["pump-1", "pump-2"]
                plant.off = {"pump": (0.0, 14.0)}
                await plant.play(60)
                assert [one for one, _, _ in await states(plant)] == ["pump-1", "pump-2", "pump-3"]
                grown = await plant.get("/alerts/pump-3")
                assert (grown["like"]["alert_id"], grown["like"]["name"]) == ("pump-1", "normal")

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)


def test_what_people_say_of_an_alert_and_of_a_failure_is_in_the_ledger(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ["pump", "press"]).on_the_wire() as plant, plant.running():
            await plant.play(30)
            plant.faulty = {"pump"}
            await plant.play(40)
            await plant.say("/alerts/pump-1/label", by="Ana", answer="real", fault="blocked filter")
            await plant.say("/assets/pump/repairs", by="Ana", comment="filter changed", downtime_s=3600)
            await plant.say("/assets/press/failures", by="Bo", comment="hose burst", downtime_s=600)
            plant.faulty = set()
            await plant.play(20)
            pump, press = [one["ever"] for one in (await plant.get("/ledger"))["items"]]
            raised = (await revisions(plant))[0]
            (repair,) = pump["outcomes"]
            assert (pump["alerts"], pump["answers"]["real"], pump["right"], pump["missed"]) == (1, 1, 1, 0)
            assert (repair["kind"], repair["alert_id"], pump["avoided_s"]) == ("repair", "pump-1", 3600)
            since_ns = codec.parse_time(repair["at"]) - codec.parse_time(raised["raised_time"])
            assert repair["lead_s"] == pytest.approx(since_ns / 1e9)
            assert 10 < repair["lead_s"] < 40
            assert (press["alerts"], press["failures"], press["downtime_s"], press["avoided_s"]) == (0, 1, 600, None)
            assert (pump["precision"], pump["median_lead_s"]) == (None, None), "one is too few"

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
