"""What may be learnt from: the one place that decides, row by row. Pure.

A fault that was learnt once is never seen again. So a row must have been judged and found well, nothing may have been
said against it since, and only a person can say that what was found is normal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.line.alert import Alert, Answer, WithheldKind
from agent.line.assess import BLIND, DEVIATING, SETTLING, UNSEEN
from agent.line.event import AssetEvent, EventKind
from agent.line.source_clock import behind_ns
from agent.line.withholding import withheld_spans
from connectors.frame import Bools, Int64s

Float64s = npt.NDArray[np.float64]
Int8s = npt.NDArray[np.int8]

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
EVER_NS: Final = 2**62
WAIT_NS: Final = 3 * DAY_NS
"""So long the newest rows wait: what is wrong with them may not be seen yet."""
BEFORE_ALARM_NS: Final = DAY_NS
"""A slow fault was there before it was seen."""
AFTER_ALARM_NS: Final = HOUR_NS
DRIFT_MAX: Final = 2.0
"""A tag that has moved further than this, for good, from where it was learnt, in its standard deviations."""
DAYS_MIN: Final = 7.0
REGIME_ROWS_MIN: Final = 100
_SATURDAY: Final = 5
_THURSDAY: Final = 3
"""1970-01-01 was one."""


class Reason(StrEnum):
    """Why a row may not be learnt from; where there are several, the first of these is told."""

    BEFORE_BASELINE = "before a re-baseline"
    OUT_OF_SERVICE = "out of service"
    SUPPRESSED = "suppressed by design"
    ON_HOLD = "on hold"
    BLIND = "blind"
    SETTLING = "settling"
    ALARM = "in alarm"
    NEAR_ALARM = "near an alarm"
    DEVIATING = "deviating"
    UNSEEN_REGIME = "in an unseen regime"
    DRIFTED = "drifted away"
    WAITING = "too new"


REASONS: Final = tuple(Reason)
LEARNABLE: Final = -1
_OF_CONDITION: Final = {
    BLIND: Reason.BLIND, SETTLING: Reason.SETTLING, DEVIATING: Reason.DEVIATING, UNSEEN: Reason.UNSEEN_REGIME,
}
_OF_WITHHELD: Final = {
    WithheldKind.OUT_OF_SERVICE: Reason.OUT_OF_SERVICE,
    WithheldKind.SUPPRESSED: Reason.SUPPRESSED,
    WithheldKind.ON_HOLD: Reason.ON_HOLD,
}
_FOR_A_PERSON_TO_SAY: Final = {
    Reason.ALARM, Reason.NEAR_ALARM, Reason.DEVIATING, Reason.UNSEEN_REGIME, Reason.DRIFTED, Reason.WAITING,
}
"""What a person's "this is normal" overrules; the others are of rows that show nothing, or of no machine at work."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin_ns` to before `end_ns` (UTC) nothing may be learnt from, for a reason."""

    reason: Reason
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm, then or as it is judged now: its onset, when it was raised and was over (None: it stands), UTC ns.

    `looked_at_ns` is when a person said that nothing was wrong, None where nobody did.
    """

    onset_ns: int
    raised_ns: int
    over_ns: int | None = None
    looked_at_ns: int | None = None

    @property
    def declared_normal(self) -> tuple[int, int] | None:
        """From when until when it was normal as people say; of one that stands still, until it was looked at."""
        if self.looked_at_ns is None:
            return None
        return self.onset_ns, self.looked_at_ns if self.over_ns is None else self.over_ns

    def is_same(self, other: Standing) -> bool:
        """Say whether another one, that is over, is the same alarm or a part of it, but for AFTER_ALARM_NS."""
        if self.over_ns is None or other.over_ns is None:
            return False
        begin_ns, end_ns = self.onset_ns - AFTER_ALARM_NS, self.over_ns + AFTER_ALARM_NS
        return begin_ns <= other.onset_ns and other.over_ns <= end_ns


@dataclass(frozen=True, slots=True)
class Seen:
    """N rows as they were judged: `time_ns` i64[N], `condition` i8[N] (agent.line.assess), `drift` f32[N].

    The drift is that of the tag that has moved furthest, in standard deviations.
    """

    time_ns: Int64s
    condition: Int8s
    drift: npt.NDArray[np.float32]


def reasons(seen: Seen, spans: Sequence[Span], normal: Sequence[tuple[int, int]]) -> Int8s:
    """Return for each row the position in REASONS of why it may not be learnt from, LEARNABLE where it may, i8[N].

    `normal` are the times (from, until, UTC ns) that a person has said are normal.
    """
    found = np.full(len(seen.time_ns), LEARNABLE, np.int8)
    declared = np.zeros(len(found), np.bool_)
    for begin_ns, end_ns in normal:
        declared |= _inside(seen.time_ns, begin_ns, end_ns)
    for place, reason in reversed(list(enumerate(REASONS))):
        rows = np.zeros(len(found), np.bool_)
        for span in spans:
            if span.reason is reason:
                rows |= _inside(seen.time_ns, span.begin_ns, span.end_ns)
        for condition, told in _OF_CONDITION.items():
            if told is reason:
                rows |= seen.condition == condition
        if reason is Reason.DRIFTED:
            rows |= np.abs(seen.drift) > DRIFT_MAX
        if reason in _FOR_A_PERSON_TO_SAY:
            rows &= ~declared
        found[rows] = place
    return found


def _inside(time_ns: Int64s, begin_ns: int, end_ns: int) -> Bools:
    return np.asarray((time_ns >= begin_ns) & (time_ns < end_ns))


def standings(revisions: Sequence[Alert]) -> list[Standing]:
    """Return from when until when an alert stood, by all its revisions: it may have returned and been raised again.

    Where the clock of its source is wrong that is by the gateway's, as the rows of a record are dated.
    """
    label, found = revisions[-1].label, list[Standing]()
    looked_at_ns = label.time_ns if label is not None and label.answer is Answer.NORMAL else None
    onset_ns = over_ns = None
    for alert in revisions:
        if alert.onset_time_ns != onset_ns:
            onset_ns, over_ns = alert.onset_time_ns, None
            behind = behind_ns(alert.raised_time_ns, alert.updated_time_ns)
            found.append(Standing(onset_ns + behind, alert.raised_time_ns + behind, None, looked_at_ns))
        if alert.returned_time_ns is not None and alert.returned_time_ns != over_ns:
            over_ns = alert.returned_time_ns
            found[-1] = replace(found[-1], over_ns=over_ns + behind_ns(over_ns, alert.updated_time_ns))
    return found


def of_alarm(alarm: Standing, *, withheld: bool = False) -> Iterator[Span]:
    """Give what an alarm leaves out: itself, to the end of all times where it stands, and its margins.

    One that was `withheld` is what is done to a machine more often than a fault of it: it has none before.
    """
    onset_ns, over_ns = alarm.onset_ns, alarm.over_ns
    yield Span(Reason.ALARM, onset_ns, EVER_NS if over_ns is None else over_ns)
    if not withheld:
        yield Span(Reason.NEAR_ALARM, onset_ns - BEFORE_ALARM_NS, onset_ns)
    if over_ns is not None:
        yield Span(Reason.NEAR_ALARM, over_ns, over_ns + AFTER_ALARM_NS)


def of_events(events: Sequence[AssetEvent]) -> Iterator[Span]:
    """Give what an asset's events leave out, the oldest first: when its alerts were withheld."""
    for kind, spans in withheld_spans(events, EVER_NS).items():
        for begin_ns, end_ns in spans:
            yield Span(_OF_WITHHELD[kind], begin_ns, end_ns)


