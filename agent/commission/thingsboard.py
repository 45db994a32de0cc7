"""The Modbus connector of ThingsBoard's IoT gateway, `modbus.json`, to tags. Pure but for reading the file.

Source: ThingsBoard, "Modbus Connector Configuration" (docs/iot-gateway/config/modbus), master.slaves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from agent.commission.address import PARITIES, Connection, connection_at
from agent.commission.dtypes import dtype_of
from agent.commission.how import How
from agent.commission.proposal import Found, LeftOut, Proposal, connection_name, settle
from agent.commission.sheet import read_text
from agent.commission.untyped import Untyped
from agent.config.base import ConfigError
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.plan import BIT_TABLES

_PROTOCOLS: Final = {"socket": "modbus-tcp", "rtu": "modbus-rtu-over-tcp", "ascii": "modbus-ascii-over-tcp"}
"""By the method, over TCP."""
_FUNCTIONS: Final = {1: Table.COIL, 2: Table.DISCRETE_INPUT, 3: Table.HOLDING_REGISTER, 4: Table.INPUT_REGISTER}
_ORDERS: Final = {("BIG", "BIG"): "ABCD", ("BIG", "LITTLE"): "CDAB", ("LITTLE", "BIG"): "BADC",
                  ("LITTLE", "LITTLE"): "DCBA"}
"""By byteOrder and wordOrder: the first swaps the bytes of each register, the second the registers."""
_WIDTHS: Final = {"int": (16, 32, 64), "uint": (16, 32, 64), "float": (16, 32, 64)}


def read(file: Path, how: How) -> Proposal:
    """Return the tags of all devices; raise ConfigError where there are none."""
    try:
        said = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ConfigError((f"not JSON: {error}; name the gateway's modbus.json",)) from error
    master = said.get("master") if isinstance(said, dict) else None
    slaves = Untyped(master).tables("slaves") if isinstance(master, dict) else []
    if not slaves:
        raise ConfigError(("no master.slaves in it; name the gateway's modbus.json",))
    connections: dict[str, Connection] = {}
    found: list[Found] = []
    left: list[LeftOut] = []
    for slave in slaves:
        device = slave.text("deviceName") or "device"
        try:
            connection = how.at or _connection(slave)
        except (ConfigError, ValueError) as error:
            left.append(LeftOut(device, "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)))
            continue
        name = connection_name(device, connection, connections)
        connections[name] = connection
        for entry in (*slave.tables("attributes"), *slave.tables("timeseries")):
            source = f"{device}: {entry.text('tag')}"
            try:
                found.append(Found(device, name, _tag(entry, slave), source=source))
            except ValueError as error:
                left.append(LeftOut(source, str(error)))
    return settle(connections, found, left)


def _connection(slave: Untyped) -> Connection:
    kind, method = slave.text("type").lower() or "tcp", slave.text("method").lower() or "socket"
    if kind == "serial" and method in ("rtu", "ascii"):
        line = {"baudrate": slave.get("baudrate", 9600), "data_bits": slave.get("bytesize", 8),
                "parity": PARITIES.get(slave.text("parity") or "N"), "stop_bits": slave.get("stopbits", 1)}
        return connection_at(f"modbus-{method}://{slave.text('port')}", line)
    if kind == "tcp" and method in _PROTOCOLS:
        return connection_at(f"{_PROTOCOLS[method]}://{slave.text('host')}:{slave.integer('port', 502)}")
    why = f"its connection ({kind}, {method}) has no counterpart here; where the device can also be reached otherwise"
    raise ConfigError((f"{why}, say so with --at",))


def _tag(entry: Untyped, slave: Untyped) -> Tag:
    table = _FUNCTIONS.get(entry.integer("functionCode", 3))
    if table is None:
        raise ValueError(f"function code {entry.get('functionCode')} does not read")
    dtype, bit = _dtype(entry, table), None
    if dtype is Dtype.BIT and table in (Table.HOLDING_REGISTER, Table.INPUT_REGISTER):
        bit = entry.integer("bit", 0)
    divider = entry.number("divider") or 1.0
    scale = (entry.number("multiplier") or 1.0) / divider
    order = _ORDERS[_endian(entry, slave, "byteOrder"), _endian(entry, slave, "wordOrder")]
    unit_id = slave.integer("unitId", 1)
    address = ModbusAddress(unit_id, table, entry.integer("address"), "ABCD" if dtype is Dtype.BIT else order, bit)
    return Tag(entry.text("tag"), "1", address, dtype, scale)


def _endian(entry: Untyped, slave: Untyped, key: str) -> str:
    said = (entry.text(key) or slave.text(key) or "LITTLE").upper()
    if said not in ("BIG", "LITTLE"):
        raise ValueError(f'{key} "{said}" is neither BIG nor LITTLE')
    return said


def _dtype(entry: Untyped, table: Table) -> Dtype:
    said, count = entry.text("type").lower(), entry.integer("objectsCount", 1)
    if table in BIT_TABLES or said in ("bit", "bits", "bool", "boolean"):
        if said == "bits" and count > 1:
            raise ValueError(f"it is a field of {count} bits; take each bit as a tag of its own")
        return Dtype.BIT
    if said in ("string", "bytes"):
        raise ValueError(f"it is no number ({said})")
    match = re.fullmatch(r"(\d*)(int|uint|float|double|long)", said)
    if match is None:
        raise ValueError(f'"{said}" is no type of register')
    kind = {"double": "float", "long": "int"}.get(match[2], match[2])
    bits = int(match[1]) if match[1] else 16 * count
    if bits not in _WIDTHS[kind] or bits > 16 * count:
        raise ValueError(f"{bits} bits of {kind} in {count} registers are no number")
    return dtype_of(f"{kind}{bits}")
