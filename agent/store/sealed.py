"""Sealed telemetry: a folder for each segment of the log that is over, with a Parquet file for each asset.

    000000000012.1790000000-1790003600/     number of the segment; first and last time in it, s UTC, outwards
        pump.parquet                        a row per row of a frame
        rest.json.zst                       what is no row, and the checksum of each file

The columns of a Parquet file: `time` (datetime[ns, UTC]), `taken_after_ns` (how long after it the agent took the
frame), `steps` (how many steps of the segment, of all assets, lie between this row and the one before), an int32 for
each tag, and its `NAME.status` (OPC UA status code, uint32) where it was not Good throughout. The int32 is by how much
the bits of the float32 differ, as a whole number, from those of the value before it (of 0.0 at first; the sum wraps):
readings of a converter have few different ones, so this takes half of what the values do. Null is Bad. Where a tag has
one of these names, ours begins with an underscore, as no tag's name does.
"""

from __future__ import annotations

import heapq
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from backports import zstd

from agent.line.alert import Command
from agent.line.spans import Span
from agent.store import blocks, covered, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.command_codec import decode_command, encode_command
from agent.store.covered import Covered
from agent.store.segments import OnDamage
from agent.store.series import Rows
from connectors.frame import GOOD, Bools, Float32s, Frame, Int64s

if TYPE_CHECKING:
    import polars as pl

Int32s = npt.NDArray[np.int32]

TIME, TAKEN_AFTER, STEPS = "time", "taken_after_ns", "steps"
REST: Final = "rest.json.zst"
_NAME = re.compile(r"(\d+)\.(\d+)-(\d+)")
_CHUNK = 1 << 20
_COVERED_MAX = 10_000
_PLAIN_S = 4200
"""A folder holds an hour, and no more than clocks go wrong: its name tells when each asset was recorded."""

Tags = Sequence[tuple[str, str]]


class DamagedError(Exception):
    """A sealed file, or folder, is not what was sealed: how many bytes that costs."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.size = sum(one.lstat().st_size for one in ([path] if path.is_file() else path.glob("*")))


@dataclass(frozen=True, slots=True)
class Folder:
    """A sealed segment: its number, and the first and last time in it in s UTC, rounded outwards."""

    path: Path
    number: int
    first_s: int
    last_s: int

    def touches(self, since_ns: int, until_ns: int) -> bool:
        """Whether it may hold something of since <= time < until."""
        return self.last_s * 1_000_000_000 >= since_ns and self.first_s * 1_000_000_000 < until_ns


@dataclass(frozen=True, slots=True)
class Rest:
    """What of a segment is no row: its columns, the start it begins with, and by number steps without rows, commands,
    which steps were recovered, and before which it was kept how the line stood: of which asset, when, and what.
    `covers` is which time the rows of each asset cover; it is written only, and read by `covered_by`.
    """

    layout: Layout
    started: Started | None
    empty: tuple[tuple[int, str, int], ...]
    spoken: dict[int, tuple[Command, ...]]
    recovered: tuple[int, ...]
    states: dict[int, tuple[str, int, bytes]]
    files: dict[str, tuple[int, int]]
    covers: Covered = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of `rest.json.zst`."""
        body = blocks.opening_json(self.layout, self.started) | {
            "empty": self.empty,
            "spoken": {
                number: [encode_command(one).decode() for one in said] for number, said in self.spoken.items()
            },
            "recovered": self.recovered,
            "states": {number: (asset, now_ns, kept.decode()) for number, (asset, now_ns, kept) in self.states.items()},
            "files": self.files,
        }
        packed = zstd.compress(json.dumps(body).encode(), options={zstd.CompressionParameter.checksum_flag: 1})
        return covered.pack(self.covers) + packed

    @classmethod
    def from_bytes(cls, content: bytes) -> Rest:
        """Read it back; raise ValueError, KeyError or ZstdError where it is damaged."""
        frame = covered.frame(io.BytesIO(content))
        if frame and covered.unpack(frame) is None:
            raise ValueError("which time it covers is damaged")
        body: dict[str, Any] = json.loads(zstd.decompress(content))
        layout, started = blocks.opening_of(body)
        return cls(
            layout,
            started,
            tuple((number, asset, taken_ns) for number, asset, taken_ns in body["empty"]),
            {int(number): tuple(map(decode_command, said)) for number, said in body["spoken"].items()},
            tuple(body.get("recovered", ())),  # earlier versions recovered nothing, and kept no state
            {int(at): (asset, now_ns, kept.encode()) for at, (asset, now_ns, kept) in body.get("states", {}).items()},
            {name: (size, crc) for name, (size, crc) in body["files"].items()},
        )


