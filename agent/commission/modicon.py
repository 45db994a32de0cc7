"""Addresses of registers as manuals print them. Pure.

Modicon's notation puts a digit for the table before a number that counts from 1: 40013 and 400013 are the holding
register 12 on the wire (Modbus Application Protocol V1.1b3, 4.4 keeps the two apart).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.commission.sheet import integer
from agent.config.modicon import TABLES
from connectors.frame import Table

_MODICON = re.compile(r"([0134])[xX]?(\d{4,5})")
_WITH_BIT = re.compile(r"(.+?)[.:/](\d{1,2})")


@dataclass(frozen=True, slots=True)
class Place:
    """A register or bit as it is on the wire; `as_modicon` says that it was written in Modicon's notation."""

    table: Table
    register: int
    bit: int | None
    as_modicon: bool


def place_of(text: str, table: Table | None, first: int = 0, *, modicon: bool = True) -> Place:
    """Return what an address means: in Modicon's notation if that may be, else a number in `table` from `first`.

    A suffix such as ".3" is a bit of a register. Raise ValueError saying what is missing.
    """
    compact, bit = text.strip(), None
    if match := _WITH_BIT.fullmatch(compact):
        compact, bit = match[1].strip(), int(match[2])
    if modicon and (match := _MODICON.fullmatch(compact)) and table in (None, TABLES[match[1]]) and int(match[2]):
        return Place(TABLES[match[1]], int(match[2]) - 1, bit, as_modicon=True)
    if table is None:
        raise ValueError(f'"{text}" is no address with a table (such as 40013); give the table in a column of its own')
    register = integer(compact) - first
    if not 0 <= register <= 65_535:
        raise ValueError(f'"{text}" is not an address of {first} to {65_535 + first}')
    return Place(table, register, bit, as_modicon=False)
