"""What the Modbus tests share: tags, endpoints and a PLC of consecutive registers."""

from __future__ import annotations

from collections.abc import Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from connectors.frame import (
    Dtype,
    ModbusAddress,
    Table,
    Tag,
)
from connectors.link import LoadGuard
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.endpoint import Framing, ModbusEndpoint
from tests.connectors.servers import (
    ManualClock,
    ModbusPlc,
)
from tests.wire import AsciiRecorder, ModbusRecorder, Recorder, RtuRecorder

TYPES = AsyncModbusTcpClient.DATATYPE


WIRES: dict[Framing, tuple[FramerType, type[Recorder]]] = {
    Framing.TCP: (FramerType.SOCKET, ModbusRecorder),
    Framing.RTU: (FramerType.RTU, RtuRecorder),
    Framing.ASCII: (FramerType.ASCII, AsciiRecorder),
}
"""How pymodbus calls each framing, and who bears witness on it."""


HOLDING = Table.HOLDING_REGISTER


INPUT = Table.INPUT_REGISTER


COIL = Table.COIL


DISCRETE = Table.DISCRETE_INPUT


def tag(
    table: Table,
    register: int,
    dtype: Dtype = Dtype.INT16,
    unit_id: int = 1,
    order: str = "ABCD",
    **limits: float,
) -> Tag:
    return Tag(
        f"{table.value}{register}", "", ModbusAddress(unit_id, table, register, order), dtype, **limits
    )


def endpoint(port: int, **more: object) -> ModbusEndpoint:
    options: dict[str, object] = {"timeout_ms": 10_000, "max_requests_per_s": 1000.0, "min_gap_ms": 0.0} | more
    return ModbusEndpoint("127.0.0.1", port, **options)  # type: ignore[arg-type]


def connector(port: int, tags: Sequence[Tag], clock: ManualClock, **more: object) -> ModbusConnector:
    return ModbusConnector(endpoint(port, **more), tags, clock, LoadGuard(clock, 1000, 0))


def plc_of(count: int, missing: Sequence[int] = ()) -> ModbusPlc:
    plc = ModbusPlc()
    plc.put(HOLDING, 0, [100 + i for i in range(count)])
    for register in missing:
        del plc.words[HOLDING][register]
    return plc
