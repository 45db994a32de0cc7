"""All that the journal and the record say of one asset's past, as the ledger counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.line.alert import AlarmState, Alert, Answer, WithheldKind
from agent.line.event import AssetEvent, EventKind
from agent.line.lifecycle import last_told
from agent.line.source_clock import behind_ns
from agent.line.spans import Span, union
from agent.line.verdict import Cause
from agent.line.withholding import withheld_anyhow, withheld_spans
from agent.store import reading
from agent.store.journal import JournalReader


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert: when the deviation began, when it was raised first, and over (None: it stands). UTC in ns.

    Where the clock of its source is wrong these are by the gateway's. `message` is what it said last, `cause` what
    people were told last before they answered, `answer` and `fault` what they say that it was, None where nobody has;
    `root` is the alert that it goes under.
    """

    alert_id: str
    onset_ns: int
    raised_ns: int
    over_ns: int | None
    message: str = ""
    answer: Answer | None = None
    cause: Cause | None = None
    fault: str | None = None
    root: str | None = None

    @classmethod
    def of(cls, first: Alert, last: Alert, told: Alert | None = None) -> Self:
        """Return what counts of an alert, by its first revision, its last, and the one that people were told (None: the
        first).
        """
        is_over = last.state in (AlarmState.NORMAL, AlarmState.RETURNED_UNACKNOWLEDGED)
        label, behind = last.label, behind_ns(first.raised_time_ns, first.updated_time_ns)
        over_ns = last.returned_time_ns if is_over else None
        if over_ns is not None and first.updated_time_ns <= over_ns + behind <= last.updated_time_ns:
            over_ns += behind  # else the clock was set meanwhile
        return cls(
            alert_id=last.id,
            onset_ns=first.onset_time_ns + behind,
            raised_ns=first.raised_time_ns + behind,
            over_ns=over_ns,
            message=last.message,
            answer=None if label is None else label.answer,
            cause=(told or first).verdict.cause,
            fault=None if label is None else label.fault,
            root=last.root,
        )

    @property
    def is_true(self) -> bool:
        """Whether people say that something was wrong: the alarm budget is for alerts of which they do not."""
        return self.answer in (Answer.REAL, Answer.SENSOR)

    @property
    def is_right(self) -> bool:
        """Whether people say that it was as the alert said: a machine's fault, or a sensor's that was named so."""
        return self.answer is Answer.REAL or (self.answer is Answer.SENSOR and self.cause is Cause.SENSOR)

    @property
    def is_judged(self) -> bool:
        """Whether somebody has looked and says what it was."""
        return self.answer not in (None, Answer.NOT_LOOKED_AT)

    def stood(self, time_ns: int) -> bool:
        """Say whether it had been raised at a time, and was not over."""
        return self.raised_ns <= time_ns and (self.over_ns is None or self.over_ns >= time_ns)


@dataclass(frozen=True, slots=True)
class History:
    """The alerts and events of an asset, the oldest first, when it was recorded, and whether people see its alerts."""

    asset: str
    raised: tuple[Raised, ...]
    events: tuple[AssetEvent, ...]
    recorded: tuple[Span, ...]
    live: bool = True

    def begin_ns(self, until_ns: int) -> int:
        """Return when the first that is known of it was, `until_ns` at the latest."""
        times = [one.raised_ns for one in self.raised] + [event.since_ns for event in self.events]
        return min([begin for begin, _ in self.recorded[:1]] + times + [until_ns])

    def withheld(self, until_ns: int) -> dict[WithheldKind, list[Span]]:
        """Return when its alerts were withheld up to a time, in each way."""
        return withheld_spans(self.events, until_ns)

    def unwatched(self, until_ns: int) -> list[Span]:
        """Return when its alerts were withheld up to a time, in any way."""
        return withheld_anyhow(self.events, until_ns)

    def untold(self, until_ns: int) -> list[Span]:
        """Return when nobody was told of its alerts up to a time: they were withheld, or it was not live yet."""
        always_ns = 0 if self.live else until_ns
        live_ns = next((event.time_ns for event in self.events if event.kind is EventKind.LIVE), always_ns)
        return union([*self.unwatched(until_ns), (0, min(live_ns, until_ns))])


def history_of(
    journal: JournalReader | None, telemetry: Path, asset: str, period_ms: int, *, live: bool = True
) -> History:
    """Return the history of an asset with a row every `period_ms`, `live` or not; raise StoreError.

    Without a journal nothing is known of alerts.
    """
    raised = [] if journal is None else [_raised(journal, *life) for life in journal.lives(asset)]
    return History(
        asset,
        tuple(raised),
        () if journal is None else tuple(journal.all_events(asset)),
        tuple(reading.spans(telemetry, asset, period_ms)) if telemetry.is_dir() else (),
        live,
    )


def _raised(journal: JournalReader, first: Alert, last: Alert) -> Raised:
    """Return what counts of an alert; what people were told is looked up only where they have answered."""
    return Raised.of(first, last, first if last.label is None else last_told(journal.history(last.id)))
