"""The rows of the alert journal's file: how they are written, known to be sound, and saved from a damaged file."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.line.alert import AlarmState, Alert, series_of
from agent.line.event import AssetEvent, Entry
from agent.store import codec, migrations


def connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Open the file, whatever its state, so that what is committed to it survives a power cut."""
    connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_sound(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Open, check the whole file, migrate; raise sqlite3.DatabaseError where it is damaged."""
    connection = connect(path, busy_timeout_s)
    try:
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        migrations.migrate(connection)
        # Damage may have made it a file that can only be read: write something.
        connection.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS)}")
        if any(
            zlib.crc32(body) != crc for body, crc in connection.execute("SELECT body, crc FROM revisions")
        ):
            raise sqlite3.DatabaseError("a revision does not match its checksum")
        if not all(map(is_sound, connection.execute("SELECT * FROM events"))):
            raise sqlite3.DatabaseError("an event does not match its checksum")
        if any(_crc(row[:-1]) != row[-1] for row in connection.execute("SELECT * FROM current")):
            raise sqlite3.DatabaseError("the list of alerts does not match its checksums")
    except (sqlite3.Error, migrations.NewerSchemaError):
        connection.close()
        raise
    return connection


def says_damage(error: sqlite3.OperationalError, path: Path) -> bool:
    """Tell damage from a disk that is full or locked, or a file we may not write: it may be either."""
    code = error.sqlite_errorcode & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_PROTOCOL,
    )


SHADOW, SHADOW_OVER = "shadow", "shadow_over"
"""What an alert in shadow is found by in place of its state, while it stands and afterwards."""


def found_by(alert: Alert) -> str:
    """Return what an alert is found by: its state, or that it is in shadow."""
    if not alert.shadow:
        return alert.state.value
    return SHADOW_OVER if alert.state is AlarmState.NORMAL else SHADOW


def insert(connection: sqlite3.Connection, entry: Entry, body: bytes) -> None:
    """Insert a revision or an event whose canonical JSON is `body`, within a transaction of the caller's."""
    if isinstance(entry, AssetEvent):
        row = (entry.id, entry.asset, entry.kind.value, entry.time_ns, body)
        connection.execute(
            "INSERT INTO events (id, asset, kind, time_ns, body, crc) VALUES (?, ?, ?, ?, ?, ?)", (*row, _crc(row))
        )
        return
    cursor = connection.execute(
        "INSERT INTO revisions (id, revision, body, crc) VALUES (?, ?, ?, ?)",
        (entry.id, entry.revision, body, zlib.crc32(body)),
    )
    latest = cursor.lastrowid
    known = connection.execute("SELECT first FROM current WHERE id = ?", (entry.id,)).fetchone()
    number = entry.id.rpartition("-")[2]
    current = (
        entry.id,
        series_of(entry),
        int(number) if number.isdecimal() else 0,
        found_by(entry),
        entry.raised_time_ns,
        known[0] if known else latest,
        latest,
    )
    connection.execute(
        "INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*current, _crc(current))
    )


def is_sound(event_row: tuple) -> bool:  # type: ignore[type-arg]
    """Say whether a row of the table `events` is as it was written; its number is not part of that."""
    return bool(_crc(event_row[1:-1]) == event_row[-1])


def readable(path: Path) -> Iterator[tuple[Entry, bytes]]:
    """Give the revisions, and then the events, of a damaged file that can still be read and match their checksums."""
    for body in _rows(path, "revisions", lambda row: zlib.crc32(row[-2]) == row[-1]):
        yield codec.decode(body), body
    for body in _rows(path, "events", is_sound):
        yield codec.decode_event(body), body


def _rows(path: Path, table: str, sound: Callable[[tuple[Any, ...]], bool]) -> Iterator[bytes]:
    try:
        with closing(sqlite3.connect(path)) as old:
            for row in old.execute(f"SELECT * FROM {table} ORDER BY sequence"):  # noqa: S608 - one of ours
                if isinstance(row[-2], bytes) and sound(row):
                    yield row[-2]
    except sqlite3.DatabaseError:
        return  # as far as it went


def _crc(row: tuple[object, ...]) -> int:
    return zlib.crc32(repr(row).encode())
