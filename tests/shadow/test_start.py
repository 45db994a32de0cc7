"""What an agent starts from when models were chosen before: a journal that must be mended, and labels of nobody's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.build import build
from agent.config.file import load
from agent.line.alert import AlarmState, Alert, Answer, GiveLabel, Label
from agent.notify import Notifier
from models import bundle
from simulators import config
from simulators.plant import Plant
from tests.agent import samples
from tests.clock import ManualClock
from tests.line.scripted import START_NS, rows, scripted_line


def test_a_journal_that_cannot_be_read_is_set_aside_before_it_is_asked_which_models_judge(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal.sqlite3").write_bytes(b"no journal" * 1000)
    file = tmp_path / "agent.toml"
    file.write_text(config.toml(
        "pump", Plant("pump", 1).tags, "127.0.0.1:1", bundle=str(bundle.SHIPPED / "pump"), period_ms=5000,
        state_dir=str(state), port=0,
    ))
    agent = build(load(file), ManualClock(), Notifier({}, 1))
    assert agent.snapshot("pump").alert is None
    assert [path.name for path in state.glob("journal.sqlite3*") if path.read_bytes()[:10] == b"no journal"]


def test_what_a_model_would_have_raised_and_no_line_owns_can_be_labelled() -> None:
    past = replace(samples.alert(state=AlarmState.UNACKNOWLEDGED), id="pump~1f2e.past-1", asset="pump", shadow=True)
    line = scripted_line()
    assert line.submit(GiveLabel(past.id, Label(Answer.NORMAL, None, "Ana", START_NS), past))
    (labelled,) = line.step(rows([0.2]), START_NS)
    assert isinstance(labelled, Alert)
    assert (labelled.id, labelled.revision, labelled.state) == (past.id, past.revision + 1, past.state)
    assert labelled.label is not None
    assert labelled.label.answer is Answer.NORMAL


def test_an_open_alert_that_people_see_is_labelled_by_its_own_line_alone() -> None:
    other = replace(samples.alert(state=AlarmState.UNACKNOWLEDGED), id="pump-9", asset="pump")
    line = scripted_line()
    assert line.submit(GiveLabel(other.id, Label(Answer.NORMAL, None, "Ana", START_NS), other))
    assert line.step(rows([0.2]), START_NS) == []
