"""The agent's own heart as a judge: learns a bundle, then assesses rows and watches the alarm as the daemon does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.backtest.trial import BacktestError, Judged, Segment
from agent.line.advise import Delays
from agent.line.alert import AlarmEvent
from agent.line.assess import Detector
from agent.line.vigil import Vigil
from agent.line.window import Grid
from connectors.frame import Bools, Float32s, Int64s

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.learn import Search

ON_DELAY_S = 30.0
OFF_DELAY_S = 300.0
CHUNK_ROWS = 4096


class HeartJudge:
    """A learnt bundle, its limit fixed by the budget before anything is judged."""

    def __init__(self, detector: Detector, alerts_per_s: float, period_s: float, *, adapt: bool = True) -> None:
        self._adapt = adapt
        self._detector = detector
        self._alerts_per_s = alerts_per_s
        self._delays = Delays.of(ON_DELAY_S, OFF_DELAY_S, period_s)

    def judge(self, times_ns: Int64s, values: Float32s, mask: Bools, /) -> Judged:
        """Assess the rows of one segment from a fresh state; the score is the calibrated evidence, 1 at the limit."""
        vigil = Vigil(self._detector, self._alerts_per_s, self._delays, adapt=self._adapt)
        score, alarmed = np.full(len(times_ns), np.nan), np.zeros(len(times_ns), np.bool_)
        for start in range(0, len(times_ns), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            alarmed[rows] = vigil.raised
            assessment, changes = vigil.take(Grid(times_ns[rows], values[rows], mask[rows]))
            score[rows] = assessment.evidence
            for change in changes:
                alarmed[start + change.row : start + assessment.rows] = change.event is not AlarmEvent.RETURN
        return Judged(score, alarmed)


def learn_heart(
    segments: Sequence[Segment],
    tags: Sequence[str],
    period_s: float,
    alerts_per_s: float,
    progress: Callable[[float], None],
    /,
) -> HeartJudge:
    """Learn a bundle from the segments and return its judge; raise BacktestError where they do not suffice."""
    from models.runtime import Detector as LoadedDetector

    return HeartJudge(LoadedDetector(bundle_of(segments, tags, period_s, progress)), alerts_per_s, period_s)


def bundle_of(
    segments: Sequence[Segment],
    tags: Sequence[str],
    period_s: float,
    progress: Callable[[float], None],
    search: Search | None = None,
) -> Bundle:
    """Learn a bundle from the segments, bounded by `search`; raise BacktestError where they do not suffice."""
    from models.learn import EVERYTHING, LearnError, learn

    try:
        return learn(
            [segment.values for segment in segments],
            [(tag, "1") for tag in tags],
            round(period_s * 1000),
            name="backtest",
            search=search or EVERYTHING,
            progress=lambda _step, share: progress(share),
        )
    except LearnError as error:
        raise BacktestError(str(error)) from error
