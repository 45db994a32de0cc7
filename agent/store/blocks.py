"""How telemetry lies in the log: steps in checksummed blocks, blocks in segments.

A segment is a file of blocks. The first block holds the names and units of the tags and, where the agent had
just been started, where its alerts stood then (JSON); each further one holds steps: what was given to one
`Line.step`, in order. A block is

    magic "FWT2" | u32 length | u32 crc32 | i64 first_ns | i64 last_ns | payload (Zstandard, RFC 8878)

little-endian; the CRC covers all that follows it, and first_ns..last_ns spans all times inside, so that a
reader can pass over a block without opening it. Where that does not tell which time the rows of each asset cover, the
payload begins with a frame that does (agent.store.covered). Blocks of versions before 0.2 ("FWT1": zlib, step by step)
are read too.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from backports import zstd

from agent.line.alert import Alert, Command, Withheld
from agent.line.event import AssetEvent
from agent.line.likeness import Prototype
from agent.line.memory import Memory
from agent.line.spans import Span, joined
from agent.line.stage import Stage
from agent.store import codec, command_codec, covered, memory_codec, packing
from agent.store.covered import Covered
from connectors.frame import Frame

MAGIC, EARLIER = b"FWT2", b"FWT1"
LEVEL = 1
"""Of Zstandard: what it could still find at a higher one was taken out by `packing`."""
_HEAD = struct.Struct("<4sIIqq")
_SPAN = struct.Struct("<qq")
_STEPS = struct.Struct("<II")  # how many, bytes of commands
_STATE = struct.Struct("<II")  # the number of its step, how many bytes; after all else, where earlier versions end
_EARLIER_STEP = struct.Struct("<HqIHI")  # asset, now_ns, rows, columns, bytes of commands
_PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

Layout = Mapping[str, tuple[tuple[str, str], ...]]
"""Asset to its tags' (name, unit), in the order of the columns."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one `Line.step` was given: the commands that took effect with it, the frame, and the time.

    Or, where it is `recovered`, rows from a device's own history, which fill an outage and no line was given. `state`
    is how the line stood before it (agent.line.state), empty where that was not kept: a replay may begin there.
    """

    asset: str
    now_ns: int
    frame: Frame
    commands: tuple[Command, ...] = ()
    recovered: bool = False
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Beside:
    """The challenger beside an asset's line: the hash of its model, the number of its next alert, and the open one."""

    model: str
    next_number: int = 1
    open_alert: Alert | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """How an asset stood when its line began: the number of its next alert, the open one, and what was remembered; what
    its alerts were withheld by, the number of its next event, the event of a re-baselining that still ran, and the
    labelled alerts that the next may be like; its stage, the hash of the model that judges it, empty where there is
    none, or an earlier version did not say, and its challenger.
    """

    next_number: int = 1
    open_alert: Alert | None = None
    memory: Memory | None = None
    withheld: tuple[Withheld, ...] = ()
    next_event: int = 1
    rebaselining: AssetEvent | None = None
    prototypes: tuple[Prototype, ...] = ()
    stage: Stage = Stage.LIVE
    model: str = ""
    challenger: Beside | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The agent began to run: every line was new, from these."""

    starts: Mapping[str, Start]


@dataclass(frozen=True, slots=True)
class Block:
    """A sound block: where it lies in its segment, the times it spans, and its payload, still compressed.

    `earlier` where it is in the earlier format.
    """

    begin: int
    end: int
    first_ns: int
    last_ns: int
    packed: bytes
    earlier: bool = False

    def payload(self) -> bytes:
        """Return what it holds."""
        return zlib.decompress(self.packed) if self.earlier else zstd.decompress(self.packed)

    def steps(self, layout: Layout) -> Iterator[Step]:
        """Give its steps, in order; `layout` is that of its segment."""
        return (_earlier_steps if self.earlier else unpack_steps)(self.payload(), layout)


def pack(payload: bytes, first_ns: int, last_ns: int, before: bytes = b"") -> bytes:
    """Return a block; `before` its payload is what Zstandard passes over."""
    body = _SPAN.pack(first_ns, last_ns) + before + zstd.compress(payload, LEVEL)
    return MAGIC + struct.pack("<II", len(body), zlib.crc32(body)) + body


def pack_opening(layout: Layout, started: Started | None = None) -> bytes:
    """Return the first block of a segment; `started` where the agent has just begun to run."""
    return pack(json.dumps(opening_json(layout, started)).encode(), 0, 0)


def opening_json(layout: Layout, started: Started | None) -> dict[str, Any]:
    """Return what the first block of a segment says."""
    starts = (
        None
        if started is None
        else {
            asset: {
                "next_number": start.next_number,
                "open_alert": None if start.open_alert is None else codec.alert_json(start.open_alert),
                "memory": None if start.memory is None else memory_codec.memory_json(start.memory),
                "withheld": [codec.withheld_json(one) for one in start.withheld],
                "next_event": start.next_event,
                "rebaselining": None if start.rebaselining is None else codec.event_json(start.rebaselining),
                "prototypes": [codec.prototype_json(one) for one in start.prototypes],
                "stage": start.stage.value,
                "model": start.model,
                "challenger": None if start.challenger is None else _beside_json(start.challenger),
            }
            for asset, start in started.starts.items()
        }
    )
    return {"layout": {asset: list(tags) for asset, tags in layout.items()}, "starts": starts}


def _beside_json(beside: Beside) -> dict[str, Any]:
    alert = beside.open_alert
    return {
        "model": beside.model,
        "next_number": beside.next_number,
        "open_alert": None if alert is None else codec.alert_json(alert),
    }


def _beside(body: Any) -> Beside:
    alert = body["open_alert"]
    open_alert = None if alert is None else codec.decode(json.dumps(alert))
    return Beside(str(body["model"]), int(body["next_number"]), open_alert)


def opening_of(body: dict[str, Any]) -> tuple[Layout, Started | None]:
    """Read what `opening_json` returned."""
    layout = {asset: tuple((name, unit) for name, unit in tags) for asset, tags in body["layout"].items()}
    if body["starts"] is None:
        return layout, None
    return layout, Started({asset: _start(said) for asset, said in body["starts"].items()})


def read_opening(segment: bytes) -> tuple[Layout, Started | None] | None:
    """Return what a segment's first block says, None where that is damaged."""
    block = _block_at(segment, 0)
    return None if block is None else opening_of(json.loads(block.payload()))


