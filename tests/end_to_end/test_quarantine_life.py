"""What an agent saw on the wire and may learn from: a fault that stands only once a person says that it is normal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.store.codec import format_time
from models import bundle
from models.learn import learn
from tests.agent.commands import forewarn
from tests.agent.samples import quiet_rows
from tests.clock import ManualClock
from tests.end_to_end.alerts import states
from tests.end_to_end.place import SECOND_NS
from tests.end_to_end.site import MEASURED, Site

pytestmark = pytest.mark.timeout(300)

BEGIN_NS = 1_790_553_600 * SECOND_NS
"""2026-09-28, a Monday, 00:00 UTC."""
HEALTHY_ROWS, BEFORE_ROWS, FAULTY_ROWS, LATER_ROWS = 320, 60, 90, 60
DAY_S = 86_400
SETTLED_ROWS = 50
"""By then an agent that was started judges by what comes now."""


class Slow(Site):
    """A pump that is read once a minute, and not at all on most days, so that they are soon over."""

    period_s = 60

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ["pump"], bundle='bundle = "slow"\n')
        self.clock = ManualClock(BEGIN_NS)
        learn([quiet_rows(800)], MEASURED, self.period_s * 1000, name="pump").save(folder / "slow")

    def _configuration(self) -> str:
        text = super()._configuration().replace("period_ms = 1000", f"period_ms = {self.period_s * 1000}")
        return text.replace("_delay_s = 10\n", f"_delay_s = {3 * self.period_s}\n")

    async def switched_off(self, days: float) -> None:
        """Let time pass in which there is no agent, up to a full minute."""
        await self.clock.advance(int(days * DAY_S) * SECOND_NS + -self.clock.time_ns() % (self.period_s * SECOND_NS))

    async def learn(self, out: str) -> tuple[int, str]:
        """Learn from the record, as little as there is; return the exit status and what is said."""
        words = ("learn", "--from-record", self.folder / "state", self.folder / "agent.toml", "--thin",
                 "--out", self.folder / out, "--no-sign")
        done = await asyncio.to_thread(forewarn, *words)
        return done.exit_code, " ".join(done.output.split())

    def rows_of(self, out: str) -> int:
        """How many rows a bundle was learnt from."""
        return bundle.load(self.folder / out).manifest.learnt_rows

    async def condition(self, of: str) -> str:
        """Let the agent judge by a bundle; return what it makes of the machine."""
        await self.switched_off(0)
        self.keys = f'bundle = "{of}"\n'
        async with self.running():
            await self.play(SETTLED_ROWS)
            return str((await self.get("/assets/pump"))["verdict"]["condition"])


def test_a_fault_that_stands_is_learnt_only_once_a_person_has_said_that_it_is_normal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Slow(tmp_path).on_the_wire() as plant:
            async with plant.running():
                await plant.play(HEALTHY_ROWS)
            code, said = await plant.learn("early")
            assert code == 2
            assert "0.0 of 0.2 days may be learnt from; left out: 0.2 too new" in said

            await plant.switched_off(2)
            async with plant.running():
                await plant.play(BEFORE_ROWS)
                assert await states(plant) == []
                since = format_time(plant.clock.time_ns())
                plant.faulty = {"pump"}
                await plant.play(FAULTY_ROWS)
            await plant.switched_off(4)
            async with plant.running():
                await plant.play(LATER_ROWS)
                assert await states(plant) == [("pump-1", "unacknowledged", None)]
            code, said = await plant.learn("guarded")
            assert code == 0, said
            assert " in alarm" in said
            assert " near an alarm" in said
            guarded = plant.rows_of("guarded")
            assert guarded == pytest.approx(HEALTHY_ROWS, abs=2), "none of the fault, nor of the day before it"

            await plant.switched_off(0)
            async with plant.running():
                await plant.command("normal", "pump", "--by", "Ana", "--since", since, "--comment", "hotter oil")
                await plant.play(2)
                (event,) = (await plant.get("/events", kind="normal"))["items"]
                assert (event["by"], event["comment"]) == ("Ana", "hotter oil")
            code, said = await plant.learn("told")
            assert code == 0, said
            assert plant.rows_of("told") - guarded == pytest.approx(FAULTY_ROWS + LATER_ROWS, abs=3)

            assert await plant.condition("guarded") == "deviating", "the fault is still seen by what was learnt"
            assert await plant.condition("told") == "normal"
            plant.faulty = set()
            assert await plant.condition("told") == "normal", "both are known now"

    asyncio.run(scenario())
