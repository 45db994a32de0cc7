"""Once through a record with vigils, stopping at moments where all is well, to try something else from there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.line.advise import DEADBAND, Change
from agent.line.alert import AlarmEvent
from agent.line.assess import NORMAL, Assessment
from agent.line.vigil import Vigil
from agent.line.window import Grid
from agent.rehearsal.record import NS_PER_S, Part, judged
from connectors.frame import Float32s

Float64s = npt.NDArray[np.float64]

PAST_ROWS: Final = 1024
"""Rows before a moment that are kept for it."""
WHOLE_MIN: Final = 0.5
"""At a moment people would be told in at least so many of the rows to come: the agent is not off, nor are its alerts
withheld meanwhile."""
SPENT: Final = 0.01
"""Of a span of which no more than this is left no other moment is drawn."""


@dataclass(slots=True)
class Alarm:
    """An alarm of one vigil: when the deviation began, when it was raised, when it returned (None: it stands), UTC."""

    onset_ns: int
    raised_ns: int
    returned_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which all is well, and stays so: the rows from it on, and up to PAST_ROWS before it, f32[P, C]."""

    time_ns: int
    ahead: tuple[Part, ...]
    past: Float32s

    def column(self, column: int) -> Float64s:
        """Return the values f64[H] of one tag from the moment on, NaN where there was none."""
        return np.concatenate([part.grid.values[:, column] for part in self.ahead]).astype(np.float64)

    def alarm_s(self, vigil: Vigil, column: int, values: Float64s | None = None) -> float | None:
        """Return after how many seconds a vigil that goes on from here raises its alarm, None where it does not.

        With `values` f64[H] in place of those of one tag.
        """
        fork, begin = vigil.fork(), 0
        for part in self.ahead:
            grid = part.grid
            if values is not None:
                x, good = grid.values.copy(), grid.good.copy()
                x[:, column] = values[begin : begin + grid.rows]
                good[:, column] = np.isfinite(x[:, column])
                grid = Grid(grid.time_ns, x, good)
            begin += grid.rows
            for piece, _, changes in judged(fork, replace(part, grid=grid)):
                for change in changes:
                    if change.event is AlarmEvent.RAISE:
                        return (int(piece.grid.time_ns[change.row]) - self.time_ns) / NS_PER_S
        return None


class Draws:
    """Random moments, one in each of `count` equal spans; where one does not suit, a later one of its span."""

    def __init__(self, first_ns: int, last_ns: int, count: int, rng: np.random.Generator) -> None:
        self._edges = np.linspace(first_ns, max(last_ns, first_ns), count + 1).astype(np.int64).tolist()
        self._rng = rng
        self._span = -1
        self.next_ns: int | None = None
        """The moment to try, None where none is left."""
        self.drawn()

    def drawn(self) -> None:
        """Take the moment, and draw one in the next span."""
        self._span += 1
        if self._span >= len(self._edges) - 1:
            self.next_ns = None
            return
        self._draw(self._edges[self._span])

    def refused(self, at_ns: int) -> None:
        """Draw another one after `at_ns` in what is left of its span, else in the next."""
        begin, end = self._edges[self._span : self._span + 2]
        if end - at_ns > SPENT * (end - begin):
            self._draw(at_ns + 1)
        else:
            self.drawn()

    def _draw(self, from_ns: int) -> None:
        self.next_ns = from_ns + int(self._rng.random() * (self._edges[self._span + 1] - from_ns))


