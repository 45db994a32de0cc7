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
    """A FeatureTracker that lets rows wait. The same rows, asked for at the same times, give the same features.

    What waits lies among the rows that are kept for looking back anyway: only the newest are referred to here.
    """

    def __init__(self, tracker: FeatureTracker) -> None:
        self._tracker = tracker
        self._seen: tuple[Scores, Float32s, Bools] | None = None
        self._told: list[tuple[Bools, Bools]] = []
        self._waiting = 0
        self._known: tuple[Float32s, Float32s] | None = None

    def take(self, scores: Scores, values: Float32s, good: Bools, held: Bools, ignored: Bools) -> None:
        """Take T rows in; the arguments are those of `FeatureTracker.update`.

        The first three may begin with older rows, and have to with the last ROWS_MAX that were taken before.
        """
        if self._waiting >= ROWS_MAX:
            self._tracker.follow(*self._all_waiting())
        self._seen = scores, values, good
        self._told.append((held, ignored))
        self._waiting += len(held)
        self._known = None

    def back(self, rows: int) -> tuple[Float32s, Float32s]:
        """Return features f32[1, S, F] and globals f32[1, G] of the row so many `rows` before the newest taken (0).

        It must be one of those that the last `take` brought.
        """
        if self._waiting:
            newest = slice(-len(self._told[-1][0]), None)
            features, whole = self._tracker.update(*self._all_waiting())
            self._known = features[newest].copy(), whole[newest].copy()  # a view would keep all the rows
        assert self._known is not None
        features, whole = self._known
        at = len(whole) - 1 - rows
        assert at >= 0
        return features[at : at + 1], whole[at : at + 1]

    def _all_waiting(self) -> tuple[Scores, Float32s, Bools, Bools, Bools]:
        """Return the rows that wait, as `FeatureTracker` takes them; they wait no longer."""
        assert self._seen is not None
        scores, values, good = self._seen
        assert len(values) >= self._waiting
        held, ignored = (np.concatenate(each) for each in zip(*self._told, strict=True))
        waiting, last = self._waiting, slice(-self._waiting, None)
        self._told, self._waiting = [], 0
        return scores.last(waiting), values[last], good[last], held, ignored
