"""Addresses in Modicon's notation, as manuals print them. Pure."""

from __future__ import annotations

import re
from typing import Final

from connectors.frame import Table

TABLES: Final = {"0": Table.COIL, "1": Table.DISCRETE_INPUT, "3": Table.INPUT_REGISTER, "4": Table.HOLDING_REGISTER}
"""The digit of each table."""
FORM: Final = (
    '"40001" or "400001", the first digit the table (0 coil, 1 discrete input, 3 input register, '
    "4 holding register), the rest counted from 1"
)
_ADDRESS = re.compile(r"([0134])(\d{4,5})")


def modicon(text: str) -> tuple[Table, int]:
    """Return the table and the register (from 0) of "40013" or "400013"; raise ValueError.

    A digit for the table stands before a number that counts from 1 (Modbus Application Protocol V1.1b3, 4.4 keeps the
    two apart).
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65_536:
        raise ValueError(f'got "{text}"; allowed: an address in quotes such as {FORM}')
    return TABLES[match[1]], int(match[2]) - 1
