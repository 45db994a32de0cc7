"""What the telemetry costs a flash card and a processor: bytes written for each sample, in the log and sealed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agent.store import reading, seal, segments
from agent.store.blocks import Layout, Step
from agent.store.telemetry import TelemetryLog
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Figure, Result, Target, mean_over_seeds
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, GOOD, Float32s, Frame, UInt32s
from simulators.plant import Plant

START_NS: Final = 1_790_000_000_000_000_000
SYNC_NS: Final = 10_000_000_000
TAGS, TAG_PERIOD_MS, PERIODS = 1000, 100, 3000
MACHINE_ROWS: Final = 3600
BYTES_MAX: Final = Target(3.6, at_least=False)
LOG_US_MAX: Final = Target(0.1, at_least=False)


@dataclass(frozen=True, slots=True)
class Case:
    """What is recorded: the columns of each asset, and a row of each at a time."""

    name: str
    layout: Layout
    period_ms: int
    values: tuple[Float32s, ...]
    status: tuple[UInt32s, ...]


def run(options: Options) -> Iterator[Result]:
    """Record, seal, and read back what was recorded."""
    every: dict[str, list[list[Figure]]] = {}
    for seed in range(options.seeds):
        for number, case in enumerate(cases(seed)):
            options.progress(case.name, (seed + number / 4) / options.seeds)
            every.setdefault(case.name, []).append(measure(case, seed))
    for name, runs in every.items():
        targets = {(name, "written, log and sealed"): BYTES_MAX}
        if "1,000" in name:
            targets[name, "processor, log"] = LOG_US_MAX
        yield from mean_over_seeds("historian", OURS, runs, targets)


def cases(seed: int) -> Iterator[Case]:
    """Give what is recorded: noisy tags as converters give them, as floating-point arithmetic does, and machines."""
    random = np.random.default_rng(seed)
    mean = random.uniform(10, 200, TAGS)
    slow = np.sin(np.arange(PERIODS)[:, None] / 700 + random.uniform(0, 6, TAGS)) * mean * 0.05
    noise = random.standard_normal((PERIODS, TAGS))
    step = random.choice([0.1, 0.05, 0.01], TAGS)
    decimal = (np.round((mean + slow) / step + 10 * noise) * step).astype(np.float32)
    good = np.zeros(decimal.shape, np.uint32)
    yield _wide("1,000 tags, 10 Hz, decimal steps", decimal, good)
    timeouts = np.where(random.random(good.shape) < 0.01, np.uint32(BAD_TIMEOUT), good)
    timeouts[::2, : TAGS // 2] = BAD_NO_DATA
    timeouts[1::2, TAGS // 2 :] = BAD_NO_DATA
    yield _wide("1,000 tags of two connections, 1 % time-outs", decimal, timeouts)
    span = 2 * mean
    counts = np.round((mean + slow) / span * 27_648 + 10 * noise).astype(np.float32)
    yield _wide("1,000 tags, 10 Hz, 27,648 counts scaled by the PLC", counts * (span / 27_648).astype(np.float32), good)
    noisy = (mean + slow + 0.002 * mean * noise).astype(np.float32)
    yield _wide("1,000 tags, 10 Hz, all 24 bits of noise", noisy, good)
    plants = {name: Plant(name, seed) for name in ("pump", "press", "conveyor")}
    rows = tuple(plant.rows(0, MACHINE_ROWS) for plant in plants.values())
    layout = {name: tuple((tag.name, tag.unit) for tag in plant.tags) for name, plant in plants.items()}
    status = tuple(np.where(random.random(one.shape) < 0.002, np.uint32(BAD_TIMEOUT), np.uint32(GOOD)) for one in rows)
    yield Case("three simulated machines, 1 Hz", layout, 1000, rows, status)


def measure(case: Case, seed: int) -> list[Figure]:
    """Record a case for minutes (machines: an hour), seal it, compare; return the cost of each value that was read."""
    steps = list(_steps(case, seed))
    samples = sum(int(np.count_nonzero(~np.isnan(step.frame.values))) for step in steps)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        log = TelemetryLog(directory, case.layout, sync_interval_ns=SYNC_NS)
        begin = time.process_time()
        for step in steps:
            log.append(step, step.now_ns)
        log.close()
        log_us = 1e6 * (time.process_time() - begin) / samples
        logged = log.health.bytes_written
        begin, sealed = time.process_time(), 0
        for path in segments.segments(directory):
            sealed += int(seal.seal(path)["bytes"])
        seal_us = 1e6 * (time.process_time() - begin) / samples
        begin = time.process_time()
        found = list(reading.events(directory, case.layout, _refuse))
        read_us = 1e6 * (time.process_time() - begin) / samples
    _compare(steps, [step for step in found if isinstance(step, Step)])
    return [
        Figure(case.name, "written, log", logged / samples, "B"),
        Figure(case.name, "written, sealed", sealed / samples, "B"),
        Figure(case.name, "written, log and sealed", (logged + sealed) / samples, "B"),
        Figure(case.name, "processor, log", log_us, "us"),
        Figure(case.name, "processor, sealing", seal_us, "us"),
        Figure(case.name, "processor, replaying", read_us, "us"),
    ]


def _wide(name: str, values: Float32s, status: UInt32s) -> Case:
    layout = {"line": tuple((f"tag_{column}", "") for column in range(values.shape[1]))}
    return Case(name, layout, TAG_PERIOD_MS, (values,), (status,))


def _steps(case: Case, seed: int) -> Iterator[Step]:
    """Give the steps as a reader does: a row each period, stamped and taken with some jitter."""
    random = np.random.default_rng(seed)
    for row in range(len(case.values[0])):
        for asset, values, status in zip(case.layout, case.values, case.status, strict=True):
            now_ns = START_NS + row * case.period_ms * 1_000_000 + int(random.integers(2_000_000))
            time_ns = now_ns - int(random.integers(2_000_000, 5_000_000))
            yield Step(asset, now_ns, Frame.of(time_ns, values[row], status[row]))


def _refuse(path: Path, size: int) -> None:
    raise AssertionError(f"{path}: {size} bytes are damaged")


def _compare(steps: Iterable[Step], found: Iterable[Step]) -> None:
    for one, other in zip(steps, found, strict=True):
        assert (one.asset, one.now_ns) == (other.asset, other.now_ns), "a step moved"
        same = one.frame.values.view(np.uint32) == other.frame.values.view(np.uint32)
        assert np.all(same | np.isnan(one.frame.values)), "a value changed"
        assert np.array_equal(one.frame.status, other.frame.status), "a status changed"
        assert np.array_equal(one.frame.source_time_ns, other.frame.source_time_ns), "a time changed"