def declared_normal(events: Sequence[AssetEvent]) -> list[tuple[int, int]]:
    """Return from when until when people have said that an asset was normal."""
    return [
        (event.since_ns, event.until_ns) for event in events
        if event.kind is EventKind.NORMAL and event.until_ns is not None
    ]


def of_rebaselining(events: Sequence[AssetEvent]) -> Iterator[Span]:
    """Give what comes before the last time that a tag was re-baselined: it stands elsewhere since."""
    if done := [event.time_ns for event in events if event.kind is EventKind.REBASELINED]:
        yield Span(Reason.BEFORE_BASELINE, 0, done[-1])


def waiting(newest_ns: int) -> Span:
    """Return the rows that wait, counted back from the newest of the record."""
    return Span(Reason.WAITING, newest_ns - WAIT_NS, EVER_NS)


def has_weekend(time_ns: Int64s) -> bool:
    """Say whether any of the times, i64[N], is on a Saturday or a Sunday (UTC)."""
    return bool(((time_ns // DAY_NS + _THURSDAY) % 7 >= _SATURDAY).any())


def lacking(days: float, *, weekend: bool, rows_of_regimes: Mapping[str, int]) -> list[str]:
    """Return what a history of so many days lacks, in words; nothing where it is enough.

    `weekend`: the machine was watched on one; `rows_of_regimes`: rows in each regime that is known so far.
    """
    found = [] if days >= DAYS_MIN else [f"{days:.1f} of {DAYS_MIN:g} days"]
    if not weekend:
        found.append("no weekend")
    for regime, rows in rows_of_regimes.items():
        if rows < REGIME_ROWS_MIN:
            found.append(f"regime {regime} has {rows} rows, and {REGIME_ROWS_MIN} are needed")
    return found
