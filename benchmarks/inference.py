"""What one window costs at 64 tags, what the fault head's sparsity saves, and what a week costs to learn."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from agent.line.assess import Assessor
from agent.line.window import Grid
from benchmarks import expert_block, plant_week
from benchmarks.child import usage
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from models.fault_head import FaultHead
from models.learn import learn
from models.runtime import Detector

LEARN_ROWS: Final = 4000
REPEATS: Final = 300
WARM_UP: Final = 20
ALERTS_PER_S: Final = 1 / (7 * 86_400)

WINDOW: Final = f"a window of {plant_week.TAGS} tags"
BLOCK: Final = "the fault head's expert block"
WEEK: Final = f"a week of {plant_week.TAGS} tags at 1 Hz"
TARGETS: Final = {
    (WINDOW, "CPU time"): Target(1.0, at_least=False),
    (BLOCK, "CPU time of a dense net of the same total size, ratio"): Target(10.0),
    (WEEK, "CPU time to learn"): Target(180, at_least=False),
    (WEEK, "peak memory to learn"): Target(400, at_least=False),
}


def run(options: Options) -> Iterator[Result]:
    """Measure on one thread, in CPU time: other processes on the machine do not count."""
    options.progress("a window through the assessor", 0.0)
    yield from _ours(window())
    options.progress("the expert block and dense nets", 0.2)
    yield from _ours(block(_head()))
    if options.limit is None:
        options.progress("learning a week", 0.4)
        yield from _ours(week())


def _head() -> FaultHead:
    try:
        return FaultHead.load()
    except FileNotFoundError as error:
        raise BenchmarkError(f"{error.filename} is not there; `forewarn-train head` makes it") from error


def _ours(figures: list[Figure]) -> list[Result]:
    return mean_over_seeds("inference", OURS, [figures], TARGETS)


def window() -> list[Figure]:
    """Assess row after row of a plant as the agent does; the median of the CPU time in ms."""
    values = plant_week.rows(LEARN_ROWS + REPEATS, seed=2)
    good = np.ones(values.shape, np.bool_)
    tags = [(name, "1") for name in plant_week.NAMES]
    bundle = learn([values[:LEARN_ROWS]], tags, 1000, name="plant")
    assessor = Assessor(Detector(bundle), ALERTS_PER_S)
    assessor.update(Grid(np.arange(LEARN_ROWS, dtype=np.int64), values[:LEARN_ROWS], good[:LEARN_ROWS]))

    def step(number: int) -> None:
        row = slice(LEARN_ROWS + number, LEARN_ROWS + number + 1)
        assessor.update(Grid(np.array([LEARN_ROWS + number]), values[row], good[row]))

    taken = [_cpu_ns(lambda number=number: step(number)) for number in range(REPEATS)][WARM_UP:]  # type: ignore[misc]
    return [
        Figure(WINDOW, "CPU time", float(np.median(taken)) / 1e6, "ms"),
        Figure(WINDOW, "CPU time, 99 % quantile", float(np.quantile(taken, 0.99)) / 1e6, "ms"),
    ]


def block(head: FaultHead) -> list[Figure]:
    """Compare the head's experts, as the runtime runs them, with dense float32 nets and with float32 experts."""
    steps = expert_block.sessions(head, plant_week.TAGS)
    taken = interleaved(steps)
    sparse = taken["sparse"]
    total, active = head.size()
    return [
        Figure(BLOCK, "parameters of the head", total, ""),
        Figure(BLOCK, "of these active", active, ""),
        Figure(BLOCK, "CPU time", sparse / 1e6, "ms"),
        Figure(BLOCK, "CPU time of a dense net of the same total size, ratio", taken["dense, total"] / sparse, ""),
        Figure(BLOCK, "CPU time of a dense net of the same active size, ratio", taken["dense, active"] / sparse, ""),
        Figure(
            BLOCK,
            "largest change of a probability, runtime against float32 with its weights",
            100 * expert_block.quantization_gap(head, plant_week.TAGS),
            "%",
        ),
    ]


def week() -> list[Figure]:
    """Run `forewarn learn` on a week of history, in a process of its own with one thread."""
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "week.parquet"
        plant_week.write(history)
        bundle = Path(folder) / "bundle"
        command = [sys.executable, "-m", "agent", "learn", str(history), "--time", "time", "--out", str(bundle)]
        taken = usage(command)
        size = sum(file.stat().st_size for file in bundle.iterdir())
    return [
        Figure(WEEK, "CPU time to learn", taken.cpu_s, "s"),
        Figure(WEEK, "peak memory to learn", taken.peak_mib * 1.048576, "MB"),
        Figure(WEEK, "size of the bundle", size / 1000, "kB"),
    ]


def interleaved(steps: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median CPU time in ns of each step; they take turns, so that all see the same machine."""
    taken: dict[str, list[int]] = {name: [] for name in steps}
    for number in range(WARM_UP + REPEATS):
        for name, step in steps.items():
            spent = _cpu_ns(step)
            if number >= WARM_UP:
                taken[name].append(spent)
    return {name: float(np.median(each)) for name, each in taken.items()}


def _cpu_ns(step: Callable[[], object]) -> int:
    begun = time.thread_time_ns()
    step()
    return time.thread_time_ns() - begun
