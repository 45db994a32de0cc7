"""How telemetry lies on disk: steps in checksummed blocks, blocks in segments.

A segment is a file of blocks. The first block holds the names and units of the tags and, where the agent had
just been started, where its alerts stood then (JSON); each further one holds steps: what was given to one
`Line.step`, in order. A block is

    magic "FWT1" | u32 length | u32 crc32 | i64 first_ns | i64 last_ns | payload (zlib)

little-endian; the CRC covers all that follows it, and first_ns..last_ns spans all times inside, so that a
reader can pass over a block without opening it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.line.alert import Alert, Command
from agent.line.memory import Memory
from agent.store import codec
from connectors.frame import Frame

MAGIC = b"FWT1"
_HEAD = struct.Struct("<4sIIqq")
_SPAN = struct.Struct("<qq")
_STEP = struct.Struct("<HqIHI")  # asset, now_ns, rows, columns, bytes of commands
_PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

Layout = Mapping[str, tuple[tuple[str, str], ...]]
"""Asset to its tags' (name, unit), in the order of the columns."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one `Line.step` was given: the commands that took effect with it, the frame, and the time."""

    asset: str
    now_ns: int
    frame: Frame
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """How an asset stood when its line began: the number of its next alert, the open one, and what was remembered."""

    next_number: int = 1
    open_alert: Alert | None = None
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The agent began to run: every line was new, from these."""

    starts: Mapping[str, Start]


@dataclass(frozen=True, slots=True)
class Block:
    """A sound block: where it lies in its segment, the times it spans, and its payload, still compressed."""

    begin: int
    end: int
    first_ns: int
    last_ns: int
    packed: bytes


def pack(payload: bytes, first_ns: int, last_ns: int) -> bytes:
    """Return a block."""
    body = _SPAN.pack(first_ns, last_ns) + zlib.compress(payload, 1)
    return MAGIC + struct.pack("<II", len(body), zlib.crc32(body)) + body


def pack_opening(layout: Layout, started: Started | None = None) -> bytes:
    """Return the first block of a segment; `started` where the agent has just begun to run."""
    starts = (
        None
        if started is None
        else {
            asset: {
                "next_number": start.next_number,
                "open_alert": None if start.open_alert is None else codec.alert_json(start.open_alert),
                "memory": None if start.memory is None else codec.memory_json(start.memory),
            }
            for asset, start in started.starts.items()
        }
    )
    body = {"layout": {asset: list(tags) for asset, tags in layout.items()}, "starts": starts}
    return pack(json.dumps(body).encode(), 0, 0)


def read_opening(segment: bytes) -> tuple[Layout, Started | None] | None:
    """Return what a segment's first block says, None where that is damaged."""
    block = _block_at(segment, 0)
    if block is None:
        return None
    body = json.loads(zlib.decompress(block.packed))
    layout = {asset: tuple((name, unit) for name, unit in tags) for asset, tags in body["layout"].items()}
    if body["starts"] is None:
        return layout, None
    return layout, Started({asset: _start(said) for asset, said in body["starts"].items()})


def opening_bytes(segment: bytes) -> int:
    """Return how long the first block of a sound segment is."""
    block = _block_at(segment, 0)
    assert block is not None
    return block.end


def blocks(segment: bytes) -> Iterator[Block | int]:
    """Give the blocks of steps in a segment; an int counts the bytes damaged or torn at that place."""
    first = _block_at(segment, 0)
    position = first.end if first is not None else 0
    while position < len(segment):
        block = _block_at(segment, position)
        if block is not None:
            yield block
            position = block.end
            continue
        sound = _next_sound(segment, position + 1)
        yield sound - position
        position = sound


def pack_step(step: Step, asset_number: int) -> tuple[bytes, int, int]:
    """Return the bytes of a step and the first and last time in it (of its rows and of its clock)."""
    frame = step.frame
    commands = b"\n".join(codec.encode_command(command) for command in step.commands)
    head = _STEP.pack(asset_number, step.now_ns, frame.rows, frame.columns, len(commands))
    times = frame.source_time_ns
    first_ns = min(step.now_ns, int(times.min())) if frame.rows else step.now_ns
    last_ns = max(step.now_ns, int(times.max())) if frame.rows else step.now_ns
    columns = (times.astype("<i8"), frame.values.astype("<f4"), frame.status.astype("<u4"))
    return b"".join([head, commands, *(column.tobytes() for column in columns)]), first_ns, last_ns


def unpack_steps(payload: bytes, assets: Sequence[str]) -> Iterator[Step]:
    """Give the steps of a block's payload (decompressed), in order."""
    position = 0
    while position < len(payload):
        number, now_ns, rows, columns, size = _STEP.unpack_from(payload, position)
        position += _STEP.size
        text = payload[position : position + size]
        position += size
        times = np.frombuffer(payload, "<i8", rows, position).astype(np.int64)
        position += times.nbytes
        values = np.frombuffer(payload, "<f4", rows * columns, position).astype(np.float32)
        position += values.nbytes
        status = np.frombuffer(payload, "<u4", rows * columns, position).astype(np.uint32)
        position += status.nbytes
        frame = Frame(times, values.reshape(rows, columns), status.reshape(rows, columns))
        commands = tuple(codec.decode_command(line) for line in text.split(b"\n") if line)
        yield Step(assets[number], now_ns, frame, commands)


def _start(body: Any) -> Start:
    alert, memory = body["open_alert"], body.get("memory")  # earlier versions kept no memory
    return Start(
        int(body["next_number"]),
        None if alert is None else codec.decode(json.dumps(alert)),
        None if memory is None else codec.decode_memory(json.dumps(memory)),
    )


def _block_at(segment: bytes, position: int) -> Block | None:
    if position + _HEAD.size > len(segment):
        return None
    magic, length, crc, first_ns, last_ns = _HEAD.unpack_from(segment, position)
    start = position + _HEAD.size - _SPAN.size
    if magic != MAGIC or not _SPAN.size <= length <= _PAYLOAD_BYTES_MAX or start + length > len(segment):
        return None
    body = memoryview(segment)[start : start + length]
    if zlib.crc32(body) != crc:
        return None
    return Block(position, start + length, first_ns, last_ns, bytes(body[_SPAN.size :]))


def _next_sound(segment: bytes, position: int) -> int:
    """Return where the next sound block begins, the end of the segment where there is none."""
    while (position := segment.find(MAGIC, position)) >= 0:
        if _block_at(segment, position) is not None:
            return position
        position += 1
    return len(segment)
