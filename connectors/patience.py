"""Time-outs of what is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Patience:
    """`with patience:` bounds what one task awaits, as `async with asyncio.timeout(...)` does, again and again.

    That sets a timer and clears it each time. This one's stays set, and looks when it rings whether it is time: what is
    done often and hardly ever takes too long costs a look at the clock.

    Nor does it take every kind of CancelledError for its own under Python 3.11: where an answer and the time-out meet,
    asyncua's wait_for2 raises another, which would end the task that reads.
    """

    def __init__(self, limit_ms: float) -> None:
        self._limit_s = limit_ms / 1e3
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._until_s = 0.0
        self._over = False

    def __enter__(self) -> None:
        assert self._task is None, "one task at a time"
        self._task = task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._cancelling, self._over = task.cancelling(), False
        self._until_s = loop.time() + self._limit_s
        if self._timer is None:
            self._timer = loop.call_at(self._until_s, self._ring, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        task, self._task = self._task, None
        ours = self._over and task is not None and task.uncancel() <= self._cancelling
        if ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def close(self) -> None:
        """Clear the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._task is None:
            return
        if loop.time() < self._until_s:
            self._timer = loop.call_at(self._until_s, self._ring, loop)
        else:
            self._over = True
            self._task.cancel()


@contextmanager
def within(limit_ms: float) -> Iterator[None]:
    """Bound what is awaited once; raise TimeoutError."""
    patience = Patience(limit_ms)
    try:
        with patience:
            yield
    finally:
        patience.close()
