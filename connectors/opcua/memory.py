"""What is known of the servers of one connection from one session to the next: where they are, what has moved. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.counters import Counters
from connectors.frame import Tag
from connectors.link import About, Clock
from connectors.opcua.endpoint import OpcuaEndpoint, Timestamps
from connectors.opcua.gaps import Gaps
from connectors.opcua.limits import Limits
from connectors.opcua.resolve import Facts
from connectors.opcua.times import moment

NAMES_SHOWN: Final = 5
_CHANGES_KEPT: Final = 8
_RESTARTED: Final = " has restarted"
"""By itself no change: whoever switches a PLC off and on has not changed it."""


def shown(names: Sequence[str]) -> str:
    """Return the first few of some names."""
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _version(build: tuple[str, str]) -> str:
    version, number = build
    return f"{version or 'unknown'}{f' build {number}' if number else ''}"


class Memory:
    """Compares what a server says of itself with what it said before, and puts into words what people should know."""

    def __init__(self, endpoint: OpcuaEndpoint, clock: Clock, tags: Sequence[Tag], gaps: Gaps | None = None) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._url = endpoint.url
        self._facts: dict[str, Facts] = {}
        self._change = ""
        self._report = ""
        self._certificate = ""
        self._missing: set[str] = set()
        self._changes: tuple[str, ...] = ()
        self.limits = Limits(endpoint.max_nodes_per_request)
        """How much one request may ask for."""
        self.gaps = gaps
        """What was missed and is to be filled from the server's history; None where that is not wanted."""
        self.rows_recovered = 0
        self.unrecovered = ""
        """Why the server's history cannot fill gaps, or not for all tags."""
        self.polled = ""
        """Which tags are read by polling although changes were wanted, and why."""
        self.counters = Counters.of(tags)
        """Where the counters stood last: what was counted in an outage is not lost."""

    def begin(self, url: str, facts: Facts, certificate: str) -> None:
        """Take note of a new session with the server at `url`; `certificate` warns of the end of our own."""
        self._change = self.changed(url, facts)
        self._url, self._certificate = url, certificate
        self._facts[url] = facts
        self.limits.say(dict(facts.limits))

    def changed(self, url: str, facts: Facts) -> str:
        """Return what the server is not any more since the last time, in words; "" where it is the same."""
        before = self._facts.get(url)
        if before is None:
            return ""
        if facts.build != before.build:
            return (f"the firmware of OPC UA server {url} was changed ({_version(before.build)} before, "
                    f"{_version(facts.build)} now)")
        if facts.namespaces != before.namespaces:
            return f"the namespace table of OPC UA server {url} has moved"
        return f"OPC UA server {url}{_RESTARTED}" if facts.start_time != before.start_time else ""

    def keep(self, url: str, facts: Facts) -> None:
        """Take note of what is the same, and of the clock."""
        self._facts[url] = facts

    def found(self, names: Sequence[str], missing: Sequence[str]) -> None:
        """Take note of the first values after a change: the names of all tags, and of those without a node."""
        change, self._change = self._change, ""
        lost_now, self._missing = set(missing) - self._missing, set(missing)
        if not change:
            return
        which = f"{len(missing)} not: {shown(missing)}. Remedy: compare their nodes with the new program"
        lost = f", {which}" if missing else ""
        self._report = (f"{change} at {moment(self._clock.time_ns()):%Y-%m-%d %H:%M} UTC: {len(names) - len(missing)} "
                        f"tags found again{lost}")
        if lost_now or not change.endswith(_RESTARTED):
            self._changes = (*self._changes, self._report)[-_CHANGES_KEPT:]

    def about(self) -> About:
        """Return which server is in use, and how far its clock is off."""
        facts = self._facts.get(self._url)
        skew_ms = None if facts is None else facts.skew_ms
        if self.gaps is None:
            return About(self._url, skew_ms, changes=self._changes)
        return About(self._url, skew_ms, self.rows_recovered, self.gaps.left_ns / 1e9, self.gaps.given_up_ns / 1e9,
                     self._changes)

    def notes(self) -> tuple[str, ...]:
        """Return what people should know although values come."""
        told = (self._report, self._skew(self.about().clock_skew_ms), self._certificate, self.polled,
                self.unrecovered, *self.limits.notes())
        return tuple(note for note in told if note)

    def _skew(self, skew_ms: float | None) -> str:
        told_ms = self._endpoint.skew_told_s * 1e3
        if skew_ms is None or abs(skew_ms) <= told_ms or self._endpoint.timestamps is Timestamps.GATEWAY:
            return ""
        return (f"the clock of OPC UA server {self._url} is more than {told_ms / 1e3:g} s "
                f"{'ahead of' if skew_ms > 0 else 'behind'} the gateway's. Remedy: let both follow one time server "
                '(NTP), or set timestamps = "gateway"')
