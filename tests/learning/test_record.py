"""`forewarn learn --from-record`: what is learnt from what an agent saw, and what never is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.build import JOURNAL
from agent.config.file import Config, load
from agent.line.advise import Delays
from agent.line.alert import AlarmEvent, Alert, Answer, DeclareNormal, Label, Rebaseline, TakeOutOfService
from agent.line.lifecycle import is_standing
from agent.line.vigil import Vigil
from agent.line.window import Grid
from agent.store.journal import Journal
from connectors.frame import Float32s
from models import bundle
from models.runtime import Detector
from tests.agent.commands import forewarn
from tests.learning.watched import BEGIN_NS, DAY_NS, DAY_ROWS, PERIOD_S, SECOND_NS, configured, healthy, watch

FAULT = 3.0
"""What a faulty machine's temperature is higher by in the end: most of its own standard deviation of 4.1 K."""


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pump")
    configured(folder)
    return folder


def faulty(days: float, seed: int, begin_day: float, ramp_days: float) -> Float32s:
    """A machine whose temperature rises, slowly, and then stays too high for what it does."""
    values = healthy(days, seed)
    age = (np.arange(len(values)) - begin_day * DAY_ROWS) / (ramp_days * DAY_ROWS)
    values[:, 1] += (FAULT * np.clip(age, 0, 1)).astype(np.float32)
    return values


def fresh(pump: Path, folder: Path) -> Config:
    """The same asset, of which nothing is recorded yet."""
    folder.mkdir(exist_ok=True)
    text = (pump / "agent.toml").read_text()
    (folder / "agent.toml").write_text(text.replace('"bundle"', f'"{pump / "bundle"}"'))
    return load(folder / "agent.toml")


def learnt(config: Config, folder: Path, *options: str) -> tuple[int, str]:
    result = forewarn(
        "learn", "--from-record", config.agent.state_dir, folder / "agent.toml", "--asset", "pump", "--out",
        folder / "anew", "--no-sign", *options,
    )
    return result.exit_code, result.output


def evidence(folder: Path, values: Float32s) -> Float32s:
    detector = Detector(bundle.load(folder))
    vigil = Vigil(detector, 1 / 604_800, Delays.of(1200, 1200, PERIOD_S))
    times_ns = BEGIN_NS + np.arange(len(values), dtype=np.int64) * PERIOD_S * SECOND_NS
    return vigil.take(Grid(times_ns, values, np.ones(values.shape, np.bool_)))[0].evidence.astype(np.float32)


def test_a_slow_fault_that_stands_for_thirty_days_never_fades_and_is_not_learnt(pump: Path, tmp_path: Path) -> None:
    config = fresh(pump, tmp_path)
    values = faulty(44, 2, begin_day=10, ramp_days=3)
    entries = watch(config, values)
    alerts = [one for one in entries if isinstance(one, Alert)]
    assert {one.id for one in alerts} == {"pump-1"}, "one alert, raised once the fault was seen"
    assert AlarmEvent.RETURN not in {one.event for one in alerts}
    assert is_standing(alerts[-1])
    held = evidence(pump / "bundle", values)[14 * DAY_ROWS :]
    assert held.reshape(30, -1).min(1).min() > 1.0, "on each of thirty days"

    code, said = learnt(config, tmp_path)
    assert code == 0, said
    assert "days may be learnt from; left out: " in said
    assert " in alarm" in said
    new = evidence(tmp_path / "anew", values)
    assert new[14 * DAY_ROWS :].min() > 1.0, "the new model sees it as the old one did"
    assert (new[: 10 * DAY_ROWS] >= 1.0).mean() < 0.01


def test_only_a_person_can_say_that_a_fault_is_normal(pump: Path, tmp_path: Path) -> None:
    config = fresh(pump, tmp_path)
    values = faulty(30, 3, begin_day=10, ramp_days=3)
    said_ns = BEGIN_NS + 29 * DAY_NS
    normal = DeclareNormal("pump", "Ana", said_ns, BEGIN_NS + 12 * DAY_NS, said_ns, "new oil, it runs hotter")
    watch(config, values, {29 * DAY_ROWS: [normal]})
    code, said = learnt(config, tmp_path)
    assert code == 0, said
    new = evidence(tmp_path / "anew", values)[15 * DAY_ROWS :]
    assert (new >= 1.0).mean() < 0.01
    assert bundle.load(tmp_path / "anew").manifest.learnt_rows > 20 * DAY_ROWS


@pytest.mark.parametrize("answer", [Answer.NORMAL, Answer.REAL])
def test_an_alert_that_was_labelled_normal_leaves_nothing_out(pump: Path, tmp_path: Path, answer: Answer) -> None:
    config = fresh(pump, tmp_path)
    values = healthy(20, 9)
    values[8 * DAY_ROWS : 9 * DAY_ROWS, 1] += 6.0
    alerts = [one for one in watch(config, values) if isinstance(one, Alert)]
    label = Label(answer, "leak" if answer is Answer.REAL else None, "Ana", BEGIN_NS + 10 * DAY_NS)
    journal = Journal(config.agent.state_dir / JOURNAL, BEGIN_NS)
    journal.record(replace(alerts[-1], revision=alerts[-1].revision + 1, event=AlarmEvent.LABEL, label=label))
    journal.close()
    code, said = learnt(config, tmp_path)
    assert code == 0, said
    assert ("in alarm" in said) == ("near an alarm" in said) == (answer is Answer.REAL)


def test_after_a_re_baseline_only_what_comes_later_is_learnt(pump: Path, tmp_path: Path) -> None:
    config = fresh(pump, tmp_path)
    values = healthy(20, 8)
    values[3 * DAY_ROWS :, 1] += 6.0
    said = Rebaseline("pump", ("temperature",), "Ana", BEGIN_NS + 4 * DAY_NS, "new sensor")
    watch(config, values, {4 * DAY_ROWS: [said]})
    code, told = learnt(config, tmp_path)
    assert code == 0, told
    assert " before a re-baseline" in told
    assert "in alarm" not in told, "it is judged by where its tags stand now"
    new = evidence(tmp_path / "anew", values)
    assert (new[8 * DAY_ROWS :] >= 1.0).mean() < 0.01
    assert new[DAY_ROWS : 3 * DAY_ROWS].min() > 1.0, "the old sensor would deviate"


def test_a_thin_record_is_refused_with_what_is_missing(pump: Path, tmp_path: Path) -> None:
    config = fresh(pump, tmp_path)
    out = TakeOutOfService("pump", "Ana", BEGIN_NS, BEGIN_NS, BEGIN_NS + DAY_NS // 2, "new seal")
    watch(config, healthy(4.5, 4), {0: [out]})
    code, said = learnt(config, tmp_path)
    assert code == 2
    assert "1.0 of 7 days; no weekend" in said
    assert "1.0 of 4.5 days may be learnt from; left out: 0.5 out of service, 3.0 too new" in said
    assert not (tmp_path / "anew").exists()
    code, said = learnt(config, tmp_path, "--thin")
    assert code == 0, said
    assert "is thin: 1.0 of 7 days; no weekend" in said


def test_what_does_not_go_with_a_record_is_refused(pump: Path, tmp_path: Path) -> None:
    config = fresh(pump, tmp_path)
    assert "there is no such file or folder" in learnt(config, tmp_path)[1]
    watch(config, healthy(0.5, 5))
    assert "needs none of --time" in learnt(config, tmp_path, "--time", "t")[1]
