"""The old telemetry: sealed by a child process, asked by another, so that polars is never in the daemon."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent import child
from agent.clock import Clock
from agent.store import ask, holes, sealed, segments
from agent.store.blocks import Step
from agent.store.holes import Asked, Found
from agent.store.journal import StoreError
from agent.store.series import Rows, Series, Window, summarise
from agent.store.telemetry import TelemetryLog

log = logging.getLogger(__name__)

CHECK_NS = 60_000_000_000
RETRY_NS = 600_000_000_000
SEAL_TIMEOUT_NS = 1_800_000_000_000
ASK_TIMEOUT_S = 60.0
_STEPS_AT_ONCE = 1024
_ERROR_BYTES = 500


@dataclass(frozen=True, slots=True)
class ArchiveHealth:
    """Counts since the start: segments sealed, bytes they came to, sealing that failed; `error` None after success."""

    sealed: int = 0
    bytes_written: int = 0
    failures: int = 0
    error: str | None = None


class Archive:
    """What is over of a telemetry log: seals it, and reads both as one."""

    def __init__(self, telemetry: TelemetryLog, clock: Clock, python: Sequence[str] = (sys.executable,)) -> None:
        self.health = ArchiveHealth()
        self._telemetry, self._clock, self._python = telemetry, clock, tuple(python)

    async def run(self) -> None:
        """Seal what may be sealed, for ever; a child that fails is counted, told, and tried again later."""
        while True:
            failed = self.waiting() and not await self.seal()
            await self._clock.sleep_until(self._clock.monotonic_ns() + (RETRY_NS if failed else CHECK_NS))

    def waiting(self) -> bool:
        """Whether there is a segment that may be sealed."""
        last = self._telemetry.sealable()
        return any(
            segments.number_of(path) <= last and not path.name.endswith(segments.KEPT)
            for path in segments.segments(self._telemetry.directory)
        )

    async def seal(self) -> bool:
        """Seal what may be sealed, in a child process of lowest priority; False, and counted, where it failed."""
        command = (*self._python, "-m", "agent.store.seal", str(self._telemetry.directory))
        try:
            ended = await child.run((*command, str(self._telemetry.sealable())), self._clock, SEAL_TIMEOUT_NS)
        except OSError as error:
            return self._failed(f"{command[0]} cannot be started: {error.strerror}")
        for line in ended.said.splitlines():
            self._count(json.loads(line))
        if ended.hung:
            return self._failed("sealing hung and was ended")
        if ended.code:
            return self._failed(ended.complaint or f"sealing ended with {ended.code}")
        self.health = replace(self.health, error=None)
        return True

    def series(self, asset: str, tags: Sequence[tuple[str, str]], window: Window) -> Series:
        """Summarise recorded telemetry of some tags (name, unit) of an asset; raise StoreError.

        May be called from any thread, and waits for the disk and for a child process where sealed telemetry is asked.
        """
        known = [name for name, _ in self._telemetry.layout[asset]]
        columns = [known.index(name) for name, _ in tags]
        for _ in range(2):  # a segment that was sealed in between is found as such at the second try
            try:
                steps = self._telemetry.rows(asset, window.since_ns, window.until_ns)
                summary = summarise(_batches(steps, columns), len(tags), window)
            except FileNotFoundError:
                continue
            if any(f.touches(window.since_ns, window.until_ns) for f in sealed.folders(self._telemetry.directory)):
                summary.merge(self._ask(asset, tags, window))
            return summary.series()
        raise StoreError(f"{self._telemetry.directory}: telemetry is being sealed; ask again")

    def holes(self, asked: Mapping[str, Asked]) -> dict[str, Found]:
        """Return where the record has no values, for each question by its name; raise StoreError. Waits as `series`."""
        found, damaged = holes.read_answer(
            self._child("agent.store.holes", holes.question(self._telemetry.directory, asked))
        )
        for path, lost in damaged.items():
            if path.suffix == segments.SUFFIX:
                self._telemetry.count_damage(path, lost)  # sealing keeps its sound blocks
            else:
                self._set_aside(path, lost)
        return found

    def _ask(self, asset: str, tags: Sequence[tuple[str, str]], window: Window) -> bytes:
        said = self._child("agent.store.ask", ask.question(self._telemetry.directory, asset, list(tags), window))
        head, _, summary = said.partition(b"\n")
        for name, lost in json.loads(head):
            self._set_aside(Path(name), lost)
        return summary

    def _child(self, module: str, asked: bytes) -> bytes:
        """Return what a module of ours says, asked in a process of its own; raise StoreError."""
        try:
            done = subprocess.run(  # noqa: S603 - ourselves
                (*self._python, "-m", module), input=asked, capture_output=True, timeout=ASK_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace")
            log.warning("sealed telemetry cannot be read", extra={"error": said[-_ERROR_BYTES:]})
            raise StoreError(
                f"{self._telemetry.directory}: sealed telemetry cannot be read: {error.__class__.__name__}; "
                "ask for less of it, or see the agent's log"
            ) from error
        return done.stdout

    def _set_aside(self, path: Path, lost: int) -> None:
        self._telemetry.count_damage(path, lost)
        try:
            segments.set_aside(path, f"{lost} bytes are not what was written")
        except OSError as error:
            log.warning("damaged telemetry cannot be moved", extra={"path": str(path), "error": error.strerror})

    def _count(self, said: dict[str, int | str]) -> None:
        path, lost = self._telemetry.directory / str(said["segment"]), int(said["damaged"])
        if lost:
            self._telemetry.count_damage(path, lost)
        self.health = replace(
            self.health, sealed=self.health.sealed + 1, bytes_written=self.health.bytes_written + int(said["bytes"])
        )

    def _failed(self, why: str) -> bool:
        log.warning("telemetry is not sealed; trying again later", extra={"error": why})
        self.health = replace(self.health, failures=self.health.failures + 1, error=why)
        return False


def _batches(steps: Iterator[Step], columns: list[int]) -> Iterator[Rows]:
    """Give rows of many steps at once: a step is one row as a rule, and alone would cost a dozen calls of numpy."""
    batch: list[Step] = []
    for step in steps:
        batch.append(step)
        if len(batch) == _STEPS_AT_ONCE:
            yield _joined(batch, columns)
            batch.clear()
    if batch:
        yield _joined(batch, columns)


def _joined(steps: Sequence[Step], columns: list[int]) -> Rows:
    frames = [step.frame for step in steps]
    return Rows(
        np.concatenate([frame.source_time_ns for frame in frames]),
        np.concatenate([frame.values[:, columns] for frame in frames]),
    )


