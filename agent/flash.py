"""How fast the flash card wears: what this process has caused to be written, and how long a card takes that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clock import Clock

COUNTERS: Final = Path("/proc/self/io")
SETTLED_NS: Final = 600_000_000_000
"""Before that, what is written once at the start would be taken for what is written always."""
_DAY_NS: Final = 86_400 * 1_000_000_000
_YEAR_DAYS: Final = 365.25


@dataclass(frozen=True, slots=True)
class Wear:
    """Bytes written since the start, the journal, the telemetry and the child processes that are over included; bytes
    a day; and the years after which a card has taken all it can. None where that is not known (yet)."""

    bytes_written: int | None
    bytes_per_day: float | None
    life_years: float | None


class FlashWear:
    """Counts from now on. `card_bytes` times `cycles` is what a card takes; what it writes beyond what it is told to
    (write amplification) is its own secret, and not in the figures."""

    def __init__(self, clock: Clock, *, card_bytes: float, cycles: int, counters: Path = COUNTERS) -> None:
        self._clock, self._counters = clock, counters
        self._endurance = card_bytes * cycles
        self._began_ns, self._first = clock.monotonic_ns(), written_bytes(counters)

    def read(self) -> Wear:
        """Return how it is now."""
        now, elapsed_ns = written_bytes(self._counters), self._clock.monotonic_ns() - self._began_ns
        if now is None or self._first is None:
            return Wear(None, None, None)
        written = now - self._first
        if elapsed_ns < SETTLED_NS:
            return Wear(written, None, None)
        per_day = written * _DAY_NS / elapsed_ns
        return Wear(written, per_day, self._endurance / (per_day * _YEAR_DAYS) if per_day > 0 else None)


def written_bytes(counters: Path) -> int | None:
    """Return the bytes that a process sent to disks, whole pages (proc_pid_io(5)); None where Linux does not tell."""
    try:
        lines = counters.read_text(encoding="ascii").splitlines()
        counts = {name: int(count) for name, _, count in (line.partition(": ") for line in lines)}
        return counts["write_bytes"] - counts["cancelled_write_bytes"]
    except (OSError, ValueError, KeyError):
        return None
