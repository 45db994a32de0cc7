"""What keeps an asset's alerts from people for a time: maintenance that was announced, cleaning that a tag tells of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agent.line.alert import ReturnToService, TakeOutOfService, Withheld, WithheldKind
from agent.line.event import AssetEvent, EventKind, EventLog
from agent.line.spans import Span, union
from connectors.frame import BAD_NO_DATA, Bools, Float32s, Int64s, UInt32s, is_bad

KINDS: Final[dict[WithheldKind, tuple[EventKind, EventKind]]] = {
    WithheldKind.SUPPRESSED: (EventKind.SUPPRESSED, EventKind.UNSUPPRESSED),
    WithheldKind.OUT_OF_SERVICE: (EventKind.OUT_OF_SERVICE, EventKind.IN_SERVICE),
    WithheldKind.ON_HOLD: (EventKind.CHANGE_SEEN, EventKind.HOLD_ENDED),
}
"""The events that an asset's alerts are withheld by, in each way, and are no longer; the last one counts."""
EVENTS: Final = tuple(event for kinds in KINDS.values() for event in kinds)
"""All of these."""

UNKNOWN_NS: Final = 60_000_000_000
"""So long without a good value of the tag, and it is told that nobody knows whether to suppress."""
DEAF_NS_MAX: Final = 3_600_000_000_000
"""So long without one, and suppression ends: a broken tag must not keep a machine unwatched."""
LATE_NS_MAX: Final = 3_600_000_000_000
"""A row that is dated longer than this before it was read, or after, is dated by a clock that is wrong."""
CHANGES_MAX: Final = 1000
"""Changes of the tag that are kept for rows which are still to be judged."""


def withheld_by(event: AssetEvent) -> Withheld | None:
    """Return how an event withholds the alerts of its asset, None where it does not."""
    for kind, (begins, _) in KINDS.items():
        if event.kind is begins and event.until_ns != event.since_ns:
            return Withheld(kind, event.by, event.since_ns, event.until_ns, event.comment)
    return None


def withheld_spans(events: Iterable[AssetEvent], until_ns: int) -> dict[WithheldKind, list[Span]]:
    """Return when the alerts of an asset were withheld, in each way, by all of its events up to a time, in order.

    All by the gateway's clock: a tag suppresses from a row on that is dated by its source, whose clock may be wrong by
    more than rows are late.
    """
    begun: dict[WithheldKind, Withheld] = {}
    found: dict[WithheldKind, list[Span]] = {kind: [] for kind in KINDS}
    for event in events:
        for kind, kinds in KINDS.items():
            if event.kind in kinds and (before := begun.pop(kind, None)) is not None:
                found[kind].append((before.since_ns, min(event.time_ns, before.until_ns or event.time_ns)))
        if (way := withheld_by(event)) is not None:
            wrong = way.kind is WithheldKind.SUPPRESSED and not 0 <= event.time_ns - event.since_ns <= LATE_NS_MAX
            begun[way.kind] = replace(way, since_ns=event.time_ns) if wrong else way
    for kind, way in begun.items():
        found[kind].append((way.since_ns, min(until_ns, way.until_ns or until_ns)))
    return {kind: union((begin, min(end, until_ns)) for begin, end in spans) for kind, spans in found.items()}


def withheld_anyhow(events: Iterable[AssetEvent], until_ns: int) -> list[Span]:
    """Return when the alerts of an asset were withheld in any way, by all of its events up to a time, in order."""
    return union(span for spans in withheld_spans(events, until_ns).values() for span in spans)


class Withholding:
    """What withholds the alerts of one asset: one of each kind at most, in force or to come."""

    def __init__(self, log: EventLog, standing: Sequence[Withheld] = ()) -> None:
        self._log = log
        self._ways = {one.kind: one for one in standing}

    def standing(self) -> tuple[Withheld, ...]:
        """Return all, those to come included."""
        return tuple(self._ways.values())

    def in_force(self, now_ns: int) -> tuple[Withheld, ...]:
        """Return those that have begun."""
        return tuple(one for one in self._ways.values() if one.since_ns <= now_ns)

    def has(self, kind: WithheldKind) -> bool:
        """Say whether there is one of a kind."""
        return kind in self._ways

    def way(self, kind: WithheldKind) -> Withheld | None:
        """Return the one of a kind, None where there is none."""
        return self._ways.get(kind)

    def obey(self, command: TakeOutOfService | ReturnToService, now_ns: int) -> list[AssetEvent]:
        """Return the events that a person's command makes, none where it does not apply."""
        match command:
            case TakeOutOfService():
                window = (command.since_ns, command.until_ns)
                out = Withheld(WithheldKind.OUT_OF_SERVICE, command.by, *window, command.reason)
                return [self.begin(out, now_ns)] if command.until_ns > now_ns else []
            case ReturnToService():
                return self.end(WithheldKind.OUT_OF_SERVICE, now_ns, command.by, command.comment)

    def begin(self, way: Withheld, now_ns: int, about: str | None = None) -> AssetEvent:
        """Withhold from now or a time to come on; one of the same kind gives way."""
        self._ways[way.kind] = way
        return self._log.event(
            KINDS[way.kind][0], now_ns, since_ns=way.since_ns, until_ns=way.until_ns, by=way.by, comment=way.reason,
            about=about,
        )

    def end(
        self, kind: WithheldKind, now_ns: int, by: str | None, comment: str, about: str | None = None
    ) -> list[AssetEvent]:
        """Withhold no longer; return the event, none where there was nothing to end."""
        if self._ways.pop(kind, None) is None:
            return []
        return [self._log.event(KINDS[kind][1], now_ns, by=by, comment=comment, about=about)]

    def expire(self, now_ns: int, meanwhile: Callable[[WithheldKind], str] = lambda _: "") -> list[AssetEvent]:
        """Return the events of those whose time is over; each tells what was seen `meanwhile`."""
        over = [one.kind for one in self._ways.values() if one.until_ns is not None and one.until_ns <= now_ns]
        return [
            event for kind in over
            for event in self.end(kind, now_ns, None, f"the time set for it is over{meanwhile(kind)}")
        ]


