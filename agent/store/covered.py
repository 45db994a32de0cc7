"""Which time the rows of each asset cover, kept where a reader need open nothing: a frame that Zstandard passes over.

A block holds the steps of all assets, and its head the first and last of all times in it: where one source's clock is
wrong, or one asset was silent, that says little of the others. The frame that a block then begins with is

    magic 0x184D2A50 | u32 length | {asset: [[first, last], ...]} (JSON, Zstandard)

in ns UTC. `rest.json.zst` of what was sealed begins the same way.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
from backports import zstd

from agent.line.spans import Span, joined
from connectors.frame import Int64s

if TYPE_CHECKING:
    from agent.store.blocks import Step

GAP_NS: Final = 60_000_000_000
"""Between rows no further apart something was recorded; what knows that rows come more slowly joins more."""
PLAIN_NS: Final = 120_000_000_000
"""Where a block spans no more than this, and holds rows of all assets, its head says it well enough."""
_LATE_NS: Final = 3_600_000_000_000
"""Rows that are older than the newest of their frame by more are of a clock that was set."""
_HEAD: Final = struct.Struct("<II")
_MAGIC: Final = 0x184D2A50

Covered = Mapping[str, Sequence[Span]]
"""By asset, first and last time of each stretch, in order, no two of them within GAP_NS."""


def live(taken_ns: Int64s, rows: Int64s, times_ns: Int64s) -> list[Span]:
    """Return what steps cover that were taken at i64[S], with so many rows each, i64[S], measured at i64[T].

    That is by the agent's clock, as all that is told of the asset: of a source's clock only distances are taken.
    """
    if not len(times_ns):
        return []
    full = rows > 0
    newest = np.maximum.reduceat(times_ns, (np.cumsum(rows) - rows)[full])
    age_ns = np.repeat(newest, rows[full]) - times_ns
    return stretches((np.repeat(taken_ns, rows) - age_ns)[age_ns <= _LATE_NS])


def stretches(times_ns: Int64s) -> list[Span]:
    """Return the first and last of each stretch of times i64[T] in which no two neighbours are further than GAP_NS."""
    if not len(times_ns):
        return []
    ordered = np.sort(times_ns)
    ends = np.flatnonzero(np.diff(ordered) > GAP_NS)
    begins = np.append(0, ends + 1)
    return list(zip(ordered[begins].tolist(), ordered[np.append(ends, -1)].tolist(), strict=True))


def of_steps(steps: Iterable[Step]) -> dict[str, list[Span]]:
    """Return what steps of any assets cover; rows that were recovered count by their source's clock."""
    found: dict[tuple[str, bool], list[Step]] = {}
    for step in steps:
        if step.frame.rows:
            found.setdefault((step.asset, step.recovered), []).append(step)
    covered: dict[str, list[Span]] = {}
    for (asset, recovered), some in found.items():
        times_ns = np.concatenate([step.frame.source_time_ns for step in some])
        taken_ns = np.array([step.now_ns for step in some], np.int64)
        rows = np.array([step.frame.rows for step in some], np.int64)
        covered.setdefault(asset, []).extend(stretches(times_ns) if recovered else live(taken_ns, rows, times_ns))
    return {asset: joined(spans, GAP_NS) for asset, spans in covered.items()}


def pack(covered: Covered) -> bytes:
    """Return the frame that says it."""
    said = json.dumps(covered, separators=(",", ":")).encode()
    said = zstd.compress(said, options={zstd.CompressionParameter.checksum_flag: 1})
    return _HEAD.pack(_MAGIC, len(said)) + said


def frame(file: BinaryIO) -> bytes:
    """Return what such a frame holds, where a file stands; nothing where there is none."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return b""
    magic, length = _HEAD.unpack(head)
    return file.read(length) if magic == _MAGIC else b""


def unpack(said: bytes) -> dict[str, list[Span]] | None:
    """Return what a frame says, None where it is none, or damaged."""
    if not said:
        return None
    try:
        body = json.loads(zstd.decompress(said))
        return {asset: [(int(begin), int(end)) for begin, end in spans] for asset, spans in body.items()}
    except (ValueError, TypeError, AttributeError, zstd.ZstdError):
        return None
