"""A PLC on Modbus, by any wire: pymodbus's server with one register map, encoded by pymodbus's own converters."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from connectors.frame import Dtype, Float32s, ModbusAddress, Table, Tag
from simulators.gate import Gate, GateState
from simulators.serial import SerialLine
from simulators.traits import FRAMERS, Traits
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
_BYTES: Final = {Dtype.INT8_HIGH: (-128, 127, 8), Dtype.INT8_LOW: (-128, 127, 0), Dtype.UINT8_HIGH: (0, 255, 8),
                 Dtype.UINT8_LOW: (0, 255, 0)}
"""Lowest and highest number in one byte of a register, and how many bits it is shifted."""
_PARTS: Final = frozenset({Dtype.BIT, *_BYTES})
_DIGITS: Final = {Dtype.BCD16: 4, Dtype.BCD32: 8}
_FUNCTIONS: Final = {
    Table.COIL: 1,
    Table.DISCRETE_INPUT: 2,
    Table.HOLDING_REGISTER: 3,
    Table.INPUT_REGISTER: 4,
}
_BITS: Final = (Table.COIL, Table.DISCRETE_INPUT)


def encode(value: float, tag: Tag, *, swapped: bool = False) -> list[int]:
    """Return the registers of a value in the tag's unit; `swapped` puts their words the wrong way round.

    A number that the type cannot hold becomes the nearest that it can; the other bits of a bit's or byte's register
    are 0.
    """
    assert isinstance(tag.address, ModbusAddress)
    raw = (value - tag.offset) / tag.scale
    if tag.dtype is Dtype.STRING:
        text = next((text for text, number in tag.texts if number == raw), "")
        octets = text.encode("latin-1").ljust(2 * tag.address.length, b"\0")
    else:
        octets = _number(raw, tag)
    registers = _arrange(octets, tag.address.order)
    return registers[::-1] if swapped else registers


def _number(raw: float, tag: Tag) -> bytes:
    """Return a raw number as big-endian bytes."""
    whole = 0 if math.isnan(raw) else round(min(max(raw, -2.0**64), 2.0**64))
    if tag.dtype in _BYTES:
        low, high, shift = _BYTES[tag.dtype]
        return ((min(max(whole, low), high) & 0xFF) << shift).to_bytes(2, "big")
    if tag.dtype in _DIGITS:
        digits = _DIGITS[tag.dtype]
        return bytes.fromhex(f"{min(max(whole, 0), 10**digits - 1):0{digits}d}")
    if tag.dtype is Dtype.FLOAT16:
        return struct.pack(">e", min(max(raw, -65_504.0), 65_504.0))
    if tag.dtype is Dtype.BIT:
        assert isinstance(tag.address, ModbusAddress)
        bit, bits = tag.address.bit or 0, tag.address.bits
        return (min(max(whole, 0), (1 << bits) - 1) << bit).to_bytes(2, "big")
    number: int | float = raw
    if tag.dtype in _RANGES:
        limits = _RANGES[tag.dtype]
        number = min(max(whole, int(limits.min)), int(limits.max))
    registers = ModbusClientMixin.convert_to_registers(number, _TYPES[tag.dtype])
    return b"".join(register.to_bytes(2, "big") for register in registers)


def _arrange(octets: bytes, order: str) -> list[int]:
    """Return big-endian bytes as registers in the order that its letters say."""
    if len(order) == len(octets) > 4:
        octets = bytes(octets["ABCDEFGH".index(letter)] for letter in order)
        order = "ABCD"
    words = [octets[i:i + 2] for i in range(0, len(octets), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA", "BA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


class ModbusPlc:
    """One PLC on `host` and `port` (0: a free one), as unit 1 unless its traits say otherwise.

    A register outside the map is refused with exception 2; gaps inside it read as 0. Other units get exception 0x0B on
    Modbus TCP and silence elsewhere.
    """

    protocol = "modbus"

    def __init__(
        self, tags: Sequence[Tag], host: str = "127.0.0.1", port: int = 0, traits: Traits | None = None
    ) -> None:
        self.tags = tuple(tags)
        self._traits = traits or Traits()
        self._gate = Gate(
            host, port, one_at_a_time=self._traits.single_master, reply_delay_ms=self._traits.reply_delay_ms
        )
        self._line = None if self._traits.serial is None else SerialLine(self._traits.serial)
        self._replying = 0
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
        """Return "host:port", or the path of the serial line."""
        return str(self._line.path) if self._line else f"{self._gate.host}:{self._gate.port}"

    async def start(self) -> None:
        """Listen; raise OSError where the port or the path of the serial line is taken."""
        context = self._traits.context()
        await self._gate.set(GateState.HELD)
        devices = [*map(self._device, (*self._traits.units, *self._traits.dead_units)), _nobody()]
        if context is None:
            self._server = ModbusTcpServer(
                devices, framer=FRAMERS[self._traits.framing], address=("127.0.0.1", 0),
                trace_packet=self._on_packet, trace_pdu=self._on_pdu)
        else:
            self._server = ModbusTlsServer(
                devices, address=("127.0.0.1", 0), sslctx=context, trace_packet=self._on_packet,
                trace_pdu=self._on_pdu)
        await self._server.serve_forever(background=True)
        listener = cast("asyncio.Server", self._server.transport)
        self._gate.target = listener.sockets[0].getsockname()[:2]
        await self._gate.set(GateState.OPEN)
        if self._line:
            await self._line.plug(self._gate.host, self.port)

    async def stop(self) -> None:
        """Drop all connections and stop listening; may be called twice."""
        if self._line:
            await self._line.unplug()
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
        if self._line:  # it has no connection to refuse: the PLC at its end is silent
            del states[Symptom.REFUSED]
        await self._gate.set(states.get(symptom, GateState.OPEN) if symptom else GateState.OPEN)
        await self._write()

    async def _write(self) -> None:
        assert self._server is not None, "start it first"
        row = self._frozen if self._symptom is Symptom.STALE else self._row
        zeros, swapped = self._symptom is Symptom.ZEROS, self._symptom is Symptom.SWAPPED_WORDS
        shared: dict[tuple[Table, int], int] = {}
        for tag, value in zip(self.tags, row.tolist(), strict=True):
            address = cast("ModbusAddress", tag.address)
            content: list[int] | list[bool]
            if address.table in _BITS:
                content = [value > 0.5 and not zeros]
            else:
                content = encode(tag.offset if zeros else value, tag, swapped=swapped)
                if tag.dtype in _PARTS:  # several tags may have a part of the same register
                    place = address.table, address.register
                    content = [shared.get(place, 0) | content[0]]
                    shared[place] = content[0]
            for unit_id in self._traits.units:
                await self._server.async_setValues(unit_id, _FUNCTIONS[address.table], address.register, content)

    def _device(self, unit_id: int) -> SimDevice:
        """Return a unit: the four tables, each as wide as its highest tag."""
        tables: list[list[SimData]] = []
        for table in _FUNCTIONS:
            kind = DataType.BITS if table in _BITS else DataType.REGISTERS
            ends = [_end(tag) for tag in self.tags if cast("ModbusAddress", tag.address).table is table]
            width = max(ends, default=0)
            empty = SimData(65_535 - 15 if kind is DataType.BITS else 65_535, datatype=kind)
            tables.append([SimData(0, count=width, values=0, datatype=kind) if width else empty])
        return SimDevice(
            id=unit_id, simdata=(tables[0], tables[1], tables[2], tables[3]), action=self._on_request
        )

    async def _on_request(self, *request: object) -> ExcCodes | None:
        """Refuse reads, which are requests without values to write, that are too long or while that is the symptom."""
        function, _, _, count, _, values = request
        if values is not None:
            return None
        if self._symptom is Symptom.EXCEPTION:
            return ExcCodes(self._argument)
        assert isinstance(count, int)
        too_many = function in (3, 4) and count > self._traits.max_registers
        return ExcCodes.ILLEGAL_VALUE if too_many else None

    def _on_pdu(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Note whose reply is sent next, and name another unit in it where that is the symptom."""
        if sending:
            self._replying = pdu.dev_id
            if self._symptom is Symptom.WRONG_UNIT:
                pdu.dev_id ^= 0x10
        return pdu

    def _on_packet(self, sending: bool, packet: bytes) -> bytes:
        """Swallow replies of dead units, and all while the symptom is silence."""
        silent = self._symptom in (Symptom.TIMEOUT, Symptom.REFUSED) or self._traits.is_dead(self._replying)
        return b"" if sending and silent else packet


def _end(tag: Tag) -> int:
    """Return the first register, or bit, after a tag."""
    address = cast("ModbusAddress", tag.address)
    if tag.dtype in _TYPES:
        return address.register + _TYPES[tag.dtype].value[1]
    return address.register + {Dtype.STRING: address.length, Dtype.BCD32: 2}.get(tag.dtype, 1)


def _nobody() -> SimDevice:
    """Return what answers for all other units: a gateway that reaches none of them."""

    async def unreachable(*_: object) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE

    everything = SimData(0, count=65_536, values=0, datatype=DataType.REGISTERS)
    return SimDevice(id=0, simdata=everything, action=unreachable)
