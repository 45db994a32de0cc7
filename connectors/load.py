"""What asking costs a PLC, and whether it has become slower under it. Pure: the times are arguments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Final, Self

SECOND_NS: Final = 1_000_000_000
SLOW_BY_MS: Final = 20.0
"""A smaller delay is the jitter of our own machine."""
RATE_MAX: Final = 1001
"""More requests in a second than any configuration allows."""
SHARE_MIN: Final = 1 / 8
"""However slow a PLC becomes, this much of the usual rate is kept."""
SPACING_NS_MAX: Final = 2 * SECOND_NS
"""No more than this is put between two requests on account of a slow PLC: a wait, never a standstill."""
_LEARN: Final = 20
_EWMA, _FORGET_UP, _FORGET_DOWN = 1 / 8, 1 / 2000, 1 / 50
_SLOWER: Final = 2.0
_RECOVERY_NS: Final = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked of a PLC in `watched_ns`.

    `requests_max_per_s` began within one second at most, connections included. `values` are registers and bits, or
    OPC UA values. Bytes are those of Modbus frames, 0 for OPC UA. `busy_ns` is the sum of the response times: for so
    long the PLC was at work for us, or the network was. `errors` are requests that got no answer.
    """

    watched_ns: int = 0
    requests: int = 0
    requests_max_per_s: int = 0
    errors: int = 0
    values: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    busy_ns: int = 0
    connections: int = 0
    slow_downs: int = 0

    @property
    def busy_share(self) -> float:
        """The part of the time in which the PLC was answering us, 0..1."""
        return self.busy_ns / self.watched_ns if self.watched_ns else 0.0

    @property
    def requests_per_s(self) -> float:
        """The mean rate."""
        return self.requests * SECOND_NS / self.watched_ns if self.watched_ns else 0.0

    def plus(self, later: Self) -> Self:
        """Return both together."""
        both = {f.name: getattr(self, f.name) + getattr(later, f.name) for f in fields(self)}
        both["requests_max_per_s"] = max(self.requests_max_per_s, later.requests_max_per_s)
        return type(self)(**both)


class Meter:
    """Adds up the load on one PLC; `take` gives what has come since the last time."""

    def __init__(self, now_ns: int) -> None:
        self._second: deque[int] = deque(maxlen=RATE_MAX)
        self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        self._since_ns = now_ns
        self._requests = self._requests_max_per_s = self._errors = self._connections = self._slow_downs = 0
        self._values = self._bytes_sent = self._bytes_received = self._busy_ns = 0

    def begun(self, now_ns: int) -> None:
        """Count a request that begins."""
        second = self._second
        while second and second[0] <= now_ns - SECOND_NS:
            second.popleft()
        second.append(now_ns)
        self._requests += 1
        self._requests_max_per_s = max(self._requests_max_per_s, len(second))

    def connecting(self) -> None:
        """Count a new connection."""
        self._connections += 1

    def answered(self, values: int, bytes_sent: int, bytes_received: int) -> None:
        """Count what came, of a request or unasked from a subscription."""
        self._values += values
        self._bytes_sent += bytes_sent
        self._bytes_received += bytes_received

    def unanswered(self, bytes_sent: int) -> None:
        """Count a request that got no answer in time."""
        self._errors += 1
        self._bytes_sent += bytes_sent

    def ended(self, busy_ns: int, *, failed: bool, slower: bool) -> None:
        """Count how long a request took, whether it failed, and whether it was the first that we slow down for."""
        self._busy_ns += busy_ns
        self._errors += failed
        self._slow_downs += slower

    def take(self, now_ns: int) -> Load:
        """Return the load since the last call, or the start, and begin anew."""
        taken = Load(now_ns - self._since_ns, self._requests, self._requests_max_per_s, self._errors, self._values,
                     self._bytes_sent, self._bytes_received, self._busy_ns, self._connections, self._slow_downs)
        self._begin(now_ns)
        return taken


class Pace:
    """Slows us down when a PLC slows down: its share of time for us stays what it was.

    The response time, an EWMA, is compared with what is usual of this PLC, learnt from its first answers and then
    followed slowly. Twice that, and longer by `slow_by_ns`, is slow: the rate falls in proportion, and comes back
    within a minute once the PLC answers as usual.
    """

    def __init__(self, slow_by_ns: int) -> None:
        self._slow_by_ns = slow_by_ns
        self._answers = 0
        self._at_ns = 0
        self._usual_spacing_ns = 0.0
        self._begun: deque[int] = deque(maxlen=_LEARN)
        self.response_ns = self.usual_ns = 0.0
        self.share = 1.0

    def begin(self, now_ns: int) -> None:
        """Note that a request begins."""
        self._begun.append(now_ns)

    def answered(self, response_ns: int, now_ns: int) -> bool:
        """Note a response time; return whether we begin to slow down."""
        self._answers += 1
        weight = max(_EWMA, 1 / self._answers)
        self.response_ns += weight * (response_ns - self.response_ns)
        if self._answers <= _LEARN:
            self.usual_ns += (response_ns - self.usual_ns) / self._answers
            self._at_ns = now_ns
            return False
        forget = _FORGET_UP if self.response_ns > self.usual_ns else _FORGET_DOWN
        self.usual_ns += forget * (self.response_ns - self.usual_ns)
        before, self._at_ns, elapsed_ns = self.share, now_ns, now_ns - self._at_ns
        if self.response_ns <= max(_SLOWER * self.usual_ns, self.usual_ns + self._slow_by_ns):
            self.share = min(1.0, self.share + elapsed_ns / _RECOVERY_NS)
            return False
        self.share = max(SHARE_MIN, min(self.share, self.usual_ns / self.response_ns))
        if before == 1.0:
            self._usual_spacing_ns = (self._begun[-1] - self._begun[0]) / max(len(self._begun) - 1, 1)
        return before == 1.0

    @property
    def spacing_ns(self) -> int:
        """How far apart requests must begin now; 0 while the PLC answers as usual."""
        if self.share == 1.0:
            return 0
        return min(int(self._usual_spacing_ns / self.share), SPACING_NS_MAX)
