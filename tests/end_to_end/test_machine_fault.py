"""A fault of the simulated pump grows on the wire: the alert names the machine, the tag, the type and what to check."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.store import codec
from simulators.faults import EFFECTS, degradation
from simulators.machine import EPOCH_NS
from tests.end_to_end.alerts import states
from tests.end_to_end.place import SECOND_NS
from tests.end_to_end.replayed import replayed_as_recorded
from tests.end_to_end.skid import Skid

pytestmark = pytest.mark.timeout(300)

SEED, START_S, TAG = 7, 2 * 3600, "flow"
ONSET_S = START_S + 600
DURATION_S = 2400
"""From the onset to the failure; a pump that is worked so hard that the fault is seen within minutes."""
LEAST_SHARE = 0.5


@pytest.mark.parametrize(("kind", "tag", "failure_mode", "first"), [
    ("bearing_wear", "vibration", "VIB, vibration", "both bearings"),
    ("filter_fouling", "filter_dp", "PLU, plugged or choked", "differential pressure"),
])
def test_a_fault_that_grows_is_the_machines_and_says_where_to_look_first(
    tmp_path: Path, kind: str, tag: str, failure_mode: str, first: str
) -> None:
    fault = degradation("pump", kind, ONSET_S, DURATION_S)

    async def scenario() -> None:
        async with Skid(tmp_path, SEED, START_S, TAG, [fault]).on_the_wire() as plant, plant.running():
            await plant.play((ONSET_S - START_S) // Skid.period_s)
            assert await states(plant) == [], "it is healthy so far"
            for _ in range(DURATION_S // Skid.period_s // 20):
                await plant.play(20)
                if await states(plant):
                    break
            alert = await plant.get("/alerts/pump-1")
            verdict, advisory = alert["verdict"], alert["advisory"]
            onset_ns, failure_ns = (EPOCH_NS + int(at_s * SECOND_NS) for at_s in (ONSET_S, fault.failure_s))
            assert onset_ns < codec.parse_time(alert["raised_time"]) < failure_ns
            assert (verdict["cause"], verdict["condition"]) == ("machine", "deviating")
            assert 0.5 < verdict["cause_probability"] <= 1.0
            top = verdict["contributions"][0]
            assert top["tag"] == tag == EFFECTS["pump"][kind].tags[0], "the one that the fault moves most"
            assert top["share"] > LEAST_SHARE
            assert top["measured"] > top["expected"]
            likely = verdict["fault_probabilities"]
            assert (likely[0]["fault"], likely[0]["probability"] > 0.5) == ("ramp", True)
            assert sum(each["probability"] for each in likely) <= 1.0
            assert f"{tag} is " in alert["message"]
            assert alert["message"].endswith(", looks like ramp")
            assert (advisory["machine_type"], advisory["failure_mode"]) == ("pump", failure_mode)
            assert first in advisory["checks"][0]["do"]
            assert advisory["checks"][0]["why"]

    asyncio.run(scenario())
    replayed_as_recorded(tmp_path)
