"""An event loop on which a time-out means the same on a busy machine as on an idle one."""

from __future__ import annotations

import asyncio
import selectors
import time

BUSY_S_MAX = 0.001


class _Waits(selectors.DefaultSelector):
    """Counts the time that is spent waiting, and of the time between two waits a millisecond at most."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0
        self._since_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        begun_s = time.monotonic()
        self.passed_s += min(begun_s - self._since_s, BUSY_S_MAX)
        events = super().select(0)
        if not events and (timeout is None or timeout > 0):
            events = super().select(timeout)
            waited_s = time.monotonic() - begun_s
            if timeout is not None:  # what has come is seen to before any timer rings
                waited_s = min(waited_s, timeout / 2 if events else timeout)
            self.passed_s += waited_s
        self._since_s = time.monotonic()
        return events


class SteadyLoop(asyncio.SelectorEventLoop):
    """Its time stands still while the process is held up: by other processes, or by what it computes itself.

    A device that a test plays on the same loop answers before the time-out, however late that is by the clock on the
    wall, if it answers at all.
    """

    def __init__(self) -> None:
        self._waits = _Waits()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.passed_s
