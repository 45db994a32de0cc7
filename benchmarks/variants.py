"""Our model with one part taken out, to see what the part is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agent.backtest.judge import HeartJudge, bundle_of
from agent.backtest.trial import Judge, Learn, Segment
from models.bundle import Bundle, Statistics
from models.frozen import NEVER
from models.learn import EVERYTHING, Search
from models.runtime import Detector
from models.scores import STATISTICS, Statistic

LONG_RATE: Final = 0.03
"""A memory that forgets as slowly as this is a long one."""

Change = Callable[[Statistics], Statistics]


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different: what learning may choose from, and what is changed in what was learnt and after."""

    search: Search = EVERYTHING
    change: Change = lambda statistics: statistics
    adapt: bool = True

    def learner(self) -> Learn:
        """Return how to learn it from segments."""

        def learnt(
            segments: Sequence[Segment],
            tags: Sequence[str],
            period_s: float,
            alerts_per_s: float,
            progress: Callable[[float], None],
            /,
        ) -> Judge:
            bundle = self.changed(bundle_of(segments, tags, period_s, progress, self.search))
            return HeartJudge(Detector(bundle), alerts_per_s, period_s, adapt=self.adapt)

        return learnt

    def changed(self, bundle: Bundle) -> Bundle:
        """Return the bundle with the changed statistics."""
        return replace(bundle, statistics=self.change(bundle.statistics))


def without(gone: Callable[[Statistic], bool]) -> Change:
    """Return the change that takes those statistics out of the bank."""
    out = np.array([gone(statistic) for statistic in STATISTICS])

    def change(s: Statistics) -> Statistics:
        return replace(s, calibration=replace(s.calibration, peaks=np.where(out, 0.0, s.calibration.peaks)))

    return change


def without_kinds(*kinds: str) -> Change:
    """Return the change that takes the statistics of these kinds out; a kind is a name without the memory."""
    return without(lambda statistic: statistic.name.rstrip("0123456789. ") in kinds)


def _no_tail(s: Statistics) -> Statistics:
    return replace(s, calibration=replace(s.calibration, scale=np.zeros_like(s.calibration.scale)))


def _no_frozen_check(s: Statistics) -> Statistics:
    return replace(s, frozen_limits=np.full_like(s.frozen_limits, NEVER))


VARIANTS: Final[Mapping[str, Variant]] = {
    "one regime": Variant(Search(regimes_max=1)),
    "drifting tags scored": Variant(Search(drift_max=np.inf)),
    "without distance": Variant(change=without_kinds("distance")),
    "without mean distances": Variant(change=without_kinds("mean distance")),
    "without distances of mean": Variant(change=without_kinds("distance of mean")),
    "without spread": Variant(change=without_kinds("spread")),
    "without long memories": Variant(change=without(lambda statistic: statistic.rate <= LONG_RATE)),
    "distance alone": Variant(change=without_kinds("mean distance", "distance of mean", "spread")),
    "mean distances alone": Variant(change=without_kinds("distance", "distance of mean", "spread")),
    "distances of mean alone": Variant(change=without_kinds("distance", "mean distance", "spread")),
    "without frozen check": Variant(change=_no_frozen_check),
    "without adaptation": Variant(adapt=False),
    "without tail": Variant(change=_no_tail),
}
"""By name. "without tail": the limit is where the fitted tail would begin, so no budget is asked for."""
