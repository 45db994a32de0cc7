"""Advisory generation: when an alarm is due, with on delay, off delay and a deadband, and what it says."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import isnan
from typing import Final, Self

from agent.line.alert import AlarmEvent, Consequence, Likeness, Priority, TimeToAct
from agent.line.assess import Assessment
from agent.line.deliberation import Deliberation, OpinionOf
from agent.line.verdict import Cause, LifeEnd, Verdict
from agent.line.wording import remaining_life
from connectors.frame import Bools

DEADBAND: Final = 0.9
"""An alarm returns to normal below this evidence, not at the limit: no chatter."""
SILENCE_ROWS_MAX: Final = 60
"""Deviations further apart than so many unjudged rows are not one deviation."""
REMEMBERS_ROWS: Final = 32
"""For so many rows the evidence remembers what was before: what was withheld, or how the machine was switched."""
ELSEWHERE_S_MAX: Final = 86_400.0
"""After so long switched otherwise than when it deviated, being normal counts for an alarm's return all the same."""
CHATTER_RAISES: Final = 3
"""So many alarms, each within CHATTER_S of the return of the one before, are chatter."""
CHATTER_S: Final = 3600.0
CHATTER_OFF_S: Final = 60.0
CHATTER_OFF_S_MAX: Final = 14_400.0
"""Less than a shift: a machine that is restless once in each would else never return, and hide its next fault."""
WORSE: Final = 2.0
"""An alarm that stands is due again once the evidence has been this many times what it was for the on delay."""
HOURS_EVIDENCE: Final = 2.0
"""From this evidence on there are hours to act, below it days, where no remaining life tells."""
HOURS_S, DAYS_S = 86_400.0, 7 * 86_400.0
"""A remaining life whose lower quantile is below a day leaves hours to act, below a week days."""

_C, _T, _P = Consequence, TimeToAct, Priority
PRIORITIES: Final[dict[tuple[Consequence, TimeToAct], Priority]] = {
    (_C.SEVERE, _T.HOURS): _P.HIGH, (_C.SEVERE, _T.DAYS): _P.HIGH, (_C.SEVERE, _T.WEEKS): _P.MEDIUM,
    (_C.MAJOR, _T.HOURS): _P.HIGH, (_C.MAJOR, _T.DAYS): _P.MEDIUM, (_C.MAJOR, _T.WEEKS): _P.LOW,
    (_C.MINOR, _T.HOURS): _P.MEDIUM, (_C.MINOR, _T.DAYS): _P.LOW, (_C.MINOR, _T.WEEKS): _P.LOW,
}
"""The priority of a machine's alert; that of a sensor's or the communication's is low."""


@dataclass(frozen=True, slots=True)
class Delays:
    """For how many rows the evidence must stay above the limit before an alarm, and below it before the return.

    An alarm whose cause is not clear waits for it, for `cause_rows` more at most.
    """

    on_rows: int
    off_rows: int
    period_s: float
    cause_rows: int = 0

    @classmethod
    def of(cls, on_s: float, off_s: float, period_s: float, cause_s: float = 0.0) -> Self:
        """Return delays that are given in seconds, for rows that come every `period_s`; on and off one row at least."""
        on, off, cause = (round(seconds / period_s) for seconds in (on_s, off_s, cause_s))
        return cls(max(1, on), max(1, off), period_s, cause)


@dataclass(frozen=True, slots=True)
class Change:
    """At new row `row` of an assessment the evidence has called for `event`; it had begun `since_rows` rows before.

    The event is RAISE, RETURN or, while the alarm stands, REALARM.
    """

    row: int
    event: AlarmEvent
    since_rows: int


class Chatter:
    """Makes an alarm that comes and goes stand longer each time, so that it does not come and go.

    From the third alarm on, each within CHATTER_S of the return of the one before, it returns only after twice the off
    delay (CHATTER_OFF_S at least), after four times for the next, and so on up to CHATTER_OFF_S_MAX. The first alarm
    that comes later is like any other.
    """

    def __init__(self, delays: Delays, quick: int = 0) -> None:
        """Begin after so many `quick` alarms, each soon after the one before."""
        self._off_rows = off_rows = delays.off_rows
        self._first_rows = max(off_rows, round(CHATTER_OFF_S / delays.period_s))
        self._longest_rows = max(off_rows, round(CHATTER_OFF_S_MAX / delays.period_s))
        self._soon_rows = round(CHATTER_S / delays.period_s)
        self.quick = quick

    @property
    def off_rows(self) -> int:
        """For how many rows the evidence must stay below the limit before the alarm returns."""
        if self.quick < CHATTER_RAISES - 1:
            return self._off_rows
        return min(self._first_rows << min(self.quick - CHATTER_RAISES + 2, 32), self._longest_rows)

    def raised(self, rows_since_return: int | None) -> None:
        """Note that an alarm is raised, so many rows after the last one returned, None where none has."""
        soon = rows_since_return is not None and rows_since_return <= self._soon_rows
        self.quick = self.quick + 1 if soon else 0


