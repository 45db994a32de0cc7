"""Advisory generation: when an alarm is due, with on delay, off delay and a deadband, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Final

from agent.line.alert import AlarmEvent, Priority
from agent.line.assess import Assessment
from agent.line.verdict import Cause, LifeEnd, Verdict
from agent.line.wording import remaining_life
from connectors.frame import Bools

DEADBAND: Final = 0.9
"""An alarm returns to normal below this evidence, not at the limit: no chatter."""
SILENCE_ROWS_MAX: Final = 60
"""Deviations further apart than so many unjudged rows are not one deviation."""
AFTER_WITHHELD_ROWS: Final = 32
PRIORITY_HIGH_EVIDENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Delays:
    """For how many rows the evidence must stay above the limit before an alarm, and below it before the return."""

    on_rows: int
    off_rows: int


@dataclass(frozen=True, slots=True)
class Change:
    """At new row `row` of an assessment the evidence has called for `event`; it had begun `since_rows` rows before."""

    row: int
    event: AlarmEvent
    since_rows: int


class Watch:
    """Counts rows above and below the limit and says when an alarm is due; unjudged rows count for neither.

    While the asset's alerts are withheld no alarm is raised, nor in the AFTER_WITHHELD_ROWS after that, whose evidence
    remembers what was before; then counting begins anew. One that stands returns as ever.
    """

    def __init__(self, delays: Delays, *, raised: bool) -> None:
        self._delays = delays
        self._raised = raised
        self._count = 0
        self._unjudged = 0
        self._quiet_rows = 0
        self._rows = 0
        """Judged or not, rows since the count began: how long ago the onset was."""

    def changes(self, assessment: Assessment, withheld: Bools | None = None) -> list[Change]:
        """Return what the new rows call for, in order; `withheld` bool[N] says in which the asset's alerts are."""
        if withheld is None and not self._quiet_rows and not self._raised and not self._count \
                and not (assessment.evidence >= 1.0).any():
            return []
        found: list[Change] = []
        quiet = [False] * assessment.rows if withheld is None else withheld.tolist()
        rows = zip(assessment.evidence.tolist(), assessment.judged.tolist(), quiet, strict=True)
        for row, (evidence, judged, is_withheld) in enumerate(rows):
            self._quiet_rows = AFTER_WITHHELD_ROWS if is_withheld else max(self._quiet_rows - 1, 0)
            if self._quiet_rows and not self._raised:
                self._count = self._rows = self._unjudged = 0
                continue
            self._rows += 1
            self._unjudged = 0 if judged else self._unjudged + 1
            if not judged:
                if not self._raised and self._unjudged > SILENCE_ROWS_MAX:
                    self._count = 0
                continue
            leaving = evidence < DEADBAND if self._raised else evidence >= 1.0
            self._count = self._count + 1 if leaving else 0
            self._rows = self._rows if leaving and self._count > 1 else 0
            needed = self._delays.off_rows if self._raised else self._delays.on_rows
            if self._count >= needed:
                found.append(Change(row, AlarmEvent.RETURN if self._raised else AlarmEvent.RAISE, self._rows))
                self._raised, self._count, self._rows = not self._raised, 0, 0
        return found


def message(verdict: Verdict) -> str:
    """Return one sentence for a person: cause first, then the tag that deviates most and what was expected of it.

    How long the machine has comes last, where that was learnt from failures; without them it is too wide to go by.
    """
    first = {
        Cause.MACHINE: f"{verdict.asset} behaves unlike it ever did in regime {verdict.regime}",
        Cause.SENSOR: f"{verdict.asset}: a tag does what only a sensor or its wiring can do",
        Cause.COMMUNICATION: f"{verdict.asset}: deviates while much of its data is missing",
        None: f"{verdict.asset} deviates",
    }[verdict.cause]
    left = f"; {remaining_life(verdict)}" if verdict.remaining_life_until is LifeEnd.FAILURE else ""
    if not verdict.contributions:
        return first + left
    tag = verdict.contributions[0]
    looks = f", looks like {verdict.fault_probabilities[0][0]}" if verdict.fault_probabilities else ""
    expected = "" if isnan(tag.expected) else f", expected {_quantity(tag.expected, tag.unit)}"
    return f"{first}: {tag.tag} is {_quantity(tag.measured, tag.unit)}{expected}{looks}{left}"


def _quantity(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".removesuffix(" 1").rstrip()  # the unit 1 is not worth saying


def priority(verdict: Verdict) -> Priority:
    """Return how soon a person should look."""
    if verdict.cause is not Cause.MACHINE:
        return Priority.LOW
    return Priority.HIGH if verdict.evidence >= PRIORITY_HIGH_EVIDENCE else Priority.MEDIUM
