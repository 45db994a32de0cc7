"""Frames of whole days, and what a line makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.line.alert import Alert
from agent.line.line import Line, LineSettings
from agent.line.verdict import Verdict
from agent.line.window import Grid
from connectors.frame import BAD_TIMEOUT, GOOD, Bools, Float32s, Frame
from models.runtime import Detector
from tests.line.scripted import SECOND_NS, START_NS

WEEKLY = LineSettings(alerts_per_s=1 / 604_800, on_delay_s=30, off_delay_s=60)


def grid(values: Float32s, mask: Bools | None = None, start_s: int = 0) -> Grid:
    good = ~np.isnan(values) if mask is None else mask & ~np.isnan(values)
    time_ns = START_NS + (start_s + np.arange(len(values), dtype=np.int64)) * SECOND_NS
    return Grid(time_ns, np.where(good, values, np.float32(np.nan)), good)


def frame(values: Float32s, start_s: int = 0) -> Frame:
    """One frame with a row a second; NaN is a time-out."""
    time_ns = START_NS + (start_s + np.arange(len(values), dtype=np.int64)) * SECOND_NS
    return Frame.clean(time_ns, values, np.where(np.isnan(values), BAD_TIMEOUT, GOOD).astype(np.uint32))


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a day: the line, all revisions of alerts, and the verdict after each frame."""

    line: Line
    alerts: list[Alert]
    verdicts: list[Verdict]

    @property
    def last(self) -> Verdict:
        return self.verdicts[-1]


def play(detector: Detector, values: Float32s, chunk_rows: int = 20, line: Line | None = None) -> Played:
    line = line or Line("pump", detector, WEEKLY)
    alerts: list[Alert] = []
    verdicts: list[Verdict] = []
    for row in range(0, len(values), chunk_rows):
        part = frame(values[row : row + chunk_rows], row)
        alerts += line.step(part, int(part.source_time_ns[-1]))
        line.publish()
        assert line.snapshot.verdict is not None
        verdicts.append(line.snapshot.verdict)
    return Played(line, alerts, verdicts)
