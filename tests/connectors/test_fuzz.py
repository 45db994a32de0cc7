"""A million broken replies, and the replies in recordings of real networks."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from connectors.frame import GOOD, Dtype, ModbusAddress, Table, Tag
from connectors.modbus.decode import Decoder
from connectors.modbus.framing import first_reply
from connectors.modbus.plan import BIT_TABLES, Block
from connectors.modbus.wire import answer_of
from tests.connectors.fuzz import fuzz

SEED = 502
FRAMES = 1_000_000
TABLES = {1: Table.COIL, 2: Table.DISCRETE_INPUT, 3: Table.HOLDING_REGISTER, 4: Table.INPUT_REGISTER}


def test_a_million_broken_replies() -> None:
    tally = fuzz(FRAMES, SEED)
    print(SEED, tally)
    assert tally.frames == FRAMES
    assert min(tally.good, tally.exceptions, tally.misshapen, tally.nothing, tally.out_of_step) > FRAMES // 1000


def recordings() -> list[Path]:
    folder = os.environ.get("FOREWARN_DATA")
    return sorted(Path(folder).glob("pcap/*odbus*.pcap")) if folder else []


def segments(file: Path) -> Iterator[tuple[tuple[bytes, bytes, int, int], bytes]]:
    """Give (addresses and ports, payload) of the TCP segments in a capture of Ethernet, by the formats' books."""
    data = file.read_bytes()
    ends = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(ends + "I", data, at + 8)[0]
        packet = data[at + 16:at + 16 + size]
        at += 16 + size
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:
            continue
        ip = 14 + 4 * (packet[14] & 15)
        end = 14 + int.from_bytes(packet[16:18], "big")
        source, target = struct.unpack_from(">HH", packet, ip)
        yield (packet[26:30], packet[30:34], source, target), packet[ip + 4 * (packet[ip + 12] >> 4):end]


def exchanges(file: Path) -> Iterator[tuple[Block, bytes]]:
    """Give each request to read, and the frame of its reply."""
    asked: dict[tuple[bytes, bytes, int, int, int], Block] = {}
    for (source, target, from_port, to_port), payload in segments(file):
        if len(payload) < 8 or payload[2:4] != b"\0\0":
            continue
        transaction = int.from_bytes(payload[:2], "big")
        if to_port == 502 and payload[7] in TABLES and len(payload) == 12:
            start, count = struct.unpack_from(">HH", payload, 8)
            block = Block(payload[6], TABLES[payload[7]], start, count, tuple(range(count)))
            asked[source, target, from_port, to_port, transaction] = block
        elif from_port == 502:
            block_asked = asked.pop((target, source, to_port, from_port, transaction), None)
            if block_asked is not None and payload[7] & 0x7F in TABLES:
                yield block_asked, payload


def by_the_book(block: Block, frame: bytes) -> list[int] | None:
    """Return the bits or registers of a reply, None where it is an exception or not what was asked for."""
    size = (block.count + 7) // 8 if block.table in BIT_TABLES else 2 * block.count
    if TABLES.get(frame[7]) is not block.table or frame[8] != size or len(frame) != 9 + size:
        return None
    if block.table in BIT_TABLES:
        return [frame[9 + i // 8] >> i % 8 & 1 for i in range(block.count)]
    return list(struct.unpack(f">{block.count}H", frame[9:]))


@pytest.mark.parametrize("file", recordings() or [None], ids=lambda file: file.name if file else "none")
def test_the_replies_of_recorded_devices(file: Path | None) -> None:
    if file is None:
        pytest.skip("needs pcap/*odbus*.pcap in the folder that FOREWARN_DATA names")
    compared = 0
    for block, frame in exchanges(file):
        reply, size = first_reply(frame)
        assert reply is not None
        answer, right = answer_of(reply, block), by_the_book(block, frame[:size])
        assert (answer.status == GOOD) == (right is not None), frame.hex()
        if right is None:
            continue
        dtype = Dtype.BIT if block.table in BIT_TABLES else Dtype.UINT16
        tags = [Tag("t", "1", ModbusAddress(block.unit_id, block.table, block.start + i), dtype)
                for i in range(block.count)]
        none = np.zeros(len(tags), np.uint32)
        values, status = Decoder(tags, [block]).decode(answer.data, none[:1], none)
        assert values.tolist() == right
        assert not status.any()
        compared += 1
    print(file.name, compared)
    assert compared > 0
