"""Modbus TCP frames: the worked example of the standard, every way to cut a stream, and headers that cannot be."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.frame import Table
from connectors.modbus.framing import FramingError, Reply, first_reply, request
from connectors.modbus.plan import Block
from connectors.modbus.wire import Wire
from tests.connectors.modbus_side import HOLDING, endpoint
from tests.connectors.servers import answer, run, scripted_server

REPLIES = st.builds(
    Reply, st.integers(0, 65_535), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=252)
)


def framed(reply: Reply) -> bytes:
    pdu = bytes([reply.function]) + reply.data
    return answer(bytes(7), pdu, transaction=reply.transaction, unit_id=reply.unit_id)


def test_the_request_of_the_standard() -> None:
    # Modbus Application Protocol V1.1b3, 6.3: read registers 108..110; framed by Messaging on TCP/IP V1.0b, 3.1.3.
    asked = request(0x1501, Block(0xFF, Table.HOLDING_REGISTER, 107, 3, ()))
    assert asked == bytes.fromhex("1501 0000 0006 ff 03 006b 0003")
    assert [request(1, Block(1, table, 0, 1, ()))[7] for table in Table] == [1, 2, 3, 4]


@given(st.lists(REPLIES, min_size=1, max_size=4), st.data())
def test_a_stream_gives_the_same_replies_however_it_is_cut(replies: list[Reply], data: st.DataObject) -> None:
    stream = b"".join(map(framed, replies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    held, found = b"", []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        held += stream[begin:end]
        while (step := first_reply(held))[0] is not None:
            found.append(step[0])
            held = held[step[1] :]
    assert found == replies
    assert held == b""


@given(st.binary(min_size=8, max_size=300))
def test_whatever_comes_is_a_frame_or_wanting_or_an_error(data: bytes) -> None:
    length = int.from_bytes(data[4:6], "big")
    if data[2:4] != b"\0\0" or not 2 <= length <= 254:
        with pytest.raises(FramingError):
            first_reply(data)
        return
    reply, size = first_reply(data)
    assert (reply is None) == (len(data) < 6 + length)
    assert reply is None or framed(reply) == data[:size]


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_meets_the_reply_is_not_lost(turns: int) -> None:
    async def main() -> None:
        block = Block(1, HOLDING, 0, 1, (0,))
        came = asyncio.Event()

        def script(request: bytes) -> bytes:
            came.set()
            return answer(request, bytes([3, 2, 0, 7]))

        async with scripted_server(script) as port:
            wire = Wire(endpoint(port), ("127.0.0.1", port))
            await wire.connect()
            asking = asyncio.create_task(wire.request(block))
            await came.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            if asking.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await asking
            assert (await wire.request(block)).data == b"\0\7", "and the connection is still in step"
            wire.close()

    run(main)
