"""Addresses of registers as manuals print them. Pure.

A configuration writes Modicon's notation in one way (agent.config.modicon, which says what it means); manuals also
write 4x0013, add a bit as 40013.3, and mix it with plain numbers, which all are taken here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from agent.commission.sheet import integer
from agent.config.modicon import modicon as table_and_register
from connectors.frame import Table

_X = re.compile(r"([0134])[xX](?=\d{4,5}$)")
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
    if modicon:
        with suppress(ValueError):  # then it is a plain number
            meant, register = table_and_register(_X.sub(r"\1", compact))
            if table in (None, meant):
                return Place(meant, register, bit, as_modicon=True)
    if table is None:
        raise ValueError(f'"{text}" is no address with a table (such as 40013); give the table in a column of its own')
    register = integer(compact) - first
    if not 0 <= register <= 65_535:
        raise ValueError(f'"{text}" is not an address of {first} to {65_535 + first}')
    return Place(table, register, bit, as_modicon=False)
