"""Time: the only module of the project that may ask what time it is or sleep."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The road to time. `monotonic_ns` never steps; `time_ns` is UTC and may."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back."""

    def time_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC."""

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Return when `monotonic_ns()` has reached the given value (at once if it has)."""


class SystemClock:
    """The machine's clock; with `speed` > 1 both its times run that much faster (for demonstrations)."""

    def __init__(self, speed: float = 1.0) -> None:
        assert speed > 0
        self._speed = speed
        self._start_monotonic_ns = time.monotonic_ns()
        self._start_time_ns = time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back."""
        return time.monotonic_ns() if self._speed == 1.0 else self._start_monotonic_ns + self._elapsed_ns()

    def time_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC; follows steps of the system clock only at speed 1."""
        return time.time_ns() if self._speed == 1.0 else self._start_time_ns + self._elapsed_ns()

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Sleep until `monotonic_ns()` has reached the given value; always yields to the event loop."""
        await asyncio.sleep(max(0.0, (monotonic_ns - self.monotonic_ns()) / 1e9 / self._speed))

    def _elapsed_ns(self) -> int:
        return int((time.monotonic_ns() - self._start_monotonic_ns) * self._speed)
