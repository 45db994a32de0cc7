from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.line.alert import AlarmState
from agent.line.event import AssetEvent, EventKind
from agent.store import codec, migrations
from agent.store.journal import AlertFilter, EventFilter, Journal, StoreError
from tests.agent.samples import SECOND_NS, START_NS, alert, revised


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path, START_NS)
    yield journal
    journal.close()


def test_what_is_recorded_is_read_back_byte_for_byte(journal: Journal) -> None:
    original = alert()
    journal.record(original)
    found = journal.alert("pump-1")
    assert found is not None
    assert codec.encode(found) == codec.encode(original)
    assert journal.alert("pump-2") is None


def test_the_latest_revision_is_shown_and_the_history_kept(journal: Journal) -> None:
    first = alert()
    second = revised(first, AlarmState.ACKNOWLEDGED)
    journal.record(first)
    journal.record(second)
    assert journal.alert("pump-1") is not None
    assert [a.state for a in journal.history("pump-1")] == [
        AlarmState.UNACKNOWLEDGED,
        AlarmState.ACKNOWLEDGED,
    ]
    assert [a.revision for a in journal.alerts().alerts] == [2]


def test_alerts_in_shadow_are_kept_apart_from_those_that_people_are_shown(journal: Journal) -> None:
    shown, hidden = alert(), replace(alert(2), shadow=True)
    past = replace(alert(), id="pump~1f2e-1", shadow=True, state=AlarmState.NORMAL)
    for one in (shown, hidden, past):
        journal.record(one)
    assert [one.id for one in journal.alerts().alerts] == ["pump-1"]
    assert [one.id for one in journal.alerts(AlertFilter("pump", shadow=True)).alerts] == ["pump~1f2e-1", "pump-2"]
    assert [one.id for one in journal.alerts(AlertFilter("pump", open=True, shadow=True)).alerts] == ["pump-2"]
    assert journal.alerts(AlertFilter("pum", shadow=True)).alerts == ()
    assert journal.next_number("pump") == 3
    found = journal.open_alert("pump")
    assert found is not None
    assert found.id == "pump-2"
    live = replace(hidden, revision=2, shadow=False)
    journal.record(live)
    assert [one.id for one in journal.alerts().alerts] == ["pump-2", "pump-1"]


def test_a_recorded_row_cannot_be_changed_or_removed(journal: Journal, path: Path) -> None:
    journal.record(alert())
    other = sqlite3.connect(path)
    for statement in ("UPDATE revisions SET crc = 0", "DELETE FROM revisions"):
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            other.execute(statement)
    other.close()


def test_a_retry_of_the_same_revision_is_accepted_and_another_one_refused(journal: Journal) -> None:
    journal.record(alert())
    journal.record(alert())
    assert len(journal.history("pump-1")) == 1
    with pytest.raises(StoreError, match=r"pump-1 revision 1 is recorded already, with another content"):
        journal.record(replace(alert(), message="something else"))


def event(
    number: int = 1, kind: EventKind = EventKind.OUT_OF_SERVICE, asset: str = "pump", about: str | None = None
) -> AssetEvent:
    time_ns = START_NS + number * SECOND_NS
    return AssetEvent(f"{asset}:{number}", asset, kind, time_ns, time_ns, time_ns + 9, "Bo", "neue Dichtung", about)


def test_events_are_kept_and_listed_the_newest_first(journal: Journal) -> None:
    for number in range(1, 6):
        journal.record(event(number, EventKind.SUPPRESSED if number % 2 else EventKind.UNSUPPRESSED))
    journal.record(event(1, asset="press"))

    def ids(**where: object) -> list[str]:
        return [one.id for one in journal.events(EventFilter(**where)).events]  # type: ignore[arg-type]

    assert ids() == ["press:1", "pump:5", "pump:4", "pump:3", "pump:2", "pump:1"]
    assert ids(asset="pump", kind=EventKind.UNSUPPRESSED) == ["pump:4", "pump:2"]
    assert ids(since_ns=event(4).time_ns) == ["pump:5", "pump:4"]
    first = journal.events(limit=4)
    assert [one.id for one in journal.events(limit=4, before=first.before).events] == ["pump:2", "pump:1"]
    assert journal.events(limit=6).before is None
    assert journal.events(EventFilter(asset="press")).events == (event(1, asset="press"),)
    last = journal.last_event("pump", (EventKind.SUPPRESSED, EventKind.UNSUPPRESSED))
    assert last == event(5, EventKind.SUPPRESSED)
    assert journal.last_event("pump", (EventKind.OUT_OF_SERVICE,)) is None
    assert (journal.next_event("pump"), journal.next_event("press"), journal.next_event("fan")) == (6, 2, 1)


