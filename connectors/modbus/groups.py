"""Poll groups: tags of one period are due together, on a grid of their own. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.frame import Tag


class Groups:
    """When the tags of each period are to be asked next.

    The shortest period is the cadence of the reads and always due; another is due in the read that is nearest to its
    time. A time that was missed is passed over, as the next one comes.
    """

    def __init__(self, tags: Sequence[Tag]) -> None:
        fastest_ms, *others_ms = sorted({tag.period_ms for tag in tags}) or (0,)
        self._always = frozenset({fastest_ms})
        self._slack_ns = fastest_ms * 500_000
        self._due_ns: dict[int, int | None] = dict.fromkeys(others_ms)

    def due(self, now_ns: int) -> frozenset[int]:
        """Return the periods, in ms, of the tags to be asked now."""
        if not self._due_ns:
            return self._always
        return self._always.union(period_ms for period_ms, due_ns in self._due_ns.items()
                                  if due_ns is None or now_ns + self._slack_ns >= due_ns)

    def asked(self, periods: frozenset[int], now_ns: int) -> None:
        """Take note that the tags of these periods were asked at `now_ns`."""
        for period_ms in periods - self._always:
            period_ns, due_ns = period_ms * 1_000_000, self._due_ns[period_ms]
            due_ns = now_ns if due_ns is None else due_ns
            self._due_ns[period_ms] = due_ns + (max(0, now_ns - due_ns) // period_ns + 1) * period_ns
