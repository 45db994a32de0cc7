"""Keeping telemetry within its size and its age: the oldest goes first, whatever form it has by then."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.store import sealed, segments


@dataclass(frozen=True, slots=True)
class Dropped:
    """What one pass came to: what was dropped (name and bytes), what is left, and what could not be done."""

    gone: tuple[tuple[Path, int], ...]
    bytes_left: int
    errors: tuple[str, ...]


def drop(directory: Path, *, keep: Path, bytes_max: int, before_s: float, free: int = 0) -> Dropped:
    """Drop the oldest until `bytes_max` are left and `free` are freed, and what was over before `before_s` (UTC).

    The name of what is sealed says when it was over; a file's last change says it of the others. `keep` is the
    segment in use. Damaged files that were moved aside, and their notes, count and go like the others.
    """
    old = {folder.path for folder in sealed.folders(directory) if folder.last_s < before_s}
    sizes: dict[Path, int] = {}
    errors: list[str] = []
    for path in sorted(directory.glob("[0-9]*.*"), key=lambda path: (segments.number_of(path), path.name)):
        try:
            sizes[path] = _size(path)
            if not path.match(segments.SEALED) and path.lstat().st_mtime < before_s:
                old.add(path)
        except OSError as refused:
            errors.append(f"{path} cannot be measured: {refused.strerror}")
    left = sum(sizes.values())
    bytes_max = min(bytes_max, left - free)
    gone = []
    for path, size in sizes.items():
        if path == keep or (left <= bytes_max and path not in old):
            continue
        try:
            _remove(path)
        except FileNotFoundError:  # sealed meanwhile: the next pass sees what it became
            continue
        except OSError as refused:
            errors.append(f"{path} cannot be dropped: {refused.strerror}; the telemetry grows above its size")
            continue
        left -= size
        gone.append((path, size))
    return Dropped(tuple(gone), left, tuple(errors))


def _size(path: Path) -> int:
    size = path.lstat().st_size
    return size + sum(one.lstat().st_size for one in path.glob("*")) if path.match(segments.SEALED) else size


def _remove(path: Path) -> None:
    """Remove a file, or a sealed folder: out of sight by one rename, then for good."""
    if not path.match(segments.SEALED):
        path.unlink()
        return
    hidden = path.rename(path.with_name(f".{path.name}.dropped"))
    shutil.rmtree(hidden)
