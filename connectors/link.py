"""The supervised connection, for every protocol: back-off, freshness, rebuild, and the guard of the PLC.

A connector is built, used until its first fault and thrown away; the next attempt builds another. No state
of a wire library is trusted to survive a fault, and a reply that comes late finds nobody who could take it
for an answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, Self

import numpy as np

from connectors import Connector, ConnectorError
from connectors.frame import (
    BAD,
    BAD_COMMUNICATION_ERROR,
    BAD_CONFIGURATION_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_NOT_CONNECTED,
    BAD_TIMEOUT,
    BAD_WAITING_FOR_INITIAL_DATA,
    Frame,
    Tag,
    is_bad,
)
from connectors.load import SLOW_BY_MS, SPACING_NS_MAX, Load, Meter, Pace
from connectors.patience import Patience, within

_SILENT: Final = np.array([
    BAD_COMMUNICATION_ERROR, BAD_NO_COMMUNICATION, BAD_NO_DATA, BAD_NOT_CONNECTED, BAD_TIMEOUT,
    BAD_WAITING_FOR_INITIAL_DATA], np.uint32)
"""Statuses that do not show that anything lives at the other end; all others do, good or bad."""


_WHOLE_MS_MIN: Final = 15_000
_WAITING_MS_MAX: Final = 120_000
_MARGIN_MS: Final = 5_000
_BULK_ONE_IN: Final = 10
"""Of so many requests one may be for what can wait, however busy the others keep the PLC."""


class Clock(Protocol):
    """What a connector asks of time (agent.clock offers it)."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back."""

    def time_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC."""

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Return when `monotonic_ns()` has reached the given value (at once if it has)."""


class LoadGuard:
    """Spares one PLC: `async with guard:` around each request, by every connector to it.

    One request is in flight at a time, no more than `max_requests_per_s` begin within any one second, and
    each begins at least `min_gap_ms` after the one before has ended. A PLC that takes twice as long as usual, and
    `slow_by_ms` longer, is asked more rarely (connectors.load.Pace). Within the block a connector says what came of
    it: `connecting`, `answered`, or `unanswered` where that is no exception.
    """

    def __init__(self, clock: Clock, max_requests_per_s: float = 10.0, min_gap_ms: float = 50.0, *,
                 slow_by_ms: float = SLOW_BY_MS) -> None:
        assert max_requests_per_s > 0
        assert min_gap_ms >= 0
        burst = max(1, int(max_requests_per_s))
        self._clock = clock
        self._window_ns = int(burst / max_requests_per_s * 1e9)
        self._gap_ns = int(min_gap_ms * 1e6)
        self._begun: deque[int] = deque(maxlen=burst)
        self._free_at_ns = clock.monotonic_ns()
        self._one = asyncio.Lock()
        self._requests = self._bulk_at = 0
        self._meter = Meter(clock.monotonic_ns())
        self._pace = Pace(int(slow_by_ms * 1e6))
        self._timed = True

    @property
    def requests(self) -> int:
        """How many requests have begun since the start."""
        return self._requests

    @property
    def pace(self) -> Pace:
        """How fast the PLC answers, and how much of the usual rate it is given."""
        return self._pace

    def take(self) -> Load:
        """Return what was asked of the PLC since the last call, or since the start."""
        return self._meter.take(self._clock.monotonic_ns())

    @property
    def spare(self) -> bool:
        """Whether there is room for what can wait: less than half of what may be asked for was asked for of late, or
        none of the last nine requests was for that.
        """
        since_ns = self._clock.monotonic_ns() - self._window_ns
        room = 2 * sum(begun_ns > since_ns for begun_ns in self._begun) < (self._begun.maxlen or 0)
        return room or self._requests - self._bulk_at >= _BULK_ONE_IN - 1

    def bulk(self) -> None:
        """Say that this request asks for much, and could wait: how long it takes says nothing of the others."""
        self._timed = False
        self._bulk_at = self._requests

    def connecting(self) -> None:
        """Say that this request is a new connection: how long it takes says nothing of the others."""
        self._timed = False
        self._meter.connecting()

    def answered(self, values: int, bytes_sent: int = 0, bytes_received: int = 0) -> None:
        """Say how much came, in this request or unasked from a subscription."""
        self._meter.answered(values, bytes_sent, bytes_received)

    def unanswered(self, bytes_sent: int = 0) -> None:
        """Say that nothing came in time: silence is no slow answer."""
        self._timed = False
        self._meter.unanswered(bytes_sent)

    async def __aenter__(self) -> Self:
        await self._one.acquire()
        try:
            due_ns = self._free_at_ns
            if (spacing_ns := self._pace.spacing_ns) and self._begun:
                due_ns = max(due_ns, self._begun[-1] + spacing_ns)
            if len(self._begun) == self._begun.maxlen:
                due_ns = max(due_ns, self._begun[0] + self._window_ns)
            now_ns = self._clock.monotonic_ns()
            while now_ns < due_ns:
                await self._clock.sleep_until(due_ns)
                now_ns = self._clock.monotonic_ns()
        except BaseException:
            self._one.release()
            raise
        self._begun.append(now_ns)
        self._meter.begun(now_ns)
        self._pace.begin(now_ns)
        self._requests += 1
        self._timed = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        now_ns = self._clock.monotonic_ns()
        response_ns = now_ns - self._begun[-1]
        slower = kind is None and self._timed and self._pace.answered(response_ns, now_ns)
        self._meter.ended(response_ns, failed=kind is not None, slower=slower)
        self._free_at_ns = now_ns + self._gap_ns
        self._one.release()


