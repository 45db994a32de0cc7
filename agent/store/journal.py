"""The alert journal: every revision of every alert and every event, one immutable row each, on disk before it is seen.

SQLite in WAL mode with `synchronous=FULL`: in 550 measured power cuts it lost no committed row, where
`NORMAL` lost some in half of them. One connection writes, one reads; each has a lock: any thread may call.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.line.alert import AlarmState, Alert
from agent.line.event import AssetEvent, Entry, EventKind
from agent.store import codec, journal_rows, migrations
from agent.store.journal_rows import SHADOW, SHADOW_OVER

log = logging.getLogger(__name__)

_LATEST = "SELECT c.first, r.body, r.crc FROM current c JOIN revisions r ON r.sequence = c.latest"


class StoreError(Exception):
    """The disk refuses: the message says what was tried, where, and what to do."""


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to list; None means any. `since_ns` compares with the time an alert was raised (UTC).

    Those in `shadow`, which no people are shown, or the others.
    """

    asset: str | None = None
    state: AlarmState | None = None
    open: bool | None = None
    since_ns: int | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Alerts, the newest first, and the `sequence` to continue `before` (None at the end)."""

    alerts: tuple[Alert, ...]
    before: int | None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; None means any. `since_ns` compares with the time an event was told (UTC)."""

    asset: str | None = None
    kind: EventKind | None = None
    since_ns: int | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, the newest first, and the `sequence` to continue `before` (None at the end)."""

    events: tuple[AssetEvent, ...]
    before: int | None


class JournalReader:
    """The alerts and events of a journal, for reading; any thread may call."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._reader = connection
        self._read_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing journal without changing it; raise StoreError where that fails."""
        try:
            return cls(
                path,
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False),
            )
        except sqlite3.Error as error:
            raise StoreError(
                f"{path}: there is no alert journal that can be read: {error}; name the agent's state_dir"
            ) from error

    def alerts(
        self, where: AlertFilter = AlertFilter(), *, limit: int = 100, before: int | None = None
    ) -> Page:
        """List the latest revision of each alert, the newest alert first, at most `limit`."""
        of_asset = "? IN (c.asset, substr(c.asset, 1, instr(c.asset, '~') - 1))" if where.shadow else "c.asset = ?"
        clauses = {
            of_asset: where.asset,
            "c.state = ?": where.state and where.state.value,
            f"(c.state IN ('{SHADOW}', '{SHADOW_OVER}')) = ?": where.shadow,
            "c.raised_ns >= ?": where.since_ns,
            "c.first < ?": before,
            f"(c.state NOT IN ('normal', '{SHADOW_OVER}')) = ?": where.open,
        }
        rows = self._page(_LATEST, clauses, "c.first", limit)
        alerts = tuple(self._decode(body, crc) for _, body, crc in rows[:limit])
        return Page(alerts, rows[limit - 1][0] if len(rows) > limit else None)

    def alert(self, alert_id: str) -> Alert | None:
        """Return the latest revision of an alert, None where there is no such alert."""
        rows = self._read(f"{_LATEST} WHERE c.id = ?", (alert_id,))
        return self._decode(*rows[0][1:]) if rows else None

    def known(self, alert_id: str) -> Alert:
        """Return the latest revision of an alert; raise StoreError, with those there are, where there is no such."""
        if (alert := self.alert(alert_id)) is None:
            newest = ", ".join(one.id for one in self.alerts(limit=5).alerts)
            raise StoreError(f"there is no alert {alert_id!r}; the newest are: {newest or 'none'}")
        return alert

    def history(self, alert_id: str) -> tuple[Alert, ...]:
        """Return all revisions of an alert, the oldest first."""
        return tuple(map(codec.decode, self.revisions(alert_id)))

    def revisions(self, alert_id: str) -> tuple[bytes, ...]:
        """Return all revisions of an alert as they are recorded, the oldest first."""
        rows = self._read("SELECT body, crc FROM revisions WHERE id = ? ORDER BY revision", (alert_id,))
        return tuple(self._sound(*row) for row in rows)

    def open_alert(self, asset: str) -> Alert | None:
        """Return the alert of an asset that is not over, in shadow or not, None where there is none."""
        rows = self._read(
            f"{_LATEST} WHERE c.asset = ? AND c.state NOT IN ('normal', '{SHADOW_OVER}') ORDER BY c.first DESC LIMIT 1",
            (asset,),
        )
        return self._decode(*rows[0][1:]) if rows else None

    def labelled(self, asset: str, limit: int) -> tuple[Alert, ...]:
        """Return the alerts of an asset that people have labelled, as they stand, the one labelled last first."""
        # Canonical JSON escapes quotes in texts, so this stands nowhere else. That a label is the last that happens to
        # an alert is not certain, only usual, and near enough for a limit.
        marked = "instr(r.body, CAST('\"label\":{' AS BLOB)) > 0"
        of_asset = "? IN (c.asset, substr(c.asset, 1, instr(c.asset, '~') - 1))"  # what a model would have raised, too
        sql = f"{_LATEST} WHERE {of_asset} AND {marked} ORDER BY c.latest DESC LIMIT ?"
        return tuple(self._decode(body, crc) for _, body, crc in self._read(sql, (asset, limit)))

    def next_number(self, asset: str) -> int:
        """Return the number that the next alert of an asset takes: one above the highest, 1 at first."""
        rows = self._read("SELECT coalesce(max(number), 0) + 1 FROM current WHERE asset = ?", (asset,))
        return int(rows[0][0])

    def lives(self, asset: str) -> list[tuple[Alert, Alert]]:
        """Return of each alert of an asset its first revision and its latest, the oldest first; none in shadow."""
        sql = (
            "SELECT f.body, f.crc, l.body, l.crc FROM current c JOIN revisions f ON f.sequence = c.first "  # noqa: S608
            "JOIN revisions l ON l.sequence = c.latest "
            f"WHERE c.asset = ? AND c.state NOT IN ('{SHADOW}', '{SHADOW_OVER}') ORDER BY c.first"
        )
        return [(self._decode(*row[:2]), self._decode(*row[2:])) for row in self._read(sql, (asset,))]

    def series(self, series: str, since_ns: int) -> tuple[Alert, ...]:
        """Return the alerts that are numbered within a series and were raised at or after a time, the oldest first.

        A series is an asset, in shadow or not, or what a model would have raised of it.
        """
        rows = self._read(f"{_LATEST} WHERE c.asset = ? AND c.raised_ns >= ? ORDER BY c.first", (series, since_ns))
        return tuple(self._decode(body, crc) for _, body, crc in rows)

    def last_before(self, series: str, time_ns: int) -> Alert | None:
        """Return the alert of a series that was raised last before a time, None where there is none."""
        sql = f"{_LATEST} WHERE c.asset = ? AND c.raised_ns < ? ORDER BY c.first DESC LIMIT 1"
        rows = self._read(sql, (series, time_ns))
        return self._decode(*rows[0][1:]) if rows else None

    def events(
        self, where: EventFilter = EventFilter(), *, limit: int = 100, before: int | None = None
    ) -> EventPage:
        """List events, the newest first, at most `limit`."""
        clauses = {
            "asset = ?": where.asset,
            "kind = ?": where.kind and where.kind.value,
            "time_ns >= ?": where.since_ns,
            "sequence < ?": before,
        }
        rows = self._page("SELECT sequence, * FROM events", clauses, "sequence", limit)
        events = tuple(self._decode_event(row[1:]) for row in rows[:limit])
        return EventPage(events, rows[limit - 1][0] if len(rows) > limit else None)

    def all_events(self, asset: str) -> list[AssetEvent]:
        """Return all events of an asset, the oldest first."""
        rows = self._read("SELECT * FROM events WHERE asset = ? ORDER BY sequence", (asset,))
        return [self._decode_event(row) for row in rows]

    def last_event(self, asset: str, kinds: Collection[EventKind]) -> AssetEvent | None:
        """Return the last event of an asset that is of one of these kinds, None where there is none."""
        marks = ", ".join("?" * len(kinds))
        rows = self._read(
            f"SELECT * FROM events WHERE asset = ? AND kind IN ({marks}) ORDER BY sequence DESC LIMIT 1",  # noqa: S608
            (asset, *(kind.value for kind in kinds)),
        )
        return self._decode_event(rows[0]) if rows else None

    def events_of(self, asset: str, kinds: Collection[EventKind]) -> tuple[AssetEvent, ...]:
        """Return all events of an asset that are of one of these kinds, the oldest first."""
        marks = ", ".join("?" * len(kinds))
        rows = self._read(
            f"SELECT * FROM events WHERE asset = ? AND kind IN ({marks}) ORDER BY sequence",  # noqa: S608
            (asset, *(kind.value for kind in kinds)),
        )
        return tuple(map(self._decode_event, rows))

    def next_event(self, asset: str) -> int:
        """Return the number that the next event of an asset takes: one above the last, 1 at first."""
        rows = self._read("SELECT id FROM events WHERE asset = ? ORDER BY sequence DESC LIMIT 1", (asset,))
        return int(rows[0][0].rpartition(":")[2]) + 1 if rows else 1

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._read_lock:
            self._reader.close()

    def _page(self, select: str, clauses: Mapping[str, object], order: str, limit: int) -> list[tuple]:  # type: ignore[type-arg]
        """Return the newest `limit` rows, and one more where there is one, that meet the clauses with a value."""
        used = {clause: value for clause, value in clauses.items() if value is not None}
        sql = " ".join([select, "WHERE", " AND ".join(["1", *used]), "ORDER BY", order, "DESC LIMIT ?"])
        return self._read(sql, (*used.values(), limit + 1))

    def _read(self, sql: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        try:
            with self._read_lock:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: the alert journal cannot be read: {error}") from error

    def _decode(self, body: bytes, crc: int) -> Alert:
        try:
            return codec.decode(self._sound(body, crc))
        except codec.CodecError as error:
            raise self._damaged("alert") from error

    def _sound(self, body: bytes, crc: int) -> bytes:
        if zlib.crc32(body) != crc:
            raise self._damaged("alert")
        return body

    def _decode_event(self, row: tuple) -> AssetEvent:  # type: ignore[type-arg]
        if not journal_rows.is_sound(row):
            raise self._damaged("event")
        try:
            return codec.decode_event(row[-2])
        except codec.CodecError as error:
            raise self._damaged("event") from error

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"{self.path}: a recorded {what} is damaged; restart the agent to set the file aside")


@contextmanager
def opened(path: Path) -> Iterator[JournalReader | None]:
    """Open a journal for reading for a while, None where there is none yet; raise StoreError."""
    if not path.exists():
        yield None
        return
    with closing(JournalReader.open(path)) as journal:
        yield journal


class Journal(JournalReader):
    """The alerts and events of one state directory, for recording.

    `damage` tells what was found broken at the start and set aside, None where all was well.
    """

    def __init__(self, path: Path, now_ns: int, *, busy_timeout_s: float = 5.0) -> None:
        """Open or create; a damaged file is moved aside, what can be read of it is carried over.

        `busy_timeout_s` is how long to wait for another process that has the file locked.
        Raise StoreError where the folder cannot be used, or a newer Forewarn wrote the file.
        """
        self.damage: str | None = None
        self._busy_timeout_s = busy_timeout_s
        self._write_lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._writer = journal_rows.open_sound(path, busy_timeout_s)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and not journal_rows.says_damage(error, path):
                    raise
                self._writer = self._replace_damaged(path, str(error), now_ns)
            reader = journal_rows.connect(path, busy_timeout_s)
            reader.execute("PRAGMA query_only = ON")
        except migrations.NewerSchemaError as error:
            raise StoreError(f"{path}: the alert journal cannot be opened: {error}") from error
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{path}: the alert journal cannot be opened: {error}; "
                "name a folder that can be written as agent.state_dir"
            ) from error
        super().__init__(path, reader)

    def record(self, entry: Entry) -> None:
        """Commit a revision or an event to disk; when this returns, it survives a power cut.

        One already there with the same content is accepted: a retry.
        Raise StoreError where the disk refuses.
        """
        body = codec.encode(entry)
        what = f"event {entry.id}" if isinstance(entry, AssetEvent) else f"alert {entry.id} revision {entry.revision}"
        try:
            with self._write_lock, self._writer:
                journal_rows.insert(self._writer, entry, body)
        except sqlite3.IntegrityError as error:
            if self._stored(entry) == body:
                return
            raise StoreError(f"{self.path}: {what} is recorded already, with another content") from error
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path}: {what} could not be recorded: {error}; "
                "free space on the disk or repair it"
            ) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        super().close()
        with self._write_lock:
            self._writer.close()

    def _stored(self, entry: Entry) -> bytes | None:
        if isinstance(entry, AssetEvent):
            rows = self._read("SELECT body FROM events WHERE id = ?", (entry.id,))
        else:
            sql = "SELECT body FROM revisions WHERE id = ? AND revision = ?"
            rows = self._read(sql, (entry.id, entry.revision))
        return rows[0][0] if rows else None

    def _replace_damaged(self, path: Path, reason: str, now_ns: int) -> sqlite3.Connection:
        """Set the file aside, start a new one, carry over every row that is readable and whole."""
        stamp = codec.format_time(now_ns).partition(".")[0].replace(":", "")
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(aside.with_name(aside.name + suffix))
        writer = journal_rows.open_sound(path, self._busy_timeout_s)
        saved = {"revisions": 0, "events": 0}
        for entry, body in journal_rows.readable(aside):
            with writer:
                journal_rows.insert(writer, entry, body)
            saved["events" if isinstance(entry, AssetEvent) else "revisions"] += 1
        self.damage = (
            f"{path} was damaged ({reason}); set aside as {aside.name}, "
            f"{saved['revisions']} revisions and {saved['events']} events carried over"
        )
        log.error(self.damage)
        return writer
