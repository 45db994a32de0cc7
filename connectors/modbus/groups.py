"""Poll groups: tags of one period are due together, on a grid of their own. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connectors.frame import Tag


class Groups:
    """When the tags of each period are to be asked next.

    The shortest period is the cadence of the reads and always due; another is due in the read that is nearest to its
    time. A time that was missed is passed over, as the next one comes.
    """

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._due_ns: dict[int, int | None] = dict.fromkeys(sorted({tag.period_ms for tag in tags}))
        self._fastest_ms = min(self._due_ns, default=0)

    def due(self, now_ns: int) -> frozenset[int]:
        """Return the periods, in ms, of the tags to be asked now."""
        slack_ns = self._fastest_ms * 500_000
        return frozenset(period_ms for period_ms, due_ns in self._due_ns.items()
                         if due_ns is None or period_ms == self._fastest_ms or now_ns + slack_ns >= due_ns)

    def asked(self, periods: Collection[int], now_ns: int) -> None:
        """Take note that the tags of these periods were asked at `now_ns`."""
        for period_ms in periods:
            period_ns, due_ns = period_ms * 1_000_000, self._due_ns[period_ms]
            due_ns = now_ns if due_ns is None else due_ns
            self._due_ns[period_ms] = due_ns + (max(0, now_ns - due_ns) // period_ns + 1) * period_ns
