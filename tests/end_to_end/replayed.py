"""What an agent has recorded gives again what it told."""

from __future__ import annotations

from pathlib import Path

from agent.build import layout_of, line_maker
from agent.config.file import load
from agent.replay import recorded, replay
from agent.store import codec
from agent.store.journal import AlertFilter, JournalReader
from tests.line.fold import assert_folds


def replayed_as_recorded(folder: Path) -> None:
    """The telemetry gives every revision and event again, to the byte, but for what came of looking back at it.

    Each alert that people were told of is the fold of its revisions.
    """
    config = load(folder / "agent.toml")
    again = replay(recorded(folder / "state", layout_of(config)), line_maker(config))
    journal = JournalReader.open(folder / "state" / "journal.sqlite3")
    alerts = [one for shadow in (False, True) for one in journal.alerts(AlertFilter(shadow=shadow), limit=500).alerts]
    histories = [journal.history(alert.id) for alert in alerts if ".past-" not in alert.id]
    kept = [one for history in histories for one in history]
    wanted = [codec.encode(one) for one in (*kept, *journal.events(limit=500).events)]
    journal.close()
    assert sorted(map(codec.encode, again)) == sorted(wanted)
    assert wanted
    for history in histories:
        if not history[-1].shadow:
            assert_folds(history)
