"""People set a machine to what it was never learnt at, and back again, over the wire: the hold, and its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from connectors.frame import Float32s
from models.learn import learn
from tests.end_to_end.alerts import states
from tests.end_to_end.place import Place, floats, tag_of
from tests.end_to_end.replayed import replayed_as_recorded
from tests.models.plants import TAGS, coupled

pytestmark = pytest.mark.timeout(300)

LEARNT_ROWS, HEALTHY_ROWS, HELD_ROWS = 12_000, 600, 300
COLUMNS = (*TAGS, ("target", "rpm"))
SPEEDS_RPM = np.arange(900, 1501, 25)
USUAL_RPM, NEVER_LEARNT_RPM = 1200, 1800
PER_RPM = 0.02
"""What all tags follow the set-point by."""
OUTSIDE_S = 300
"""So long it is not told: what is set for a moment is no change."""
FAULT = 10.0


def driven(rows: int, seed: int) -> Float32s:
    """Return six tags and the set-point that they follow, which people move every five minutes, f32[rows, 7]."""
    rng = np.random.default_rng(seed)
    target = np.repeat(rng.choice(SPEEDS_RPM, -(-rows // HELD_ROWS)), HELD_ROWS)[:rows]
    return np.column_stack([coupled(rows, seed) + PER_RPM * (target[:, None] - USUAL_RPM), target]).astype(np.float32)


class Mill(Place):
    """Six tags that follow the `target`, a set-point; `is_faulty` where the last of them runs hot."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ["mill"], floats(len(COLUMNS)))
        self.target = USUAL_RPM
        self.is_faulty = False
        self._healthy = coupled(HEALTHY_ROWS, 2)
        learn([driven(LEARNT_ROWS, 1)], COLUMNS, 1000, name="mill").save(folder / "bundle")

    def _next_row(self) -> list[float]:
        row = self._healthy[self.rows % HEALTHY_ROWS] + PER_RPM * (self.target - USUAL_RPM)
        row[-1] += FAULT * self.is_faulty
        return [*row.tolist(), self.target]

    def _configuration(self) -> str:
        text = super()._configuration() + (
            '[assets.mill]\nbundle = "bundle"\nperiod_ms = 1000\non_delay_s = 10\noff_delay_s = 10\n'
            "hold_after_change_h = 8\n"
        )
        return text + "".join(tag_of("mill", column, *told) for column, told in enumerate(COLUMNS))


def test_a_set_point_that_was_never_learnt_holds_alerts_until_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Mill(tmp_path).on_the_wire() as plant, plant.running():
            await plant.play(60)
            plant.target = NEVER_LEARNT_RPM
            await plant.play(OUTSIDE_S - 10)
            assert await plant.events() == []
            await plant.play(20)
            (seen,) = await plant.events()
            assert (seen["kind"], seen["about"], seen["by"]) == ("change_seen", "target", None)
            assert seen["comment"].startswith("the set-point target is 1800 rpm, outside of ")
            assert seen["comment"].endswith(" rpm, where it was learnt")
            (way,) = (await plant.get("/assets/mill"))["withheld"]
            assert (way["kind"], way["reason"]) == ("on_hold", seen["comment"])
            plant.is_faulty = True
            await plant.play(60)
            assert await states(plant) == [], "nobody is told of what is judged by what was never learnt"

            plant.is_faulty, plant.target = False, USUAL_RPM
            await plant.play(10)
            ended = (await plant.events())[0]
            assert (ended["kind"], ended["by"]) == ("hold_ended", None)
            assert ended["comment"].startswith("the set-point target is ")
            assert " again; meanwhile " in ended["comment"]
            assert (await plant.get("/assets/mill"))["withheld"] == []
            await plant.play(90)
            assert await states(plant) == []
            plant.is_faulty = True
            await plant.play(60)
            assert await states(plant) == [("mill-1", "unacknowledged", None)]
            assert [one["kind"] for one in await plant.events()] == ["hold_ended", "change_seen"]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
