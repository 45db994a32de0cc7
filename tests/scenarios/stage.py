"""What the scenarios share: reading on until something holds, and what a process holds on to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from connectors.frame import Frame, is_bad
from connectors.link import Link
from tests.connectors.servers import ManualClock


def all_good(frame: Frame) -> bool:
    """Every value of the newest row is there."""
    return bool(frame.rows) and not is_bad(frame.status[-1]).any()


async def read_until(link: Link, clock: ManualClock, holds: Callable[[Frame], bool], step_s: float = 1.0) -> float:
    """Read once every `step_s` until a frame is as wanted; return how long that took on the clock, in seconds."""
    begun_ns = clock.monotonic_ns()
    while not holds(await link.read()):
        clock.advance_s(step_s)
        await asyncio.sleep(0.002)
    return (clock.monotonic_ns() - begun_ns) / 1e9


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
