"""Filling gaps from a server's history: what to ask for next, and rows of what came."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from connectors.counters import Counters
from connectors.frame import BAD, BAD_NO_DATA, Frame, Tag
from connectors.opcua.changes import Changes
from connectors.opcua.gaps import Gaps, Span
from connectors.opcua.history import NOT_KEPT, NOTHING_THERE, Asked
from connectors.opcua.session import HistoryError, Past, Session
from connectors.scaling import Scaling, quietly

_CELLS_MAX: Final = 100_000
_ROWS_MAX: Final = 1_000
_VALUES_MAX: Final = 20_000  # that one answer may have, of all its nodes: some 100 ms of a small server's time
_VALUES_LEAST: Final = 1_000
_ANSWERS_MAX: Final = 1_000  # for one node and one piece of a gap: a server without end is not followed
_FAILURES_MAX: Final = 3


def piece_ns(columns: int, period_ns: int) -> int:
    """Return how much of a gap is asked for at a time: rows that fit into the memory that is granted."""
    return max(1, min(_ROWS_MAX, _CELLS_MAX // columns)) * period_ns


class Laid:
    """History laid out in rows one period apart: of several values of a tag in one period, the last one.

    A cell without a value is BadNoData: what a server did not record is not known, and nothing is held over.
    """

    def __init__(self, piece: Span, period_ns: int, columns: int) -> None:
        self._piece = piece
        self._period_ns = period_ns
        rows = -(-piece.length_ns // period_ns)
        self._time_ns = np.zeros((rows, columns), np.int64)
        self._raw = np.full((rows, columns), np.nan)
        self._status = np.full((rows, columns), BAD_NO_DATA, np.uint32)

    def put(self, column: int, past: Changes) -> None:
        """Lay the values of one tag; those outside of the piece were not asked for, and are passed over."""
        inside = (past.time_ns > self._piece.since_ns) & (past.time_ns < self._piece.until_ns)
        order = np.flatnonzero(inside)[np.argsort(past.time_ns[inside], kind="stable")]
        rows = (past.time_ns[order] - self._piece.since_ns) // self._period_ns
        last = np.flatnonzero(np.diff(rows, append=-1))
        order, rows = order[last], rows[last]
        newer = past.time_ns[order] >= self._time_ns[rows, column]
        order, rows = order[newer], rows[newer]
        self._time_ns[rows, column] = past.time_ns[order]
        self._raw[rows, column], self._status[rows, column] = past.raw[order], past.status[order]

    def rows(self, scaling: Scaling, counters: Counters | None = None) -> Frame:
        """Return the rows that have a value, at the time of the newest one in each; `counters` turn counts into rates.
        """
        there = np.flatnonzero((self._time_ns > 0).any(1))
        sampled_ns, raw, status = self._time_ns[there], self._raw[there], self._status[there]
        time_ns = sampled_ns.max(1, initial=0)
        with quietly():
            if counters is not None:
                for t in range(len(there)):
                    columns = np.flatnonzero(sampled_ns[t]).tolist()
                    counters.rates(raw[t], status[t], int(time_ns[t]), {c: int(sampled_ns[t, c]) for c in columns})
            values, status = scaling.apply(raw, status)
        return Frame(time_ns, values, status)


@dataclass(slots=True)
class _Piece:
    """A piece of a gap on its way: what is to be asked, what has come, how often and how far each node has answered.

    `got_on` says whether a node got any further by the latest request, `stuck` counts a node's answers to requests by
    which none did.
    """

    span: Span
    laid: Laid
    asked: deque[Asked]
    answers: Counter[int] = field(default_factory=Counter)
    got_on: bool = False
    stuck: Counter[int] = field(default_factory=Counter)
    reached_ns: dict[int, int] = field(default_factory=dict)


class Refill:
    """Fills the gaps of one connection over one session; what is half done when that ends is asked for anew.

    `without` are the tags that the server keeps no history of, `partial` those of which it did not give all that it
    has; `error` says why all was given up.
    """

    def __init__(self, tags: Sequence[Tag], wire: Session, gaps: Gaps, period_ns: int) -> None:
        self._tags, self._columns = tuple(tags), len(tags)
        self._wire = wire
        self._gaps = gaps
        self._period_ns = period_ns
        self._scaling = Scaling(tags)
        self._piece: _Piece | None = None
        self._values_max = _VALUES_MAX
        self.without: set[int] = set()
        self.partial: set[int] = set()
        self.error = ""

    @property
    def waiting(self) -> bool:
        """Whether there is something to ask for, and a session to ask over."""
        return self._gaps.piece() is not None and not self._wire.lost

    async def step(self) -> Frame:
        """Make one request; return the rows of a piece of a gap that has become whole, else none.

        Raise HistoryError where the server fails to answer. It is asked a few times for less, also over the sessions
        that this costs; then what is missing is given up.
        """
        piece = self._piece = self._piece or self._begin()
        if piece is not None and (batch := self._batch(piece)):
            values_max = self._values_max // len(batch)
            try:
                answers = await self._wire.read_history(batch, piece.span.until_ns, values_max)
            except HistoryError as error:
                self._failed(piece, batch, error)
                raise
            self._gaps.failures = 0
            piece.got_on = False
            more = [self._take(piece, one, past, values_max) for one, past in zip(batch, answers, strict=True)]
            self._ask_on(piece, [one for one in more if one is not None])
        if piece is None or piece.asked:
            return Frame.empty(self._columns)
        self._piece = None
        if self.without.issuperset(self._wire.columns):
            self._give_up("it keeps no history of these tags")
            return Frame.empty(self._columns)
        self._gaps.done(piece.span)
        # A counter's first value in each piece gives no rate: the pieces may come the newest first.
        return piece.laid.rows(self._scaling, Counters.of(self._tags))

    def _begin(self) -> _Piece | None:
        span = self._gaps.piece()
        if span is None:
            return None
        columns = [column for column in self._wire.columns if column not in self.without]
        laid = Laid(span, self._period_ns, self._columns)
        asked = deque((Asked(column, span.since_ns) for column in columns), maxlen=self._columns)
        return _Piece(span, laid, asked)

    def _batch(self, piece: _Piece) -> list[Asked]:
        """Take as many nodes as one request may ask for; all of one request are asked for from the same time on.

        Nodes that have gone since the piece was begun are passed over.
        """
        known, batch = set(self._wire.columns), list[Asked]()
        while piece.asked and len(batch) < self._wire.history_nodes_max:
            if batch and piece.asked[0].since_ns != batch[0].since_ns:
                break
            one = piece.asked.popleft()
            if one.column in known:
                batch.append(one)
            else:
                self.without.add(one.column)
        return batch

    def _take(self, piece: _Piece, one: Asked, past: Past, values_max: int) -> Asked | None:
        """Take in what came for one node; return what to ask of it next, None where that was all."""
        if past.status in NOT_KEPT:
            self.without.add(one.column)
            return None
        piece.laid.put(one.column, past.changes)
        piece.answers[one.column] += 1
        before_ns = piece.reached_ns.get(one.column, one.since_ns)
        reached_ns = piece.reached_ns[one.column] = int(past.changes.time_ns.max(initial=before_ns))
        piece.got_on |= reached_ns > before_ns
        if reached_ns >= piece.span.until_ns:
            return None
        if past.status & BAD and past.status not in NOTHING_THERE:
            return Asked(one.column, reached_ns)
        if past.continuation:
            return one._replace(continuation=past.continuation)
        # cut short without saying that there is more
        cut = past.changes.size >= values_max and reached_ns > before_ns
        return Asked(one.column, reached_ns) if cut else None

    def _ask_on(self, piece: _Piece, more: Sequence[Asked]) -> None:
        """Ask on where there is more; leave what goes round in circles, or has no end."""
        for one in more:
            piece.stuck[one.column] += not piece.got_on
            if piece.stuck[one.column] >= _FAILURES_MAX or piece.answers[one.column] >= _ANSWERS_MAX:
                self.partial.add(one.column)
            else:
                piece.asked.append(one)

    def _failed(self, piece: _Piece, batch: Sequence[Asked], error: HistoryError) -> None:
        self._gaps.failures += 1
        if error.not_kept or self._gaps.failures >= _FAILURES_MAX:
            self._give_up(str(error))
            return
        self._values_max = max(_VALUES_LEAST, self._values_max // 4)
        piece.asked.extendleft(Asked(one.column, one.since_ns) for one in reversed(batch))

    def _give_up(self, why: str) -> None:
        self._piece, self.error = None, why
        self._gaps.give_up()
