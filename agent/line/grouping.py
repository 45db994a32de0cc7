"""Many alerts of one incident become one: those of a group or a connection, and those of a flood, go under a root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.line.alert import AlarmEvent, Alert, Group
from agent.line.event import Entry
from agent.line.lifecycle import is_open
from agent.line.verdict import Cause

FLOOD_ALERTS: Final = 10
"""More new alerts of the plant than so many, within FLOOD_NS, are a flood (ISA-18.2-2016, clause 16)."""
FLOOD_NS: Final = 600_000_000_000


@dataclass(frozen=True, slots=True)
class Belonging:
    """What an asset shares with others: its group, where it has one, and its connections."""

    group: str | None
    connections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """An alert of an asset is to be put under another one, or to stand by itself."""

    asset: str
    command: Group


class Grouping:
    """Says which open alert goes under which; sees every revision of every asset, in order.

    A new alert goes under the first open one of its group whose onset is no further than the window from its own; where
    the communication is the cause, of its connection. In a flood all go under the first. When a root is over, the first
    of those under it is the root of the others.
    """

    def __init__(
        self, belonging: Mapping[str, Belonging], window_ns: int, open_alerts: Iterable[Alert] = ()
    ) -> None:
        self._belonging, self._window_ns = belonging, window_ns
        self._open = {alert.id: alert for alert in sorted(open_alerts, key=lambda alert: alert.raised_time_ns)}
        self._raised: list[tuple[int, str]] = []

    def note(self, entries: Sequence[Entry], now_ns: int) -> list[Put]:
        """Take new revisions in; return what is to be put where because of them."""
        puts: list[Put] = []
        for alert in entries:
            if isinstance(alert, Alert):
                puts += self._note(alert, now_ns)
        return puts

    def _note(self, alert: Alert, now_ns: int) -> list[Put]:
        if not is_open(alert):
            self._open.pop(alert.id, None)
            return list(self._orphaned(alert.id, now_ns))
        self._open[alert.id] = alert
        if alert.event is not AlarmEvent.RAISE or alert.revision > 1:
            return []
        lately = [one for one in self._raised if one[0] > now_ns - FLOOD_NS][-FLOOD_ALERTS:]
        self._raised = [*lately, (now_ns, alert.id)]
        if len(self._raised) > FLOOD_ALERTS:
            return list(self._flood(now_ns))
        root = next((other.id for other in self._roots() if self._is_one_incident(other, alert)), None)
        return [] if root is None else [Put(alert.asset, Group(alert.id, root, now_ns))]

    def _roots(self) -> Iterator[Alert]:
        return (alert for alert in self._open.values() if alert.root is None)

    def _is_one_incident(self, first: Alert, alert: Alert) -> bool:
        if first.id == alert.id or abs(first.onset_time_ns - alert.onset_time_ns) > self._window_ns:
            return False
        one, other = self._belonging[first.asset], self._belonging[alert.asset]
        lost = [cause is Cause.COMMUNICATION for cause in (first.verdict.cause, alert.verdict.cause)]
        if any(lost):
            return all(lost) and not set(one.connections).isdisjoint(other.connections)
        return one.group is not None and one.group == other.group

    def _flood(self, now_ns: int) -> Iterator[Put]:
        """Put what was raised lately, and what is under that, under the first of it that is open."""
        ids = [alert_id for _, alert_id in self._raised if alert_id in self._open]
        root = self._open[ids[0]].root or ids[0]
        for alert in self._open.values():
            if (alert.id in ids or alert.root in ids) and alert.id != root and alert.root != root:
                yield Put(alert.asset, Group(alert.id, root, now_ns))

    def _orphaned(self, root: str, now_ns: int) -> Iterator[Put]:
        children = [alert for alert in self._open.values() if alert.root == root]
        for place, alert in enumerate(children):
            yield Put(alert.asset, Group(alert.id, children[0].id if place else None, now_ns))
