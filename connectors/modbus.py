"""Modbus TCP, read only: the one module that imports pymodbus at run time.

pymodbus carries the frames; every reply is checked here, because it would take one with another function
code or another length for good. Its own reconnection is off: a client is used until its first fault (see
connectors.link).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from connectors import ConnectorError
from connectors.adapt import AdaptivePlan
from connectors.decode import Decoder, exception_status
from connectors.frame import BAD_DECODING_ERROR, BAD_TIMEOUT, GOOD, Frame, Table, Tag
from connectors.link import Clock, Link, LinkSettings, LoadGuard
from connectors.plan import Block, PlanLimits, halve
from connectors.readonly import ReadOnlyTransport, check_modbus

_REQUESTS: Final[dict[Table, type[ModbusPDU]]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE_INPUT: ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTER: ReadHoldingRegistersRequest,
    Table.INPUT_REGISTER: ReadInputRegistersRequest,
}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_PROBES_PER_READ: Final = 16
"""Requests one read may spend on finding out which tag of a refused block is the bad one."""
_SILENCE_FIRST_NS: Final = 1_000_000_000
_SILENCE_LAST_NS: Final = 16_000_000_000


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A Modbus TCP device or gateway, and how hard it may be asked. `timeout_ms` is for each request."""

    host: str
    port: int = 502
    timeout_ms: int = 1000
    max_requests_per_s: float = 10.0
    min_gap_ms: float = 50.0
    max_registers: int = 125
    max_bits: int = 2000
    gap_registers: int = 8

    def __str__(self) -> str:
        return f"Modbus device {self.host}:{self.port}"


