"""The tag list that KEPServerEX exports as CSV, to tags. Pure but for reading the file.

Source: PTC/Kepware, "CSV Import and Export" of the server's help (kepware.com/Products/feature-csvimportexport.htm).
The list holds neither channel nor device. Tags are read from KEPServerEX over OPC UA, or, where their addresses are
those of its Modbus drivers, from the device itself.
"""

from __future__ import annotations

import re
from math import inf, isfinite
from pathlib import Path
from typing import Final

from agent.commission.dtypes import dtype_of
from agent.commission.how import How
from agent.commission.modicon import place_of
from agent.commission.proposal import Found, LeftOut, Proposal, settle
from agent.commission.scaling import linear
from agent.commission.sheet import Row, read_text, rows
from agent.commission.units import unit_text
from agent.config.opcua import OpcuaConfig
from connectors.frame import Dtype, ModbusAddress, NodeAddress, Tag
from connectors.modbus.plan import BIT_TABLES

DRIVER_ORDER: Final = "CDAB"
"""What its Modbus drivers do unless set otherwise: "First Word Low in 32 Bit Data Types: Enable"."""
_TEXTS: Final = ("string", "date", "char")


def read(file: Path, how: How) -> Proposal:
    """Return the tags of a list; raise ConfigError where it is none, or what it lacks is not given."""
    connection = how.connection("opc.tcp://HOST:PORT of KEPServerEX, or modbus-tcp://HOST of the device")
    over_opcua = isinstance(connection, OpcuaConfig)
    found: list[Found] = []
    left: list[LeftOut] = []
    for row in rows(read_text(file), "tag name"):
        name = row.text("tag name")
        try:
            tag = _node(row, how.node_of(name)) if over_opcua else _register(row, how)
        except ValueError as error:
            left.append(LeftOut(f"line {row.line}: {name}", str(error)))
            continue
        group = name.rpartition(".")[0]
        note = f"{name}; {row.text('description')}".removesuffix("; ")
        found.append(Found(group or "machine", "plc", tag, note, f"line {row.line}: {name}"))
    return settle({"plc": connection}, found, left)


def _node(row: Row, address: NodeAddress) -> Tag:
    """Return a tag that KEPServerEX serves: scaled already."""
    _refuse_what_is_no_number(row)
    return Tag(_short(row), _unit(row), address)


def _register(row: Row, how: How) -> Tag:
    _refuse_what_is_no_number(row)
    address = row.text("address")
    place = place_of(address.upper().removeprefix("H") if re.fullmatch(r"[hH]\d+", address) else address, None)
    dtype = _dtype(row)
    order = (how.order or DRIVER_ORDER) if dtype not in (Dtype.BIT, Dtype.INT16, Dtype.UINT16) else "ABCD"
    if place.bit is not None or place.table in BIT_TABLES:
        dtype = Dtype.BIT
    elif dtype is Dtype.BIT:
        raise ValueError(f"{address} is a register; a Boolean needs a bit, such as {address}.0")
    scale, offset = _scaling(row)
    low, high = _clamped(row)
    where = ModbusAddress(how.unit_id, place.table, place.register, order, place.bit)
    return Tag(_short(row), _unit(row), where, dtype, scale, offset, low, high,
               clamp=isfinite(low) or isfinite(high))


def _refuse_what_is_no_number(row: Row) -> None:
    if re.search(r"\[.*\]", row.text("address")) or row.text("data type").lower().endswith("array"):
        raise ValueError("it is an array")
    if row.text("data type").lower().startswith(_TEXTS):
        raise ValueError(f"it is no number ({row.text('data type')})")


def _dtype(row: Row) -> Dtype:
    said = row.text("data type").lower()
    if said in ("byte", "short array", "default", ""):
        raise ValueError(f'its type "{said or "Default"}" does not say how many registers it takes')
    return dtype_of(said)


def _scaling(row: Row) -> tuple[float, float]:
    match row.text("scaling").lower():
        case "" | "none":
            scale, offset = 1.0, 0.0
        case "linear":
            scale, offset = linear(row.number("raw low"), row.number("raw high"), row.number("scaled low"),
                                   row.number("scaled high"))
        case other:
            raise ValueError(f'its scaling "{other}" is not linear; read it scaled, over the OPC UA of KEPServerEX')
    return (-scale, -offset) if row.text("negate value").lower() in ("1", "true") else (scale, offset)


def _clamped(row: Row) -> tuple[float, float]:
    """Return the scaled limits that a value is held at, infinite where it is not."""
    on = ("1", "true")
    ends = [row.number(f"scaled {end}") if row.text(f"clamp {end}").lower() in on else None for end in ("low", "high")]
    low, high = ends
    return -inf if low is None else low, inf if high is None else high


def _short(row: Row) -> str:
    return row.text("tag name").rpartition(".")[2]


def _unit(row: Row) -> str:
    return unit_text("", row.text("eng units", "eng unit"))