def folders(directory: Path) -> list[Folder]:
    """Return the sealed segments of a directory, the oldest first."""
    found = ((path, _NAME.fullmatch(path.name)) for path in directory.glob(segments.SEALED))
    return sorted(
        (Folder(path, *map(int, match.groups())) for path, match in found if match), key=lambda folder: folder.number
    )


def covered_by(folder: Folder, asset: str) -> Sequence[Span]:
    """Return which time the rows of an asset cover, by names where these tell: quickly, and to the hour.

    Nor do they where an earlier version sealed a folder that spans more: it counts as a whole.
    """
    if not (folder.path / file_name(asset)).exists():
        return ()
    covers = None
    if folder.last_s - folder.first_s > _PLAIN_S:
        covers = covered.unpack(_frame(folder.path / REST))
    whole = (folder.first_s * 1_000_000_000, folder.last_s * 1_000_000_000)
    return (whole,) if covers is None else covers.get(asset, ())


@lru_cache(maxsize=_COVERED_MAX)
def _frame(path: Path) -> bytes:
    """Return the frame that says which time a folder covers, packed: of many folders that is to be remembered."""
    try:
        with path.open("rb") as file:
            return covered.frame(file)
    except OSError:
        return b""


def checksum(file: BinaryIO) -> tuple[int, int]:
    """Return the size and the CRC-32 of a file, read piece by piece."""
    size = crc = 0
    while piece := file.read(_CHUNK):
        size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def read_rest(folder: Folder) -> Rest:
    """Return what of a folder is no row; raise DamagedError."""
    path = folder.path / REST
    try:
        return Rest.from_bytes(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, zstd.ZstdError) as error:
        raise DamagedError(folder.path, f"{REST} cannot be read: {error}") from error


def read(folder: Folder, layout: Layout, on_damage: OnDamage) -> Iterator[Started | Step]:
    """Give what a segment held, exactly and in order, laid out as `layout` says, damaged files left out."""
    try:
        rest = read_rest(folder)
    except DamagedError as damaged:
        on_damage(damaged.path, damaged.size)
        return
    if rest.started is not None:
        yield Started({asset: start for asset, start in rest.started.starts.items() if asset in layout})
    laid_out = segments.layer(rest.layout, layout)
    empty = (
        (number, Step(asset, taken_ns, Frame.empty(len(rest.layout[asset]))))
        for number, asset, taken_ns in rest.empty
    )
    recovered = set(rest.recovered)
    streams = [empty, *(_steps(folder, rest, asset, on_damage) for asset in rest.layout if asset in layout)]
    for number, step in heapq.merge(*streams, key=lambda numbered: numbered[0]):
        _, _, state = rest.states.get(number, ("", 0, b""))
        whole = replace(step, commands=rest.spoken.get(number, ()), recovered=number in recovered, state=state)
        if (laid := laid_out(whole)) is not None:
            yield laid


def rows(
    folder: Folder, asset: str, tags: Tags, since_ns: int, until_ns: int, on_damage: OnDamage
) -> Iterator[Rows]:
    """Give the rows of some tags (name, unit) with since <= source time < until; only their columns are read."""
    import polars as pl

    try:
        rest = read_rest(folder)
        path = _sound(folder, rest, asset)
    except DamagedError as damaged:
        on_damage(damaged.path, damaged.size)
        return
    if path is None:
        return
    there = [tag in rest.layout[asset] for tag in tags]
    names = [name for (name, _), is_there in zip(tags, there, strict=True) if is_there]
    time = ours(TIME, rest.layout[asset])
    table = pl.read_parquet(path, columns=[time, *dict.fromkeys(names)])
    times = table[time].to_physical().to_numpy()
    within = (times >= since_ns) & (times < until_ns)
    values = np.full((int(np.count_nonzero(within)), len(tags)), np.nan, np.float32)
    for column, name in zip(np.flatnonzero(there), names, strict=True):
        values[:, column] = floats(table[name])[within]
    yield Rows(times[within], values)


