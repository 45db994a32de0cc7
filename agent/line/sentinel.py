"""Whether a machine is still the one that was learnt, and what is seen of it while its alerts are on hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.line.assess import Assessment
from agent.line.verdict import Verdict


class Hold:
    """What is seen of an asset while its alerts are on hold: it ends with a statement of that, never silently."""

    def __init__(self) -> None:
        self._judged = self._above = 0
        self._peak = 0.0
        self._tag = ""

    def note(self, assessment: Assessment, verdict: Callable[[int], Verdict]) -> None:
        """Take in new rows; `verdict` gives that on one of them, by its number."""
        evidence = np.where(assessment.judged, assessment.evidence, 0.0)
        self._judged += int(assessment.judged.sum())
        self._above += int((evidence >= 1.0).sum())
        highest = int(evidence.argmax())
        if evidence[highest] <= self._peak:
            return
        self._peak = float(evidence[highest])
        if self._peak >= 1.0 and (parts := verdict(highest).contributions):
            self._tag = parts[0].tag

    def sentence(self) -> str:
        """Return what was seen, in words."""
        if not self._judged:
            return "meanwhile no row could be judged"
        if not self._above:
            return f"meanwhile nothing deviated in {self._judged:,} rows"
        where = f", {self._tag} most" if self._tag else ""
        return (
            f"meanwhile {self._above:,} of {self._judged:,} rows deviated, with an evidence of up to {self._peak:.2f}"
            f"{where}"
        )
