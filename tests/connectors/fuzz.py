"""Replies that no device should send, as bytes, through framing, the check of replies, and decoding.

`fuzz(count, seed)` plays frames that anybody can repeat: right replies, replies with bytes changed, cut off or added,
exceptions, and noise, in each framing. What is taken for good is held against a parse of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from connectors.frame import GOOD, Dtype, ModbusAddress, Table, Tag, is_bad
from connectors.modbus.decode import Decoder
from connectors.modbus.framing import EXCEPTION, AsciiFrames, Frames, FramingError, RtuFrames, TcpFrames
from connectors.modbus.orders import names, registers_of
from connectors.modbus.plan import FUNCTIONS, Block
from connectors.modbus.wire import answer_of

BATCH = 5_000
_SPARE = 12
"""How many bytes may be added to a right reply."""


@dataclass(slots=True)
class Tally:
    """What became of the frames: taken for good, exceptions, of the wrong shape, no reply (yet), out of step."""

    good: int = 0
    exceptions: int = 0
    misshapen: int = 0
    nothing: int = 0
    out_of_step: int = 0

    @property
    def frames(self) -> int:
        """How many there were."""
        return self.good + self.exceptions + self.misshapen + self.nothing + self.out_of_step


def tags_of_every_type() -> list[Tag]:
    """Return tags of all types of registers, one after another, in changing orders."""
    tags: list[Tag] = []
    register = 0
    for i, dtype in enumerate(Dtype):
        order = names(dtype)[i % len(names(dtype))]
        bit = 3 if dtype is Dtype.BIT else None
        address = ModbusAddress(1, Table.HOLDING_REGISTER, register, order, bit, length=2 * (dtype is Dtype.STRING))
        tags.append(Tag(dtype.value, "1", address, dtype, texts=(("AB", 1.0),) if dtype is Dtype.STRING else ()))
        register += registers_of(tags[-1])
    return tags


def fuzz(count: int, seed: int) -> Tally:
    """Play `count` frames; raise AssertionError, naming seed and frame, for one that was taken wrongly."""
    registers = tags_of_every_type()
    bits = [Tag(f"bit {i}", "1", ModbusAddress(1, Table.COIL, i), Dtype.BIT) for i in range(19)]
    words = sum(map(registers_of, registers))
    asked = [(registers, Block(1, Table.HOLDING_REGISTER, 0, words, tuple(range(len(registers))))),
             (bits, Block(1, Table.COIL, 0, 19, tuple(range(19))))]
    r, tally = np.random.default_rng(seed), Tally()
    while tally.frames < count:
        tags, block = asked[r.integers(2)]
        frames: Frames = (TcpFrames, TcpFrames, TcpFrames, RtuFrames, AsciiFrames)[r.integers(5)]()
        frames.ask(block)
        decoder, known = Decoder(tags, [block]), set[bytes]()
        for frame in _frames(r, frames, block, min(BATCH, count - tally.frames)):
            _take(frames, block, decoder, known, frame, tally, seed)
    return tally


def _take(frames: Frames, block: Block, decoder: Decoder, known: set[bytes], frame: bytes, tally: Tally,
          seed: int) -> None:
    try:
        reply, _ = frames.reply(frame)
    except FramingError:
        tally.out_of_step += 1
        return
    if reply is None or reply.unit_id != block.unit_id:  # the wire lets go of a device that answers for another unit
        tally.nothing += 1
        return
    answer = answer_of(reply, block)
    if answer.exception:
        tally.exceptions += 1
    elif answer.status != GOOD:
        tally.misshapen += 1
    else:
        tally.good += 1
        said = seed, frame
        assert len(answer.data) == block.size_bytes, said
        assert answer.data in payloads(frames, block, frame), said
        if answer.data in known:  # most right replies of a batch have the data of another
            return
        known.add(answer.data)
        values, status = decoder.decode(answer.data, np.zeros(1, np.uint32), np.zeros(len(block.columns), np.uint32))
        assert (np.isnan(values) == is_bad(status)).all(), said


def payloads(frames: Frames, block: Block, frame: bytes) -> set[bytes]:
    """Return the data of every right reply in a frame, found without the code that is tested."""
    head = bytes([block.unit_id, FUNCTIONS[block.table], block.size_bytes])
    found = set()
    if isinstance(frames, AsciiFrames):
        for line in frame.split(b"\r\n")[:-1]:
            try:
                octets = bytes.fromhex(line[line.rindex(b":") + 1:].decode("ascii"))
            except ValueError:
                continue
            if octets[:3] == head and len(octets) == 4 + block.size_bytes and sum(octets) % 256 == 0:
                found.add(octets[3:-1])
        return found
    at = frame.find(head)
    while at >= 0:
        data = frame[at + 3:at + 3 + block.size_bytes]
        after = frame[at + 3 + block.size_bytes:at + 5 + block.size_bytes]
        if isinstance(frames, RtuFrames):
            right = _crc(head + data) == int.from_bytes(after, "little") and len(after) == 2
        else:
            right = frame[at - 6:at] == b"\0\1\0\0" + (3 + block.size_bytes).to_bytes(2, "big")
        if right and len(data) == block.size_bytes:
            found.add(data)
        at = frame.find(head, at + 1)
    return found


def _crc(octets: bytes) -> int:
    """Return the CRC of Modbus over Serial Line V1.02, 6.2.2, bit by bit as it is written there."""
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def _frames(r: np.random.Generator, frames: Frames, block: Block, count: int) -> Iterator[bytes]:
    """Give frames that begin as right replies with random data, and what was done to them."""
    rights = [_right(frames, block, r.bytes(block.size_bytes)) for _ in range(40)]
    refused = [_right(frames, block, bytes([code]), EXCEPTION) for code in range(12)]
    templates = [*rights, *refused]
    width = max(map(len, templates)) + _SPARE
    table = np.zeros((len(templates), width), np.uint8)
    for row, template in zip(table, templates, strict=True):
        row[:len(template)] = np.frombuffer(template, np.uint8)
    picked = r.choice(len(templates), count)
    octets, sizes = table[picked], np.array([len(template) for template in templates])[picked]
    kind = r.integers(0, 8, count)
    for n in range(3):  # kinds 2 to 4: one, two, three bytes changed
        rows = np.flatnonzero((kind >= 2 + n) & (kind <= 4))
        octets[rows, (r.random(len(rows)) * sizes[rows]).astype(np.intp)] = r.integers(0, 256, len(rows), np.uint8)
    sizes = np.where(kind == 5, (r.random(count) * sizes).astype(np.intp), sizes)
    longer = kind == 6
    sizes = np.where(longer, sizes + r.integers(1, _SPARE, count), sizes)
    noise = r.integers(0, 256, (count, width), np.uint8)
    octets[kind == 7] = noise[kind == 7]
    beyond = longer[:, None] & (np.arange(width) >= (sizes - _SPARE)[:, None])
    octets = np.where(beyond & (noise > 200), noise, octets)
    everything = octets.tobytes()
    for i, size in enumerate(sizes.tolist()):
        yield everything[i * width:i * width + size]


def _right(frames: Frames, block: Block, data: bytes, refused: int = 0) -> bytes:
    """Return the frame of a reply as a device sends it."""
    body = bytes([block.unit_id, FUNCTIONS[block.table] | refused]) + (b"" if refused else bytes([len(data)])) + data
    if isinstance(frames, AsciiFrames):
        return b":" + (body + bytes([-sum(body) % 256])).hex().upper().encode() + b"\r\n"
    if isinstance(frames, RtuFrames):
        return body + _crc(body).to_bytes(2, "little")
    return b"\0\1\0\0" + len(body).to_bytes(2, "big") + body
