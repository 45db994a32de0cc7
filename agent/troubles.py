"""What is wrong on a connection, said once in the log, with what to do, and once more when it is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from agent.clock import Clock
from agent.remedy import remedy_for
from connectors.frame import BAD_NO_DATA, BAD_WAITING_FOR_INITIAL_DATA, GOOD, Frame, Tag, is_bad, status_name
from connectors.link import LinkHealth, LinkState

log = logging.getLogger(__name__)

QUIET_NS = 600_000_000_000
"""A tag that comes and goes is told of no more often than this."""
_NOT_YET = np.array([BAD_NO_DATA, BAD_WAITING_FOR_INITIAL_DATA], np.uint32)


class Troubles:
    """Watches one connection and its `tags`, which a log line calls by `names`."""

    def __init__(self, connection: str, tags: Sequence[Tag], names: Sequence[str], clock: Clock) -> None:
        assert len(tags) == len(names)
        self._connection, self._tags, self._names, self._clock = connection, tuple(tags), tuple(names), clock
        self._error = ""
        self._notes: tuple[str, ...] = ()
        self._told = np.full(len(tags), GOOD, np.uint32)
        self._quiet_until_ns = np.zeros(len(tags), np.int64)

    def note(self, frame: Frame, health: LinkHealth) -> None:
        """Take note of a read; where the connection itself is down its tags are not told of one by one."""
        if health.error != self._error:
            if health.error:
                log.warning(
                    "a connection failed", extra={"connection": self._connection, "error": health.error}
                )
            else:
                log.info("a connection delivers again", extra={"connection": self._connection})
            self._error = health.error
        for note in health.notes:
            if note not in self._notes:
                log.warning("a connection needs attention", extra={"connection": self._connection, "note": note})
        self._notes = health.notes
        if frame.rows and health.state in (LinkState.CONNECTED, LinkState.DELIVERING):
            self._note_tags(frame.status[-1])

    def _note_tags(self, status: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
        changed = (status != self._told) & ~np.isin(status, _NOT_YET) & (is_bad(status) | is_bad(self._told))
        now_ns = self._clock.monotonic_ns()
        for column in np.flatnonzero(changed):
            code = int(status[column])
            name = {"tag": self._names[column], "status": status_name(code)}
            if not is_bad(status[column]):
                log.info("a tag gives values again", extra=name)
            elif now_ns < self._quiet_until_ns[column]:
                continue
            else:
                log.warning(
                    "a tag gives no value", extra={**name, "remedy": remedy_for(code, self._tags[column])}
                )
                self._quiet_until_ns[column] = now_ns + QUIET_NS
            self._told[column] = code
