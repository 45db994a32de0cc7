"""Telegraf's `inputs.modbus` to tags, in its three styles. Pure but for reading the file.

Source: the plugin's README in influxdata/telegraf, plugins/inputs/modbus ("register", "request" and "metric" style).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.commission.address import PARITIES, Connection, connection_at
from agent.commission.dtypes import dtype_of, order_of, table_of
from agent.commission.how import How
from agent.commission.proposal import Found, LeftOut, Proposal, connection_name, settle
from agent.commission.sheet import read_text
from agent.commission.untyped import Untyped, tables_in
from agent.config.base import ConfigError
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.plan import BIT_TABLES

_REGISTER_STYLE: Final = {"coils": Table.COIL, "discrete_inputs": Table.DISCRETE_INPUT,
                          "holding_registers": Table.HOLDING_REGISTER, "input_registers": Table.INPUT_REGISTER}
_PROTOCOLS: Final = {
    ("tcp", "auto"): "modbus-tcp", ("tcp", "tcp"): "modbus-tcp", ("tcp", "rtuovertcp"): "modbus-rtu-over-tcp",
    ("tcp", "asciiovertcp"): "modbus-ascii-over-tcp", ("file", "auto"): "modbus-rtu", ("file", "rtu"): "modbus-rtu",
    ("file", "ascii"): "modbus-ascii"}
"""By the scheme of the controller and the transmission mode."""
_FIXED: Final = {1: "int16", 2: "int32", 4: "int64"}


def read(file: Path, how: How) -> Proposal:
    """Return the tags of all `inputs.modbus` in a Telegraf configuration; raise ConfigError where there are none."""
    try:
        said = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"not TOML: {error}",)) from error
    plugins = tables_in(said.get("inputs"), "modbus")
    if not plugins:
        raise ConfigError(("no [[inputs.modbus]] in it; name a Telegraf configuration that reads Modbus",))
    connections: dict[str, Connection] = {}
    found: list[Found] = []
    left: list[LeftOut] = []
    for number, plugin in enumerate(plugins, 1):
        device = plugin.text("name") or f"device{number}"
        try:
            connection = how.at or _connection(plugin)
        except ConfigError as error:
            left.append(LeftOut(device, "; ".join(error.problems)))
            continue
        name = connection_name(device, connection, connections)
        connections[name] = connection
        for field in _fields(plugin):
            try:
                found.append(Found(device, name, _tag(field), source=f"{device}: {field.text('name')}"))
            except ValueError as error:
                left.append(LeftOut(f"{device}: {field.text('name')}", str(error)))
    return settle(connections, found, left)


def _connection(plugin: Untyped) -> Connection:
    controller, mode = plugin.text("controller"), plugin.text("transmission_mode").lower() or "auto"
    scheme, _, rest = controller.partition("://")
    if protocol := _PROTOCOLS.get((scheme, mode)):
        return connection_at(f"{protocol}://{rest}", _line(plugin) if scheme == "file" else {})
    raise ConfigError(((f'controller = "{controller}" with transmission mode {mode} has no counterpart here; '
                       "where the device can also be reached otherwise, say so with --at"),))


def _line(plugin: Untyped) -> dict[str, object]:
    """Return how the bytes look on a serial line; what is not said is as Telegraf has it."""
    return {"baudrate": plugin.get("baud_rate", 9600), "data_bits": plugin.get("data_bits", 8),
            "parity": PARITIES.get(plugin.text("parity") or "N"), "stop_bits": plugin.get("stop_bits", 1)}


def _fields(plugin: Untyped) -> Iterator[Untyped]:
    """Yield one record per field with what holds around it: table, slave_id, byte_order."""
    for key, table in _REGISTER_STYLE.items():
        for field in plugin.tables(key):
            yield field.within({"register": table.value, "slave_id": plugin.get("slave_id", 0)})
    for style in ("request", "metric"):
        for request in plugin.tables(style):
            around = {key: request.get(key) for key in ("register", "slave_id", "byte_order")}
            for field in request.tables("fields"):
                yield field.within({key: value for key, value in around.items() if value is not None})


def _tag(field: Untyped) -> Tag:
    """Return the tag of a field; raise ValueError saying why there is none."""
    if field.get("omit") is True:
        raise ValueError("it is omitted there too")
    table = table_of(field.text("register") or "holding")
    register, count = _registers(field)
    order = order_of(field.text("byte_order"))
    dtype, bit = _dtype(field, count), None
    if table in BIT_TABLES:
        dtype, order = Dtype.BIT, "ABCD"
    elif dtype is Dtype.BIT:
        bit = field.integer("bit")
    address = ModbusAddress(field.integer("slave_id"), table, register, order, bit)
    return Tag(field.text("name"), "1", address, dtype, field.number("scale", 1.0) or 1.0)


def _registers(field: Untyped) -> tuple[int, int]:
    """Return the first register and how many there are: request style gives a number, register style a list."""
    address = field.get("address")
    if isinstance(address, list):
        if not address or any(not isinstance(one, int) for one in address):
            raise ValueError(f"address = {address} is no list of registers")
        if address != list(range(address[0], address[0] + len(address))):
            raise ValueError(f"its registers {address} do not follow each other")
        return address[0], len(address)
    return field.integer("address"), 0


def _dtype(field: Untyped, count: int) -> Dtype:
    said = (field.text("data_type") or field.text("type")).upper()
    if said == "STRING":
        raise ValueError("it is a text, not a number")
    if said == "FIXED":
        return dtype_of(_fixed(count))
    if said == "UFIXED" or (said == "FLOAT32" and field.text("data_type")):  # in register style a fixed point, too
        return dtype_of("u" + _fixed(count))
    return dtype_of(said) if said else Dtype.UINT16


def _fixed(count: int) -> str:
    if count not in _FIXED:
        raise ValueError(f"a fixed point number of {count} registers is not known; write INT16, INT32 or INT64")
    return _FIXED[count]


