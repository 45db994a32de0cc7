"""What the agent cost each PLC, day by day, in one small file that outlives restarts."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.store import segments
from agent.store.journal import StoreError
from connectors.load import Load

log = logging.getLogger(__name__)

FILE: Final = "plc-load.json"
DAYS_MAX: Final = 92
INTERVAL_NS: Final = 600_000_000_000
Days = dict[str, Load]


class Loads:
    """The load on each connection by day (UTC); written every INTERVAL_NS and at the end, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_ns: int | None = None
        self._error = ""
        try:
            self._days = read_loads(path)
        except StoreError as error:
            log.warning("the load on PLCs is counted anew", extra={"error": str(error)})
            self._days = {}

    def note(self, connection: str, load: Load, time_ns: int) -> None:
        """Add what was asked over a connection up to `time_ns` (UTC)."""
        days = self._days.setdefault(connection, {})
        day = datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()
        days[day] = days.get(day, Load()).plus(load)
        while len(days) > DAYS_MAX:
            del days[min(days)]

    def days(self, connection: str) -> Days:
        """Return what is known of a connection, by day."""
        return dict(self._days.get(connection, {}))

    def is_due(self, monotonic_ns: int) -> bool:
        """Say whether the file is to be written; an interval after the first question, and so on."""
        if self._written_ns is None:
            self._written_ns = monotonic_ns
        due = monotonic_ns - self._written_ns >= INTERVAL_NS
        if due:
            self._written_ns = monotonic_ns
        return due

    def keep(self) -> None:
        """Write the file. A disk that refuses costs the figures since the last time, never the agent."""
        body = {name: {day: asdict(load) for day, load in days.items()} for name, days in self._days.items()}
        try:
            segments.replace_synced(self._path, json.dumps(body).encode())
        except OSError as error:
            if not self._error:
                log.warning("the load on PLCs cannot be kept", extra={"file": str(self._path), "error": str(error)})
            self._error = str(error)
        else:
            self._error = ""


def read_loads(path: Path) -> dict[str, Days]:
    """Return the loads by connection and day, empty where there is no file; raise StoreError where it is damaged."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        return {name: {day: Load(**load) for day, load in sorted(days.items())} for name, days in whole.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); mend its rights") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged ({error}); remove it, and the count begins anew") from error


def together(days: Mapping[str, Load]) -> Load:
    """Return the load of all days."""
    whole = Load()
    for load in days.values():
        whole = whole.plus(load)
    return whole