def test_a_recorded_event_cannot_be_changed_or_removed_or_recorded_otherwise(journal: Journal, path: Path) -> None:
    journal.record(event())
    journal.record(event())
    assert journal.events().events == (event(),)
    with pytest.raises(StoreError, match=r"event pump:1 is recorded already, with another content"):
        journal.record(replace(event(), comment="something else"))
    other = sqlite3.connect(path)
    for statement in ("UPDATE events SET crc = 0", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            other.execute(statement)
    other.close()


def test_a_journal_of_a_version_without_events_is_taken_over(path: Path) -> None:
    filled(path, 3)
    old = sqlite3.connect(path)
    old.execute("DROP TABLE events")
    old.execute("DELETE FROM migrations WHERE number = 2")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    journal = Journal(path, START_NS)
    assert journal.damage is None
    assert len(journal.alerts().alerts) == 3
    journal.record(event())
    assert journal.events().events == (event(),)
    journal.close()


@pytest.mark.parametrize("spoilt", [b"neue Dichtung", b"pump:7", b"out_of_service"])
def test_a_damaged_event_is_never_shown_and_the_others_are_carried_over(path: Path, spoilt: bytes) -> None:
    journal = Journal(path, START_NS)
    journal.record(alert(1))
    for number in range(1, 8):
        journal.record(event(number))
    journal.close()
    body = bytearray(path.read_bytes())
    body[body.index(spoilt)] ^= 1
    path.write_bytes(body)
    again = Journal(path, START_NS)
    assert again.damage is not None
    assert "1 revisions and " in again.damage
    kept = again.events().events
    assert len(kept) in (6, 7)
    assert set(kept) <= {event(number) for number in range(1, 8)}
    assert again.next_event("pump") in (7, 8)
    again.close()


def test_filters(journal: Journal) -> None:
    for number in (1, 2, 3):
        journal.record(alert(number))
    journal.record(alert(1, asset="press", raised_ns=START_NS))
    journal.record(revised(alert(1), AlarmState.NORMAL))
    journal.record(revised(alert(2), AlarmState.ACKNOWLEDGED))

    def ids(**where: object) -> list[str]:
        return [a.id for a in journal.alerts(AlertFilter(**where)).alerts]  # type: ignore[arg-type]

    assert ids() == ["press-1", "pump-3", "pump-2", "pump-1"]
    assert ids(asset="pump") == ["pump-3", "pump-2", "pump-1"]
    assert ids(open=True) == ["press-1", "pump-3", "pump-2"]
    assert ids(open=False) == ["pump-1"]
    assert ids(state=AlarmState.ACKNOWLEDGED) == ["pump-2"]
    assert ids(since_ns=alert(2).raised_time_ns) == ["pump-3", "pump-2"]
    assert ids(asset="none") == []


def test_pages_cover_everything_once_even_while_alerts_are_added(journal: Journal) -> None:
    for number in range(1, 8):
        journal.record(alert(number))
    seen, before = [], None
    while True:
        page = journal.alerts(limit=3, before=before)
        seen += [a.id for a in page.alerts]
        journal.record(alert(100 + len(seen)))
        journal.record(revised(alert(1, revision=len(seen)), AlarmState.ACKNOWLEDGED))
        before = page.before
        if before is None:
            break
    assert seen == [f"pump-{number}" for number in (7, 6, 5, 4, 3, 2, 1)]


def test_open_alert_and_next_number_are_restored_after_a_restart(path: Path) -> None:
    first = Journal(path, START_NS)
    assert (first.open_alert("pump"), first.next_number("pump")) == (None, 1)
    first.record(alert(1))
    first.record(revised(alert(1), AlarmState.NORMAL))
    first.record(alert(2))
    first.record(alert(9, asset="pump-2"))
    first.close()
    first.close()
    again = Journal(path, START_NS)
    found = again.open_alert("pump")
    assert found is not None
    assert found.id == "pump-2"
    assert (again.next_number("pump"), again.next_number("pump-2"), again.next_number("press")) == (3, 10, 1)
    assert again.damage is None
    again.close()


WRITER = """
import sys
from pathlib import Path
from agent.store.journal import Journal
from tests.agent.samples import START_NS, alert, revised
from agent.line.alert import AlarmState
journal = Journal(Path(sys.argv[1]), START_NS)
number = journal.next_number("pump")
while True:
    for a in (alert(number), revised(alert(number), AlarmState.ACKNOWLEDGED)):
        journal.record(a)
        print(a.id, a.revision, flush=True)
    number += 1
"""


def test_every_acknowledged_revision_survives_kill_9(path: Path) -> None:
    acknowledged: set[tuple[str, int]] = set()
    for rows in (1, 4, 9, 16):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(rows):
            identity, revision = child.stdout.readline().split()
            acknowledged.add((identity, int(revision)))
        child.send_signal(signal.SIGKILL)
        for line in child.stdout.read().splitlines():
            identity, revision = line.split()
            acknowledged.add((identity, int(revision)))
        child.stdout.close()
        child.wait()
    journal = Journal(path, START_NS)
    assert journal.damage is None
    assert len(acknowledged) >= 30
    kept = {(a.id, a.revision) for identity, _ in acknowledged for a in journal.history(identity)}
    assert acknowledged <= kept
    journal.close()


def filled(path: Path, alerts: int = 30) -> None:
    journal = Journal(path, START_NS)
    for number in range(1, alerts + 1):
        journal.record(alert(number))
    journal.close()


@pytest.mark.parametrize(
    "damage", [b"", b"not a database at all, by any means", b"\0" * 8192], ids=["empty", "text", "zeros"]
)
def test_a_destroyed_file_is_set_aside_and_a_new_one_begun(path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    journal = Journal(path, START_NS)
    journal.record(alert())
    journal.close()
    aside = list(path.parent.glob("journal.sqlite3.damaged-2026-09-21T*"))
    if damage:
        assert journal.damage is not None
        assert aside[0].read_bytes() == damage
    else:
        assert aside == []  # to SQLite an empty file is a new database


def test_what_is_readable_of_a_damaged_file_is_carried_over(path: Path) -> None:
    filled(path)
    body = bytearray(path.read_bytes())
    at = body.rindex(b"pump-30 deviates") if b"pump-30 deviates" in body else body.rindex(b"deviates")
    body[at] ^= 1
    path.write_bytes(body)
    journal = Journal(path, START_NS)
    assert journal.damage is not None
    assert "29 revisions and 0 events carried over" in journal.damage
    assert len(journal.alerts(limit=100).alerts) == 29
    assert journal.next_number("pump") >= 30
    journal.close()


def test_no_flipped_bit_is_fatal_or_gives_a_wrong_alert(path: Path) -> None:
    filled(path, 12)
    sound = path.read_bytes()
    truth = {codec.encode(alert(number)) for number in range(1, 13)}
    random = np.random.default_rng(7)
    places = [*range(100), *random.integers(0, len(sound), 60)]
    carried = 0
    for place in places:
        for left in path.parent.iterdir():
            left.unlink()
        body = bytearray(sound)
        body[place] ^= 1 << int(random.integers(8))
        path.write_bytes(body)
        journal = Journal(path, START_NS)
        found = [codec.encode(a) for a in journal.alerts(AlertFilter(asset="pump", open=True)).alerts]
        journal.record(alert(50))
        journal.close()
        assert set(found) <= truth, f"bit flip at byte {place}"
        assert journal.damage is not None or len(found) == len(truth), f"bit flip at byte {place}"
        carried += journal.damage is not None and len(found) >= 11
    assert carried > 0


def test_the_file_of_a_newer_forewarn_is_left_alone(path: Path) -> None:
    filled(path, 1)
    newer = sqlite3.connect(path)
    newer.execute("INSERT INTO migrations (number) VALUES (99)")
    newer.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS) + 1}")
    newer.commit()
    newer.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"its schema is 3 and this Forewarn knows 2; run the newer Forewarn"
    ):
        Journal(path, START_NS)
    assert path.read_bytes() == before


def test_a_migration_that_was_broken_off_is_done_again(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY) STRICT")
    connection.commit()
    connection.close()
    journal = Journal(path, START_NS)
    assert journal.damage is None
    journal.record(alert())
    journal.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/journal.sqlite3: the alert journal cannot be opened"):
        Journal(tmp_path / "file" / "journal.sqlite3", START_NS)


def test_a_full_disk_is_an_error_that_says_so_and_loses_nothing(path: Path) -> None:
    journal = Journal(path, START_NS)
    journal.record(alert(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            StoreError, match=r"alert pump-2 revision 1 could not be recorded: .*; free space on the disk"
        ):
            journal.record(alert(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert [a.id for a in journal.alerts().alerts] == ["pump-1"]
    journal.record(alert(2))
    journal.close()
    again = Journal(path, START_NS)
    assert [a.id for a in again.alerts().alerts] == ["pump-2", "pump-1"]
    again.close()