def supervise(endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, *,
              settings: LinkSettings | None = None, seed: int = 0) -> Link:
    """Return a link to `endpoint`; its connections share one load guard, and what they learnt of the device.
    """
    guard = LoadGuard(clock, endpoint.max_requests_per_s, endpoint.min_gap_ms)
    earlier: ModbusConnector | None = None

    def build() -> ModbusConnector:
        nonlocal earlier
        earlier = ModbusConnector(endpoint, tags, clock, guard, earlier)
        return earlier

    settings = settings or LinkSettings.for_requests(
        endpoint.timeout_ms, connect=1, read=len(tags) + _PROBES_PER_READ,
        pace_ms=endpoint.min_gap_ms + 1e3 / endpoint.max_requests_per_s)
    return Link(build, tags, clock, settings, seed, guard=guard)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one request: data where `status` is Good; `exception` is the device's exception code, or
    0.
    """

    status: int
    data: bytes = b""
    exception: int = 0


@dataclass(slots=True)
class _Silence:
    """A unit behind the gateway that does not answer: asked ever more rarely, so that it does not delay
    others.
    """

    wait_ns: int
    until_ns: int


class ModbusConnector:
    """A Connector over one Modbus TCP connection. Rows are stamped with the middle of their requests.

    Failures of single blocks are statuses: BadTimeout for a unit that is silent, the mapped status of an
    exception (connectors.decode), BadDecodingError for a reply that is not what was asked for. `earlier` is
    the connector to the same tags that this one replaces: what it learnt of the device is taken over.
    """

    def __init__(self, endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, guard: LoadGuard,
                 earlier: ModbusConnector | None = None) -> None:
        self.tags = tuple(tags)
        self._endpoint = endpoint
        self._clock = clock
        self._guard = guard
        if earlier is None:
            limits = PlanLimits(endpoint.max_registers, endpoint.max_bits, endpoint.gap_registers,
                                16 * endpoint.gap_registers)
            self._plan = AdaptivePlan(tags, limits)
            self._silences: dict[int, _Silence] = {}
        else:
            self._plan, self._silences = earlier._plan, earlier._silences
        self._retried: int | None = None
        self._wire: _Wire | None = None
        self._asked: set[int] = set()
        self._answered = self._probes_left = 0
        self._first_ns = 0

    async def open(self) -> None:
        """Connect; raise ConnectorError saying why that failed."""
        await self.close()
        self._wire = wire = _Wire(self._endpoint)
        async with self._guard:
            await wire.connect()

    async def read(self) -> Frame:
        """Return one row; raise ConnectorError where the connection is lost or nothing answered at all."""
        plan = self._plan
        plan.settle()  # what a read that was broken off had learnt counts too
        decoder = plan.decoder
        self._asked = set()
        self._answered, self._probes_left = 0, _PROBES_PER_READ
        self._retried = self._silent_longest()
        due = plan.due(self._clock.monotonic_ns())
        data = bytearray(decoder.size_bytes)
        block_status = np.empty(len(plan.blocks), np.uint32)
        found: list[tuple[Block, bytes]] = []
        for b, (block, offset) in enumerate(zip(plan.blocks, decoder.offsets, strict=True)):
            answer = await self._ask(block)
            block_status[b] = answer.status
            if answer.status == GOOD:
                data[offset:offset + block.size_bytes] = answer.data
            elif answer.exception:
                await self._isolate(block, answer, found)
        for block in due:
            if self._probes_left > 0:
                await self._probe(block, found)
        if self._asked and not self._answered:
            for unit_id in self._asked:  # it is the device that is silent, not these units
                self._silences.pop(unit_id, None)
            raise ConnectorError(f"{self._endpoint} is connected but no unit answered within "
                                 f"{self._endpoint.timeout_ms} ms: check the unit ids and the device's load")
        values, status = decoder.decode(data, block_status, plan.status)
        for block, part in found:
            columns = list(block.columns)
            decoded = Decoder(self.tags, (block,)).decode(part, np.zeros(1, np.uint32), plan.status)
            values[columns], status[columns] = decoded[0][columns], decoded[1][columns]
        half_ns = (self._clock.monotonic_ns() - self._first_ns) // 2 if self._asked else 0
        time_ns = np.array([self._clock.time_ns() - half_ns], np.int64)
        return Frame(time_ns, values[None, :], status[None, :])

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def _ask(self, block: Block) -> _Answer:
        """Make one request under the load guard, unless its unit has been silent of late."""
        if self._wire is None:
            raise ConnectorError(f"{self._endpoint} is not connected")
        silence = self._silences.get(block.unit_id)
        if silence is not None and block.unit_id != self._retried:
            return _Answer(BAD_TIMEOUT)
        async with self._guard:
            if not self._asked:
                self._first_ns = self._clock.monotonic_ns()
            self._asked.add(block.unit_id)
            answer = await self._wire.request(block)
        if answer.status == BAD_TIMEOUT and not answer.exception:
            wait_ns = _SILENCE_FIRST_NS if silence is None else min(_SILENCE_LAST_NS, 2 * silence.wait_ns)
            self._silences[block.unit_id] = _Silence(wait_ns, self._clock.monotonic_ns() + wait_ns)
            self._retried = None
        else:
            self._answered += 1
            self._silences.pop(block.unit_id, None)
        return answer

    def _silent_longest(self) -> int | None:
        """Return the one silent unit to ask again in this read: many at once would hold up those that answer.
        """
        now_ns = self._clock.monotonic_ns()
        due = [(silence.until_ns, unit_id) for unit_id, silence in self._silences.items()
               if silence.until_ns <= now_ns]
        return min(due)[1] if due else None

    async def _isolate(self, block: Block, answer: _Answer, found: list[tuple[Block, bytes]]) -> None:
        """Halve a block the device refused until the tags it does not have stand alone; collect the others.
        """
        if answer.exception not in (_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE):
            return  # it may well give the block the next time
        halves = None if answer.exception == _ILLEGAL_FUNCTION else halve(block, self.tags)
        if halves is None:
            self._plan.refuse(block.columns, answer.status, self._clock.monotonic_ns())
        elif self._probes_left < len(halves):
            self._plan.postpone(block.columns, answer.status)
        else:
            given = [await self._probe(half, found) for half in halves]
            if all(given):
                self._plan.cut(halves[1])

    async def _probe(self, block: Block, found: list[tuple[Block, bytes]]) -> bool:
        """Ask for a part of what was refused; return whether it was given."""
        self._probes_left -= 1
        answer = await self._ask(block)
        if answer.status == GOOD:
            found.append((block, answer.data))
            self._plan.accept(block.columns)
        elif answer.exception:
            await self._isolate(block, answer, found)
        return answer.status == GOOD


class _Reply(ModbusPDU):
    """A reply as it came: one count byte and the data. Parsing it here would cost more than all the rest."""

    payload = b""

    def decode(self, data: bytes) -> None:
        self.payload = bytes(data)

    def __str__(self) -> str:  # pymodbus formats every reply for its debug log, even when that is off
        return "reply"


_REPLIES: Final = tuple(type(f"_Reply{code}", (_Reply,), {"function_code": code}) for code in (1, 2, 3, 4))


class _Wire:
    """One TCP connection by pymodbus, its bytes filtered on the way out and its replies checked on the way
    in.
    """

    def __init__(self, endpoint: ModbusEndpoint) -> None:
        self._endpoint = endpoint
        self._waiting = False
        self._reason = ""
        self.client = AsyncModbusTcpClient(
            endpoint.host, port=endpoint.port, timeout=endpoint.timeout_ms / 1e3, retries=0,
            reconnect_delay=0, trace_connect=self._connection_changed)
        for reply in _REPLIES:
            self.client.register(reply)
        self._create = self.client.ctx.call_create
        self.client.ctx.call_create = self._create_filtered

    async def connect(self) -> None:
        if not await self.client.connect():
            reason = self._reason or f"no answer within {self._endpoint.timeout_ms} ms"
            raise ConnectorError(f"cannot connect to {self._endpoint}: {reason}. Check the address, the "
                                 "network, and that the device has a connection free")

    def close(self) -> None:
        self.client.close()

    async def request(self, block: Block) -> _Answer:
        """Ask for a block; raise ConnectorError where the connection is lost or its order cannot be trusted.
        """
        request = _REQUESTS[block.table](address=block.start, count=block.count, dev_id=block.unit_id)
        self._waiting = True
        try:
            reply = await self.client.execute(False, request)
        except ModbusIOException:
            return _Answer(BAD_TIMEOUT)
        except (ModbusException, OSError) as error:
            raise ConnectorError(f"{self._endpoint} dropped the connection ({error})") from error
        finally:
            self._waiting = False
        if (reply.transaction_id, reply.dev_id) != (request.transaction_id, request.dev_id):
            raise ConnectorError(
                f"{self._endpoint} answered transaction {reply.transaction_id} of unit {reply.dev_id} when "
                f"asked {request.transaction_id} of unit {request.dev_id}: it mixes up its clients")
        if isinstance(reply, ExceptionResponse):
            if reply.function_code & 0x7F != request.function_code:
                return _Answer(BAD_DECODING_ERROR)
            return _Answer(exception_status(reply.exception_code), exception=reply.exception_code)
        if not isinstance(reply, _Reply) or reply.function_code != request.function_code:
            return _Answer(BAD_DECODING_ERROR)
        if len(reply.payload) != 1 + block.size_bytes or reply.payload[0] != block.size_bytes:
            return _Answer(BAD_DECODING_ERROR)
        return _Answer(GOOD, reply.payload[1:])

    async def _create_filtered(self) -> tuple[Any, Any]:
        """Connect, and put the read-only filter between pymodbus and the socket, whoever asked to connect."""
        try:
            transport, protocol = await self._create()
        except (OSError, UnicodeError) as error:  # the latter for a host name that cannot be one
            self._reason = _reason(error)
            raise OSError(self._reason) from error
        return ReadOnlyTransport(transport, check_modbus), protocol

    def _connection_changed(self, connected: bool) -> None:
        """Wake a waiting request when the device hangs up; pymodbus would let it wait out its time."""
        future: asyncio.Future[ModbusPDU] = self.client.ctx.response_future
        if not connected and self._waiting and not future.done():
            future.set_exception(ConnectionException("closed by the device"))


def _reason(error: OSError | UnicodeError) -> str:
    """Return the operating system's words for an error; asyncio puts its own, without the reason, in their
    place.
    """
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return str(error)
