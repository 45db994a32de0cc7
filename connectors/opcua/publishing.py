"""Values over asyncua's session, decoded by connectors.opcua.decode: reads, and the publish loop of a subscription.

asyncua makes some ten objects for each value; here a message becomes a few arrays. What is not a list of value changes
is decoded by asyncua. Messages are acknowledged and counted: a missing one is asked for again (Part 4, 5.14.6).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import extensionobject_from_binary, nodeid_from_binary, struct_from_binary
from asyncua.ua.uaerrors import BadTimeout, UaStatusCodeError

from connectors.opcua.channel import FAULTS
from connectors.opcua.decode import DataValues, OneValue, data_values
from connectors.opcua.times import TIME_NS_MAX, utc_ns

_DATA_CHANGE: Final = ua.FourByteNodeId(ua.Int32(ObjectIds.DataChangeNotification_Encoding_DefaultBinary))
_SEQUENCES: Final = 2**32 - 1  # sequence numbers run from 1 to this and start again at 1 (Part 4, 7.8)
_REPUBLISH_MAX: Final = 64

Notification = DataValues | object


class Message(NamedTuple):
    """A publish response: numbers as in Part 4, 5.14.5, and its notifications, value changes as arrays."""

    subscription: int
    available: tuple[int, ...]
    sequence: int
    notifications: tuple[Notification, ...]


def publish_response(data: bytes) -> Message:
    """Decode a whole PublishResponse; raise UaError, ValueError or struct.error where it is none."""
    buffer = answered(data)
    subscription, count = struct.unpack("<Ii", buffer.read(8))
    available = struct.unpack(f"<{max(count, 0)}I", buffer.read(4 * max(count, 0)))
    buffer.skip(1)  # more notifications: the loop asks again at once in any case
    sequence, notifications = _notification_message(buffer)
    return Message(subscription, available, sequence, notifications)


def read_response(data: bytes) -> DataValues:
    """Decode a whole ReadResponse; raise UaError, ValueError or struct.error where it is none."""
    buffer = answered(data)
    count, = struct.unpack("<i", buffer.read(4))
    return data_values(data, buffer.cur_pos, count, decode_one, handles=False)[0]


async def read_values(client: Client, nodes: Sequence[ua.NodeId]) -> DataValues:
    """Read the values of nodes in one request; raise what asyncua raises, or ValueError where some are missing."""
    items = [ua.ReadValueId(node, AttributeIds.Value) for node in nodes]
    request = ua.ReadRequest(Parameters=ua.ReadParameters(0, ua.TimestampsToReturn.Both, items))
    answer = await client.uaclient._send_request(request)
    values = read_response(answer.read(len(answer)))
    if len(values.raw) != len(nodes):
        raise ValueError(f"{len(values.raw)} values for {len(nodes)} nodes")
    return values


def decode_one(data: bytes, at: int) -> OneValue:
    """Decode one DataValue of any kind by asyncua."""
    buffer = Buffer(data, at)
    value = struct_from_binary(ua.DataValue, buffer)
    return _one(value, buffer.cur_pos, picoseconds=data[at] & 0x30 != 0)


class Publisher:
    """One subscription: a task that keeps one publish request waiting at the server.

    `subscription` is its id, 0 before `create`. `deliver` is called with each notification, `heard` with each message,
    empty ones (keep-alives) included, and `lost` with the reason when there will be no more. `missed` counts messages
    that were lost for good.
    """

    def __init__(self, client: Client, deliver: Callable[[Notification], None], heard: Callable[[], None],
                 lost: Callable[[str], None]) -> None:
        self._client = client
        self._deliver = deliver
        self._heard = heard
        self._lost = lost
        self.subscription = 0
        self._expected = 0
        self._task: asyncio.Task[None] | None = None
        self.missed = 0

    async def create(self, parameters: ua.CreateSubscriptionParameters) -> ua.CreateSubscriptionResult:
        """Create the subscription and begin to listen; raises what asyncua raises."""
        request = ua.CreateSubscriptionRequest(Parameters=parameters)
        answer = await self._ask(request, self._client.uaclient._timeout)
        response = struct_from_binary(ua.CreateSubscriptionResponse, answer)
        response.ResponseHeader.ServiceResult.check()
        result: ua.CreateSubscriptionResult = response.Parameters
        self.subscription = result.SubscriptionId
        self._task = asyncio.create_task(self._listen())
        return result

    async def close(self) -> None:
        """Stop listening; the server ends the subscription with its session."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _ask(self, request: object, timeout_s: float) -> Buffer:
        return await self._client.uaclient._send_request(request, timeout_s)

    async def _listen(self) -> None:
        acknowledge: list[int] = []
        while True:
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements = [
                ua.SubscriptionAcknowledgement(self.subscription, number) for number in acknowledge]
            acknowledge = []
            try:
                answer = await self._ask(request, 0)
                acknowledge = await self._take(publish_response(answer.read(len(answer))))
            except BadTimeout:
                continue  # the server let the request expire; if it stays silent the watchdog notices
            except FAULTS as error:
                self._lost(f"the subscription failed ({str(error) or type(error).__name__})")
                return

    async def _take(self, message: Message) -> list[int]:
        """Deliver a message, after those before it that had not come; return the numbers to acknowledge."""
        if message.subscription != self.subscription:
            return []
        self._heard()
        again = [] if not self._expected else await self._recover(message)
        self._expected = message.sequence
        if not message.notifications:  # a keep-alive: it names the number of the next message
            return again
        self._expected = message.sequence % _SEQUENCES + 1
        for notification in message.notifications:
            self._deliver(notification)
        return [*again, message.sequence]

    async def _recover(self, message: Message) -> list[int]:
        """Ask again for the messages between the last one and this; count those that the server no longer has."""
        gap = (message.sequence - self._expected) % _SEQUENCES
        if gap > _SEQUENCES // 2:
            return []  # backwards: the server counts otherwise
        numbers = [(self._expected + i - 1) % _SEQUENCES + 1 for i in range(min(gap, _REPUBLISH_MAX))]
        found = [number for number in numbers if number in message.available and await self._republish(number)]
        if missed := gap - len(found):
            self.missed += missed
            self._lost(f"{missed} of its messages were lost, and with them nobody knows which values")
        return found

    async def _republish(self, number: int) -> bool:
        request = ua.RepublishRequest(Parameters=ua.RepublishParameters(self.subscription, number))
        try:
            answer = await self._ask(request, self._client.uaclient._timeout)
            _, notifications = _notification_message(answered(answer.read(len(answer))))
        except UaStatusCodeError:
            return False
        for notification in notifications:
            self._deliver(notification)
        return True