class Watch:
    """Counts rows above and below the limit and says when an alarm is due; unjudged rows count for neither.

    An alarm that stands returns by rows in which the machine is switched as it was when it deviated: a worn bearing is
    quiet while the machine stands still, and no better for it. Only after ELSEWHERE_S_MAX without one do others count.

    An alarm whose cause is not clear may wait for it (agent.line.deliberation); one that returns before is never told.

    While the asset's alerts are withheld no alarm is raised, nor in the REMEMBERS_ROWS after that; then counting begins
    anew. One that stands returns as ever, and is due again (REALARM) when the deviation has grown to WORSE times what
    it was; not while its alert is withheld, so that what has grown meanwhile is due once it no longer is.
    """

    def __init__(self, delays: Delays, *, raised: bool, level: float = 1.0, chatter: Sequence[float] = ()) -> None:
        """Begin with an alarm that stands at an evidence of `level`, or with none, and the `chatter` of another one."""
        quick, rows_since_return = (int(chatter[0]), int(chatter[1])) if chatter else (0, -1)
        self._on_rows = delays.on_rows
        self._elsewhere_rows_max = round(ELSEWHERE_S_MAX / delays.period_s)
        self._elsewhere_rows = 0
        self._deviated_in: frozenset[int] = frozenset()
        """The modes of the rows at the limit or above it, since the onset; none is known at a start."""
        self._mode, self._mode_rows = -1, 0
        self._chatter = Chatter(delays, quick)
        self._deliberation = Deliberation(delays.cause_rows, delays.on_rows)
        self._raised = raised
        self._rows_since_return: int | None = rows_since_return if rows_since_return >= 0 else None
        self._count = 0
        self._unjudged = 0
        self._quiet_rows = 0
        self._rows = 0
        """Judged or not, rows since the count began: how long ago the onset was."""
        self._level = level
        self._worse_rows = 0

    @property
    def deviates(self) -> bool:
        """Whether a deviation stands, an alarm or one that waits for its cause."""
        return self._raised

    @property
    def chatter(self) -> tuple[float, float]:
        """How many alarms in a row came soon after the one before, and how many rows ago one returned, -1 for never."""
        since = self._rows_since_return
        return float(self._chatter.quick), -1.0 if since is None else float(since)

    def changes(
        self,
        assessment: Assessment,
        withheld: Bools | None = None,
        opinion: OpinionOf = lambda _row: None,
        *,
        alert_withheld: bool = False,
    ) -> list[Change]:
        """Return what the new rows call for, in order; `withheld` bool[N] says in which the asset's alerts are.

        `opinion` tells the cause of a row that deviates, where alarms wait for it. `alert_withheld`: the open alert is,
        which may be shelved while the asset's others are not withheld.
        """
        if withheld is None and not self._quiet_rows and not self._raised and not self._count \
                and not (assessment.evidence >= 1.0).any():
            if self._rows_since_return is not None:
                self._rows_since_return += assessment.rows
            return []
        found: list[Change] = []
        quiet = [False] * assessment.rows if withheld is None else withheld.tolist()
        told = (assessment.evidence, assessment.judged, assessment.mode)
        rows = zip(*(each.tolist() for each in told), quiet, strict=True)
        for row, (evidence, judged, mode, is_withheld) in enumerate(rows):
            self._pass_row(judged=judged, is_withheld=is_withheld)
            if not judged or (self._quiet_rows and not self._raised):
                continue
            self._deliberation.see(evidence)
            if self._deliberation.waits:
                if self._deliberation.is_due(partial(opinion, row)):
                    found.append(self._tell(row, evidence, self._deliberation.rows))
            elif self._raised and self._is_worse(evidence, told=not alert_withheld and not self._quiet_rows):
                found.append(Change(row, AlarmEvent.REALARM, self._on_rows - 1))
            if self._raised and self._is_elsewhere(evidence, mode):
                continue
            leaving = evidence < DEADBAND if self._raised else evidence >= 1.0
            self._count = self._count + 1 if leaving else 0
            if leaving and not self._raised:
                self._deviated_in = self._deviated_in | {mode} if self._count > 1 else frozenset({mode})
            self._rows = self._rows if leaving and self._count > 1 else 0
            needed = self._chatter.off_rows if self._raised else self._on_rows
            if self._count >= needed and (change := self._turn(row, evidence)) is not None:
                found.append(change)
        return found

    def _pass_row(self, *, judged: bool, is_withheld: bool) -> None:
        """Count a row in all that counts rows; what waits to be told begins anew while alerts are withheld."""
        if self._rows_since_return is not None:
            self._rows_since_return += 1
        self._quiet_rows = REMEMBERS_ROWS if is_withheld else max(self._quiet_rows - 1, 0)
        if self._quiet_rows and self._deliberation.waits:
            self._deliberation.over()
            self._raised = False
        if self._quiet_rows and not self._raised:
            self._count = self._rows = self._unjudged = 0
            self._deliberation.lose_sight()
            return
        self._rows += 1
        self._deliberation.rows += 1
        self._unjudged = 0 if judged else self._unjudged + 1
        if self._unjudged > SILENCE_ROWS_MAX:
            self._deliberation.lose_sight()
            self._count = self._count if self._raised else 0

    def _is_worse(self, evidence: float, *, told: bool) -> bool:
        """Return whether a row completes the on delay at WORSE times the level, which is then that of the row.

        A row that nobody is `told` of does not count: who took the alert on would not know that it has grown. Nor does
        one whose evidence remembers what was done to the machine while its alerts were withheld.
        """
        self._worse_rows = self._worse_rows + 1 if told and evidence >= WORSE * self._level else 0
        if self._worse_rows < self._on_rows:
            return False
        self._level, self._worse_rows = evidence, 0
        return True

    def _is_elsewhere(self, evidence: float, mode: int) -> bool:
        """Return whether a row says nothing of the deviation for which the alarm stands; note where that is seen."""
        self._mode_rows = self._mode_rows + 1 if mode == self._mode else 1
        self._mode = mode
        if evidence >= 1.0 and self._mode_rows > REMEMBERS_ROWS:
            self._deviated_in |= {mode}
        if not self._deviated_in or mode in self._deviated_in:
            self._elsewhere_rows = 0
            return False
        self._elsewhere_rows += 1
        return self._elsewhere_rows <= self._elsewhere_rows_max

    def _turn(self, row: int, evidence: float) -> Change | None:
        """Begin a deviation or end it; return the change that people are told, None where it waits or was never told.
        """
        since_rows, was_told = self._rows, self._raised and not self._deliberation.waits
        self._raised, self._count, self._rows, self._elsewhere_rows = not self._raised, 0, 0, 0
        if self._raised:
            return None if self._deliberation.begin(since_rows) else self._tell(row, evidence, since_rows)
        self._deliberation.over()
        if not was_told:
            return None
        self._rows_since_return = 0
        return Change(row, AlarmEvent.RETURN, since_rows)

    def _tell(self, row: int, evidence: float, since_rows: int) -> Change:
        self._deliberation.over()
        self._chatter.raised(self._rows_since_return)
        self._level, self._worse_rows = evidence, 0
        return Change(row, AlarmEvent.RAISE, since_rows)