def covered_by(segment: BinaryIO) -> Covered:
    """Return which time the rows of each asset in a segment cover, by the heads of its blocks, unchecked.

    Only where an earlier version wrote a head that does not tell, the block is opened. What follows damage is not seen.
    """
    found: dict[str, list[Span]] = {}
    opening = _block_at(_next_block(segment, 0), 0)
    if opening is None:
        return found
    layout, _ = opening_of(json.loads(opening.payload()))
    position = opening.end
    while len(head := _read_at(segment, position, _HEAD.size)) == _HEAD.size:
        magic, length, _, first_ns, last_ns = _HEAD.unpack(head)
        if magic not in (MAGIC, EARLIER):
            break
        told = covered.unpack(covered.frame(segment)) if magic == MAGIC else None
        if told is None and last_ns - first_ns <= covered.PLAIN_NS:
            told = {asset: [(first_ns, last_ns)] for asset in layout}
        elif told is None:
            block = _block_at(_next_block(segment, position), 0)
            told = {} if block is None else covered.of_steps(block.steps(layout))
        for asset, spans in told.items():
            found.setdefault(asset, []).extend(spans)
        position += _HEAD.size - _SPAN.size + length
    return {asset: joined(spans, covered.GAP_NS) for asset, spans in found.items()}


def _next_block(segment: BinaryIO, position: int) -> bytes:
    """Return the bytes of what should be a block at a place of a file."""
    head = _read_at(segment, position, _HEAD.size)
    length = _HEAD.unpack(head)[1] if len(head) == _HEAD.size else 0
    return head + segment.read(min(length, _PAYLOAD_BYTES_MAX) - _SPAN.size if length > _SPAN.size else 0)


def _read_at(segment: BinaryIO, position: int, size: int) -> bytes:
    segment.seek(position)
    return segment.read(size)


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


def pack_steps(steps: Sequence[Step], layout: Layout) -> bytes:
    """Return steps as one block: those of an asset lie together, column by column, and then those recovered."""
    kinds = _kinds(layout)
    places = {kind: place for place, kind in enumerate(kinds)}
    spoken = b"\n".join(
        b"%d %s" % (number, command_codec.encode_command(command))
        for number, step in enumerate(steps)
        for command in step.commands
    )
    parts = [
        _STEPS.pack(len(steps), len(spoken)),
        spoken,
        packing.ints(np.array([places[step.asset, step.recovered] for step in steps], np.int64)),
    ]
    first_ns, last_ns = steps[0].now_ns, steps[0].now_ns
    mine_of: dict[tuple[str, bool], list[Step]] = {}
    for step in steps:
        mine_of.setdefault((step.asset, step.recovered), []).append(step)
    for mine in (mine_of[kind] for kind in kinds if kind in mine_of):
        frames = [step.frame for step in mine]
        taken = np.array([step.now_ns for step in mine], np.int64)
        rows = np.array([frame.rows for frame in frames], np.int64)
        times = np.concatenate([frame.source_time_ns for frame in frames])
        parts += [packing.ints(taken[:1]), packing.ints(np.diff(taken)), packing.ints(rows)]
        parts.append(packing.ints(np.repeat(taken, rows) - times))
        values = np.concatenate([frame.values for frame in frames])
        parts.append(packing.cells(values, np.concatenate([frame.status for frame in frames])))
        first_ns = min(first_ns, int(taken.min()), *times[:1].tolist(), int(times.min(initial=first_ns)))
        last_ns = max(last_ns, int(taken.max()), int(times.max(initial=last_ns)))
    for number, step in enumerate(steps):
        if step.state:
            parts += [_STATE.pack(number, len(step.state)), step.state]
    there = {step.asset for step in steps if step.frame.rows}
    plain = there.issuperset(layout) and last_ns - first_ns <= covered.PLAIN_NS
    return pack(b"".join(parts), first_ns, last_ns, b"" if plain else covered.pack(covered.of_steps(steps)))


