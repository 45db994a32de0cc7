"""What the fault head sees of a row, worked out only when it is asked for: most rows are normal, and nobody asks."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FeatureTracker
from models.scored_rows import Scores

Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

ROWS_MAX: Final = 16
"""Rows that wait, at most: together they cost little more than one alone."""


class DeferredFeatures:
    """A FeatureTracker that lets rows wait. The same rows, asked for at the same times, give the same features."""

    def __init__(self, tracker: FeatureTracker) -> None:
        self._tracker = tracker
        self._waiting: list[tuple[Scores, Float32s, Bools, Bools, Bools]] = []
        self._rows = 0
        self._known: tuple[Float32s, Float32s] | None = None

    def take(self, scores: Scores, values: Float32s, good: Bools, held: Bools, ignored: Bools) -> None:
        """Take T rows in; the arguments are those of `FeatureTracker.update`."""
        self._waiting.append((scores, values, good, held, ignored))
        self._rows += len(values)
        self._known = None
        if self._rows >= ROWS_MAX:
            self._work()

    def back(self, rows: int) -> tuple[Float32s, Float32s]:
        """Return features f32[1, S, F] and globals f32[1, G] of the row so many `rows` before the newest taken (0).

        It must be one of those that the last `take` brought.
        """
        if self._waiting:
            self._work()
        assert self._known is not None
        features, whole = self._known
        at = len(whole) - 1 - rows
        assert at >= 0
        return features[at : at + 1], whole[at : at + 1]

    def _work(self) -> None:
        scores, *rest = zip(*self._waiting, strict=True)
        together = Scores(*(np.concatenate([getattr(each, name) for each in scores]) for name in Scores.__slots__))
        features, whole = self._tracker.update(together, *(np.concatenate(each) for each in rest))
        newest = slice(-len(self._waiting[-1][1]), None)
        self._known = features[newest].copy(), whole[newest].copy()  # a view would keep all the rows
        self._waiting, self._rows = [], 0
