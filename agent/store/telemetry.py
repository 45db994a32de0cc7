"""The telemetry log: every step that the lines took, appended, bounded in size, readable while written.

A recorded incident replayed from here gives the same alerts: the log holds what `Line.step` was given, the
time and people's commands included. Steps are gathered in memory, then written and synced together; a power
cut costs what was gathered since the last sync. Damage costs the block it hits, is counted, stops nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.store import blocks, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.journal import StoreError

log = logging.getLogger(__name__)

_GATHERED_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TelemetryHealth:
    """Counts since the start: what was written, what was lost; `error` is None after a success
    of both writing and keeping within the retention."""

    steps: int = 0
    bytes_written: int = 0
    steps_lost: int = 0
    segments_dropped: int = 0
    bytes_dropped: int = 0
    bytes_damaged: int = 0
    error: str | None = None


class TelemetryLog:
    """The log of one directory: one writing thread, any number of reading ones."""

    def __init__(
        self,
        directory: Path,
        layout: Layout,
        *,
        sync_interval_ns: int = 5_000_000_000,
        segment_bytes: int = 4 * 1024 * 1024,
        retain_bytes: int = 1024 * 1024 * 1024,
        started: Started | None = None,
    ) -> None:
        """Open or create; a torn tail is cut, a damaged last segment mended. Raise StoreError.

        `started` is recorded for replays: where the alerts stood when the lines began.
        """
        self.directory, self.layout = directory, layout
        self.health = TelemetryHealth()
        self._assets = tuple(layout)
        self._sync_interval_ns = sync_interval_ns
        self._segment_bytes, self._retain_bytes = segment_bytes, retain_bytes
        self._lock = threading.Lock()
        self._gathered: list[Step] = []  # what the packed bytes below hold, for readers
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._span: tuple[int, int] | None = None
        self._spans: dict[Path, tuple[int, int] | None] = {}  # of segments that no longer change
        self._damaged: dict[Path, int] = {}
        self._synced_ns: int | None = None
        self._drop_error: str | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._mend_last()
            self._path, self._handle, self._size = self._new_segment(started)
        except OSError as error:
            raise StoreError(
                f"{directory}: the telemetry log cannot be opened: {error.strerror}; "
                "name a folder that can be written, with space on its disk"
            ) from error

    def append(self, step: Step, monotonic_ns: int) -> None:
        """Take a step; write and sync what was gathered when the interval since the last sync is over.

        A disk that refuses costs telemetry, never the agent: the loss is counted and shown in `health`.
        """
        packed, first_ns, last_ns = blocks.pack_step(step, self._assets.index(step.asset))
        with self._lock:
            self._gathered.append(step)
            self._packed.append(packed)
            self._packed_bytes += len(packed)
            begin_ns, end_ns = self._span or (first_ns, last_ns)
            self._span = (min(begin_ns, first_ns), max(end_ns, last_ns))
        if self._synced_ns is None:
            self._synced_ns = monotonic_ns
        due = monotonic_ns - self._synced_ns >= self._sync_interval_ns
        if due or self._packed_bytes > _GATHERED_BYTES_MAX:
            self._synced_ns = monotonic_ns
            self.sync()

    def sync(self) -> None:
        """Write what was gathered and bring it to disk."""
        if self._span is None:
            return
        block = blocks.pack(b"".join(self._packed), *self._span)
        error = None
        try:
            _write(self._handle, block, self._size)
            os.fdatasync(self._handle)
        except OSError as refused:
            error = f"{self.directory}: {refused.strerror}"
            log.warning("telemetry is lost", extra={"error": error, "steps": len(self._packed)})
        with self._lock:
            taken = len(self._packed)
            if error is None:
                self._size += len(block)
                self.health = replace(
                    self.health,
                    error=self._drop_error,
                    steps=self.health.steps + taken,
                    bytes_written=self.health.bytes_written + len(block),
                )
            else:
                self.health = replace(self.health, error=error, steps_lost=self.health.steps_lost + taken)
            self._gathered, self._packed, self._packed_bytes, self._span = [], [], 0, None
        if self._size >= self._segment_bytes:
            self._rotate()

    def close(self) -> None:
        """Write what is left and close; may be called twice."""
        if self._handle >= 0:
            self.sync()
            os.close(self._handle)
            self._handle = -1

    def scan(
        self, asset: str | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[Step]:
        """Give the steps of an asset (None: of all) in the order taken, with since <= now_ns < until.

        Damaged blocks are passed over and counted in `health`.
        """
        for step in self._steps(since_ns, until_ns):
            wanted = asset is None or step.asset == asset
            if (
                wanted
                and (since_ns is None or step.now_ns >= since_ns)
                and (until_ns is None or step.now_ns < until_ns)
            ):
                yield step

    def rows(self, asset: str, since_ns: int, until_ns: int) -> Iterator[Step]:
        """Give the steps of an asset with a row measured in since <= source time < until, whole."""
        for step in self._steps(since_ns, until_ns):
            times = step.frame.source_time_ns
            if step.asset == asset and ((times >= since_ns) & (times < until_ns)).any():
                yield step

    def _steps(self, since_ns: int | None, until_ns: int | None) -> Iterator[Step]:
        with self._lock:
            gathered, current, size = list(self._gathered), self._path, self._size
        for path in segments.segments(self.directory):
            if path > current:
                break  # begun since; its steps are in `gathered` or newer than the question
            try:
                if path == current or self._touches(path, since_ns, until_ns):
                    yield from segments.read(
                        path,
                        size=size if path == current else None,
                        since_ns=since_ns,
                        until_ns=until_ns,
                        layout=self.layout,
                        on_damage=self._count_damage,
                    )
            except FileNotFoundError:
                continue  # dropped by the retention while we were reading
        yield from gathered

    def _touches(self, path: Path, since_ns: int | None, until_ns: int | None) -> bool:
        if path not in self._spans:
            self._spans[path] = segments.span(path)
        found = self._spans[path]
        return found is None or (
            (since_ns is None or found[1] >= since_ns) and (until_ns is None or found[0] < until_ns)
        )

    def _count_damage(self, path: Path, size: int) -> None:
        with self._lock:
            if self._damaged.get(path) == size:
                return
            self._damaged[path] = size
            self.health = replace(self.health, bytes_damaged=sum(self._damaged.values()))
        log.warning("damaged telemetry is passed over", extra={"path": str(path), "bytes": size})

    def _mend_last(self) -> None:
        existing = segments.segments(self.directory)
        if not existing:
            return
        lost, aside = segments.mend(existing[-1])
        if lost:
            self._count_damage(aside or existing[-1], lost)

    def _new_segment(self, started: Started | None = None) -> tuple[Path, int, int]:
        """Create a segment on disk; return its path, its handle and how far it is written."""
        path = segments.next_path(self.directory)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        first = blocks.pack_opening(self.layout, started)
        try:
            _write(handle, first, 0)
            os.fsync(handle)
            segments.sync_directory(self.directory)
        except OSError:
            os.close(handle)
            path.unlink()
            raise
        return path, handle, len(first)

    def _rotate(self) -> None:
        """Begin a new segment, drop the oldest above the retention; a full disk keeps the old one in use."""
        finished = self._handle
        try:
            new = self._new_segment()
        except OSError as error:
            log.warning("no new telemetry segment", extra={"path": str(self.directory), "error": str(error)})
            return
        with self._lock:
            self._path, self._handle, self._size = new
        os.close(finished)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Keep within the retention; what cannot be dropped is told in `health`, and the next segment tries again."""
        sizes: dict[Path, int] = {}
        errors: list[str] = []
        for path in sorted(self.directory.glob(f"[0-9]*{segments.SUFFIX}*")):
            try:
                sizes[path] = path.lstat().st_size
            except OSError as refused:
                errors.append(f"{path} cannot be measured: {refused.strerror}")
        excess = sum(sizes.values()) - self._retain_bytes
        for path, size in sizes.items():
            if excess <= 0 or path == self._path:
                break
            try:
                path.unlink()
            except OSError as refused:
                errors.append(f"{path} cannot be dropped: {refused.strerror}; the log grows above its size")
                continue
            excess -= size
            self._count_dropped(path, size)
        self._drop_error = errors[0] if errors else None
        if errors:
            log.warning("old telemetry cannot be dropped", extra={"errors": errors})
            with self._lock:
                self.health = replace(self.health, error=self._drop_error)

    def _count_dropped(self, path: Path, size: int) -> None:
        with self._lock:
            self._spans.pop(path, None)
            self.health = replace(
                self.health,
                segments_dropped=self.health.segments_dropped + 1,
                bytes_dropped=self.health.bytes_dropped + size,
            )


def _write(handle: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position`: one call may take less than it was given."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, position)
        rest, position = rest[written:], position + written
