"""The decode prover at work: it takes samples of the registers that are read anyway, and judges a tag at a time. Pure.

It asks a device for nothing. A few tags are watched at a time; the others of a large device wait for their turn, so
that neither memory nor work grow with their number. A sample is taken once in a second at most, so that a fast poll
costs no more than a slow one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import GOOD, ModbusAddress, Table, Tag
from connectors.modbus import alike
from connectors.modbus.orders import REGISTERS
from connectors.modbus.plan import Block
from connectors.modbus.prove import Finding, carries, fitting, more_carries, weigh
from connectors.modbus.readings import PROVABLE, judge, meant, readings
from connectors.modbus.samples import Samples, places

SAMPLE_NS: Final = 1_000_000_000
WATCHED_MOST: Final = 32
"""How many tags are watched at a time: with a change every second, one of them is judged in a second."""
STILL_NS: Final = 60_000_000_000
"""A tag whose registers stand still for so long has had its turn."""
TURN_NS: Final = 600_000_000_000
"""So has one that was watched for so long."""
_FRESH: Final = 32
"""How many new contents a tag is judged after, again and again."""
_TOGETHER: Final = 32
"""How many tags of a table are judged after its verdict became another one, until that is said: all but of a large one,
since the first to be judged after a download are not all that were changed by it."""
_CHANGED: Final = "what its registers mean has changed: "
_CHANGED_TABLE: Final = _CHANGED.replace("its", "their")
_TableOf = tuple[int, Table]


@dataclass(frozen=True, slots=True)
class Shared:
    """What is wrong with all tags of a table alike: their columns, where they are, and what to do.

    `spared` are those of the columns that the likeliest change does not mend: it has nothing to change in them, or
    something else would bring them into their range.
    """

    columns: tuple[int, ...]
    where: str
    text: str
    spared: frozenset[int]


class Watch:
    """What was found about the tags of one device, for as long as the agent runs."""

    def __init__(self, tags: Sequence[Tag], *, sample_ns: int = SAMPLE_NS, fresh: int = _FRESH,
                 watched_most: int = WATCHED_MOST) -> None:
        self._tags = tuple(tags)
        self._sample_ns, self._fresh = sample_ns, fresh
        order = sorted((column for column, tag in enumerate(tags) if tag.dtype in PROVABLE),
                       key=lambda column: (_table_of(tags[column]), _register(tags[column])))
        self._columns = np.array(order, np.int32)  # [M]
        self._tables = sorted({_table_of(tags[column]) for column in order})
        self._table = np.array([self._tables.index(_table_of(tags[column])) for column in order], np.int16)
        self._votes = np.full((len(order), len(alike.CHANGES)), alike.NO_VOTE, np.int8)
        self._lacks: npt.NDArray[np.bool_] | None = None
        self._carries = np.zeros((len(order), 4), np.int16)
        self._proven = np.zeros(len(order), np.bool_)
        self._judgements = np.zeros(len(self._tables), np.int32)  # since their verdict became another one
        self._settled = np.zeros(len(self._tables), np.bool_)
        self._findings: dict[int, Finding] = {}
        self._pending: set[int] = set()
        self._fitting: dict[int, str] = {}
        self._shared: dict[int, tuple[tuple[alike.Change, ...], str]] = {}
        slots = min(len(order), watched_most)
        self._samples = Samples(slots, max((REGISTERS[tags[column].dtype] for column in order), default=1))
        self._member = np.arange(slots, dtype=np.int32)  # [S], which of M is watched
        self._judged = np.zeros(slots, np.int32)         # [S], how many contents had come when it was judged last
        self._next, self._next_slot = slots, 0
        self._blocks: Sequence[Block] = ()
        self._offsets: Sequence[int] = ()
        self._sampled_ns: int | None = None

    @property
    def findings(self) -> dict[int, str]:
        """What is wrong with the reading of which columns, in words that stay the same until they are judged anew.

        What is wrong with a whole table is said there, in `shared`, and not again of the tags that it mends.
        """
        found = {int(self._columns[member]): f"{_CHANGED if self._proven[member] else ''}{finding.text}"
                 for member, finding in self._findings.items() if not self._is_shared(member)}
        return dict(sorted(found.items()))

    @property
    def shared(self) -> tuple[Shared, ...]:
        """What is wrong with all tags of a table alike."""
        return tuple(Shared(tuple(sorted(self._columns[self._table == table].tolist())), self._where(table), text,
                            self._spared(table, changes[0]))
                     for table, (changes, text) in sorted(self._shared.items()))

    def _spared(self, table: int, change: alike.Change) -> frozenset[int]:
        members = [] if change.shift else np.flatnonzero(self._table == table).tolist()
        return frozenset(int(self._columns[member]) for member in members
                         if not alike.mends(self._votes[member], change)
                         and (alike.abstains(self._votes[member], change) or member in self._fitting))

    @property
    def changes(self) -> tuple[str, ...]:
        """What has come to mean something else since it was found right: tables, and tags by name."""
        tables = tuple(f"{one.where}: {one.text}" for one in self.shared if one.text.startswith(_CHANGED_TABLE))
        return tables + tuple(
            f"{self._tags[column].name}: {text}" for column, text in self.findings.items() if text.startswith(_CHANGED))

    @property
    def fitting(self) -> dict[int, str]:
        """How else columns that are never in their range would be in it: no finding, a hint."""
        return {int(self._columns[member]): text for member, text in sorted(self._fitting.items())}

    def observe(self, blocks: Sequence[Block], offsets: Sequence[int], data: bytes | bytearray,
                block_status: Sequence[int], now_ns: int) -> None:
        """Take the data of a read, and judge one of the tags that there is enough new of.

        Block b's registers begin at the byte `offsets[b]`; where its status is not Good they are not looked at.
        """
        if self._sampled_ns is not None and now_ns - self._sampled_ns < self._sample_ns:
            return
        if self._sampled_ns is None:
            for slot in range(len(self._member)):
                self._give(slot, slot, now_ns)
        self._sampled_ns = now_ns
        if blocks is not self._blocks:
            self._blocks, self._offsets = blocks, offsets
            for slot in range(len(self._member)):
                self._place(slot)
        good = np.array(block_status, np.uint32) == GOOD
        self._samples.keep(np.frombuffer(data, np.uint8), good, now_ns)
        self._judge_next(now_ns)

    def judge_all(self, lacking: Collection[ModbusAddress] = ()) -> None:
        """Judge every tag that is watched by what is kept of it; `lacking` are registers that the device refused."""
        self._lacks = alike.lacks([self._tags[column] for column in self._columns.tolist()], lacking)
        for slot in range(len(self._member)):
            self._judge(slot)
        for table in range(len(self._tables)):
            self._judge_table(table, after=0)

    def _give(self, slot: int, member: int, now_ns: int) -> None:
        """Watch a tag in a slot from now on."""
        self._member[slot], self._judged[slot] = member, 0
        self._samples.give(slot, REGISTERS[self._tag(member).dtype], now_ns)
        self._place(slot)

    def _place(self, slot: int) -> None:
        """Find the registers of the tag in a slot in the data of the blocks."""
        column = int(self._columns[self._member[slot]])
        tag = self._tags[column]
        b = next((b for b, block in enumerate(self._blocks) if column in block.columns), -1)
        start, count, offset = (self._blocks[b].start, self._blocks[b].count, self._offsets[b]) if b >= 0 else (0, 0, 0)
        first, known = places(_register(tag), REGISTERS[tag.dtype], start, count)
        self._samples.place(slot, b, offset + first, known)
        self._judged[slot] = min(self._judged[slot], self._samples.seen[slot])

    def _judge_next(self, now_ns: int) -> None:
        """Judge the next tag in turn of which enough is new, or that will not change soon; watch another instead."""
        fresh = self._samples.seen - self._judged
        over = (now_ns - self._samples.newest_ns >= STILL_NS) | (now_ns - self._samples.begun_ns >= TURN_NS)
        waiting = len(self._member) < len(self._columns)
        due = np.flatnonzero((fresh >= self._fresh) | (over if waiting else over & (fresh > 0)))
        if not len(due):
            return
        slot = int(due[int(np.searchsorted(due, self._next_slot)) % len(due)])
        self._next_slot = slot + 1
        self._judge(slot)
        if waiting and int(self._member[slot]) not in self._pending:
            while self._next % len(self._columns) in self._member:
                self._next += 1
            self._give(slot, self._next % len(self._columns), now_ns)

    def _judge(self, slot: int) -> None:
        """Judge the tag in a slot, and the table it is in."""
        member = int(self._member[slot])
        seen, fresh = int(self._samples.seen[slot]), int(self._samples.seen[slot] - self._judged[slot])
        if not seen:
            return
        self._judged[slot] = seen
        tag, shifts = self._tag(member), self._samples.shifts(slot)
        words = meant(tag, self._samples.words(slot))
        if not len(words):
            return
        self._carries[member] = more_carries(self._carries[member], carries(tag, words[-fresh - 1:]))
        judged = judge(tag, words, readings(tag, shifts))
        finding, proven = weigh(tag, words, judged, shifts, self._carries[member])
        earlier = self._findings.get(member)
        if finding is not None and earlier is None and self._proven[member] and member not in self._pending:
            self._pending.add(member)  # what was kept is of both meanings: look at the new one alone
            self._samples.forget(slot)
            self._judged[slot] = 0
            return
        self._pending.discard(member)
        if finding is None:
            self._findings.pop(member, None)
            self._proven[member] |= proven
        elif earlier is None or finding.readings[0] not in earlier.readings:
            self._findings[member] = finding
        self._fitting.pop(member, None)
        if hint := fitting(tag, judged):
            self._fitting[member] = hint
        self._votes[member] = alike.vote(tag, judged)
        self._judge_table(int(self._table[member]))

    def _judge_table(self, table: int, after: int = _TOGETHER) -> None:
        """Judge all tags of a table together by their last votes; say it `after` so many that were judged meanwhile."""
        here = self._table == table
        votes = self._votes[here] if self._lacks is None else alike.against(self._votes[here], self._lacks[here])
        changes, (earlier, _) = alike.verdict(votes), self._shared.get(table, ((), ""))
        if not changes:
            self._shared.pop(table, None)
            self._settled[table] |= alike.settled(votes)
        if changes == earlier:
            self._judgements[table] = 0
            return
        self._judgements[table] += 1
        if self._judgements[table] > min(after, alike.voters(votes)):
            before = _CHANGED_TABLE if self._settled[table] else ""
            self._shared[table] = changes, f"{before}{alike.told(changes)}"
            self._judgements[table] = 0

    def _is_shared(self, member: int) -> bool:
        """Return whether what is wrong with the whole table of a tag explains what is wrong with it."""
        changes, _ = self._shared.get(int(self._table[member]), ((), ""))
        return any(alike.mends(self._votes[member], change) for change in changes)

    def _tag(self, member: int) -> Tag:
        return self._tags[int(self._columns[member])]

    def _where(self, table: int) -> str:
        unit_id, name = self._tables[table]
        return f"unit {unit_id} {name.value}s"


def _table_of(tag: Tag) -> _TableOf:
    assert isinstance(tag.address, ModbusAddress)
    return tag.address.unit_id, tag.address.table


def _register(tag: Tag) -> int:
    assert isinstance(tag.address, ModbusAddress)
    return tag.address.register
