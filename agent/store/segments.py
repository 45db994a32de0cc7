"""Reading and mending telemetry segments: what is sound is given, what is not is counted, nothing raises."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from agent.store import blocks
from agent.store.blocks import Block, Layout, Started, Step

SUFFIX = ".fwt"

OnDamage = Callable[[Path, int], None]
"""Told of a segment and how many of its bytes were passed over."""


def segments(directory: Path) -> list[Path]:
    """Return the segments of a directory, the oldest first."""
    return sorted(directory.glob(f"[0-9]*{SUFFIX}"))


def next_path(directory: Path) -> Path:
    """Return the name of a new segment, after all that ever were (those set aside included)."""
    numbers = [int(path.name.partition(".")[0]) for path in directory.glob(f"[0-9]*{SUFFIX}*")]
    return directory / f"{max(numbers, default=0) + 1:012d}{SUFFIX}"


def span(path: Path) -> tuple[int, int] | None:
    """Return the first and last time in a segment, None where it holds none."""
    found = [block for block in blocks.blocks(path.read_bytes()) if isinstance(block, Block)]
    return (min(b.first_ns for b in found), max(b.last_ns for b in found)) if found else None


def started(path: Path) -> Started | None:
    """Return the start of the agent that a segment begins with, None where it does not."""
    opening = blocks.read_opening(path.read_bytes())
    return None if opening is None else opening[1]


def read(
    path: Path,
    *,
    size: int | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    layout: Layout | None = None,
    on_damage: OnDamage = lambda _path, _bytes: None,
) -> Iterator[Step]:
    """Give the steps of a segment from blocks that touch [since, until), reading at most `size` bytes.

    With a `layout`, columns are laid out as it says, by name and unit: tags may have come or gone since the
    recording; what was not recorded is BadNoData, and assets that it does not name are left out.
    """
    with path.open("rb") as file:
        segment = file.read(-1 if size is None else size)
    opening = blocks.read_opening(segment)
    if opening is None:
        on_damage(path, len(segment))
        return
    recorded = opening[0]
    moves = None if layout is None else {asset: _moves(recorded, layout, asset) for asset in recorded}
    damaged = 0
    for block in blocks.blocks(segment):
        if isinstance(block, int):
            damaged += block
        elif (since_ns is None or block.last_ns >= since_ns) and (
            until_ns is None or block.first_ns < until_ns
        ):
            for step in blocks.unpack_steps(zlib.decompress(block.packed), tuple(recorded)):
                if moves is None:
                    yield step
                elif (move := moves[step.asset]) is not None:
                    yield _moved(step, *move)
    if damaged:
        on_damage(path, damaged)


def mend(path: Path) -> tuple[int, Path | None]:
    """Make a segment sound: cut a torn tail, or set the file aside and keep a copy of its sound blocks.

    Return how many bytes were lost, and where the damaged file went (None where only the tail was cut).
    """
    segment = path.read_bytes()
    if blocks.read_opening(segment) is None:
        return len(segment), _set_aside(path)
    found = list(blocks.blocks(segment))
    holes = [item for item in found if isinstance(item, int)]
    if not holes:
        return 0, None
    if len(holes) == 1 and found[-1] is holes[0]:
        with path.open("r+b") as file:
            file.truncate(len(segment) - holes[0])
            os.fsync(file.fileno())
        return holes[0], None
    sound = [segment[: blocks.opening_bytes(segment)]]
    sound += [segment[item.begin : item.end] for item in found if isinstance(item, Block)]
    copy = path.with_suffix(".mended")
    with copy.open("wb") as file:
        file.write(b"".join(sound))
        file.flush()
        os.fsync(file.fileno())
    aside = _set_aside(path)
    copy.rename(path)
    return sum(holes), aside


def sync_directory(directory: Path) -> None:
    """Bring names just made or removed to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _set_aside(path: Path) -> Path:
    return path.rename(path.with_name(f"{path.name}.damaged"))


def _moves(recorded: Layout, wanted: Layout, asset: str) -> tuple[list[int], list[int], int] | None:
    """Return which recorded columns go where in how many, None for an asset that is not wanted."""
    if asset not in wanted:
        return None
    position = {tag: column for column, tag in enumerate(recorded[asset])}
    pairs = [(position[tag], column) for column, tag in enumerate(wanted[asset]) if tag in position]
    return [source for source, _ in pairs], [target for _, target in pairs], len(wanted[asset])


def _moved(step: Step, sources: list[int], targets: list[int], columns: int) -> Step:
    if sources == targets == list(range(columns)) and step.frame.columns == columns:
        return step
    frame = step.frame.select(np.array(sources, np.intp)).spread(np.array(targets, np.intp), columns)
    return Step(step.asset, step.now_ns, frame, step.commands)
