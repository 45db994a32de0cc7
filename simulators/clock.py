"""Simulated time: the only module of the simulators that may ask what time it is or sleep."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a running plant asks of time."""

    def time_ns(self) -> int:
        """Return simulated nanoseconds since 1970-01-01 UTC."""

    async def sleep_until(self, time_ns: int) -> None:
        """Return when the simulated time has reached the given value; always yields to the event loop."""


class FreeClock:
    """Simulated time that begins at `start_ns` now and runs `speed` times as fast as wall time."""

    def __init__(self, start_ns: int, speed: float = 1.0) -> None:
        assert speed > 0
        self._start_ns = start_ns
        self._speed = speed
        self._began_ns = time.monotonic_ns()

    def time_ns(self) -> int:
        """Return simulated nanoseconds since 1970-01-01 UTC."""
        return self._start_ns + int((time.monotonic_ns() - self._began_ns) * self._speed)

    async def sleep_until(self, time_ns: int) -> None:
        """Sleep until the simulated time has reached the given value."""
        await asyncio.sleep(max(0.0, (time_ns - self.time_ns()) / 1e9 / self._speed))
