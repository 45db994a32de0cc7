"""Value changes as arrays: what asyncua decodes one by one, and nothing worse of what no server should send."""

from __future__ import annotations

import asyncio
import os
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import BadMessageNotAvailable
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.frame import BAD_TYPE_MISMATCH, BAD_WAITING_FOR_INITIAL_DATA, is_bad
from connectors.opcua.changes import Backlog, Changes
from connectors.opcua.channel import FAULTS, refuse_arrays_of_nulls
from connectors.opcua.decode import DataValues, data_values
from connectors.opcua.publishing import Message, Publisher, decode_one, publish_response, read_response

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
V = ua.VariantType
INTEGERS = {V.SByte: 7, V.Byte: 8, V.Int16: 15, V.UInt16: 16, V.Int32: 31, V.UInt32: 32, V.Int64: 63, V.UInt64: 64}
STAMPS = st.none() | st.integers(10**15, 7 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us))
CODES = st.none() | st.sampled_from([0, 0x40000000, 0x408F0000, 0x80050000, 0x800A0480, 0x00000480, 0xC0000000])


@st.composite
def variants(draw: st.DrawFn) -> ua.Variant | None:
    kind = draw(st.sampled_from([None, V.Null, V.Boolean, V.Float, V.Double, V.String, V.DateTime, *INTEGERS]))
    match kind:
        case None:
            return None
        case V.Null:
            return ua.Variant(None, V.Null)
        case V.Boolean:
            return ua.Variant(draw(st.booleans()), kind)
        case V.Float:
            return ua.Variant(draw(st.floats(width=32)), kind)
        case V.Double:
            return ua.Variant(draw(st.floats()), kind)
        case V.String:
            return ua.Variant(draw(st.text(max_size=8)), kind)
        case V.DateTime:
            return ua.Variant(EPOCH, kind)
    low = 0 if "U" in kind.name or kind is V.Byte else -(2 ** INTEGERS[kind])
    number = draw(st.integers(low, 2 ** INTEGERS[kind] - 1))
    return ua.Variant([number, number] if draw(st.integers(0, 9)) == 0 else number, kind)


@st.composite
def values(draw: st.DrawFn) -> list[ua.DataValue]:
    """DataValues, of one kind as from most servers, or of any."""

    def one() -> ua.DataValue:
        code = draw(CODES)
        return ua.DataValue(draw(variants()), None if code is None else ua.StatusCode(ua.UInt32(code)),
                            draw(STAMPS), draw(STAMPS))

    alike = draw(st.integers(0, 3)) == 0
    return [one()] * draw(st.integers(0, 20)) if alike else [one() for _ in range(draw(st.integers(0, 12)))]


def expected(value: ua.DataValue) -> tuple[float, int, int, int]:
    """Number, status, source and server time as this package's rule is, from asyncua's own objects."""
    code = 0 if value.StatusCode is None else value.StatusCode.value
    status = code & 0xFFFF0000
    raw = None if value.Value is None else value.Value.Value
    if not status & 0x80000000 and not isinstance(raw, bool | int | float):
        status = BAD_WAITING_FOR_INITIAL_DATA if raw is None else BAD_TYPE_MISMATCH
    number = float("nan") if status & 0x80000000 else float(raw)
    return number, status, *(0 if stamp is None else (stamp - EPOCH) // timedelta(microseconds=1) * 1000
                             for stamp in (aware(value.SourceTimestamp), aware(value.ServerTimestamp)))


def aware(stamp: datetime | None) -> datetime | None:
    return stamp if stamp is None or stamp.tzinfo else stamp.replace(tzinfo=UTC)


def check(found: DataValues, sent: list[ua.DataValue]) -> None:
    numbers, status, source_ns, server_ns = zip(*map(expected, sent), strict=True) if sent else ((), (), (), ())
    np.testing.assert_array_equal(found.raw, np.array(numbers, np.float64))
    assert found.status.tolist() == list(status)
    assert found.source_ns.tolist() == list(source_ns)
    assert found.server_ns.tolist() == list(server_ns)
    assert np.isnan(found.raw[is_bad(found.status)]).all()
    flags = [0 if value.StatusCode is None else value.StatusCode.value for value in sent]
    assert found.overflows == sum(code & 0x480 == 0x480 for code in flags)


def through_the_wire(sent: list[ua.DataValue]) -> list[ua.DataValue]:
    """What asyncua makes of its own bytes: floats are rounded, times cut."""
    return [struct_from_binary(ua.DataValue, Buffer(struct_to_binary(value))) for value in sent]


def notification(sent: list[ua.DataValue], first: int = 0) -> ua.DataChangeNotification:
    items = [ua.MonitoredItemNotification(ua.UInt32(first + i), value) for i, value in enumerate(sent)]
    return ua.DataChangeNotification(MonitoredItems=items)


