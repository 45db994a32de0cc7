"""A challenger beside the champion: what both raised, whether it may take its place, or must give it back; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.line.alert import Alert, Answer
from agent.rehearsal.achieved import Achieved, Standing

NEAR_NS: Final = 3_600_000_000_000
"""Two alerts no further apart than an hour are of one deviation."""
DAY_S: Final = 86_400.0
ROLL_BACK_ALERTS_MIN: Final = 3
"""Fewer alerts than this take no promotion back, however soon they came: they may be of one fault."""
ROLL_BACK_WEEKS_MAX: Final = 4.0
"""A model that has judged for so long since its promotion has stood its test: what comes later is the machine's."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both have raised since `since_ns` (UTC), when the challenger began, each against the alarm budget.

    The rates are over the time in which each has judged; `days` is that of the challenger. `both` counts alerts of the
    champion with one of the challenger's at that time. `missed` are those without, but for what a person called normal
    or a sensor's; `alone` are alerts of the challenger without one of the champion's.
    """

    since_ns: int
    days: float
    champion: Achieved
    challenger: Achieved
    both: int
    missed: tuple[str, ...]
    alone: tuple[str, ...]

    @property
    def agreement(self) -> float | None:
        """The share of the deviations that both have raised an alert of, None where neither raised any."""
        apart = len(self.missed) + len(self.alone)
        return self.both / (self.both + apart) if self.both + apart else None


def compare(
    champion: Sequence[Alert],
    challenger: Sequence[Alert],
    alerts_per_s: float,
    judged_s: tuple[float, float],
    since_ns: int,
    now_ns: int,
    stood: Alert | None = None,
) -> Comparison:
    """Compare what two models raised of an asset between two times (UTC), in which each has judged for so long.

    The challenger's first alert is not new where it is of the deviation for which one of the champion's `stood`: its
    rate is not charged with it.
    """
    champion_s, challenger_s = judged_s
    is_new = stood is None or not challenger or not _is_among(challenger[0], (stood,), now_ns)
    new = challenger if is_new else challenger[1:]
    return Comparison(
        since_ns,
        challenger_s / DAY_S,
        Achieved.of(alerts_per_s, len(champion), champion_s),
        Achieved.of(alerts_per_s, len(new), challenger_s),
        sum(_is_among(one, challenger, now_ns) for one in champion),
        tuple(one.id for one in champion if not _is_idle(one) and not _is_among(one, challenger, now_ns)),
        tuple(one.id for one in new if not _is_among(one, champion, now_ns)),
    )


def may_be_promoted(found: Comparison, days_min: float) -> bool:
    """Say whether a challenger may take the champion's place without a person.

    It has judged for so many days, its rate is not above the budget, and it raised all that the champion raised.
    """
    return found.days >= days_min and not found.missed and found.challenger.standing is not Standing.ABOVE


def must_be_rolled_back(since_promotion: Achieved) -> bool:
    """Say whether a promoted model has left the budget: all of the 95 % interval of its rate is above it.

    That counts while it has judged for up to ROLL_BACK_WEEKS_MAX.
    The interval is that of a Poisson count (Garwood 1936): with a budget of one a week that takes four alerts in the
    first week, and nine in the first four; never fewer than ROLL_BACK_ALERTS_MIN.
    """
    left = since_promotion.alerts >= ROLL_BACK_ALERTS_MIN and since_promotion.standing is Standing.ABOVE
    return left and since_promotion.weeks <= ROLL_BACK_WEEKS_MAX


def is_real(alert: Alert) -> bool:
    """Say whether a person has called what an alert was about real."""
    return alert.label is not None and alert.label.answer is Answer.REAL


def _is_idle(alert: Alert) -> bool:
    return alert.label is not None and alert.label.answer in (Answer.NORMAL, Answer.SENSOR)


def _is_among(alert: Alert, others: Sequence[Alert], now_ns: int) -> bool:
    begin_ns, end_ns = _span(alert, now_ns)
    return any(
        begin_ns <= last_ns + NEAR_NS and first_ns <= end_ns + NEAR_NS
        for first_ns, last_ns in (_span(other, now_ns) for other in others)
    )


def _span(alert: Alert, now_ns: int) -> tuple[int, int]:
    return alert.onset_time_ns, now_ns if alert.returned_time_ns is None else alert.returned_time_ns