@dataclass(frozen=True, slots=True)
class SuppressedWhen:
    """Alerts are suppressed by design while a context tag has one of these values."""

    tag: str
    equals: tuple[float, ...]


class Suppression:
    """Follows the tag that says when an asset's alerts are suppressed by design.

    A row without a good value changes nothing; where none comes for longer than UNKNOWN_NS (and two of the tag's
    periods) that is told, and after DEAF_NS_MAX nothing is suppressed until one comes.
    """

    def __init__(
        self, when: SuppressedWhen, period_ns: int, withholding: Withholding, log: EventLog
    ) -> None:
        self._when, self._withholding, self._log = when, withholding, log
        self._equals = np.array(when.equals, np.float32)
        self._unknown_ns = max(UNKNOWN_NS, 2 * period_ns)
        self._good_ns: int | None = None
        self._unknown = False
        # Since when it has been so, by the source's clock: the last before the rows still to be judged, and on.
        self._times_ns: list[int] = []
        self._states = [self._suppressed]

    @property
    def _suppressed(self) -> bool:
        return self._withholding.has(WithheldKind.SUPPRESSED)

    def follow(self, times_ns: Int64s, values: Float32s, status: UInt32s, now_ns: int) -> list[AssetEvent]:
        """Take samples of the tag in, i64[T], f32[T] and u32[T]; return what they change."""
        events: list[AssetEvent] = []
        good = (status != BAD_NO_DATA) & ~is_bad(status) & np.isfinite(values)
        for time_ns, is_good, value in zip(times_ns.tolist(), good.tolist(), values, strict=True):
            events += self._know(time_ns, value, now_ns) if is_good else self._wait(time_ns, now_ns)
        return events

    def covers(self, times_ns: Int64s, grid_ns: int) -> Bools:
        """Return which rows of the grid are suppressed, bool[N]; none before them will be asked for.

        A sample lies up to half a period after the time of its row.
        """
        at = np.searchsorted(np.array(self._times_ns, np.int64), times_ns + grid_ns // 2, side="right")
        covered = np.array(self._states, np.bool_)[at]
        settled = int(at[-1])
        del self._times_ns[:settled], self._states[:settled]
        return np.asarray(covered)

    def _know(self, time_ns: int, value: np.float32, now_ns: int) -> list[AssetEvent]:
        again, self._unknown, self._good_ns = self._unknown, False, time_ns
        suppress = value in self._equals
        if suppress == self._suppressed and not again:
            return []
        return self._set(suppress, f"{self._when.tag} is {value:g}{' and can be read again' * again}", time_ns, now_ns)

    def _wait(self, time_ns: int, now_ns: int) -> list[AssetEvent]:
        if self._good_ns is None:
            self._good_ns = time_ns
        silent_ns, tag = time_ns - self._good_ns, self._when.tag
        if silent_ns >= DEAF_NS_MAX and self._suppressed:
            self._unknown = True
            return self._set(False, f"{tag} has had no good value for an hour: watched again", time_ns, now_ns)
        if silent_ns < self._unknown_ns or self._unknown:
            return []
        self._unknown = True
        stays = "stays suppressed, for an hour at most," if self._suppressed else "is not suppressed"
        comment = f"{tag} has no good value: {self._log.asset} {stays} until there is one"
        kind = EventKind.SUPPRESSION_UNKNOWN
        return [self._log.event(kind, now_ns, since_ns=self._good_ns, comment=comment, about=tag)]

    def _set(self, suppress: bool, why: str, time_ns: int, now_ns: int) -> list[AssetEvent]:
        place = bisect_left(self._times_ns, time_ns)  # later ones are of a clock that was set back since
        self._times_ns[place:], self._states[place + 1 :] = [time_ns], [suppress]
        del self._times_ns[:-CHANGES_MAX], self._states[: -CHANGES_MAX - 1]
        tag = self._when.tag
        if suppress:
            way = Withheld(WithheldKind.SUPPRESSED, None, time_ns, None, why)
            return [self._withholding.begin(way, now_ns, tag)]
        ended = self._withholding.end(WithheldKind.SUPPRESSED, now_ns, None, why, tag)
        return ended or [self._log.event(EventKind.UNSUPPRESSED, now_ns, comment=why, about=tag)]