def answered(data: bytes) -> Buffer:
    """Return what follows the header of a response; raise UaStatusCodeError where that says Bad."""
    buffer = Buffer(data)
    nodeid_from_binary(buffer)
    struct_from_binary(ua.ResponseHeader, buffer).ServiceResult.check()
    return buffer


def _notification_message(buffer: Buffer) -> tuple[int, tuple[Notification, ...]]:
    sequence, _, count = struct.unpack("<Iqi", buffer.read(16))
    return sequence, tuple(_notification(buffer) for _ in range(count))


def _notification(buffer: Buffer) -> Notification:
    """Decode one ExtensionObject: a list of value changes to arrays, all else as asyncua does."""
    ahead = buffer.copy()
    kind, encoding = nodeid_from_binary(ahead), ahead.read(1)
    length, = struct.unpack("<i", ahead.read(4)) if encoding == b"\x01" else (-1,)
    if kind == _DATA_CHANGE and length >= 4:
        if length > len(ahead):
            raise ValueError(f"a notification of {length} bytes in {len(ahead)}")
        at = ahead.cur_pos
        body = ahead.read(length)
        buffer.skip(at + length - buffer.cur_pos)
        count, = struct.unpack_from("<i", body)
        return data_values(body, 4, count, decode_one, handles=True)[0]
    decoded = extensionobject_from_binary(buffer)
    return _from_objects(decoded.MonitoredItems) if isinstance(decoded, ua.DataChangeNotification) else decoded


def _from_objects(items: Iterable[ua.MonitoredItemNotification]) -> DataValues:
    """Bring what asyncua decoded whole, a list of no announced length, into the same arrays."""
    items = list(items)
    handles = iter(items)

    def decoded(_: bytes, at: int) -> OneValue:
        return _one(next(handles).Value, at + 1, picoseconds=False)

    unknown = b"\xff" * len(items)
    values, _ = data_values(unknown, 0, len(items), decoded, handles=False)
    return values._replace(handle=np.array([item.ClientHandle for item in items], np.uint32))


def _one(value: ua.DataValue, end: int, *, picoseconds: bool) -> OneValue:
    """Say what a decoded DataValue holds; asyncua reads picoseconds in another place than Part 6 has them."""
    raw = None if value.Value is None else value.Value.Value
    number = float(raw) if isinstance(raw, bool | int | float) else None
    source, server = (None, None) if picoseconds else (value.SourceTimestamp, value.ServerTimestamp)
    code = 0 if value.StatusCode is None else int(value.StatusCode.value)
    text = raw if isinstance(raw, str) else None
    return OneValue(end, number, raw is None, code, _time_ns(source), _time_ns(server), text)


def _time_ns(stamp: datetime | None) -> int:
    """Return UTC ns since 1970, or 0 for a stamp that is missing or says nothing (1601, 9999)."""
    if stamp is None:
        return 0
    time_ns = utc_ns(stamp)
    return time_ns if 0 < time_ns <= TIME_NS_MAX else 0