def unpack_steps(payload: bytes, layout: Layout) -> Iterator[Step]:
    """Give the steps of a block's payload (decompressed), in order."""
    packed = packing.Reader(payload)
    count, size = _STEPS.unpack(packed.take(_STEPS.size))
    commands: dict[int, list[Command]] = {}
    for line in packed.take(size).split(b"\n") if size else []:
        place_of, _, said = line.partition(b" ")
        commands.setdefault(int(place_of), []).append(command_codec.decode_command(said))
    places = packed.ints(count)
    found: list[Step | None] = [None] * count
    for place, (asset, recovered) in enumerate(_kinds(layout)):
        numbers = np.flatnonzero(places == place)
        if not len(numbers):
            continue
        taken = np.cumsum(np.concatenate([packed.ints(1), packed.ints(len(numbers) - 1)]))
        rows = packed.ints(len(numbers))
        times = np.repeat(taken, rows) - packed.ints(int(rows.sum()))
        values, status = packing.read_cells(packed, len(times), len(layout[asset]))
        end = 0
        for number, now_ns, more in zip(numbers.tolist(), taken.tolist(), rows.tolist(), strict=True):
            begin, end = end, end + more
            frame = Frame(times[begin:end], values[begin:end], status[begin:end])
            found[number] = Step(asset, now_ns, frame, tuple(commands.get(number, ())), recovered)
    while not packed.at_end:
        number, size = _STATE.unpack(packed.take(_STATE.size))
        step = found[number]
        assert step is not None
        found[number] = replace(step, state=bytes(packed.take(size)))
    return (step for step in found if step is not None)


def _kinds(layout: Layout) -> list[tuple[str, bool]]:
    """Return which steps lie together: by their asset, and whether they were recovered; the numbers of the former are
    those of versions which knew no others.
    """
    return [(asset, recovered) for recovered in (False, True) for asset in layout]


def _earlier_steps(payload: bytes, layout: Layout) -> Iterator[Step]:
    assets = tuple(layout)
    position = 0
    while position < len(payload):
        number, now_ns, rows, columns, size = _EARLIER_STEP.unpack_from(payload, position)
        position += _EARLIER_STEP.size
        text = payload[position : position + size]
        position += size
        times = np.frombuffer(payload, "<i8", rows, position).astype(np.int64)
        position += times.nbytes
        values = np.frombuffer(payload, "<f4", rows * columns, position).astype(np.float32)
        position += values.nbytes
        status = np.frombuffer(payload, "<u4", rows * columns, position).astype(np.uint32)
        position += status.nbytes
        frame = Frame(times, values.reshape(rows, columns), status.reshape(rows, columns))
        commands = tuple(command_codec.decode_command(line) for line in text.split(b"\n") if line)
        yield Step(assets[number], now_ns, frame, commands)


def _start(body: Any) -> Start:
    alert, memory = body["open_alert"], body.get("memory")  # earlier versions kept no memory
    begun = body.get("rebaselining")
    return Start(
        int(body["next_number"]),
        None if alert is None else codec.decode(json.dumps(alert)),
        None if memory is None else memory_codec.decode_memory(json.dumps(memory)),
        tuple(codec.withheld_of(one) for one in body.get("withheld", ())),  # nor did they know of events
        int(body.get("next_event", 1)),
        None if begun is None else codec.decode_event(json.dumps(begun)),
        tuple(codec.prototype_of(one) for one in body.get("prototypes", ())),  # nor of labels
        Stage(body.get("stage", Stage.LIVE)),  # nor of stages
        str(body.get("model", "")),
        None if body.get("challenger") is None else _beside(body["challenger"]),
    )


def _block_at(segment: bytes, position: int) -> Block | None:
    if position + _HEAD.size > len(segment):
        return None
    magic, length, crc, first_ns, last_ns = _HEAD.unpack_from(segment, position)
    start = position + _HEAD.size - _SPAN.size
    if magic not in (MAGIC, EARLIER) or not _SPAN.size <= length <= _PAYLOAD_BYTES_MAX or start + length > len(segment):
        return None
    body = memoryview(segment)[start : start + length]
    if zlib.crc32(body) != crc:
        return None
    return Block(position, start + length, first_ns, last_ns, bytes(body[_SPAN.size :]), magic == EARLIER)


def _next_sound(segment: bytes, position: int) -> int:
    """Return where the next sound block begins, the end of the segment where there is none."""
    while (position := segment.find(MAGIC[:3], position)) >= 0:
        if _block_at(segment, position) is not None:
            return position
        position += 1
    return len(segment)
