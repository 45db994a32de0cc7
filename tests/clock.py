"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio

PATIENCE_S = 60.0
"""How long (wall time) a test waits for what must happen before it fails; no test depends on its value."""
SPEED = 1000.0
"""Of a manual clock that is moved on while a PLC answers: what is slow by it is no slow PLC to slow down for."""


class ManualClock:
    """Time stands still until the test says otherwise; sleepers wake in the order of their deadlines.

    Satisfies agent.clock.Clock. All but `monotonic_ns` and `time_ns` belong to the event loop.
    """

    def __init__(self, time_ns: int = 1_790_000_000_000_000_000) -> None:
        self._monotonic_ns = 0
        self._wall_offset_ns = time_ns
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def time_ns(self) -> int:
        return self._monotonic_ns + self._wall_offset_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        if monotonic_ns <= self._monotonic_ns:
            await asyncio.sleep(0)
            return
        sleeper = (monotonic_ns, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        self._changed.set()
        try:
            await sleeper[1]
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    @property
    def sleeping(self) -> int:
        return len(self._sleepers)

    @property
    def next_in_ns(self) -> int:
        """How long the one that wakes next has still to sleep; very long where nobody sleeps."""
        return min((deadline - self._monotonic_ns for deadline, _ in self._sleepers), default=2**63)

    async def until_sleeping(self, count: int) -> None:
        """Wait until so many sleep."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self._sleepers) < count:
                self._changed.clear()
                await self._changed.wait()

    async def advance(self, duration_ns: int, sleepers: int = 0) -> None:
        """Let time pass, deadline by deadline; after each, wait until at least so many sleep again."""
        end_ns = self._monotonic_ns + duration_ns
        await self.until_sleeping(sleepers)
        while due := [deadline for deadline, _ in self._sleepers if deadline <= end_ns]:
            self._monotonic_ns = max(self._monotonic_ns, min(due))
            for sleeper in [one for one in self._sleepers if one[0] <= self._monotonic_ns]:
                self._sleepers.remove(sleeper)
                if not sleeper[1].done():
                    sleeper[1].set_result(None)
            await asyncio.sleep(0)
            await self.until_sleeping(sleepers)
        self._monotonic_ns = end_ns

    def step_wall(self, duration_ns: int) -> None:
        """Set the wall clock forward or back; monotonic time does not notice."""
        self._wall_offset_ns += duration_ns