def message(verdict: Verdict, like: Likeness | None = None) -> str:
    """Return one sentence for a person: cause first, then the tag that deviates most and what was expected of it.

    How long the machine has comes then, where that was learnt from failures; without them it is too wide to go by. Last
    is the labelled alert that it is like.
    """
    first = {
        Cause.MACHINE: f"{verdict.asset} behaves unlike it ever did in regime {verdict.regime}",
        Cause.SENSOR: f"{verdict.asset}: a sensor or its wiring is off",
        Cause.COMMUNICATION: f"{verdict.asset}: the communication is at fault, data are missing or nonsense",
        None: f"{verdict.asset} deviates",
    }[verdict.cause]
    left = f"; {remaining_life(verdict)}" if verdict.remaining_life_until is LifeEnd.FAILURE else ""
    left += "" if like is None else f"; {known_as(like)}"
    if not verdict.contributions:
        return first + left
    tag = verdict.contributions[0]
    looks = f", looks like {verdict.fault_probabilities[0][0]}" if verdict.fault_probabilities else ""
    expected = "" if isnan(tag.expected) else f", expected {_quantity(tag.expected, tag.unit)}"
    return f"{first}: {tag.tag} is {_quantity(tag.measured, tag.unit)}{expected}{looks}{left}"


def known_as(like: Likeness) -> str:
    """Return in words which labelled alert another one is like: "like 12 March 2026: impeller blockage, 0.91"."""
    day = datetime.fromtimestamp(like.raised_time_ns // 1_000_000_000, UTC)
    return f"like {day.day} {month_name[day.month]} {day.year}: {like.name}, {like.similarity:.2f}"


def _quantity(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".removesuffix(" 1").rstrip()  # the unit 1 is not worth saying


def priority(verdict: Verdict, consequence: Consequence) -> Priority:
    """Return how soon a person should look, from what a failure would do and the time there is to act."""
    return PRIORITIES[consequence, time_to_act(verdict)] if verdict.cause is Cause.MACHINE else Priority.LOW


def time_to_act(verdict: Verdict) -> TimeToAct:
    """Return how long there is to act, by the lower quantile of the remaining life, else by the evidence."""
    if verdict.remaining_life_s is not None and verdict.remaining_life_until is LifeEnd.FAILURE:
        least_s = verdict.remaining_life_s[0]
        return TimeToAct.HOURS if least_s < HOURS_S else TimeToAct.DAYS if least_s < DAYS_S else TimeToAct.WEEKS
    return TimeToAct.HOURS if verdict.evidence >= HOURS_EVIDENCE else TimeToAct.DAYS
