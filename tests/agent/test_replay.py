"""`forewarn replay`: what was recorded gives what the live run gave, restarts and remaining life included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.build import JOURNAL, layout_of, load_detectors, make_line
from agent.config.advisories import rules_of
from agent.config.file import Config
from agent.line.alert import Acknowledge
from agent.line.memory import Memory
from agent.store import codec, export
from agent.store.blocks import Start, Started, Step
from agent.store.journal import Journal
from agent.store.telemetry import TelemetryLog
from connectors.frame import Frame
from models.bundle import Bundle
from models.remaining import Run
from models.remaining import learn as learn_remaining
from models.remaining_trees import Boosting
from models.runtime import Detector
from tests.agent.commands import forewarn
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows


def faulty_frames() -> list[Frame]:
    """Faults on either side of the restarts at 500 and 1000."""
    values = quiet_rows(1200)
    for begin, end in ((480, 510), (800, 830), (990, 1010)):
        values[begin:end, 1] += 6.0
    return [Frame.of(START_NS + i * SECOND_NS, row, np.zeros(2)) for i, row in enumerate(values)]


def live_run(
    config: Config, detectors: dict[str, Detector], frames: list[Frame]
) -> tuple[TelemetryLog, bytes]:
    """Do what the daemon does, restarts included: one every 500 frames."""
    journal = Journal(config.agent.state_dir / JOURNAL, START_NS)
    live = b""
    memory: Memory | None = None
    commands: tuple[Acknowledge, ...] = ()
    for number, frame in enumerate(frames):
        if number % 500 == 0:
            start = Start(journal.next_number("pump"), journal.open_alert("pump"), memory)
            line = make_line(config, "pump", detectors["pump"], start, rules_of(config)["pump"])
            log = TelemetryLog(
                config.agent.state_dir / "telemetry",
                layout_of(config),
                segment_bytes=20_000,
                started=Started({"pump": start}),
            )
        now_ns = START_NS + number * SECOND_NS + 12_345
        log.append(Step("pump", now_ns, frame, commands), number * SECOND_NS)
        if number % 100 == 50:  # what an outage cost comes late, and is not judged
            past = Frame.of(frame.source_time_ns[0] - 3600 * SECOND_NS, frame.values + 9, frame.status)
            log.append(Step("pump", now_ns, past, recovered=True), number * SECOND_NS)
        for said in commands:
            line.submit(said)
        alerts = line.step(frame, now_ns)
        memory = line.memory
        for raised in alerts:
            journal.record(raised)
            live += codec.encode(raised) + b"\n"
        commands = tuple(Acknowledge(raised.id, "Ana", now_ns) for raised in alerts if raised.revision == 1)
        if number % 500 == 499 or number == len(frames) - 1:
            log.close()
    journal.close()
    return log, live


def test_replay_gives_the_remaining_life_of_the_live_run(file: Path, bundle: Bundle) -> None:
    lives = [(quiet_rows(rows), np.arange(rows, 0, -1.0) - 1) for rows in range(300, 420, 20)]
    for values, left in lives:
        values[:, 1] += 6.0 * np.exp(-left / 60)
    runs = [Run(str(number), values, left) for number, (values, left) in enumerate(lives)]
    bundle.foretelling(learn_remaining(runs, boosting=Boosting(trees=20))).save(file.parent / "bundles" / "pump")
    config = Config.parse(file.read_text(), file)
    _, live = live_run(config, load_detectors(config), faulty_frames())
    assert live.count(b'"remaining_life_until":"failure"') == live.count(b'"verdict"') >= 4
    result = forewarn("replay", config.agent.state_dir, file)
    assert result.stdout_bytes == live, result.output


@pytest.mark.parametrize("limit", ["", "max_rate = 2.0"])
def test_replay_gives_the_alerts_of_the_live_run_byte_for_byte(limit: str, file: Path) -> None:
    file.write_text(file.read_text().replace('name = "temperature"', f'name = "temperature"\n{limit}'))
    config = Config.parse(file.read_text(), file)
    detectors = load_detectors(config)
    log, live = live_run(config, detectors, faulty_frames())
    assert live.count(b'"id":"pump-2"') >= 2
    assert b'"by":"Ana"' in live
    result = forewarn("replay", config.agent.state_dir, file)
    assert result.exit_code == 0
    assert result.stdout_bytes == live
    assert forewarn("replay", config.agent.state_dir / "telemetry", file).stdout_bytes == live
    recording = file.parent / "pump.parquet"
    export.write_parquet(log.scan("pump"), ["pressure", "temperature"], recording)
    first = live.splitlines(keepends=True)[0]  # a table holds no commands
    assert forewarn("replay", recording, file).stdout_bytes.startswith(first)


def test_a_limit_can_be_tried_on_what_was_recorded_without_it(file: Path) -> None:
    config = Config.parse(file.read_text(), file)
    frames = [Frame.of(START_NS + i * SECOND_NS, row, np.zeros(2)) for i, row in enumerate(quiet_rows(450))]
    frames[300:303] = [
        Frame.of(int(frame.source_time_ns[0]), [frame.values[0, 0], 900.0 * i], np.zeros(2))
        for i, frame in enumerate(frames[300:303], 1)
    ]
    _, live = live_run(config, load_detectors(config), frames)
    assert live
    file.write_text(file.read_text().replace('name = "temperature"', 'name = "temperature"\nmax_rate = 2.0'))
    assert forewarn("replay", config.agent.state_dir, file).stdout_bytes == b""


def test_replay_of_what_does_not_fit_says_what_is_there(file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = forewarn("replay", empty, file)
    assert (result.exit_code, "holds no telemetry" in result.output) == (2, True)
    recording = tmp_path / "x.parquet"
    pl.DataFrame({"time": [0], "pressure": [1.0]}).write_parquet(recording)
    result = forewarn("replay", recording, file)
    assert result.exit_code == 2
    assert f"{recording}: no column temperature for asset pump; it has: pressure, time" in result.output
