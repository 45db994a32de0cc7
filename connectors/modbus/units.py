"""What is known of the units behind one connection: which are silent, and whose late replies may still come. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from connectors.link import Clock
from connectors.modbus.plan import BIT_TABLES, Block

SILENCE_FIRST_NS: Final = 1_000_000_000
SILENCE_LAST_NS: Final = 16_000_000_000
LATE_NS_MIN: Final = 10_000_000_000
"""A reply that is later than this, or than ten time-outs, is not expected any more."""
_ADDRESSES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Silence:
    wait_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A request whose reply may still come; `known`: the unit has given this block before."""

    until_ns: int
    known: bool


class Units:
    """Remembers, over reconnections too, units that do not answer and requests without number that were given up.

    A silent unit is asked ever more rarely, so that it does not delay the others on its bus. Where replies bear no
    number (RTU, ASCII), a late one looks like the answer to the next request for as many registers. A unit answers in
    order, so that one answer which cannot be the late one shows that none is to come: `probe` gives a request for it.
    """

    def __init__(self, clock: Clock, timeout_ms: float) -> None:
        self._clock = clock
        self._first_ns = max(SILENCE_FIRST_NS, int(2e6 * timeout_ms))
        self._last_ns = max(SILENCE_LAST_NS, self._first_ns)
        self._late_ns = max(LATE_NS_MIN, int(1e7 * timeout_ms))
        self._silences: dict[int, _Silence] = {}
        self._given_up: dict[Block, _GivenUp] = {}
        self._known: set[Block] = set()

    def is_silent(self, unit_id: int) -> bool:
        """Return whether a unit did not answer when it was last asked."""
        return unit_id in self._silences

    def silent_longest(self) -> int | None:
        """Return the one silent unit to ask again now: many at once would hold up those that answer."""
        if not self._silences:
            return None
        now_ns = self._clock.monotonic_ns()
        due = [(silence.until_ns, unit_id) for unit_id, silence in self._silences.items()
               if silence.until_ns <= now_ns]
        return min(due)[1] if due else None

    def silent(self, unit_id: int) -> None:
        """Take note that a unit did not answer."""
        before = self._silences.get(unit_id)
        wait_ns = self._first_ns if before is None else min(self._last_ns, 2 * before.wait_ns)
        self._silences[unit_id] = _Silence(wait_ns, self._clock.monotonic_ns() + wait_ns)

    def heard(self, unit_ids: Collection[int]) -> None:
        """Take note that units answered, or that it is not known of them that they would not."""
        for unit_id in unit_ids:
            self._silences.pop(unit_id, None)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each silent unit, the same until it answers."""
        most_s = self._last_ns / 1e9
        return tuple(f"unit {unit_id} does not answer; it is asked ever more rarely, up to {most_s:.0f} s apart"
                     for unit_id in sorted(self._silences))

    def give_up(self, block: Block) -> None:
        """Take note of a request without number whose reply may still come."""
        self._given_up[block] = _GivenUp(self._clock.monotonic_ns() + self._late_ns, _bare(block) in self._known)

    def gave(self, block: Block) -> None:
        """Take note that a unit gave a block when asked for one that no late reply looks like."""
        self._known.add(_bare(block))
        self._settle(block.unit_id)

    def refused(self, block: Block) -> None:
        """Take note that a unit answered with an exception: no late one, if all that was given up is known to exist.

        Else it may be the late one of what does not exist, and the reply to this request is still to come.
        """
        if all(given_up.known for asked, given_up in self._given_up.items() if asked.unit_id == block.unit_id):
            self._settle(block.unit_id)
        else:
            self.give_up(block)

    def probe(self, block: Block) -> Block | None:
        """Return a request for another number of registers to make first; None where no late reply looks like the
        answer to this one.
        """
        if not self._given_up:
            return None
        now_ns = self._clock.monotonic_ns()
        self._given_up = {asked: given_up for asked, given_up in self._given_up.items() if given_up.until_ns > now_ns}
        late = {asked.size_bytes for asked in self._given_up
                if (asked.unit_id, asked.table) == (block.unit_id, block.table)}
        if block.size_bytes not in late:
            return None
        count, step = 1, 8 if block.table in BIT_TABLES else 1
        while (asked := replace(block, count=count, columns=())).size_bytes in late:
            count += step
        return replace(asked, start=min(block.start, _ADDRESSES - count))

    def _settle(self, unit_id: int) -> None:
        self._given_up = {block: given_up for block, given_up in self._given_up.items() if block.unit_id != unit_id}


def _bare(block: Block) -> Block:
    return replace(block, columns=())
