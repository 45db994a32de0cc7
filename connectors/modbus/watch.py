"""The decode prover at work: it keeps samples of the registers that are read anyway, and judges a tag at a time. Pure.

It asks a device for nothing. For each tag it remembers the last 64 different contents of its registers and of the one
on either side, where the same request brought them; a second apart at least, so that a fast poll costs no more than a
slow one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import GOOD, ModbusAddress, Tag
from connectors.modbus.orders import REGISTERS, Intps
from connectors.modbus.plan import Block
from connectors.modbus.prove import Carries, Finding, carries, prove
from connectors.modbus.readings import PROVABLE, Words

SAMPLE_NS: Final = 1_000_000_000
_KEPT: Final = 64
_FRESH: Final = 32
"""How many new contents a tag is judged after, again and again."""


@dataclass(slots=True)
class _Tags:
    """The tags of `registers` registers each: M columns, and what is kept of them."""

    registers: int
    columns: Intps
    kept: Words              # u16[M, 64, 1 + n + 1]
    seen: Intps              # [M], how many contents came so far
    judged: Intps            # [M], how many had come when it was judged last
    index: Intps             # [M, 1 + n + 1], where they lie among the registers of a read
    known: npt.NDArray[np.bool_]  # [M, 1 + n + 1], whether they are read
    block: Intps             # [M], the block that brings them, -1 for none


class Watch:
    """What was found about the tags of one device, for as long as the agent runs."""

    def __init__(self, tags: Sequence[Tag], *, sample_ns: int = SAMPLE_NS, fresh: int = _FRESH) -> None:
        self._tags = tuple(tags)
        self._sample_ns, self._fresh = sample_ns, fresh
        self._sets = [self._set(registers) for registers in (1, 2, 4)]
        self._blocks: Sequence[Block] = ()
        self._sampled_ns: int | None = None
        self._proven: dict[int, bool] = {}
        self._findings: dict[int, Finding] = {}
        self._carries: dict[int, Carries] = {}
        self._next = 0

    @property
    def findings(self) -> dict[int, str]:
        """What is wrong with the reading of which columns, in words that stay the same until they are judged anew."""
        return {column: f"{_said_before(self._proven.get(column, False))}{finding.text}"
                for column, finding in sorted(self._findings.items())}

    def observe(self, blocks: Sequence[Block], offsets: Sequence[int], data: bytes | bytearray,
                block_status: Sequence[int], now_ns: int) -> None:
        """Take the data of a read, and judge one of the tags that there is enough new of.

        Block b's registers begin at the byte `offsets[b]`; where its status is not Good they are not looked at.
        """
        if self._sampled_ns is not None and now_ns - self._sampled_ns < self._sample_ns:
            return
        self._sampled_ns = now_ns
        if blocks is not self._blocks:
            self._lay_out(blocks, offsets)
        octets, good = np.frombuffer(data, np.uint8), np.array(block_status, np.uint32) == GOOD
        for tags in self._sets:
            _keep(tags, octets, good)
        self._judge_next()

    def judge_all(self) -> None:
        """Judge every tag by what is kept of it."""
        for tags in self._sets:
            for member in range(len(tags.columns)):
                self._judge(tags, member)

    def _set(self, registers: int) -> _Tags:
        columns = np.array([c for c, tag in enumerate(self._tags)
                            if tag.dtype in PROVABLE and REGISTERS[tag.dtype] == registers], np.intp)
        many, width = len(columns), registers + 2
        return _Tags(registers, columns, np.zeros((many, _KEPT, width), np.uint16), np.zeros(many, np.intp),
                     np.zeros(many, np.intp), np.zeros((many, width), np.intp), np.zeros((many, width), np.bool_),
                     np.full(many, -1, np.intp))

    def _lay_out(self, blocks: Sequence[Block], offsets: Sequence[int]) -> None:
        """Find the registers of all tags in the data of these blocks; what was kept of others is forgotten."""
        self._blocks = blocks
        block_of = {column: b for b, block in enumerate(blocks) for column in block.columns}
        for tags in self._sets:
            known = np.zeros_like(tags.known)
            for member, column in enumerate(tags.columns.tolist()):
                b = block_of.get(column, -1)
                tags.block[member] = b
                if b < 0:
                    continue
                address = self._tags[column].address
                assert isinstance(address, ModbusAddress)
                places = np.arange(-1, tags.registers + 1) + address.register - blocks[b].start
                known[member] = (places >= 0) & (places < blocks[b].count)
                tags.index[member] = np.where(known[member], offsets[b] + 2 * places, 0)
            moved = (known != tags.known).any(axis=1)
            tags.seen[moved] = tags.judged[moved] = 0
            tags.known = known

    def _judge_next(self) -> None:
        """Judge the next tag in turn of which enough is new."""
        due = [(tags, int(member)) for tags in self._sets
               for member in np.flatnonzero(tags.seen - tags.judged >= self._fresh)]
        if due:
            self._next = (self._next + 1) % len(due)
            self._judge(*due[self._next])

    def _judge(self, tags: _Tags, member: int) -> None:
        column = int(tags.columns[member])
        seen, fresh = int(tags.seen[member]), int(tags.seen[member] - tags.judged[member])
        tags.judged[member] = seen
        words = np.roll(tags.kept[member], -(seen % _KEPT), axis=0) if seen > _KEPT else tags.kept[member, :seen]
        beside = tags.known[member]
        shifts = (0, *((-1,) if beside[0] else ()), *((1,) if beside[-1] else ()))
        told = self._carries.get(column, Carries()) + carries(self._tags[column], words[-fresh - 1:])
        self._carries[column] = told
        finding, proven = prove(self._tags[column], words, shifts, told)
        earlier = self._findings.get(column)
        if finding is None:
            self._findings.pop(column, None)
            self._proven[column] = self._proven.get(column, False) or proven
        elif earlier is None or finding.readings[0] not in earlier.readings:
            self._findings[column] = finding


def _keep(tags: _Tags, octets: npt.NDArray[np.uint8], good: npt.NDArray[np.bool_]) -> None:
    """Keep the registers of the tags whose own differ from the last ones that were kept."""
    given = np.flatnonzero((tags.block >= 0) & np.append(good, False)[tags.block])
    if not len(given):
        return
    index = tags.index[given]
    words = np.where(tags.known[given], octets[index].astype(np.uint16) << 8 | octets[index + 1], 0).astype(np.uint16)
    last = tags.kept[given, (tags.seen[given] - 1) % _KEPT]
    new = (words[:, 1:-1] != last[:, 1:-1]).any(axis=1) | (tags.seen[given] == 0)
    members = given[new]
    tags.kept[members, tags.seen[members] % _KEPT] = words[new]
    tags.seen[members] += 1


def _said_before(proven: bool) -> str:
    return "what its registers mean has changed: " if proven else ""