def good(folder: Folder, tags: Mapping[str, Tags], on_damage: OnDamage) -> Iterator[tuple[Int64s, Bools]]:
    """Give the source times i64[T] of each asset's rows with a value of any of its `tags`, in the order they were
    taken, and which were recovered, bool[T].
    """
    import polars as pl

    try:
        rest = read_rest(folder)
    except DamagedError as damaged:
        on_damage(damaged.path, damaged.size)
        return
    for asset, wanted in tags.items():
        there = [name for name, unit in wanted if (name, unit) in rest.layout.get(asset, ())]
        try:
            path = _sound(folder, rest, asset) if there else None
        except DamagedError as damaged:
            on_damage(damaged.path, damaged.size)
            continue
        if path is None:
            continue
        time, steps = ours(TIME, rest.layout[asset]), ours(STEPS, rest.layout[asset])
        table = pl.read_parquet(path, columns=[time, steps, there[0]])
        has_value = table[there[0]].is_not_null()
        if not has_value.all():  # as a rule one column tells
            every = pl.read_parquet(path, columns=there)
            has_value = every.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        rows = has_value.to_numpy()
        numbers = np.cumsum(table[steps].to_numpy().astype(np.int64))
        yield table[time].to_physical().to_numpy()[rows], np.isin(numbers, rest.recovered)[rows]


def _steps(folder: Folder, rest: Rest, asset: str, on_damage: OnDamage) -> Iterator[tuple[int, Step]]:
    import polars as pl

    try:
        path = _sound(folder, rest, asset)
    except DamagedError as damaged:
        on_damage(damaged.path, damaged.size)
        return
    if path is None:
        return
    table = pl.read_parquet(path)
    tags = rest.layout[asset]
    names = [name for name, _ in tags]
    times = table[ours(TIME, tags)].to_physical().to_numpy()
    values = np.column_stack([floats(table[name]) for name in names])
    status = np.full(values.shape, GOOD, np.uint32)
    for column, name in enumerate(names):
        if (coded := ours(f"{name}.status", tags)) in table.columns:
            status[:, column] = table[coded].to_numpy()
    taken = times + table[ours(TAKEN_AFTER, tags)].to_numpy()
    numbers = np.cumsum(table[ours(STEPS, tags)].to_numpy().astype(np.int64))
    edges = np.append(np.flatnonzero(np.diff(numbers, prepend=-1)), len(table))
    for begin, end in itertools.pairwise(edges.tolist()):
        frame = Frame(times[begin:end], values[begin:end], status[begin:end])
        yield int(numbers[begin]), Step(asset, int(taken[begin]), frame)


def ours(name: str, tags: Tags) -> str:
    """Return the name of a column of ours beside those of the tags."""
    return f"_{name}" if any(name == tag for tag, _ in tags) else name


def file_name(asset: str) -> str:
    """Return the name of an asset's Parquet file."""
    return f"{asset}.parquet"


def _sound(folder: Folder, rest: Rest, asset: str) -> Path | None:
    """Return an asset's file once its checksum was tried, None where there is none; raise DamagedError."""
    name = file_name(asset)
    if name not in rest.files:
        return None
    path = folder.path / name
    if path.with_name(f"{name}.damaged").exists():
        return None  # known, and moved aside
    try:
        with path.open("rb") as file:
            found = checksum(file)
    except OSError as error:
        raise DamagedError(path, f"cannot be read: {error.strerror}") from error
    if found != rest.files[name]:
        raise DamagedError(path, "is not what was written")
    return path


def changes(values: Float32s, bad: Bools) -> Int32s:
    """Return a column as it is kept: the changes of its bits, 0 where it is null."""
    kept = np.zeros(len(values), np.int32)
    kept[~bad] = np.diff(values[~bad].view(np.int32), prepend=np.int32(0))
    return kept


def floats(column: pl.Series) -> Float32s:
    """Return the values of a column as it is kept, NaN where null."""
    values = np.cumsum(column.fill_null(0).to_numpy(), dtype=np.int32).view(np.float32)
    values[column.is_null().to_numpy()] = np.nan
    return values
