"""Tags to few block reads: the Modbus reading plan. Pure: no socket, no clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from connectors import ConnectorError
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.orders import names, registers_of

BIT_TABLES: Final = frozenset({Table.COIL, Table.DISCRETE_INPUT})
FUNCTIONS: Final[dict[Table, int]] = {
    Table.COIL: 1, Table.DISCRETE_INPUT: 2, Table.HOLDING_REGISTER: 3, Table.INPUT_REGISTER: 4,
}
"""The function code that reads each table."""
_ADDRESSES: Final = 65_536
_STRING_MOST: Final = 125
Cut = tuple[int, Table, int]
"""Unit id, table, register: no block may hold both this register and the one before it."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What one request may span: the protocol's limits (Modbus Application Protocol V1.1b3, 6.1-6.4) by
    default.

    A gap is what lies unused between two tags: reading a few registers in vain costs a PLC less than a
    request, but some devices refuse a request that touches a register they do not have: 0 reads over none.
    With `one_request_per_tag` nothing is read together, for devices that give one value at a time.
    """

    max_registers: int = 125
    max_bits: int = 2000
    max_gap_registers: int = 8
    one_request_per_tag: bool = False

    @property
    def max_gap_bits(self) -> int:
        """The widest gap between two bits: as many bytes as between two registers."""
        return 16 * self.max_gap_registers


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers (or bits) from `start`; `columns` are the tags inside, by register.

    What every read needs follows from these, and is worked out once: `function` is the code that reads the table,
    `size_bytes` how many bytes of data a right reply carries.
    """

    unit_id: int
    table: Table
    start: int
    count: int
    columns: tuple[int, ...]
    function: int = field(init=False, repr=False, compare=False)
    size_bytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "function", FUNCTIONS[self.table])
        size_bytes = (self.count + 7) // 8 if self.table in BIT_TABLES else 2 * self.count
        object.__setattr__(self, "size_bytes", size_bytes)

    def __str__(self) -> str:
        return f"unit {self.unit_id} {self.table.value} {self.start}..{self.start + self.count - 1}"


@dataclass(frozen=True, slots=True)
class _Span:
    column: int
    unit_id: int
    table: Table
    start: int
    end: int

    @classmethod
    def of(cls, column: int, tag: Tag) -> _Span:
        address = tag.address
        assert isinstance(address, ModbusAddress)
        return cls(column, address.unit_id, address.table, address.register,
                   address.register + registers_of(tag))


def check(tags: Sequence[Tag]) -> None:
    """Raise ConnectorError naming every tag whose Modbus address cannot be, and why."""
    problems = [f"tag '{tag.name}': {problem}" for tag in tags if (problem := _problem(tag))]
    if problems:
        raise ConnectorError("impossible Modbus addresses: " + "; ".join(problems), retryable=False)


def plan(tags: Sequence[Tag], limits: PlanLimits, *, columns: Collection[int] | None = None,
         avoid: Collection[int] = (), cuts: Collection[Cut] = ()) -> tuple[Block, ...]:
    """Return the blocks which cover the tags in `columns` (default: all but `avoid`) with few requests.

    A value is never divided between two requests, no block spans a register of a tag in `avoid`, and none
    runs over a cut. Addresses must have passed `check`.
    """
    wanted = [c for c in range(len(tags)) if c not in avoid] if columns is None else sorted(columns)
    spans = sorted((_Span.of(column, tags[column]) for column in wanted), key=_place)
    avoided = [_Span.of(column, tags[column]) for column in avoid]
    blocks: list[Block] = []
    for (unit_id, table), group in groupby(spans, key=lambda span: (span.unit_id, span.table)):
        walls = [(s.start, s.end) for s in avoided if (s.unit_id, s.table) == (unit_id, table)]
        edges = [register for u, t, register in cuts if (u, t) == (unit_id, table)]
        blocks += _merge(list(group), limits, walls, edges)
    return tuple(blocks)


def halve(block: Block, tags: Sequence[Tag]) -> tuple[Block, Block] | None:
    """Divide a block between two tags as near to its middle as may be; None where no value ends before
    another.

    The halves hold no registers but those of tags, so that a hole between two tags falls out.
    """
    spans = sorted((_Span.of(column, tags[column]) for column in block.columns), key=_place)
    ends = [spans[0].end]
    for span in spans[1:]:
        ends.append(max(ends[-1], span.end))
    middles = [i for i in range(1, len(spans)) if ends[i - 1] <= spans[i].start]
    if not middles:
        return None
    at = min(middles, key=lambda i: abs(2 * i - len(spans)))
    return _block(spans[:at]), _block(spans[at:])


def _place(span: _Span) -> tuple[int, str, int, int, int]:
    return span.unit_id, span.table.value, span.start, span.end, span.column


def _merge(spans: list[_Span], limits: PlanLimits, walls: list[tuple[int, int]],
           edges: list[int]) -> list[Block]:
    bits = spans[0].table in BIT_TABLES
    most = limits.max_bits if bits else limits.max_registers
    gap = limits.max_gap_bits if bits else limits.max_gap_registers
    blocks: list[Block] = []
    inside = [spans[0]]
    end = spans[0].end
    for span in spans[1:]:
        start = inside[0].start
        joins = not limits.one_request_per_tag and (
            span.start <= end + gap
            and max(end, span.end) - start <= most
            and not any(wall_start < span.start and wall_end > end for wall_start, wall_end in walls)
            and not any(start < edge <= span.start for edge in edges)
        )
        if not joins:
            blocks.append(_block(inside))
            inside, end = [], 0
        inside.append(span)
        end = max(end, span.end)
    return [*blocks, _block(inside)]


def _block(spans: Sequence[_Span]) -> Block:
    start = spans[0].start
    count = max(span.end for span in spans) - start
    return Block(spans[0].unit_id, spans[0].table, start, count, tuple(span.column for span in spans))


def _problem(tag: Tag) -> str:
    address = tag.address
    if not isinstance(address, ModbusAddress):
        return "has no Modbus address"
    if not 0 <= address.unit_id <= 255:
        return f"unit id {address.unit_id} is not in 0..255"
    registers = registers_of(tag)
    if tag.dtype is Dtype.STRING and not 1 <= registers <= _STRING_MOST:
        return f"a string takes 1 to {_STRING_MOST} registers (length), not {registers}"
    if address.order not in names(tag.dtype):
        return f"order '{address.order}' ({tag.dtype.value}) is none of {', '.join(names(tag.dtype))}"
    last = address.register + registers - 1
    if not 0 <= address.register <= last < _ADDRESSES:
        return f"register {address.register} ({tag.dtype.value}) is not in 0..{_ADDRESSES - 1}"
    if address.table in BIT_TABLES:
        if tag.dtype is not Dtype.BIT or address.bit is not None:
            return f"a {address.table.value} holds a bit: give dtype 'bit' and no bit number"
    elif (tag.dtype is Dtype.BIT) != (address.bit is not None):
        return "a bit of a register needs dtype 'bit' and a bit number"
    elif address.bit is not None and not (address.bit >= 0 and 1 <= address.bits <= 16 - address.bit):
        return f"bit {address.bit} and the {address.bits} bits from it are not all in 0..15"
    return ""