def published(*parts: object, sequence: int = 1, subscription: int = 5, available: tuple[int, ...] = ()) -> bytes:
    message = ua.NotificationMessage(ua.UInt32(sequence), EPOCH, list(parts))
    parameters = ua.PublishResult(ua.UInt32(subscription), [ua.UInt32(n) for n in available], False, message, [], [])
    return bytes(struct_to_binary(ua.PublishResponse(Parameters=parameters)))


@settings(max_examples=300, deadline=None)
@given(values())
def test_published_values_are_those_that_asyncua_decodes(sent: list[ua.DataValue]) -> None:
    message = publish_response(published(notification(sent, 7), available=(1, 2)))
    assert (message.subscription, message.sequence, message.available) == (5, 1, (1, 2))
    (found,) = message.notifications
    assert isinstance(found, DataValues)
    assert found.handle.tolist() == [7 + i for i in range(len(sent))]
    check(found, through_the_wire(sent))


@settings(max_examples=200, deadline=None)
@given(values())
def test_read_values_are_those_that_asyncua_decodes(sent: list[ua.DataValue]) -> None:
    check(read_response(bytes(struct_to_binary(ua.ReadResponse(Results=sent)))), through_the_wire(sent))


def test_what_is_no_list_of_values_is_left_to_asyncua() -> None:
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(0x800A0000)))
    values_of_one = notification([ua.DataValue(ua.Variant(1.5, V.Double))])
    message = publish_response(published(values_of_one, ended))
    assert isinstance(message.notifications[0], DataValues)
    assert isinstance(message.notifications[1], ua.StatusChangeNotification)


@pytest.mark.parametrize("count", [2**31 - 1, 10_000_000, 1000])
def test_more_values_announced_than_there_are_bytes_is_refused_before_room_is_made(count: int) -> None:
    body = struct.pack("<IBBd", 1, 0x01, 11, 2.5)
    with pytest.raises(ValueError, match=r"announced|behind their message"):
        data_values(body, 0, count, decode_one, handles=True)


NULLS = struct.pack("<Bi", 0x80, 2_000_000_000)


@pytest.mark.parametrize("value", [NULLS, struct.pack("<Bi", 0x98, 1) + NULLS], ids=["array", "array in an array"])
def test_an_array_of_nulls_is_refused_before_room_is_made(value: bytes) -> None:
    refuse_arrays_of_nulls()  # as each connection does
    with pytest.raises(ValueError, match="nulls"):
        data_values(struct.pack("<IB", 1, 0x01) + value, 0, 1, decode_one, handles=True)


def test_an_array_of_no_nulls_is_no_number() -> None:
    none = struct.pack("<IBBi", 1, 0x01, 0x80, 0)
    assert data_values(none, 0, 1, decode_one, handles=True)[0].status.tolist() == [BAD_TYPE_MISMATCH]


@pytest.mark.parametrize("seed", range(3))
def test_damaged_messages_are_refused_or_give_as_many_values_as_they_say(seed: int) -> None:
    chance = np.random.default_rng(seed)
    stamp = datetime(2026, 1, 1, tzinfo=UTC)
    kinds = [ua.DataValue(ua.Variant(i * 0.5, V.Double), ua.StatusCode(ua.UInt32(0)), stamp, stamp) for i in range(40)]
    others = [ua.DataValue(ua.Variant("text", V.String)), ua.DataValue(ua.Variant(True, V.Boolean))]
    mixed = [*kinds[:5], *others, *kinds[5:9]]
    whole = [published(notification(kinds)), published(notification(mixed))]
    for n in range(6_000):
        data = bytearray(whole[n % 2])
        for at in chance.integers(0, len(data), chance.integers(1, 4)):
            data[at] = chance.integers(0, 256)
        cut = bytes(data[: chance.integers(1, len(data) + 1)]) if n % 3 == 0 else bytes(data)
        try:
            message = publish_response(cut)
        except FAULTS:
            continue
        for found in message.notifications:
            if isinstance(found, DataValues):
                assert len({len(found.handle), len(found.raw), len(found.status), len(found.source_ns)}) == 1, seed
                assert np.isnan(found.raw[is_bad(found.status)]).all(), seed


PUBLISH, READ = 829, 634
"""The binary encodings of PublishResponse and ReadResponse (Part 6, A.3)."""


def recorded() -> list[tuple[int, bytes]]:
    """Publish and read responses of an open62541 server, each a whole message in a packet."""
    found: dict[tuple[int, bytes], None] = {}
    for path in sorted(Path(os.environ.get("FOREWARN_DATA", "/nowhere")).glob("pcap/cisa_open62541_*.pcap")):
        capture, at = path.read_bytes(), 0
        while (at := capture.find(b"MSGF", at)) >= 0:
            body = capture[at + 24 : at + int.from_bytes(capture[at + 4 : at + 8], "little")]
            kind = int.from_bytes(body[2:4], "little")
            if body[:2] == b"\x01\x00" and kind in (PUBLISH, READ):
                found[kind, body] = None
            at += 4
    return list(found)


