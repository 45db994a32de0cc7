"""The telemetry log: every step that the lines took, appended, readable while written, and sealed when it is old.

A recorded incident replayed from here gives the same alerts: the log holds what `Line.step` was given, the
time and people's commands included. Steps are gathered in memory, then packed, written and synced together; a power
cut costs what was gathered since the last sync. Damage costs the block it hits, is counted, stops nothing.
A segment holds an hour at most; agent.store.seal turns it into Parquet an hour after it is over.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.store import blocks, retention, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.journal import StoreError

log = logging.getLogger(__name__)

HOUR_NS = 3_600_000_000_000
_GATHERED_CELLS_MAX = 1_000_000
_SEGMENT_CELLS_MAX = 4_000_000
"""What a child process holds in memory while it seals: 170 MiB."""
_SPANS_MAX = 10_000
_SPARE_BYTES = 1024 * 1024
"""What is freed on a full disk beyond what is to be written: the alerts' journal needs room too."""


@dataclass(frozen=True, slots=True)
class TelemetryHealth:
    """Counts since the start: what was written, what was lost; `error` is None after a success
    of both writing and keeping within the retention. `bytes_kept` is as of the last segment that was begun.
    `starts_lost` counts assets whose line began anew while that could not be recorded."""

    steps: int = 0
    cells: int = 0
    bytes_written: int = 0
    steps_lost: int = 0
    starts_lost: int = 0
    bytes_kept: int = 0
    segments_dropped: int = 0
    bytes_dropped: int = 0
    bytes_damaged: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How much telemetry is kept, and how long; the log's segments and what was sealed together."""

    bytes_max: int = 1024 * 1024 * 1024
    age_max_s: float = 400 * 86_400.0


DEFAULT_RETENTION = Retention()