class LinkState(StrEnum):
    """Where a link stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DELIVERING = "delivering"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    CLOSED = "closed"


class LinkEvent(StrEnum):
    """What may befall a link. `refused` is a fault that no further attempt can mend."""

    ATTEMPT = "attempt"
    OPENED = "opened"
    DELIVERED = "delivered"
    LOST = "lost"
    REFUSED = "refused"
    CLOSE = "close"


_S, _E = LinkState, LinkEvent
_UP: Final = (_S.CONNECTED, _S.DELIVERING)
TRANSITIONS: Final[dict[tuple[LinkState, LinkEvent], LinkState]] = {
    (_S.IDLE, _E.ATTEMPT): _S.CONNECTING,
    (_S.BACKING_OFF, _E.ATTEMPT): _S.CONNECTING,
    (_S.CONNECTING, _E.OPENED): _S.CONNECTED,
    (_S.CONNECTED, _E.DELIVERED): _S.DELIVERING,
    **{(state, _E.LOST): _S.BACKING_OFF for state in (_S.CONNECTING, _S.CONNECTED, _S.DELIVERING)},
    **{(state, _E.REFUSED): _S.FAILED for state in (_S.CONNECTING, _S.CONNECTED, _S.DELIVERING)},
    **{(state, _E.CLOSE): _S.CLOSED for state in _S},
}
"""The whole state machine; what is not here cannot happen."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How patient a link is.

    The time-outs are wall time and bound a whole connect or read (each request has the endpoint's own,
    shorter); the others are the clock's. A link that nothing came through for `stale_after_ms` is rebuilt.
    While the device is out of reach attempts are `unreachable_min_ms` to `unreachable_max_ms` apart at most: they cost
    it nothing, and fresh data are there within 10 s of its return. One that answers and refuses is left alone for
    longer, up to `backoff_max_ms`: each attempt costs it a connection, and many have four.
    """

    backoff_min_ms: int = 1_000
    backoff_max_ms: int = 60_000
    unreachable_min_ms: int = 5_000
    unreachable_max_ms: int = 7_000
    connect_timeout_ms: int = _WHOLE_MS_MIN
    read_timeout_ms: int = _WHOLE_MS_MIN
    stale_after_ms: int = 30_000

    @classmethod
    def for_requests(cls, timeout_ms: float, *, connect: int, read: int, pace_ms: float) -> Self:
        """Return the patience for a connect and a read of so many requests, each of `timeout_ms` at most.

        `pace_ms` is what the load guard may hold up each. Where very many requests time out the sum is cut:
        a connector keeps what it learnt, so that the next read gets further.
        """

        def whole_ms(requests: int) -> int:
            waiting_ms = min(requests * timeout_ms, _WAITING_MS_MAX)
            pacing_ms = requests * max(pace_ms, SPACING_NS_MAX / 1e6)
            return max(_WHOLE_MS_MIN, int(waiting_ms + pacing_ms) + _MARGIN_MS)

        return cls(connect_timeout_ms=whole_ms(connect), read_timeout_ms=whole_ms(read))


@dataclass(frozen=True, slots=True)
class About:
    """What a connector knows of its device beside the values.

    `device` is where it is, of redundant ones the one in use, `clock_skew_ms` its clock minus the gateway's (None where
    it has none). `rows_recovered` counts rows that were missed and then filled from the device's own history,
    `missing_s` is how much of the past is still to be filled, `given_up_s` how much could not be. `changes` say what
    the device, or its program, is not any more since it was first met.
    """

    device: str = ""
    clock_skew_ms: float | None = None
    rows_recovered: int = 0
    missing_s: float = 0.0
    given_up_s: float = 0.0
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """What is known of a connection. Times are UTC ns; `last_good_ns` is None before the first good value.

    `error` is the last fault in words, empty while all is well; `retry_in_ms` is 0 unless backing off.
    `values_dropped` counts what came faster than it was read, here or in the device. `notes` say what a person should
    know although values come: a backup in use, a unit that is silent. `response_ms` is how long one request takes now,
    `usual_response_ms` what is usual of this device; `rate_share` is below 1 while it is spared.
    """

    state: LinkState
    since_ns: int
    last_good_ns: int | None
    attempts: int
    reads: int
    reads_failed: int
    requests: int
    latency_ms: float
    retry_in_ms: float
    error: str
    values_dropped: int = 0
    notes: tuple[str, ...] = ()
    response_ms: float = 0.0
    usual_response_ms: float = 0.0
    rate_share: float = 1.0
    about: About = About()


class Link:
    """One connection, supervised. `read` never raises for a fault of the wire: it returns a Bad row instead.

    `build` makes a new connector for each attempt; `seed` decides the jitter of the back-off; `guard`, if
    given, is where the load on the device comes from, as `drops` is for that of values which were lost, `notes` for
    what is to be told beside, and `recover` for rows of the past.
    """

    def __init__(self, build: Callable[[], Connector], tags: Sequence[Tag], clock: Clock,
                 settings: LinkSettings | None = None, seed: int = 0, *,
                 guard: LoadGuard | None = None, drops: Callable[[], int] = lambda: 0,
                 notes: Callable[[], tuple[str, ...]] = tuple, about: Callable[[], About] = About,
                 recover: Callable[[], Awaitable[Frame]] | None = None) -> None:
        self.tags = tuple(tags)
        self._build = build
        self._clock = clock
        self._settings = settings or LinkSettings()
        self._patience = Patience(self._settings.read_timeout_ms)
        self._random = np.random.default_rng(seed)
        self._guard = guard
        self._drops = drops
        self._notes = notes
        self._about = about
        self._recover = recover
        self._connector: Connector | None = None
        self._state = LinkState.IDLE
        self._since_ns = clock.time_ns()
        self._last_good_ns: int | None = None
        self._alive_at_ns = 0
        self._retry_at_ns = 0
        self._attempted_at_ns = 0
        self._failures = 0
        self._attempts = self._reads = self._reads_failed = 0
        self._latency_ms = 0.0
        self._error = ""

    @property
    def health(self) -> LinkHealth:
        """How the connection is now."""
        backing_off = self._state is LinkState.BACKING_OFF
        wait_ms = max(0, self._retry_at_ns - self._clock.monotonic_ns()) / 1e6 if backing_off else 0.0
        pace = Pace(0) if self._guard is None else self._guard.pace
        return LinkHealth(self._state, self._since_ns, self._last_good_ns, self._attempts, self._reads,
                          self._reads_failed, self._guard.requests if self._guard else 0, self._latency_ms,
                          wait_ms, self._error, self._drops(), self._notes(), pace.response_ns / 1e6,
                          pace.usual_ns / 1e6, pace.share, self._about())

    def take_load(self) -> Load:
        """Return what was asked of the device since the last call, or since the start."""
        return Load() if self._guard is None else self._guard.take()

    async def read(self) -> Frame:
        """Read once: what is new, or one Bad row where the connection is down (the wire is left alone
        meanwhile).

        A connection that had delivered is first rebuilt once at once: many devices hang up between slow reads.
        """
        self._reads += 1
        delivering = self._state is LinkState.DELIVERING
        frame = await self._attempt()
        if frame is None and delivering and self._may_rebuild_at_once():
            self._retry_at_ns, self._failures = 0, 0
            frame = await self._attempt()
        if frame is not None:
            return frame
        self._reads_failed += 1
        status = BAD_CONFIGURATION_ERROR if self._state is LinkState.FAILED else BAD_NO_COMMUNICATION
        return Frame.bad(self._clock.time_ns(), len(self.tags), status)

    async def recover(self) -> Frame:
        """Return rows from before an outage ended, from the device's own history; none where there are none to be had.

        To be called after `read`, whose values come first.
        """
        if self._recover is None or self._state is not LinkState.DELIVERING:
            return Frame.empty(len(self.tags))
        return await self._recover()

    async def close(self) -> None:
        """Let go of the connection for good; may be called twice."""
        self._step(LinkEvent.CLOSE)
        self._patience.close()
        await self._drop()

    async def _attempt(self) -> Frame | None:
        """Return what a read gave, over a new connection where it is time for one; None where that failed."""
        try:
            connector = self._connector if self._state in _UP else await self._connected()
            return None if connector is None else await self._read_once(connector)
        except ConnectorError as error:
            await self._fault(error)
            return None

    def _may_rebuild_at_once(self) -> bool:
        """Return whether the last attempt is so long ago that another one now is no storm of connections."""
        since_ns = self._clock.monotonic_ns() - self._attempted_at_ns
        return self._state is LinkState.BACKING_OFF and since_ns >= self._settings.backoff_min_ms * 1_000_000

    async def _connected(self) -> Connector | None:
        """Return a connector that was opened now; None where it is not yet, or no longer, time to try."""
        due = self._clock.monotonic_ns() >= self._retry_at_ns
        if self._state is LinkState.CONNECTING:  # an attempt was cancelled half way
            await self._fault(ConnectorError("the attempt to connect was broken off"))
            return None
        if (self._state, LinkEvent.ATTEMPT) not in TRANSITIONS or not due:
            return None
        self._step(LinkEvent.ATTEMPT)
        self._attempts += 1
        self._attempted_at_ns = self._clock.monotonic_ns()
        self._connector = connector = self._build()
        try:
            with within(self._settings.connect_timeout_ms):
                await connector.open()
        except TimeoutError:
            raise ConnectorError(f"no connection within {self._settings.connect_timeout_ms} ms") from None
        self._step(LinkEvent.OPENED)
        self._alive_at_ns = self._clock.monotonic_ns()
        return connector

    async def _read_once(self, connector: Connector) -> Frame:
        begun_ns = self._clock.monotonic_ns()
        try:
            with self._patience:
                frame = await connector.read()
        except TimeoutError:
            raise ConnectorError(f"a read took longer than {self._settings.read_timeout_ms} ms") from None
        assert frame.columns == len(self.tags)
        now_ns = self._clock.monotonic_ns()
        self._latency_ms = (now_ns - begun_ns) / 1e6
        # The first cell mostly tells; a look at all of them costs more than that at a slow pace.
        good = (frame.status.size > 0 and frame.status.item(0) < BAD) or not is_bad(frame.status).all()
        if good:
            if self._state is not LinkState.DELIVERING:
                self._step(LinkEvent.DELIVERED)
            self._last_good_ns = self._clock.time_ns()
            self._failures = 0
            self._error = ""
        if good or not np.isin(frame.status, _SILENT).all():
            self._alive_at_ns = now_ns
        elif now_ns - self._alive_at_ns > self._settings.stale_after_ms * 1_000_000:
            raise ConnectorError(f"connected, but nothing has come for {self._settings.stale_after_ms} ms: "
                                 "check the addresses of its tags, and that the device is not stopped")
        return frame

    async def _fault(self, error: ConnectorError) -> None:
        """Throw the connector away and, where that can help, set the time of the next attempt."""
        self._error = str(error)
        self._step(LinkEvent.LOST if error.retryable else LinkEvent.REFUSED)
        self._retry_at_ns = self._clock.monotonic_ns() + int(self._backoff_ms(unreachable=error.unreachable) * 1e6)
        self._failures += 1
        await self._drop()

    def _backoff_ms(self, *, unreachable: bool) -> float:
        """Return a random wait from the upper half of a span that doubles with each failure; never below the
        least.

        The jitter keeps many links which lost one switch from coming back in step.
        """
        least, most = self._settings.backoff_min_ms, self._settings.backoff_max_ms
        span = min(most, least * 2 ** min(self._failures + 1, 30))
        if unreachable and span > self._settings.unreachable_max_ms:
            return float(self._random.uniform(self._settings.unreachable_min_ms, self._settings.unreachable_max_ms))
        return float(self._random.uniform(max(least, span / 2), max(least, span)))

    async def _drop(self) -> None:
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    def _step(self, event: LinkEvent) -> None:
        state = TRANSITIONS[self._state, event]
        if state is not self._state:
            self._state = state
            self._since_ns = self._clock.time_ns()
