"""Reading and mending segments of the telemetry log: what is sound is given, what is not is counted, nothing raises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from agent.store import blocks
from agent.store.blocks import Block, Layout, Started, Step
from agent.store.covered import Covered

SUFFIX, KEPT = ".fwt", ".kept.fwt"
"""The ends of the names of segments, and of those which are not worth being sealed."""
SEALED = "[0-9]*.[0-9]*-[0-9]*"
"""The folders that segments become (agent.store.sealed)."""

_COVERED_MAX = 1000
"""Of so many segments it is remembered which time they cover."""

OnDamage = Callable[[Path, int], None]
"""Told of a segment, or of a sealed file, and how many of its bytes were passed over."""


def number_of(path: Path) -> int:
    """Return the number that the name of a segment, or of what became of it, begins with."""
    return int(path.name.partition(".")[0])


def segments(directory: Path) -> list[Path]:
    """Return the segments of a directory that are not sealed, the oldest first."""
    sealed = {number_of(path) for path in directory.glob(SEALED)}
    return sorted(path for path in directory.glob(f"[0-9]*{SUFFIX}") if number_of(path) not in sealed)


def next_path(directory: Path) -> Path:
    """Return the name of a new segment, after all that ever were (sealed and set aside included)."""
    numbers = [number_of(path) for path in directory.glob("[0-9]*.*")]
    return directory / f"{max(numbers, default=0) + 1:012d}{SUFFIX}"


def span(path: Path) -> tuple[int, int] | None:
    """Return the first and last time in a segment, None where it holds none."""
    found = [block for block in blocks.blocks(path.read_bytes()) if isinstance(block, Block)]
    return (min(b.first_ns for b in found), max(b.last_ns for b in found)) if found else None


def covered_by(path: Path) -> Covered:
    """Return which time the rows of each asset cover, by the heads of the blocks: quickly, and blind behind damage."""
    found = path.stat()
    return _covered_by(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=_COVERED_MAX)
def _covered_by(path: Path, _size: int, _changed_ns: int) -> Covered:
    with path.open("rb") as file:
        return blocks.covered_by(file)


def opening(path: Path) -> tuple[Layout, Started | None] | None:
    """Return the columns of a segment and the start of the agent that it begins with; None where that is damaged."""
    return blocks.read_opening(path.read_bytes())


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
    first = blocks.read_opening(segment)
    if first is None:
        on_damage(path, len(segment))
        return
    recorded = first[0]
    laid_out = layer(recorded, recorded if layout is None else layout)
    damaged = 0
    for block in blocks.blocks(segment):
        if isinstance(block, int):
            damaged += block
        elif (since_ns is None or block.last_ns >= since_ns) and (
            until_ns is None or block.first_ns < until_ns
        ):
            yield from filter(None, map(laid_out, block.steps(recorded)))
    if damaged:
        on_damage(path, damaged)


def mend(path: Path) -> tuple[int, Path | None]:
    """Make a segment sound: cut a torn tail, or set the file aside and keep a copy of its sound blocks.

    Return how many bytes were lost, and where the damaged file went (None where only the tail was cut).
    """
    segment = path.read_bytes()
    if blocks.read_opening(segment) is None:
        return len(segment), set_aside(path, f"the names of its tags are damaged: its {len(segment)} bytes are lost")
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
    write_synced(copy, b"".join(sound))
    aside = set_aside(path, f"{sum(holes)} of its {len(segment)} bytes are damaged; {path.name} holds the rest")
    copy.rename(path)
    sync_directory(path.parent)
    return sum(holes), aside


def set_aside(path: Path, why: str) -> Path:
    """Rename what is damaged, leave a note that says why beside it, and return its new name."""
    aside = path.rename(path.with_name(f"{path.name}.damaged"))
    aside.with_name(f"{aside.name}.txt").write_text(f"{path.name}: {why}\n", encoding="utf-8")
    return aside


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and bring it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole, old or new, whenever the power fails."""
    partial = path.with_suffix(".part")
    write_synced(partial, data)
    partial.replace(path)


def sync_directory(directory: Path) -> None:
    """Bring names just made or removed to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def layer(recorded: Layout, wanted: Layout) -> Callable[[Step], Step | None]:
    """Return what lays recorded steps out as `wanted`, by name and unit; None for an asset that it does not name."""
    moves = {asset: _moves(recorded[asset], wanted[asset]) for asset in recorded if asset in wanted}

    def laid_out(step: Step) -> Step | None:
        if step.asset not in moves:
            return None
        sources, targets = moves[step.asset]
        columns = len(wanted[step.asset])
        if step.frame.columns == columns == len(sources) and sources == targets:
            return step
        frame = step.frame.select(np.array(sources, np.intp)).spread(np.array(targets, np.intp), columns)
        return replace(step, frame=frame)

    return laid_out


def _moves(
    recorded: tuple[tuple[str, str], ...], wanted: tuple[tuple[str, str], ...]
) -> tuple[list[int], list[int]]:
    """Return which recorded columns go where."""
    position = {tag: column for column, tag in enumerate(recorded)}
    pairs = [(position[tag], column) for column, tag in enumerate(wanted) if tag in position]
    return [source for source, _ in pairs], [target for _, target in pairs]
