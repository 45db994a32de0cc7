"""What a report tells of each asset, and the sentences that come first: for a reader who has a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.ledger.account import CONFIRMED_MIN, Account
from agent.ledger.course import Course
from agent.ledger.history import History, Raised
from agent.line.alert import Answer
from agent.line.wording import lasting
from agent.rehearsal.achieved import Standing
from agent.store.loads import together
from connectors.load import Load

ANSWERS: dict[Answer | None, str] = {
    Answer.REAL: "real",
    Answer.SENSOR: "a sensor's fault",
    Answer.NORMAL: "normal",
    Answer.NOT_LOOKED_AT: "not looked at",
    None: "not labelled yet",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset in a report: the time of the report, all time before its end, and its course, None where unknown."""

    name: str
    budget: str
    history: History
    span: Account
    ever: Account
    course: Course | None

    @property
    def watched(self) -> float:
        """The share of the time in which people would have been told: recorded, not withheld, and not known blind."""
        blind_s = 0.0 if self.course is None else self.course.blind_s
        return max(self.span.recorded_s - self.span.unwatched_s - blind_s, 0.0) / self.span.span_s

    @property
    def raised(self) -> list[Raised]:
        """The alerts that were raised in the time, or stood in it, the oldest first."""
        return [
            one for one in self.history.raised
            if one.raised_ns < self.span.until_ns and (one.over_ns is None or one.over_ns >= self.span.since_ns)
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """Assets from `since_ns` to just before `until_ns`, UTC, and what each connection was asked in these days."""

    since_ns: int
    until_ns: int
    assets: tuple[Asset, ...]
    loads: Mapping[str, Load]

    def sentences(self) -> tuple[str, str, str]:
        """Return what came of the alerts, of failures, and how the machines were watched."""
        return self._alerts(), self._failures(), self._watched()

    def _alerts(self) -> str:
        raised = [asset for asset in self.assets if asset.span.alerts]
        count = sum(asset.span.alerts for asset in raised)
        if not count:
            return f"From {self.dates()}: no alert was raised on the {counted(len(self.assets), 'machine')}."
        answers = Counter[Answer | None]()
        for asset in raised:
            answers.update(asset.span.answers)
        told = ", ".join(f"{answers[answer]} {words}" for answer, words in ANSWERS.items() if answers[answer])
        were, of = "was" if count == 1 else "were", counted(len(self.assets), "machine")
        return f"From {self.dates()}: {counted(count, 'alert')} {were} raised on {len(raised)} of {of}: {told}."

    def _failures(self) -> str:
        spans, evers = [one.span for one in self.assets], [one.ever for one in self.assets]
        failures, missed = sum(one.failures for one in spans), sum(one.missed for one in spans)
        repairs = counted(sum(one.repairs for one in spans), "repair")
        first = f"{counted(failures, 'failure').capitalize()} and {repairs} were recorded"
        if failures:
            first += f"; no alert had told of {missed} of the failures" if missed else "; no failure was missed"
        leads = sorted(lead for one in evers for lead in one.leads_s)
        these = "1 failure or repair" if len(leads) == 1 else f"{len(leads)} failures and repairs"
        if len(leads) < CONFIRMED_MIN:
            lead = f"in all, alerts have told of {these}: too few to claim a lead ({CONFIRMED_MIN} are needed)"
        else:
            half = lasting(leads[(len(leads) - 1) // 2])
            lead = f"in all, alerts have told of {these}, of half of them {half} or more before"
        avoided = [one.avoided_s for one in spans if one.avoided_s is not None]
        saved = f"; downtime avoided, as people judge it: {lasting(sum(avoided))}" if avoided else ""
        return f"{first}; {lead}{saved}."

    def _watched(self) -> str:
        watched = sum(one.watched for one in self.assets) / len(self.assets)
        shares = [one.course.availability for one in self.assets if one.course is not None]
        known = [share for share in shares if share is not None]
        good = f", and {percent(sum(known) / len(known))} of their values were good" if known else ""
        places = Counter(one.ever.achieved.standing for one in self.assets)
        told = {
            Standing.ABOVE: "above it",
            Standing.WITHIN: "within it",
            Standing.BELOW: "below it",
            Standing.TOO_EARLY: "too early to tell",
        }
        rates = ", ".join(f"{places[place]} {words}" for place, words in told.items() if places[place])
        return f"The machines were watched {percent(watched)} of the time{good}; against the alarm budget: {rates}."

    def dates(self) -> str:
        """Return from when to when, in words."""
        return f"{date(self.since_ns)} to {date(self.until_ns)}".removesuffix(",")


def counted(count: int, what: str) -> str:
    """Return a count and what is counted, "1 alert" or "2 alerts"."""
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share, near all or nothing with one digit more."""
    digits = 1 if 0.0 < share < 0.01 or 0.99 <= share < 1.0 else 0
    return f"{share:.{digits}%}".replace("%", " %")


def date(time_ns: int) -> str:
    """Return the day of a time, UTC, "29 November 2026"; a clock time beside it where that is not midnight."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC)
    day = f"{moment.day} {moment:%B %Y}"
    return day if moment.time() == datetime.min.time() else f"{day}, {moment:%H:%M} UTC,"


def precision(one: Account) -> str:
    """Return of how many judged alerts how many were right, with the share where there are enough of them."""
    told = f"{one.right} of {one.judged}"
    if one.precision is None:
        return told
    share, low, high = one.precision
    return f"{told}, {percent(share)} ({percent(low)} to {percent(high)})"


def loads_of(days: Mapping[str, Mapping[str, Load]], since_ns: int, until_ns: int) -> dict[str, Load]:
    """Return what each connection was asked on the days (UTC) of a time, those it begins and ends on included."""
    first, last = (datetime.fromtimestamp(at // 10**9, UTC).date().isoformat() for at in (since_ns, until_ns - 1))
    return {
        name: together({day: load for day, load in loads.items() if first <= day <= last})
        for name, loads in days.items()
    }