class Walk:
    """Gives the moments while it lets each vigil judge the record; `alarms` are those of each vigil.

    `rows_judged` are those in which people would have been told: not while alerts were withheld.
    A moment suits where the first vigil finds nothing, and finds nothing in the time `within_ns` after it either. Of
    the record no more is held than that time and a little.
    """

    def __init__(
        self, parts: Iterator[Part], vigils: Sequence[Vigil], period_ns: int, within_ns: int, draws: Draws
    ) -> None:
        self.alarms: tuple[list[Alarm], ...] = tuple([] for _ in vigils)
        self.rows = self.rows_judged = 0
        self.time_ns: int | None = None
        """Up to when the record was judged."""
        self._parts, self._vigils, self._draws = parts, tuple(vigils), draws
        self._period_ns, self._within_ns = period_ns, within_ns
        self._ahead: list[Part] = []
        self._past: deque[Float32s] = deque(maxlen=PAST_ROWS)
        self._last: Assessment | None = None
        self._is_withheld = False

    def moments(self) -> Iterator[Moment]:
        """Go through the record; the vigils stand at a moment while it is given."""
        given_ns = 0
        while self._fill():
            part, at_ns = self._ahead[0], self._draws.next_ns
            if at_ns is None or part.last_ns < at_ns:
                self._take(self._ahead.pop(0))
                continue
            row = int(np.searchsorted(part.grid.time_ns, at_ns))
            if 0 < row < part.grid.rows:
                self._ahead.pop(0)
                before, after = part.split(row)
                self._ahead.insert(0, after)
                self._take(before)
            first_ns = self._ahead[0].first_ns
            in_time = first_ns > given_ns and first_ns - at_ns <= self._period_ns  # else there was a gap
            moment = self._moment() if in_time else None
            if moment is None:
                self._draws.refused(first_ns)
            else:
                yield moment
                given_ns = first_ns
                self._draws.drawn()

    def _fill(self) -> bool:
        """Have the rows of the time ahead at hand; False at the end of the record."""
        while not self._ahead or self._ahead[-1].last_ns - self._ahead[0].first_ns < self._within_ns:
            part = next(self._parts, None)
            if part is None:
                break
            self._ahead.append(part)
        return bool(self._ahead)

    def _take(self, part: Part) -> None:
        for number, (vigil, alarms) in enumerate(zip(self._vigils, self.alarms, strict=True)):
            for piece, assessment, changes in judged(vigil, part):
                self._note(alarms, changes, piece.grid)
                if number == 0:
                    self._last = assessment
                    withheld = vigil.withheld(piece.grid.time_ns)
                    self._is_withheld = bool(withheld[-1])
                    self.rows_judged += int((assessment.judged & ~withheld).sum())
        self.rows += part.grid.rows
        self.time_ns = part.last_ns
        self._past.extend(part.grid.values[-PAST_ROWS:])

    def _note(self, alarms: list[Alarm], changes: Sequence[Change], grid: Grid) -> None:
        for change in changes:
            at_ns = int(grid.time_ns[change.row])
            if change.event is AlarmEvent.RAISE:
                alarms.append(Alarm(at_ns - change.since_rows * self._period_ns, at_ns))
            else:
                alarms[-1].returned_ns = at_ns

    def _moment(self) -> Moment | None:
        """Return the moment before the first row ahead, None where it does not suit."""
        ahead = self._until(self._ahead[0].first_ns + self._within_ns)
        if not ahead or not self._is_well() or ahead[0].fresh or any(part.rebaselined for part in ahead):
            return None  # what is put in would be learnt, and is not judged meanwhile
        moment = Moment(ahead[0].first_ns, ahead, np.array(self._past))
        return None if moment.alarm_s(self._vigils[0], 0) is not None else moment

    def _is_well(self) -> bool:
        """Whether the machine ran, was judged, no alert was withheld, and nothing was found up to now."""
        last = self._last
        if last is None or self._vigils[0].deviates or self._vigils[0].rebaselines or self._is_withheld:
            return False
        return bool(last.condition[-1] == NORMAL and last.evidence[-1] < DEADBAND)

    def _until(self, end_ns: int) -> tuple[Part, ...]:
        """Return the rows ahead before a time; none where the record does not reach so far, or people are told in few.
        """
        if self._ahead[-1].last_ns < end_ns:
            return ()
        parts = [part for part in self._ahead if part.first_ns < end_ns]
        if parts[-1].last_ns >= end_ns:
            parts[-1] = parts[-1].split(int(np.searchsorted(parts[-1].grid.time_ns, end_ns)))[0]
        told = sum(int((~self._vigils[0].withheld(part.grid.time_ns)).sum()) for part in parts)
        return tuple(parts) if told >= WHOLE_MIN * self._within_ns / self._period_ns else ()