class TelemetryLog:
    """The log of one directory: one writing thread, any number of reading ones."""

    def __init__(
        self,
        directory: Path,
        layout: Layout,
        *,
        sync_interval_ns: int = 10_000_000_000,
        segment_bytes: int = 8 * 1024 * 1024,
        keep: Retention = DEFAULT_RETENTION,
        started: Started | None = None,
    ) -> None:
        """Open or create; a torn tail is cut, a damaged last segment mended. Raise StoreError.

        `started` is recorded for replays: where the alerts stood when the lines began.
        """
        self.directory, self.layout = directory, layout
        self.health = TelemetryHealth()
        self._sync_interval_ns, self._segment_bytes, self.keep = sync_interval_ns, segment_bytes, keep
        self._lock = threading.Lock()
        self._gathered: list[Step] = []
        self._gathered_cells = self._segment_cells = 0
        self._spans: dict[Path, tuple[int, int] | None] = {}  # of segments that no longer change
        self._damaged: dict[Path, int] = {}
        self._synced_ns: int | None = None
        self._now_ns = self._hour = 0
        self._finished: deque[tuple[int, int]] = deque(maxlen=1000)  # when segments were over, and their numbers
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
        self._sealable = segments.number_of(self._path) - 1

    def append(self, step: Step, monotonic_ns: int) -> None:
        """Take a step; write and sync what was gathered when the interval since the last sync is over.

        A disk that refuses costs telemetry, never the agent: the loss is counted and shown in `health`.
        """
        with self._lock:
            self._gathered.append(step)
        self._gathered_cells += step.frame.values.size + 1
        self._now_ns = step.now_ns
        if self._synced_ns is None:
            self._synced_ns = monotonic_ns
        due = monotonic_ns - self._synced_ns >= self._sync_interval_ns
        if due or self._gathered_cells > _GATHERED_CELLS_MAX:
            self._synced_ns = monotonic_ns
            self.sync()

    def sync(self) -> None:
        """Write what was gathered and bring it to disk."""
        if not self._gathered:
            return
        block = blocks.pack_steps(self._gathered, self.layout)
        error = None
        try:
            _write(self._handle, block, self._size)
            os.fdatasync(self._handle)
        except OSError as refused:
            error = f"{self.directory}: {refused.strerror}"
            log.warning("telemetry is lost", extra={"error": error, "steps": len(self._gathered)})
            if refused.errno in (errno.ENOSPC, errno.EDQUOT):
                self._drop_oldest(free=len(block) + _SPARE_BYTES)
        with self._lock:
            taken = len(self._gathered)
            if error is None:
                self._size += len(block)
                self._segment_cells += self._gathered_cells
                self.health = replace(
                    self.health,
                    error=self._drop_error,
                    steps=self.health.steps + taken,
                    cells=self.health.cells + sum(step.frame.values.size for step in self._gathered),
                    bytes_written=self.health.bytes_written + len(block),
                )
            else:
                self.health = replace(self.health, error=error, steps_lost=self.health.steps_lost + taken)
            self._gathered, self._gathered_cells = [], 0
        hour = self._now_ns // HOUR_NS
        full = self._size >= self._segment_bytes or self._segment_cells >= _SEGMENT_CELLS_MAX
        if full or (self._hour and hour != self._hour):
            self._rotate()
        self._hour = hour

    def begin(self, started: Started) -> None:
        """Record that lines of some assets begin anew, in a segment of its own, after all that was taken before.

        Where the disk refuses, that is counted in `health`: a replay of what comes then starts from the next state.
        """
        self.sync()
        self._rotate(started)

    def close(self) -> None:
        """Write what is left and close; may be called twice."""
        if self._handle >= 0:
            self.sync()
            os.close(self._handle)
            self._handle = -1

    def sealable(self) -> int:
        """Return the number of the last segment that has been over for an hour, or since before the start.

        What people look at most, the last hour, is thus read from the log, in this process.
        """
        while self._finished and abs(self._now_ns - self._finished[0][0]) >= HOUR_NS:
            self._sealable = self._finished.popleft()[1]
        return self._sealable

    def scan(
        self, asset: str | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[Step]:
        """Give the steps of an asset (None: of all) in the order taken, with since <= now_ns < until, not sealed yet.

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
        """Give the steps of an asset, not sealed yet, with a row measured in since <= source time < until, whole.

        Raise FileNotFoundError where a segment was sealed or dropped meanwhile: what it became may be read anew.
        """
        for step in self._steps(since_ns, until_ns, strict=True):
            times = step.frame.source_time_ns
            if step.asset == asset and ((times >= since_ns) & (times < until_ns)).any():
                yield step

    def _steps(self, since_ns: int | None, until_ns: int | None, *, strict: bool = False) -> Iterator[Step]:
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
                        on_damage=self.count_damage,
                    )
            except FileNotFoundError:
                if strict:
                    raise
        yield from gathered

    def _touches(self, path: Path, since_ns: int | None, until_ns: int | None) -> bool:
        if path not in self._spans:
            if len(self._spans) >= _SPANS_MAX:
                self._spans.clear()
            self._spans[path] = segments.span(path)
        found = self._spans[path]
        return found is None or (
            (since_ns is None or found[1] >= since_ns) and (until_ns is None or found[0] < until_ns)
        )

    def count_damage(self, path: Path, size: int) -> None:
        """Count what was found damaged and passed over, once for each file. From any thread."""
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
            self.count_damage(aside or existing[-1], lost)

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
        with self._lock:
            self.health = replace(self.health, bytes_written=self.health.bytes_written + len(first))
        return path, handle, len(first)

    def _rotate(self, started: Started | None = None) -> None:
        """Begin a new segment, drop the oldest above the retention; a full disk keeps the old one in use."""
        finished, number = self._handle, segments.number_of(self._path)
        try:
            new = self._new_segment(started)
        except OSError as error:
            log.warning("no new telemetry segment", extra={"path": str(self.directory), "error": str(error)})
            if started is not None:
                self._lose(started, f"{self.directory}: {error.strerror}")
            return
        with self._lock:
            self._path, self._handle, self._size = new
            self._segment_cells = 0
        os.close(finished)
        self._finished.append((self._now_ns, number))
        self._drop_oldest()

    def _lose(self, started: Started, error: str) -> None:
        with self._lock:
            lost = self.health.starts_lost + len(started.starts)
            self.health = replace(self.health, error=error, starts_lost=lost)

    def _drop_oldest(self, *, free: int = 0) -> None:
        """Keep within the retention, or below it to free some bytes.

        What cannot be dropped is told in `health`, and the next segment tries again.
        """
        before_s = self._now_ns / 1e9 - self.keep.age_max_s
        done = retention.drop(
            self.directory, keep=self._path, bytes_max=self.keep.bytes_max, before_s=before_s, free=free
        )
        self._drop_error = done.errors[0] if done.errors else None
        if done.errors:
            log.warning("old telemetry cannot be dropped", extra={"errors": done.errors})
        with self._lock:
            for path, _ in done.gone:
                self._spans.pop(path, None)
            self.health = replace(
                self.health,
                error=self._drop_error or self.health.error,
                bytes_kept=done.bytes_left,
                segments_dropped=self.health.segments_dropped + len(done.gone),
                bytes_dropped=self.health.bytes_dropped + sum(size for _, size in done.gone),
            )


def _write(handle: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position`: one call may take less than it was given."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, position)
        rest, position = rest[written:], position + written
