"""HistoryRead of raw values (OPC UA Part 4, 5.11.3; Part 11, 6.5.3): one request, its answers as arrays."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import nodeid_from_binary

from connectors.opcua.decode import DataValues, data_values
from connectors.opcua.publishing import answered, decode_one
from connectors.opcua.times import moment

NOT_KEPT: Final = frozenset({
    StatusCodes.BadServiceUnsupported, StatusCodes.BadNotSupported, StatusCodes.BadNotImplemented,
    StatusCodes.BadHistoryOperationUnsupported, StatusCodes.BadHistoryOperationInvalid, StatusCodes.BadNotReadable,
    StatusCodes.BadUserAccessDenied, StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid,
    StatusCodes.BadAttributeIdInvalid, StatusCodes.BadTimestampNotSupported})
"""Status codes of a node, or of a server, that has no history for us."""
NOTHING_THERE: Final = frozenset({
    StatusCodes.BadNoData, StatusCodes.BadNoDataAvailable, StatusCodes.BadBoundNotFound,
    StatusCodes.BadBoundNotSupported})
"""Bad status codes of a node that just has no values in that time."""
_HISTORY_DATA: Final = ua.FourByteNodeId(ua.Int32(ObjectIds.HistoryData_Encoding_DefaultBinary))


class Asked(NamedTuple):
    """The history of a tag's node after `since_ns` (UTC); `continuation` is what the server gave with its answer."""

    column: int
    since_ns: int
    continuation: bytes = b""


class NodeHistory(NamedTuple):
    """What a server answers for one node: a status code, values, and where it goes on (b"": nowhere)."""

    status: int
    continuation: bytes
    values: DataValues


async def read_raw(client: Client, nodes: Sequence[ua.NodeId], asked: Sequence[Asked], until_ns: int,
                   values_max: int) -> list[NodeHistory]:
    """Ask for the values of nodes up to `until_ns`, all after the same time, `values_max` of each at most.

    Raises what asyncua raises, and ValueError where answers are missing.
    """
    since_ns = asked[0].since_ns
    details = ua.ReadRawModifiedDetails(
        IsReadModified=cast("ua.Boolean", False), StartTime=moment(since_ns), EndTime=moment(until_ns),
        NumValuesPerNode=ua.UInt32(values_max), ReturnBounds=cast("ua.Boolean", False))
    items = [ua.HistoryReadValueId(node, ContinuationPoint=one.continuation or None)
             for node, one in zip(nodes, asked, strict=True)]
    request = ua.HistoryReadRequest(Parameters=ua.HistoryReadParameters(
        details, ua.TimestampsToReturn.Both, cast("ua.Boolean", False), items))
    answer = await client.uaclient._send_request(request)
    found = history_response(answer.read(len(answer)))
    if len(found) != len(nodes):
        raise ValueError(f"{len(found)} histories for {len(nodes)} nodes")
    return found


def history_response(data: bytes) -> list[NodeHistory]:
    """Decode a whole HistoryReadResponse; raise UaError, ValueError or struct.error where it is none."""
    buffer = answered(data)
    count, = struct.unpack("<i", buffer.read(4))
    return [_past(buffer) for _ in range(count)]


def _past(buffer: Buffer) -> NodeHistory:
    status, length = struct.unpack("<Ii", buffer.read(8))
    continuation = buffer.read(max(length, 0))
    kind, encoding = nodeid_from_binary(buffer), buffer.read(1)
    if encoding == b"\x00":  # no body: a node that has nothing to tell
        return NodeHistory(status, continuation, data_values(b"", 0, 0, decode_one, handles=False)[0])
    size, = struct.unpack("<i", buffer.read(4))
    if kind != _HISTORY_DATA or encoding != b"\x01" or size < 4 or size > len(buffer):
        raise ValueError(f"a history of {size} bytes, of a kind that was not asked for ({kind})")
    body = buffer.read(size)
    number, = struct.unpack_from("<i", body)
    return NodeHistory(status, continuation, data_values(body, 4, number, decode_one, handles=False)[0])
