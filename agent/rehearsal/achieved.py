"""The alarm budget against what was achieved: alerts raised a week, and how far that can be told yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from agent.line.wording import lasting, plain
from agent.rehearsal.rates import rate_interval

WEEK_S = 7 * 86_400.0
EXPECTED_MIN = 3.0
"""With fewer alerts than this to be expected, a rate that agrees with the budget says little."""


class Standing(StrEnum):
    """Where the achieved rate is; "too early" where it agrees with the budget, and with many others as well."""

    TOO_EARLY = "too_early"
    WITHIN = "within"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Achieved:
    """Alerts raised in the weeks watched; all rates are alerts a week, `low` to `high` an interval of 95 %."""

    budget_per_week: float
    alerts: int
    weeks: float
    low: float
    high: float

    @classmethod
    def of(cls, alerts_per_s: float, alerts: int, watched_s: float) -> Achieved:
        """Return what so many alerts in so many seconds say of a budget; the interval is wide open in no time."""
        weeks = watched_s / WEEK_S
        low, high = rate_interval(alerts)
        bounds = (low / weeks, high / weeks) if weeks else (0.0, math.inf)
        return cls(alerts_per_s * WEEK_S, alerts, weeks, *bounds)

    @property
    def per_week(self) -> float | None:
        """The rate itself, None in no time."""
        return self.alerts / self.weeks if self.weeks else None

    @property
    def standing(self) -> Standing:
        """Where it is."""
        if self.low > self.budget_per_week:
            return Standing.ABOVE
        if self.high < self.budget_per_week:
            return Standing.BELOW
        return Standing.TOO_EARLY if self.budget_per_week * self.weeks < EXPECTED_MIN else Standing.WITHIN

    def sentence(self) -> str:
        """Return it in words."""
        if not self.weeks:
            return "nothing was watched yet"
        counted = f"{self.alerts} alert{'' if self.alerts == 1 else 's'} in {watched(self.weeks)}"
        rate = f"{plain(self.alerts / self.weeks)} a week ({plain(self.low)} to {plain(self.high)})"
        told = {
            Standing.TOO_EARLY: "too early to tell",
            Standing.WITHIN: "within the budget, as far as can be told",
            Standing.ABOVE: "more than the budget",
            Standing.BELOW: "fewer than the budget",
        }[self.standing]
        return f"{counted}, {rate}: {told}"

    def as_json(self) -> dict[str, object]:
        """Return it as plain values; what is not known is None."""
        return {
            "budget_per_week": self.budget_per_week,
            "alerts": self.alerts,
            "weeks": self.weeks,
            "per_week": self.per_week,
            "low": self.low if self.weeks else None,
            "high": self.high if self.weeks else None,
            "standing": self.standing.value,
        }


def watched(weeks: float) -> str:
    """Return how long so many weeks are, in words: a part of one in days or hours."""
    return f"{plain(weeks)} weeks" if weeks >= 1.0 else lasting(weeks * WEEK_S)
