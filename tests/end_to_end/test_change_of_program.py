"""A PLC on OPC UA gets another program or firmware: the alerts of its machine are on hold, those of others are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.end_to_end.alerts import states
from tests.end_to_end.cell import Cell
from tests.end_to_end.replayed import replayed_as_recorded

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("change", "said"), [
    (Cell.change_program, "the namespace table of OPC UA server {} has moved at "),
    (Cell.change_firmware, "the firmware of OPC UA server {} was changed ("),
])
def test_a_changed_opcua_server_holds_the_alerts_of_its_machine_until_a_person_has_looked(
    tmp_path: Path, change: Callable[[Cell], Awaitable[None]], said: str
) -> None:
    async def scenario() -> None:
        async with Cell(tmp_path, "hold_after_change_h = 1\n").on_the_wire() as plant, plant.running():
            await plant.play(60)
            assert await plant.events() == []
            await change(plant)
            for _ in range(12):
                await plant.play(5)
                if await plant.events():
                    break
            (seen,) = await plant.events()
            assert (seen["kind"], seen["asset"], seen["about"], seen["by"]) == ("change_seen", "pump", "cpu", None)
            assert seen["comment"].startswith(said.format(plant.cpu.address))
            assert "3 tags found again" in seen["comment"]
            pump, press = [await plant.get(f"/assets/{asset}") for asset in plant.assets]
            (way,) = pump["withheld"]
            assert (way["kind"], way["reason"]) == ("on_hold", seen["comment"])
            assert press["withheld"] == []

            plant.faulty = {"pump", "press"}
            await plant.play(60)
            assert await states(plant) == [("press-1", "unacknowledged", None)]
            await plant.command("nothing-changed", "pump", "--by", "Ana", "--comment", "the same logic")
            await plant.play(60)
            ended = (await plant.events())[0]
            assert (ended["kind"], ended["asset"], ended["by"]) == ("hold_ended", "pump", "Ana")
            assert ended["comment"].startswith("the same logic; meanwhile ")
            assert await states(plant) == [
                ("press-1", "unacknowledged", None), ("pump-1", "unacknowledged", None),
            ]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
