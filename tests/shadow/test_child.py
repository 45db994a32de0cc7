"""What the child process learns from, asked as the daemon asks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.shadow.child import learn, learning
from agent.store.blocks import Step
from agent.store.telemetry import TelemetryLog
from connectors.frame import Frame
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows

TAGS = (("pressure", "bar"), ("temperature", "degC"))
ROWS, WORK = 900, range(300, 600)


def at(second: int) -> int:
    return START_NS + second * SECOND_NS


@pytest.mark.parametrize("ahead_s", [0, -2 * 3600, 5 * 3600, -300 * 86_400])
def test_what_was_recorded_out_of_service_is_left_out_however_wrong_the_clock_of_the_source_is(
    ahead_s: int, tmp_path: Path
) -> None:
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    for second, row in enumerate(quiet_rows(ROWS)):
        now_ns = at(second)
        frame = Frame.clean(
            np.array([now_ns + ahead_s * SECOND_NS]), row[None] + 50 * (second in WORK), np.zeros((1, 2), np.uint32)
        )
        telemetry.append(Step("pump", now_ns, frame), now_ns)
    telemetry.close()
    tags = [(name, unit, 1000, None) for name, unit in TAGS]
    work = [(at(WORK.start), at(WORK.stop))]
    answer = learn(learning(tmp_path, "pump", tags, 1000, at(ROWS), work))
    assert answer["rows_without"] == len(WORK)
    assert answer["rows"] == pytest.approx(ROWS - len(WORK), abs=20)
