"""What other alarm budgets would have cost on a site's own record: alerts raised, and what would have been missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np

from agent.config.assets import parse_budget
from agent.ledger.history import Raised
from agent.line.advise import Delays
from agent.line.vigil import Vigil
from agent.rehearsal.achieved import WEEK_S
from agent.rehearsal.faults import FAULTS, Case, made, normal_value
from agent.rehearsal.record import NS_PER_S, Part, Record
from agent.rehearsal.walk import Alarm, Draws, Moment, Walk
from agent.store.journal import StoreError

BUDGETS: Final = ("4/week", "2/week", "1/week", "2/month", "1/month", "4/year")
"""What is tried beside the asset's own."""
RAMPS: Final = 12
WITHIN_S: Final = 86_400.0
RAMP_PERCENT: Final = 5.0
"""A ramp grows in WITHIN_S to so much of the tag's normal value."""
ROWS_MIN: Final = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """One budget on the record: alerts raised; of the alerts that are known those that would still have come, and how
    much later (seconds, below 0: sooner); of the ramps tried after how many seconds each that was seen was.
    """

    budget: str
    alerts: int
    weeks: float
    later_s: dict[str, float]
    ramps: int
    seen_s: tuple[float, ...]

    @property
    def per_week(self) -> float:
        """Alerts a week."""
        return self.alerts / self.weeks

    @property
    def median_later_s(self) -> float | None:
        """How much later the known alerts would have come, None where none would."""
        return median(self.later_s.values()) if self.later_s else None

    @property
    def median_seen_s(self) -> float | None:
        """After how long a ramp was seen, None where fewer than half of them were."""
        seen = sorted(self.seen_s)
        return seen[(self.ramps - 1) // 2] if len(seen) > (self.ramps - 1) // 2 >= 0 else None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """An asset's record under several budgets: from when to when (UTC), weeks judged, and the cost of each budget.

    The loosest comes first. `cause_delay_s` is for how long at most an alert waited for its cause.
    """

    asset: str
    budget: str
    since_ns: int
    until_ns: int
    weeks_judged: float
    known: tuple[Raised, ...]
    costs: tuple[Cost, ...]
    cause_delay_s: float = 0.0

    @property
    def hurries(self) -> bool:
        """Whether a known alert would have come sooner with a tighter budget than with the next looser one."""
        return any(
            tighter.later_s.get(alert_id, later_s) < later_s
            for looser, tighter in pairwise(self.costs) for alert_id, later_s in looser.later_s.items()
        )


def rehearse(
    record: Record,
    span_ns: tuple[int, int],
    known: Sequence[Raised],
    *,
    budgets: Sequence[str] = BUDGETS,
    ramps: int = RAMPS,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _share: None,
) -> Rehearsal:
    """Judge a record with each budget and the asset's own, from first to last time of `span_ns`; raise StoreError.

    Ramps begin at random moments at which the loosest budget finds nothing, on one scored tag after another.
    """
    said, rng = record.said, np.random.default_rng(seed)
    tried = sorted({*budgets, said.budget}, key=parse_budget, reverse=True)
    rates = {parse_budget(text): text for text in (*tried, said.budget)}  # "1/week" and "7 / week ..." are one
    period_s = record.period_ns / NS_PER_S
    wait = Delays.of(said.on_delay_s, said.off_delay_s, period_s, said.cause_delay_s)
    vigils = [
        Vigil(record.detector, rate, wait, withheld=record.withheld, labelled=record.labelled, symptoms=said.symptoms)
        for rate in rates
    ]
    first_ns, last_ns = span_ns
    within_ns = int(WITHIN_S * NS_PER_S)
    draws = Draws(first_ns, last_ns - within_ns, ramps, rng)
    walk = Walk(_watched(record.parts(), span_ns, progress), vigils, record.period_ns, within_ns, draws)
    tags = rng.permutation(len(record.detector.statistics.scored))
    seen_s: list[list[float]] = [[] for _ in vigils]
    tries = 0
    for moment in walk.moments():
        column = int(record.detector.statistics.scored[tags[tries % len(tags)]])
        for number, after_s in _ramp(record, moment, vigils, column, rng):
            seen_s[number].append(after_s)
        tries += 1
    if walk.rows_judged < ROWS_MIN:
        raise StoreError(
            f"{record.source}: {walk.rows_judged} rows of {record.asset} can be judged, {ROWS_MIN} are needed; "
            f"let the agent watch for {ROWS_MIN * period_s / 3600:.1f} hours at least, or take an earlier --since"
        )
    weeks = walk.rows_judged * period_s / WEEK_S
    inside = [one for one in known if first_ns <= one.raised_ns <= last_ns]
    costs = [
        Cost(text, len(alarms), weeks, _later(inside, alarms, last_ns), tries, tuple(seen))
        for text, alarms, seen in zip(rates.values(), walk.alarms, seen_s, strict=True)
    ]
    return Rehearsal(
        record.asset, said.budget, first_ns, last_ns, weeks, tuple(inside), tuple(costs), said.cause_delay_s
    )


def _watched(
    parts: Iterator[Part], span_ns: tuple[int, int], progress: Callable[[float], None]
) -> Iterator[Part]:
    first_ns, last_ns = span_ns
    for part in parts:
        yield part
        progress((part.last_ns - first_ns) / max(last_ns - first_ns, 1))


def _ramp(
    record: Record, moment: Moment, vigils: Sequence[Vigil], column: int, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """Give for each vigil that sees a ramp on a scored tag its number, and after how many seconds."""
    normal = normal_value(record.detector.statistics, column)
    assert normal is not None
    case = Case(moment.column(column), moment.past[:, column].astype(np.float64), RAMP_PERCENT / 100 * normal, rng)
    ramp = made(FAULTS["ramp"], case, record.said.columns[column])
    for number, vigil in enumerate(vigils):
        after_s = moment.alarm_s(vigil, column, ramp)
        if after_s is not None:
            yield number, after_s


def _later(known: Sequence[Raised], alarms: Sequence[Alarm], last_ns: int) -> dict[str, float]:
    """Return of the known alerts that an alarm coincides with how much later it was raised, in seconds."""
    found = {}
    for one in known:
        during = [
            alarm.raised_ns
            for alarm in alarms
            if alarm.raised_ns <= (one.over_ns or last_ns) and (alarm.returned_ns or last_ns) >= one.onset_ns
        ]
        if during:
            found[one.alert_id] = (min(during) - one.raised_ns) / NS_PER_S
    return found
