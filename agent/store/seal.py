"""`python -m agent.store.seal DIRECTORY NUMBER`: turn segments up to a number into Parquet, in a process of its own.

What a folder holds is on disk whole before it gets its name, and only then the segment goes: whatever happens in
between, one of the two is there. Prints a line of JSON for each; where there is no room it stops, and says so.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agent.store import covered, sealed, segments
from agent.store.blocks import Step
from agent.store.sealed import STEPS, TAKEN_AFTER, TIME, Rest, Tags, ours
from connectors.frame import GOOD, is_bad

NO_ROOM, USAGE = 3, 2
NICE = 19
WRITTEN_MAX = 3.6
"""Bytes for each value, in the log and sealed together: a segment whose noise is all there is in it does not shrink."""
SMALL_BYTES = 256 * 1024
"""Segments up to this size are sealed whatever they come to: it is their names more than their noise."""
_COMPRESSION_LEVEL = 3
"""Of Zstandard: a higher one gains a hundredth, for ten times the work."""


def main(arguments: Sequence[str]) -> int:
    """Seal; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m agent.store.seal DIRECTORY NUMBER\n")
        return USAGE
    directory, last = Path(arguments[0]), int(arguments[1])
    os.nice(NICE)
    sweep(directory)
    for path in segments.segments(directory):
        if segments.number_of(path) > last:
            break
        if path.name.endswith(segments.KEPT):
            continue
        try:
            sys.stdout.write(json.dumps(seal(path)) + "\n")
            sys.stdout.flush()
        except FileNotFoundError:
            continue  # dropped by the retention meanwhile
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            sys.stderr.write(f"{directory}: no room to seal {path.name}; free some, or lower telemetry_max_mb\n")
            return NO_ROOM
    return 0


def seal(path: Path) -> dict[str, int | str]:
    """Turn a segment into a folder; return what came of it: `segment`, `bytes` written, `damaged` bytes left out.

    One that would be written twice for nothing stays as it is, under a name that says so.
    """
    damaged: list[int] = []
    size = path.stat().st_size
    opening = segments.opening(path)
    if opening is None:
        segments.set_aside(path, f"the names of its tags are damaged: its {size} bytes are lost")
        return {"segment": path.name, "bytes": 0, "damaged": size}
    layout, started = opening
    steps = list(segments.read(path, on_damage=lambda _path, lost: damaged.append(lost)))
    files = {sealed.file_name(asset): _parquet(steps, asset, layout[asset]) for asset in layout}
    files = {name: content for name, content in files.items() if content}
    empty = tuple((number, step.asset, step.now_ns) for number, step in enumerate(steps) if not step.frame.rows)
    spoken = {number: step.commands for number, step in enumerate(steps) if step.commands}
    recovered = tuple(number for number, step in enumerate(steps) if step.recovered)
    states = {number: (step.asset, step.now_ns, step.state) for number, step in enumerate(steps) if step.state}
    checksums = {name: sealed.checksum(io.BytesIO(content)) for name, content in files.items()}
    rest = Rest(layout, started, empty, spoken, recovered, states, checksums, covered.of_steps(steps))
    files[sealed.REST] = rest.to_bytes()
    written = sum(map(len, files.values()))
    if not damaged and size > SMALL_BYTES and _for_nothing(steps, size, written):
        path.rename(path.with_name(f"{path.stem}{segments.KEPT}"))
        return {"segment": path.name, "bytes": 0, "damaged": 0}
    if steps or started is not None:
        _write(files, path.with_name(f"{path.stem}.{_span(steps)}"))
    if damaged:
        segments.set_aside(path, f"{sum(damaged)} of its {size} bytes are damaged; the rest was sealed")
    else:
        path.unlink()
    segments.sync_directory(path.parent)
    return {"segment": path.name, "bytes": written, "damaged": sum(damaged)}


def _for_nothing(steps: Sequence[Step], size: int, written: int) -> bool:
    return written > size and size + written > WRITTEN_MAX * sum(step.frame.values.size for step in steps)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Bring a folder to disk under another name, and then give it its own."""
    building = folder.with_name(f".{folder.name}.sealing")
    building.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            segments.write_synced(building / name, content)
        segments.sync_directory(building)
        building.rename(folder)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    segments.sync_directory(folder.parent)


def sweep(directory: Path) -> None:
    """Remove what an end in the middle left: folders without a name, segments whose folder has one."""
    for building in directory.glob(".*.sealing"):
        shutil.rmtree(building)
    named = {folder.number for folder in sealed.folders(directory)}
    for path in directory.glob(f"[0-9]*{segments.SUFFIX}"):
        if segments.number_of(path) in named:
            path.unlink(missing_ok=True)


def _span(steps: Sequence[Step]) -> str:
    times = [step.now_ns for step in steps] or [0]
    times += [int(step.frame.source_time_ns.min()) for step in steps if step.frame.rows]
    times += [int(step.frame.source_time_ns.max()) for step in steps if step.frame.rows]
    return f"{max(min(times), 0) // 1_000_000_000}-{max(-(-max(times) // 1_000_000_000), 0)}"


def _parquet(steps: Sequence[Step], asset: str, tags: Tags) -> bytes:
    """Return the rows of an asset as a Parquet file, nothing where it has none."""
    import polars as pl

    mine = [(number, step) for number, step in enumerate(steps) if step.asset == asset and step.frame.rows]
    if not mine:
        return b""
    rows = np.array([step.frame.rows for _, step in mine])
    times = np.concatenate([step.frame.source_time_ns for _, step in mine])
    values = np.concatenate([step.frame.values for _, step in mine])
    status = np.concatenate([step.frame.status for _, step in mine])
    taken = np.repeat(np.array([step.now_ns for _, step in mine], np.int64), rows)
    numbers = np.repeat(np.array([number for number, _ in mine], np.int64), rows)
    columns = {
        ours(TIME, tags): pl.Series(times).cast(pl.Datetime("ns", "UTC")),
        ours(TAKEN_AFTER, tags): pl.Series(taken - times),
        ours(STEPS, tags): pl.Series(np.diff(numbers, prepend=0).astype(np.uint32)),
    }
    for column, (tag, _) in enumerate(tags):
        codes = np.ascontiguousarray(status[:, column])
        bad = is_bad(codes)
        kept = pl.Series(sealed.changes(np.ascontiguousarray(values[:, column]), bad))
        columns[tag] = kept.set(pl.Series(bad), None) if bad.any() else kept
        if np.any(codes != GOOD):
            columns[ours(f"{tag}.status", tags)] = pl.Series(codes)
    parquet = io.BytesIO()  # an error of the disk is then one of ours, by its number
    pl.DataFrame(columns).write_parquet(
        parquet, compression="zstd", compression_level=_COMPRESSION_LEVEL, statistics=False
    )
    return parquet.getvalue()


if __name__ == "__main__":
    os.environ["POLARS_MAX_THREADS"] = "1"
    sys.exit(main(sys.argv[1:]))
