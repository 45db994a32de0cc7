"""Records of simulated machines as an agent leaves them: telemetry in a state directory, most of it sealed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.build import layout_of, load_detectors
from agent.config.file import Config, load
from agent.rehearsal.record import Record
from agent.store import seal
from agent.store.blocks import Start, Started, Step
from agent.store.reading import EVER_NS
from agent.store.telemetry import TelemetryLog
from connectors.frame import BAD_TIMEOUT, GOOD, Float32s, Frame
from models import bundle
from simulators.config import toml
from simulators.faults import Degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from tests.agent.samples import CONFIG, START_NS
from tests.agent.test_replay import live_run

PERIOD_S = 5
SECOND_NS = 1_000_000_000
BEGIN_S = 86_400
FRAME_ROWS = 12
"""A read each minute, as a subscription gives it: a step a row would take long to write."""


def configured(folder: Path, machine: str = "pump", bundles: Path = bundle.SHIPPED) -> Config:
    """Write a configuration for a shipped bundle, for a PLC that is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    tags = Plant(machine, 1).tags
    text = toml(
        machine, tags, "127.0.0.1:1", bundle=str(bundles / machine), period_ms=PERIOD_S * 1000, on_delay_s=30,
        off_delay_s=300, port=0,
    )  # fmt: skip
    (folder / "agent.toml").write_text(text)
    return load(folder / "agent.toml")


def recorded_machine(
    folder: Path, seed: int, hours: int, machine: str = "pump", faults: Sequence[Degradation] = ()
) -> Config:
    """Let a simulated machine run, and leave what an agent records of it; all but the last segments are sealed."""
    config = configured(folder, machine)
    plant = Plant(machine, seed, faults)
    directory = config.agent.state_dir / "telemetry"
    log = TelemetryLog(
        directory, layout_of(config), sync_interval_ns=600 * SECOND_NS,
        started=Started({machine: Start()}),
    )  # fmt: skip
    rows = 3600 // PERIOD_S
    for hour in range(hours):
        values = plant.rows(BEGIN_S + hour * 3600, rows, PERIOD_S)
        seconds = BEGIN_S + hour * 3600 + PERIOD_S * np.arange(rows, dtype=np.int64)
        times_ns = EPOCH_NS + seconds * SECOND_NS
        for row in range(0, rows, FRAME_ROWS):
            some = slice(row, row + FRAME_ROWS)
            frame = Frame(times_ns[some], values[some], np.zeros(values[some].shape, np.uint32))
            now_ns = int(times_ns[some][-1]) + SECOND_NS // 50
            log.append(Step(machine, now_ns, frame), now_ns)
    log.close()
    seal.main([str(directory), str(hours - 2)])
    return config


def watched(file: Path, values: Float32s) -> Config:
    """Let the agent watch the plant of two tags: a row of values each second, NaN where none was answered."""
    config = Config.parse(file.read_text(), file)
    status = np.where(np.isnan(values), BAD_TIMEOUT, GOOD).astype(np.uint32)
    frames = [Frame.of(START_NS + row * SECOND_NS, each, status[row]) for row, each in enumerate(values)]
    live_run(config, load_detectors(config), frames)
    return config


def record_of(config: Config, source: Path | None = None, since_ns: int = 0, until_ns: int = EVER_NS) -> Record:
    """Return the record of the only asset, of its state directory where no source is named."""
    ((asset, said),) = config.assets.items()
    detector = load_detectors(config)[asset]
    return Record(source or config.agent.state_dir, asset, said, detector, since_ns, until_ns)


def waiting(cause_delay_s: float) -> str:
    """Return the configuration of the plant of two tags with a delay for the cause."""
    return CONFIG.replace('budget = "1/week"\n', f'budget = "1/week"\ncause_delay_s = {cause_delay_s}\n')
