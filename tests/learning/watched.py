"""A machine that an agent has watched for weeks, as its state directory shows it: real lines, real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agent.build import JOURNAL, MEMORIES, layout_of, load_detectors, make_line
from agent.config.file import Config, load
from agent.line.alert import Command
from agent.line.event import Entry
from agent.replay import TELEMETRY
from agent.store.blocks import Start, Started, Step
from agent.store.journal import Journal
from agent.store.memories import Memories
from agent.store.telemetry import TelemetryLog
from connectors.frame import GOOD, Float32s, Frame
from models.learn import learn

PERIOD_S = 120
DAY_ROWS = 86_400 // PERIOD_S
SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
BEGIN_NS = 1_790_553_600_000_000_000
"""2026-09-28, a Monday, 00:00 UTC."""
FRAME_ROWS = 240
TAGS = (("pressure", "bar"), ("temperature", "degC"), ("flow", "l/s"))
CONFIG = """
[agent]
state_dir = "state"
[api]
port = 0
[connections.plc]
protocol = "modbus-tcp"
host = "192.0.2.10"
[assets.pump]
bundle = "bundle"
period_ms = {period_ms}
on_delay_s = 1200
off_delay_s = 1200
"""
TAG = """[[assets.pump.tags]]
name = "{}"
unit = "{}"
connection = "plc"
unit_id = 1
table = "input_register"
register = {}
dtype = "float32"
"""


def healthy(days: float, seed: int) -> Float32s:
    """Return rows f32[T, 3] of three tags that follow one load, which wanders within minutes."""
    rng = np.random.default_rng(seed)
    rows = round(days * DAY_ROWS)
    load_ = np.empty(rows)
    now = 0.0
    for row, push in enumerate(rng.standard_normal(rows).tolist()):
        now = 0.8 * now + 0.6 * push
        load_[row] = now
    level = 10.0 + load_
    noise = rng.normal(0, (0.2, 0.8, 0.4), (rows, 3))
    return (np.stack([level, 4 * level, 2 * level], 1) + noise).astype(np.float32)


def configured(folder: Path) -> Config:
    """Write a configuration and the bundle of a healthy machine."""
    learn([healthy(10, 1)], TAGS, PERIOD_S * 1000, name="pump").save(folder / "bundle")
    tags = "".join(TAG.format(*tag, 2 * place) for place, tag in enumerate(TAGS))
    (folder / "agent.toml").write_text(CONFIG.format(period_ms=PERIOD_S * 1000) + tags)
    return load(folder / "agent.toml")


def watch(config: Config, values: Float32s, commands: Mapping[int, Sequence[Command]] = {}) -> list[Entry]:
    """Let a line judge the rows and leave what an agent leaves of it; commands are given with the frame of their row.

    Return what it put into the journal.
    """
    line = make_line(config, "pump", load_detectors(config)["pump"], Start())
    journal = Journal(config.agent.state_dir / JOURNAL, BEGIN_NS)
    log = TelemetryLog(
        config.agent.state_dir / TELEMETRY, layout_of(config), sync_interval_ns=10**18,
        started=Started({"pump": Start()}),
    )
    entries: list[Entry] = []
    for row in range(0, len(values), FRAME_ROWS):
        some = values[row : row + FRAME_ROWS]
        times_ns = BEGIN_NS + (row + np.arange(len(some), dtype=np.int64)) * PERIOD_S * SECOND_NS
        said = tuple(one for place in range(row, row + len(some)) for one in commands.get(place, ()))
        frame = Frame.clean(times_ns, some, np.full(some.shape, GOOD, np.uint32))
        step = Step("pump", int(times_ns[-1]) + SECOND_NS, frame, said)
        log.append(step, row)
        for command in said:
            assert line.submit(command)
        entries += line.step(frame, step.now_ns)
        line.publish()
    memories = Memories(config.agent.state_dir / MEMORIES)
    if line.memory is not None:
        memories.keep("pump", line.memory)
    for entry in entries:
        journal.record(entry)
    log.close()
    journal.close()
    return entries
