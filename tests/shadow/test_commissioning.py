"""What the daemon decides of an asset while nothing is read from it: each thing once, whichever of its loops does."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.build import layout_of, line_settings, make_line
from agent.config.file import Config
from agent.line.alert import Command
from agent.line.stage import Decide, Decision
from agent.shadow.commissioning import CHECK_NS, Commissioning, Models
from agent.shadow.loading import JOURNAL, load_detectors
from agent.store.blocks import Start
from agent.store.journal import Journal
from agent.store.telemetry import TelemetryLog
from agent.worker import Renewal, Worker
from models.bundle import Bundle, BundleError
from tests.agent.doubles import until
from tests.agent.samples import CONFIG
from tests.clock import ManualClock

CHILD = "import sys; open(sys.argv[1], 'a').write('asked\\n'); print('{\"alerts\": []}')"
"""A child process that notes that it was asked, and has found no alert."""


class Heard(Worker):
    """Keeps what was decided, with the comment; nothing twice."""

    heard: dict[Decision, str]

    def submit(self, asset: str, command: Command) -> bool:
        assert isinstance(command, Decide)
        assert command.decision not in self.heard
        self.heard[command.decision] = command.comment
        return super().submit(asset, command)


def none_due(asset: str, _models: Models) -> Renewal:
    raise BundleError(f"{asset} is to be judged by the model that it has")


def test_what_two_loops_decide_waits_for_the_next_row_and_is_decided_once_each(tmp_path: Path, bundle: Bundle) -> None:
    bundle.save(tmp_path / "bundles" / "pump")
    file = tmp_path / "agent.toml"
    config = Config.parse(CONFIG.replace("[assets.pump]\n", '[assets.pump]\nstage = "shadow"\n'), file)
    clock, asked, state = ManualClock(), tmp_path / "asked", config.agent.state_dir
    journal = Journal(state / JOURNAL, clock.time_ns())
    telemetry = TelemetryLog(state / "telemetry", layout_of(config))
    line = make_line(config, "pump", load_detectors(config)["pump"], Start(), ())
    worker = Heard({"pump": line}, journal, telemetry, clock)
    worker.heard = {}
    commissioning = Commissioning(
        config, journal, worker, clock, {"pump": line_settings(config, "pump", ())}, none_due,
        {"pump": Models(bundle.hash)}, (sys.executable, "-c", CHILD, str(asked)),
    )

    async def scenario() -> None:
        task = asyncio.create_task(commissioning.run())
        await until(lambda: Decision.LOOKED_BACK in worker.heard)
        for _ in range(5):
            await clock.advance(CHECK_NS, sleepers=2)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scenario())
    assert worker.heard == {
        Decision.IN_FORCE: "the configuration names it; not signed",
        Decision.LOOKED_BACK: "0 alerts would have been raised in what was recorded before",
    }
    assert asked.read_text() == "asked\n"
    telemetry.close()
    journal.close()
