"""Stretches of time of which nothing was delivered, and the pieces in which a server's history fills them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_GAPS_MAX: Final = 100
_LOST_PERIODS: Final = 2
"""Rows further apart than so many periods have lost one between them."""


class Recovery(StrEnum):
    """From which end a gap is filled from the server's history."""

    OLDEST_FIRST = "oldest_first"
    NEWEST_FIRST = "newest_first"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source time in UTC ns, both ends excluded: of those there are values."""

    since_ns: int
    until_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.until_ns - self.since_ns


@dataclass(frozen=True, slots=True)
class Recorded:
    """What there is from before: the source time of the newest row, None where there is none, and what is missing
    before it.
    """

    until_ns: int | None = None
    missing: tuple[Span, ...] = ()


NOTHING_RECORDED: Final = Recorded()


class Gaps:
    """What is missing, by the source's clock, from one session to the next.

    Of more than a hundred gaps the shortest are given up. `recorded` is what came before the first session.
    `period_ns` is how far rows are apart where nothing is missing, `piece_ns` how much of a gap is asked for at a time,
    `most_ns` how much of a gap is filled, its newest part. `given_up_ns` is how much will not be asked for: too old,
    too much, or the server cannot tell. `failures` are requests in a row that got no answer, whether or not they ended
    a session.
    """

    def __init__(self, recovery: Recovery, period_ns: int, piece_ns: int, most_ns: int,
                 recorded: Recorded = NOTHING_RECORDED) -> None:
        assert 1 < period_ns <= piece_ns
        self._recovery = recovery
        self._period_ns = period_ns
        self._piece_ns = piece_ns
        self._most_ns = most_ns
        self._delivered_ns = recorded.until_ns
        self._spans: list[Span] = []
        self.given_up_ns = 0
        self.failures = 0
        self._add(recorded.missing)

    def delivered(self, time_ns: int) -> None:
        """Take note of the source time of the newest row that is surely what the server had.

        It may be before that of an earlier one, whose clock was ahead for a moment.
        """
        self._delivered_ns = time_ns

    def resumed(self, time_ns: int) -> None:
        """Take note of the source time of a session's first row: what lies between it and the last one is missing."""
        before_ns = self._delivered_ns
        if before_ns is not None and time_ns - before_ns > _LOST_PERIODS * self._period_ns:
            since_ns = max(before_ns, time_ns - self._most_ns)
            self.given_up_ns += since_ns - before_ns
            self._add([Span(since_ns, time_ns)])
        self.delivered(time_ns)

    def piece(self) -> Span | None:
        """Return what is to be asked for next; None where nothing is missing."""
        if not self._spans:
            return None
        if self._recovery is Recovery.NEWEST_FIRST:
            span = self._spans[-1]
            return Span(max(span.since_ns, span.until_ns - self._piece_ns), span.until_ns)
        span = self._spans[0]
        return Span(span.since_ns, min(span.until_ns, span.since_ns + self._piece_ns))

    def done(self, piece: Span) -> None:
        """Take note that all there is of the latest piece has come."""
        assert piece == self.piece()
        if self._recovery is Recovery.NEWEST_FIRST:
            span = self._spans.pop()
            if span.since_ns < piece.since_ns:
                self._spans.append(Span(span.since_ns, piece.since_ns + 1))
        else:
            span = self._spans.pop(0)
            if span.until_ns > piece.until_ns:
                self._spans.insert(0, Span(piece.until_ns - 1, span.until_ns))

    def give_up(self) -> None:
        """Take note that none of what is missing is to be had."""
        self.given_up_ns += self.left_ns
        self.failures = 0
        self._spans.clear()

    def _add(self, spans: Iterable[Span]) -> None:
        self._spans += spans
        short = set(sorted(self._spans, key=lambda span: span.length_ns)[:-_GAPS_MAX])
        self._spans = [span for span in self._spans if span not in short]
        self.given_up_ns += sum(span.length_ns for span in short)

    @property
    def left_ns(self) -> int:
        """How much is still to be asked for."""
        return sum(span.length_ns for span in self._spans)
