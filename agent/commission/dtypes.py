"""What manuals and other programs call the types and the byte orders of registers. Pure."""

from __future__ import annotations

import re
from typing import Final

from connectors.frame import Dtype, Table
from connectors.modbus.orders import ORDERS as ALL_ORDERS
from connectors.modbus.orders import SHORT

ORDERS: Final = SHORT
_LETTERS: Final = str.maketrans("01234567", "ABCDEFGH")
_LONG: Final = frozenset(name for orders in ALL_ORDERS.values() for name in orders)

_DTYPES: Final[dict[str, str]] = {
    "bit": "bit", "bool": "bit", "boolean": "bit", "digital": "bit", "flag": "bit",
    "int": "int16", "int16": "int16", "s16": "int16", "i16": "int16", "short": "int16", "signed": "int16",
    "signed16": "int16", "sint16": "int16", "16bitint": "int16", "16int": "int16", "int2": "int16",
    "uint": "uint16", "uint16": "uint16", "u16": "uint16", "word": "uint16", "unsigned": "uint16", "ushort": "uint16",
    "unsigned16": "uint16", "16bituint": "uint16", "16uint": "uint16", "uint2": "uint16",
    "dint": "int32", "int32": "int32", "s32": "int32", "i32": "int32", "long": "int32", "signed32": "int32",
    "sint32": "int32", "32bitint": "int32", "32int": "int32", "int4": "int32",
    "udint": "uint32", "uint32": "uint32", "u32": "uint32", "dword": "uint32", "ulong": "uint32",
    "unsigned32": "uint32", "32bituint": "uint32", "32uint": "uint32", "uint4": "uint32",
    "lint": "int64", "int64": "int64", "s64": "int64", "i64": "int64", "llong": "int64", "longlong": "int64",
    "64int": "int64", "int8bytes": "int64", "signed64": "int64",
    "ulint": "uint64", "uint64": "uint64", "u64": "uint64", "lword": "uint64", "qword": "uint64", "64uint": "uint64",
    "unsigned64": "uint64",
    "real": "float32", "float": "float32", "float32": "float32", "f32": "float32", "single": "float32",
    "float32ieee": "float32", "32float": "float32", "32bitfloat": "float32", "float4": "float32", "ieee754": "float32",
    "lreal": "float64", "double": "float64", "float64": "float64", "f64": "float64", "float64ieee": "float64",
    "64float": "float64", "64bitfloat": "float64", "float8": "float64",
    "float16": "float16", "half": "float16", "float16ieee": "float16", "16float": "float16",
    "int8l": "int8_low", "int8low": "int8_low", "int8h": "int8_high", "int8high": "int8_high",
    "uint8l": "uint8_low", "uint8low": "uint8_low", "uint8h": "uint8_high", "uint8high": "uint8_high",
    "bcd": "bcd16", "bcd16": "bcd16", "lbcd": "bcd32", "bcd32": "bcd32",
}
_TABLES: Final[dict[str, Table]] = {
    **dict.fromkeys(("coil", "coils", "co", "0x", "0", "do", "fc1", "fc01"), Table.COIL),
    **dict.fromkeys(("discreteinput", "discreteinputs", "discrete", "di", "1x", "1", "contact", "inputstatus", "fc2",
                     "fc02"), Table.DISCRETE_INPUT),
    **dict.fromkeys(("holdingregister", "holdingregisters", "holding", "hr", "4x", "4", "fc3", "fc03", "halteregister",
                     "ao"), Table.HOLDING_REGISTER),
    **dict.fromkeys(("inputregister", "inputregisters", "input", "ir", "3x", "3", "fc4", "fc04", "eingangsregister",
                     "ai"), Table.INPUT_REGISTER),
}


def dtype_of(text: str) -> Dtype:
    """Return the type that a text such as "REAL", "u16" or "32-bit float" means; raise ValueError listing ours."""
    name = _DTYPES.get(_compact(text))
    if name is None or name not in set(Dtype):
        raise ValueError(f'"{text}" is no type of register; write one of {", ".join(sorted(Dtype))}')
    return Dtype(name)


def table_of(text: str) -> Table:
    """Return the table that a text such as "holding", "4x" or "FC03" means; raise ValueError listing ours."""
    table = _TABLES.get(_compact(text))
    if table is None:
        raise ValueError(f'"{text}" is no table; write one of {", ".join(Table)}')
    return table


def order_of(text: str) -> str:
    """Return the byte order that a text means, a number's digits being its bytes; raise ValueError listing ours."""
    compact = _compact(text).upper()
    letters = compact.translate(_LETTERS) if compact.isdigit() else compact
    order = {
        "": "ABCD", "AB": "ABCD", "BA": "BADC", "BIG": "ABCD", "BIGENDIAN": "ABCD", "LITTLE": "DCBA",
        "LITTLEENDIAN": "DCBA", "WORDSWAP": "CDAB", "SWAPWORDS": "CDAB", "SWAPPED": "CDAB", "BYTESWAP": "BADC",
        "SWAPBYTES": "BADC", "MIDLITTLE": "CDAB", "MIDBIG": "BADC",
    }.get(letters, letters if letters in _LONG else None)
    if order is None:
        raise ValueError(f'"{text}" is no byte order; write one of {", ".join(ORDERS)}, or for 64 bits one of '
                         f'{", ".join(ALL_ORDERS[4])}')
    return order


def _compact(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
