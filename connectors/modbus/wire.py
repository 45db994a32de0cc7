"""One Modbus TCP connection by pymodbus: the one module that imports it at run time.

pymodbus carries the frames; every reply is checked here, because it would take one with another function
code or another length for good. Its own reconnection is off.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Any, Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from connectors import ConnectorError
from connectors.frame import BAD_DECODING_ERROR, BAD_TIMEOUT, GOOD, Table
from connectors.modbus.decode import exception_status
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.plan import Block
from connectors.readonly import ReadOnlyTransport, check_modbus

_REQUESTS: Final[dict[Table, type[ModbusPDU]]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE_INPUT: ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTER: ReadHoldingRegistersRequest,
    Table.INPUT_REGISTER: ReadInputRegistersRequest,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: data where `status` is Good; `exception` is the device's exception code, or
    0.
    """

    status: int
    data: bytes = b""
    exception: int = 0


class _Reply(ModbusPDU):
    """A reply as it came: one count byte and the data. Parsing it here would cost more than all the rest."""

    payload = b""

    def decode(self, data: bytes) -> None:
        self.payload = bytes(data)

    def __str__(self) -> str:  # pymodbus formats every reply for its debug log, even when that is off
        return "reply"


_REPLIES: Final = tuple(type(f"_Reply{code}", (_Reply,), {"function_code": code}) for code in (1, 2, 3, 4))


class Wire:
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
        """Connect; raise ConnectorError saying why that failed."""
        if not await self.client.connect():
            reason = self._reason or f"no answer within {self._endpoint.timeout_ms} ms"
            raise ConnectorError(f"cannot connect to {self._endpoint}: {reason}. Check the address, the "
                                 "network, and that the device has a connection free")

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self.client.close()

    async def request(self, block: Block) -> Answer:
        """Ask for a block; raise ConnectorError where the connection is lost or its order cannot be trusted.
        """
        request = _REQUESTS[block.table](address=block.start, count=block.count, dev_id=block.unit_id)
        self._waiting = True
        try:
            reply = await self.client.execute(False, request)
        except ModbusIOException:
            return Answer(BAD_TIMEOUT)
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
                return Answer(BAD_DECODING_ERROR)
            return Answer(exception_status(reply.exception_code), exception=reply.exception_code)
        if not isinstance(reply, _Reply) or reply.function_code != request.function_code:
            return Answer(BAD_DECODING_ERROR)
        if len(reply.payload) != 1 + block.size_bytes or reply.payload[0] != block.size_bytes:
            return Answer(BAD_DECODING_ERROR)
        return Answer(GOOD, reply.payload[1:])

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
