"""For how long a model has watched its asset: the rows that it judged, and of which people would have been told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.line.assess import Assessment
from connectors.frame import Bools

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Watched:
    """For how long a model, named by its hash, could have raised an alert since `since_ns` (UTC).

    `judged_s` leaves out when the agent was off, the rows that the model could not judge, and those withheld.
    """

    model_hash: str
    since_ns: int
    judged_s: float


class Tally:
    """Counts the rows that a model judges while alerts are not withheld, from its first row on."""

    def __init__(self, model_hash: str, period_s: float, state: Sequence[float] = ()) -> None:
        """Begin anew, or go on from the `state` of another one."""
        self._model_hash, self._period_s = model_hash, period_s
        self._since_s, self._rows = (int(state[0]), int(state[1])) if state else (0, 0)
        """Since when it counts, 0 before the first row."""

    @property
    def state(self) -> tuple[float, float]:
        """When it began, in whole seconds UTC, and how many rows it has counted."""
        return float(self._since_s), float(self._rows)

    @property
    def watched(self) -> Watched:
        """What was counted so far."""
        return Watched(self._model_hash, self._since_s * NS_PER_S, self._rows * self._period_s)

    def note(self, assessment: Assessment, withheld: Bools | None, now_ns: int) -> None:
        """Take new rows in, of which alerts are `withheld` bool[N]; None for in none."""
        self._since_s = self._since_s or now_ns // NS_PER_S
        judged = assessment.judged
        self._rows += int(np.count_nonzero(judged if withheld is None else judged & ~withheld))
