"""The ledger of one asset over a time: alerts and what people say of them, failures, leads, and how it was watched.

Only what is recorded counts. Downtime is what people said it was; where too little is known a figure is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from agent.ledger.history import History, Raised
from agent.line.alert import Answer, WithheldKind
from agent.line.event import AssetEvent, EventKind
from agent.line.spans import common, holds, length_ns, without
from agent.rehearsal.achieved import Achieved
from agent.rehearsal.rates import share_interval

CONFIRMED_MIN: Final = 5
"""With fewer outcomes that an alert told of no lead is claimed, and with fewer judged alerts no precision."""
NS_PER_S: Final = 1_000_000_000
_OUTCOMES = (EventKind.FAILURE, EventKind.REPAIR)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A failure or a repair that people recorded, and the alert that had told of it: None where none had.

    `lead_s` is how long before it that alert was raised, in seconds. A failure of which none told is `missed`, where
    the asset was watched then.
    """

    event: AssetEvent
    alert_id: str | None
    lead_s: float | None
    watched: bool

    @property
    def missed(self) -> bool:
        """Whether it is a failure that should have been told of, and was not."""
        return self.event.kind is EventKind.FAILURE and self.alert_id is None and self.watched


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an asset from `since_ns` to just before `until_ns`, UTC.

    `answers` counts the alerts by what people say that they were, None for those without a label; `grouped` went under
    another alert; `right` of the `judged` ones were what they said they were. `known_patterns` counts deviations that
    raised none, since people had labelled such a one normal. `not_counted` are alerts that `achieved` leaves out, since
    people say that something was wrong. `recorded_s` is how long it was recorded, `withheld_s` how long its alerts were
    withheld meanwhile, in each way, `unwatched_s` in any, or before it was live.
    """

    asset: str
    since_ns: int
    until_ns: int
    alerts: int
    grouped: int
    answers: dict[Answer | None, int]
    judged: int
    right: int
    known_patterns: int
    outcomes: tuple[Outcome, ...]
    achieved: Achieved
    not_counted: int
    recorded_s: float
    withheld_s: dict[WithheldKind, float]
    unwatched_s: float

    @property
    def span_s(self) -> float:
        """How long the time is, in seconds."""
        return (self.until_ns - self.since_ns) / NS_PER_S

    @property
    def precision(self) -> tuple[float, float, float] | None:
        """The share of the judged alerts that were right, and an interval of 95 %; None where too few were judged."""
        if self.judged < CONFIRMED_MIN:
            return None
        return (self.right / self.judged, *share_interval(self.right, self.judged))

    @property
    def failures(self) -> int:
        """How many failures people recorded."""
        return sum(one.event.kind is EventKind.FAILURE for one in self.outcomes)

    @property
    def repairs(self) -> int:
        """How many repairs before a failure people recorded."""
        return len(self.outcomes) - self.failures

    @property
    def missed(self) -> int:
        """How many failures came without an alert while the asset was watched."""
        return sum(one.missed for one in self.outcomes)

    @property
    def leads_s(self) -> tuple[float, ...]:
        """How long before each failure or repair that an alert told of it was raised, the shortest first."""
        return tuple(sorted(one.lead_s for one in self.outcomes if one.lead_s is not None))

    @property
    def median_lead_s(self) -> float | None:
        """The median of these, None where there are too few to claim one."""
        return median(self.leads_s) if len(self.leads_s) >= CONFIRMED_MIN else None

    @property
    def downtime_s(self) -> float | None:
        """What failures cost as people judged it, None where nobody did."""
        return _judged_s(self.outcomes, EventKind.FAILURE)

    @property
    def avoided_s(self) -> float | None:
        """What repairs avoided as people judged it, None where nobody did."""
        return _judged_s(self.outcomes, EventKind.REPAIR)


def account(history: History, alerts_per_s: float, since_ns: int | None, until_ns: int) -> Account:
    """Return the ledger of an asset with an alarm budget for since <= time < until; None: since its beginning."""
    since_ns = history.begin_ns(until_ns) if since_ns is None else since_ns
    raised = [one for one in history.raised if since_ns <= one.raised_ns < until_ns]
    span = [(since_ns, until_ns)] if since_ns < until_ns else []
    recorded = common(history.recorded, span)
    begin_ns = history.recorded[0][0] if history.recorded else until_ns
    withheld = {kind: common(recorded, spans) for kind, spans in history.withheld(until_ns).items()}
    unwatched = common(recorded, history.untold(until_ns))
    watched_s = length_ns(without(recorded, unwatched)) / NS_PER_S
    answers = Counter(one.answer for one in raised)
    judged = [one for one in raised if one.is_judged]
    true = [one.is_true for one in raised if one.raised_ns >= begin_ns]
    return Account(
        asset=history.asset,
        since_ns=since_ns,
        until_ns=until_ns,
        alerts=len(raised),
        grouped=sum(one.root is not None for one in raised),
        answers={answer: answers[answer] for answer in (*Answer, None)},
        judged=len(judged),
        right=sum(one.is_right for one in judged),
        known_patterns=sum(
            event.kind is EventKind.KNOWN_PATTERN and since_ns <= event.since_ns < until_ns for event in history.events
        ),
        outcomes=tuple(_outcomes(history, since_ns, until_ns)),
        achieved=Achieved.of(alerts_per_s, true.count(False), watched_s),
        not_counted=true.count(True),
        recorded_s=length_ns(recorded) / NS_PER_S,
        withheld_s={kind: length_ns(spans) / NS_PER_S for kind, spans in withheld.items()},
        unwatched_s=length_ns(unwatched) / NS_PER_S,
    )


def _outcomes(history: History, since_ns: int, until_ns: int) -> Iterable[Outcome]:
    unwatched = history.untold(until_ns)
    for event in history.events:
        if event.kind not in _OUTCOMES or not since_ns <= event.since_ns < until_ns:
            continue
        told = _told_by(event, history.raised)
        lead_s = None if told is None else (event.since_ns - told.raised_ns) / NS_PER_S
        watched = holds(history.recorded, event.since_ns) and not holds(unwatched, event.since_ns)
        yield Outcome(event, None if told is None else told.alert_id, lead_s, watched)


def _told_by(event: AssetEvent, raised: Sequence[Raised]) -> Raised | None:
    """Return the alert that had told of a failure or a repair before it came, None where none had.

    That is the one that a person named; else the one that stood then, unless people say that it was something else.
    """
    before = [one for one in raised if one.raised_ns <= event.since_ns]
    if event.about is not None:
        return next((one for one in before if one.alert_id == event.about), None)
    standing = [one for one in before if one.stood(event.since_ns) and one.answer in (None, Answer.REAL)]
    return standing[-1] if standing else None


def _judged_s(outcomes: Iterable[Outcome], kind: EventKind) -> float | None:
    said = [one.event.downtime_s for one in outcomes if one.event.kind is kind and one.event.downtime_s is not None]
    return sum(said) if said else None
