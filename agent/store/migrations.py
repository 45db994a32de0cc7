"""The journal's schema, as numbered steps; a file counts those it has seen twice.

Once in `PRAGMA user_version`, once in a table: a flipped bit in one must not look like the file of a newer
Forewarn.
"""

from __future__ import annotations

import sqlite3
from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # What was said, for ever. `crc` is the CRC-32 of `body`, the canonical JSON of the alert.
        """CREATE TABLE revisions (
               sequence INTEGER PRIMARY KEY,
               id TEXT NOT NULL,
               revision INTEGER NOT NULL,
               body BLOB NOT NULL,
               crc INTEGER NOT NULL,
               UNIQUE (id, revision)
           ) STRICT""",
        """CREATE TRIGGER revisions_stay BEFORE UPDATE ON revisions
               BEGIN SELECT RAISE(ABORT, 'a recorded revision is immutable'); END""",
        """CREATE TRIGGER revisions_remain BEFORE DELETE ON revisions
               BEGIN SELECT RAISE(ABORT, 'a recorded revision is immutable'); END""",
        # The latest revisions, for finding; written in the same transactions and derivable from the above.
        """CREATE TABLE current (
               id TEXT PRIMARY KEY,
               asset TEXT NOT NULL,
               number INTEGER NOT NULL,
               state TEXT NOT NULL,
               raised_ns INTEGER NOT NULL,
               first INTEGER NOT NULL UNIQUE REFERENCES revisions (sequence),
               latest INTEGER NOT NULL REFERENCES revisions (sequence),
               crc INTEGER NOT NULL
           ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX current_of_asset ON current (asset, first)",
        "CREATE INDEX current_open ON current (first) WHERE state <> 'normal'",
    ),
    (
        # What happened to assets, for ever. `crc` is that of the whole row.
        """CREATE TABLE events (
               sequence INTEGER PRIMARY KEY,
               id TEXT NOT NULL UNIQUE,
               asset TEXT NOT NULL,
               kind TEXT NOT NULL,
               time_ns INTEGER NOT NULL,
               body BLOB NOT NULL,
               crc INTEGER NOT NULL
           ) STRICT""",
        """CREATE TRIGGER events_stay BEFORE UPDATE ON events
               BEGIN SELECT RAISE(ABORT, 'a recorded event is immutable'); END""",
        """CREATE TRIGGER events_remain BEFORE DELETE ON events
               BEGIN SELECT RAISE(ABORT, 'a recorded event is immutable'); END""",
        "CREATE INDEX events_of_asset ON events (asset, sequence)",
        "CREATE INDEX events_of_kind ON events (asset, kind, sequence)",
    ),
)


class NewerSchemaError(Exception):
    """A newer Forewarn wrote this file: it is sound, but not ours to read."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step in one transaction.

    Raise NewerSchemaError where it is ahead of us, sqlite3.DatabaseError where the two counts of it disagree.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY) STRICT")
    if version != connection.execute("SELECT count(*) FROM migrations").fetchone()[0]:
        raise sqlite3.DatabaseError(f"its schema number {version} does not match its list of migrations")
    if version > len(MIGRATIONS):
        raise NewerSchemaError(
            f"its schema is {version} and this Forewarn knows {len(MIGRATIONS)}; "
            "run the newer Forewarn, or name another state_dir"
        )
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations (number) VALUES (?)", (number + 1,))
            connection.execute(f"PRAGMA user_version = {number + 1}")
        except sqlite3.Error:
            connection.rollback()
            raise
        connection.commit()
