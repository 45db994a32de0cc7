"""A PLC on Modbus TCP: pymodbus's server with one register map, encoded by pymodbus's own converters."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from connectors.frame import Dtype, Float32s, ModbusAddress, Table, Tag
from simulators.gate import Gate, GateState
from simulators.machine import UNIT_ID
from simulators.wire import Symptom

_TYPES: Final = {
    Dtype.INT16: ModbusClientMixin.DATATYPE.INT16,
    Dtype.UINT16: ModbusClientMixin.DATATYPE.UINT16,
    Dtype.INT32: ModbusClientMixin.DATATYPE.INT32,
    Dtype.UINT32: ModbusClientMixin.DATATYPE.UINT32,
    Dtype.INT64: ModbusClientMixin.DATATYPE.INT64,
    Dtype.UINT64: ModbusClientMixin.DATATYPE.UINT64,
    Dtype.FLOAT32: ModbusClientMixin.DATATYPE.FLOAT32,
    Dtype.FLOAT64: ModbusClientMixin.DATATYPE.FLOAT64,
}
_RANGES: Final = {dtype: np.iinfo(dtype.value) for dtype in _TYPES if "int" in dtype.value}
_FUNCTIONS: Final = {
    Table.COIL: 1,
    Table.DISCRETE_INPUT: 2,
    Table.HOLDING_REGISTER: 3,
    Table.INPUT_REGISTER: 4,
}
_BITS: Final = (Table.COIL, Table.DISCRETE_INPUT)
_MBAP_UNIT = 6  # the byte of a Modbus TCP frame that names the unit


def encode(value: float, tag: Tag, *, swapped: bool = False) -> list[int]:
    """Return the registers of a value in the tag's unit; `swapped` puts their words the wrong way round."""
    assert isinstance(tag.address, ModbusAddress)
    raw = (value - tag.offset) / tag.scale
    if tag.dtype in _RANGES:
        limits = _RANGES[tag.dtype]
        raw = 0 if math.isnan(raw) else int(min(max(round(raw), limits.min), limits.max))
    little = (tag.address.order in ("CDAB", "DCBA")) != swapped
    registers = ModbusClientMixin.convert_to_registers(raw, _TYPES[tag.dtype], "little" if little else "big")
    if tag.address.order in ("BADC", "DCBA"):
        return [(register >> 8) | ((register & 0xFF) << 8) for register in registers]
    return registers


class ModbusPlc:
    """One PLC as unit 1 on `host` and `port` (0: a free one); other units get exception 0x0B.

    A register outside the map is refused with exception 2; gaps inside it read as 0.
    """

    protocol = "modbus"

    def __init__(self, tags: Sequence[Tag], host: str = "127.0.0.1", port: int = 0) -> None:
        self.tags = tuple(tags)
        self._gate = Gate(host, port)
        self._symptom: Symptom | None = None
        self._argument = 0
        self._row = self._frozen = np.zeros(len(self.tags), np.float32)
        self._server: ModbusTcpServer | None = None

    @property
    def port(self) -> int:
        """Return the TCP port it listens on."""
        return self._gate.port

    @property
    def address(self) -> str:
        """Return "host:port"."""
        return f"{self._gate.host}:{self._gate.port}"

    async def start(self) -> None:
        """Listen; raise OSError where the port is taken."""
        await self._gate.set(GateState.HELD)
        self._server = ModbusTcpServer(
            [self._device(), _nobody()], address=("127.0.0.1", 0), trace_packet=self._on_packet
        )
        await self._server.serve_forever(background=True)
        listener = cast("asyncio.Server", self._server.transport)
        self._gate.target = listener.sockets[0].getsockname()[:2]
        await self._gate.set(GateState.OPEN)

    async def stop(self) -> None:
        """Drop all connections and stop listening; may be called twice."""
        await self._gate.set(GateState.SHUT)
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]

    async def show(self, values: Float32s, source_time_ns: int) -> None:
        """Put a row f32[C] into the registers; it can be read when this returns. Modbus carries no time."""
        del source_time_ns
        self._row = np.array(values, np.float32)
        await self._write()

    async def inject(self, symptom: Symptom | None, argument: int = 0) -> None:
        """Let the wire show a symptom from now on, or None: be well again."""
        if symptom is Symptom.STALE and self._symptom is not Symptom.STALE:
            self._frozen = self._row
        self._symptom, self._argument = symptom, argument
        states = {Symptom.REFUSED: GateState.SHUT, Symptom.PARTITION: GateState.HELD}
        await self._gate.set(states.get(symptom, GateState.OPEN) if symptom else GateState.OPEN)
        await self._write()

    async def _write(self) -> None:
        assert self._server is not None, "start it first"
        row = self._frozen if self._symptom is Symptom.STALE else self._row
        zeros, swapped = self._symptom is Symptom.ZEROS, self._symptom is Symptom.SWAPPED_WORDS
        for tag, value in zip(self.tags, row.tolist(), strict=True):
            address = cast("ModbusAddress", tag.address)
            content: list[int] | list[bool]
            if tag.dtype is Dtype.BIT:
                content = [value > 0.5 and not zeros]
            else:
                content = encode(tag.offset if zeros else value, tag, swapped=swapped)
            await self._server.async_setValues(UNIT_ID, _FUNCTIONS[address.table], address.register, content)

    def _device(self) -> SimDevice:
        """Return unit 1: the four tables, each as wide as its highest tag."""
        tables: list[list[SimData]] = []
        for table in _FUNCTIONS:
            kind = DataType.BITS if table in _BITS else DataType.REGISTERS
            ends = [_end(tag) for tag in self.tags if cast("ModbusAddress", tag.address).table is table]
            width = max(ends, default=0)
            empty = SimData(65_535 - 15 if kind is DataType.BITS else 65_535, datatype=kind)
            tables.append([SimData(0, count=width, values=0, datatype=kind) if width else empty])
        return SimDevice(
            id=UNIT_ID, simdata=(tables[0], tables[1], tables[2], tables[3]), action=self._on_request
        )

    async def _on_request(self, *request: object) -> ExcCodes | None:
        """Refuse reads, which are requests without values to write, while the symptom is an exception."""
        refused = self._symptom is Symptom.EXCEPTION and request[-1] is None
        return ExcCodes(self._argument) if refused else None

    def _on_packet(self, sending: bool, packet: bytes) -> bytes:
        """Swallow replies, or name another unit in them."""
        if sending and self._symptom is Symptom.TIMEOUT:
            return b""
        if sending and self._symptom is Symptom.WRONG_UNIT:
            return packet[:_MBAP_UNIT] + bytes([packet[_MBAP_UNIT] ^ 0x10]) + packet[_MBAP_UNIT + 1 :]
        return packet


def _end(tag: Tag) -> int:
    """Return the first register, or bit, after a tag."""
    address = cast("ModbusAddress", tag.address)
    return address.register + (1 if tag.dtype is Dtype.BIT else _TYPES[tag.dtype].value[1])


def _nobody() -> SimDevice:
    """Return what answers for all other units: a gateway that reaches none of them."""

    async def unreachable(*_: object) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE

    everything = SimData(0, count=65_536, values=0, datatype=DataType.REGISTERS)
    return SimDevice(id=0, simdata=everything, action=unreachable)