def lists_of_values(kind: int, data: bytes) -> list[DataValues]:
    if kind == READ:
        return [read_response(data)]
    return [part for part in publish_response(data).notifications if isinstance(part, DataValues)]


def decoded_by_asyncua(kind: int, data: bytes) -> list[list[ua.DataValue]]:
    answer = struct_from_binary(ua.ReadResponse if kind == READ else ua.PublishResponse, Buffer(data))
    answer.ResponseHeader.ServiceResult.check()
    if kind == READ:
        return [answer.Results]
    parts = answer.Parameters.NotificationMessage.NotificationData
    return [[item.Value for item in part.MonitoredItems] for part in parts or ()
            if isinstance(part, ua.DataChangeNotification)]


def test_messages_of_another_server_are_decoded_as_asyncua_does_and_damaged_ones_do_no_harm() -> None:
    messages = recorded()
    if not messages:
        pytest.skip("needs pcap/cisa_open62541_*.pcap in the folder that FOREWARN_DATA names")
    refuse_arrays_of_nulls()
    whole = 0
    for kind, data in messages:
        try:
            theirs = decoded_by_asyncua(kind, data)
        except FAULTS:
            continue  # a refusal, or cut short by the capture
        for found, sent in zip(lists_of_values(kind, data), theirs, strict=True):
            check(found, sent)
        whole += 1
    assert whole > 100
    chance = np.random.default_rng(11)
    for n in range(10_000):
        kind, body = messages[n % len(messages)]
        data = bytearray(body)
        for at in chance.integers(0, len(data), chance.integers(1, 4)):
            data[at] = chance.integers(0, 256)
        with suppress(*FAULTS):
            lists_of_values(kind, bytes(data))


class Server:
    """Answers Republish from `kept`, as a server's queue of messages does."""

    def __init__(self, kept: dict[int, bytes]) -> None:
        self.uaclient, self.kept, self._timeout = self, kept, 1.0

    async def _send_request(self, request: object, _: float) -> Buffer:
        assert isinstance(request, ua.RepublishRequest)
        if request.Parameters.RetransmitSequenceNumber not in self.kept:
            raise BadMessageNotAvailable
        return Buffer(self.kept[request.Parameters.RetransmitSequenceNumber])


def numbered(sequence: int) -> Message:
    value = ua.DataValue(ua.Variant(float(sequence), V.Double))
    return publish_response(published(notification([value]), sequence=sequence, subscription=0, available=(3, 4)))


def test_messages_that_were_missed_are_asked_for_again_or_counted() -> None:
    value = ua.DataValue(ua.Variant(4.0, V.Double))
    again = ua.NotificationMessage(ua.UInt32(4), EPOCH, [notification([value])])
    server = Server({4: bytes(struct_to_binary(ua.RepublishResponse(NotificationMessage=again)))})
    came: list[float | str] = []
    publisher = Publisher(server, lambda found: came.append(float(found.raw[0])), lambda: None, came.append)  # type: ignore[arg-type, union-attr]

    async def play() -> list[list[int]]:
        return [await publisher._take(numbered(n)) for n in (1, 2, 5, 6)]

    assert asyncio.run(play()) == [[1], [2], [4, 5], [6]]
    assert came[:3] == [1.0, 2.0, 4.0]
    assert str(came[3]).startswith("1 of its messages were lost"), "the third, which was no longer there"
    assert came[4:] == [5.0, 6.0]
    assert publisher.missed == 1


def test_sequence_numbers_begin_again_at_one() -> None:
    publisher = Publisher(Server({}), lambda _: None, lambda: None, lambda _: None)  # type: ignore[arg-type]

    async def play() -> None:
        for n in (2**32 - 2, 2**32 - 1, 1, 2):
            await publisher._take(numbered(n))

    asyncio.run(play())
    assert publisher.missed == 0


@given(st.lists(st.integers(0, 7), max_size=20), st.integers(1, 10))
def test_a_backlog_keeps_the_newest_and_counts_the_rest(sizes: list[int], most: int) -> None:
    backlog, sent = Backlog(most), 0
    for size in sizes:
        columns = np.arange(sent, sent + size)
        backlog.append(Changes(columns, np.ones(size, np.int64), columns.astype(np.float64), np.zeros(size, np.uint32)))
        sent += size
    assert backlog.drain().column.tolist() == list(range(max(0, sent - most), sent))
    assert backlog.drops == max(0, sent - most)
    assert backlog.drain().size == 0
