"""Health and remaining life in the verdict: who speaks, when nobody does, and what a restart must not change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.line.alert import Alert
from agent.line.line import Line
from agent.line.memory import UNKNOWN, Memory, Remembered
from agent.line.verdict import Condition, LifeEnd, Verdict
from agent.line.window import FRAMES_BACK_MAX
from agent.line.wording import remaining_life
from models import remaining
from models.remaining import RemainingModel, Run
from models.remaining_trees import Boosting
from tests.line.scripted import SECOND_NS, START_NS, rows, scripted_line

NAN = float("nan")
LIFE_S = 300


def wearing(seed: int, life_s: int = LIFE_S) -> list[float]:
    """Return the evidence of a machine that wears out and fails after its last second, at an evidence of about 3."""
    left = np.arange(life_s, 0, -1.0) - 1
    noise = np.random.default_rng(seed).standard_normal(life_s)
    return list(0.3 + 0.05 * noise + 2.7 * np.exp(-left / 40))


@pytest.fixture(scope="module")
def model() -> RemainingModel:
    lives = [240 + 12 * seed for seed in range(12)]
    runs = [
        Run(str(seed), np.array(wearing(seed, life), np.float32)[:, None], np.arange(life, 0, -1.0) - 1)
        for seed, life in enumerate(lives)
    ]
    return remaining.learn(runs, horizon_rows=120.0, boosting=Boosting(trees=60, rate=0.1))


def play(
    line: Line, values: Sequence[float], first_s: int = 0, chunk_rows: int = 1
) -> tuple[list[Verdict], list[Alert]]:
    """Return the verdict after each chunk and all revisions of alerts."""
    verdicts, alerts = [], []
    for start in range(0, len(values), chunk_rows):
        alerts += line.step(rows(values[start : start + chunk_rows], first_s + start), START_NS)
        line.publish()
        assert line.snapshot.verdict is not None
        verdicts.append(line.snapshot.verdict)
    return verdicts, alerts


def test_a_learnt_model_speaks_of_a_healthy_machine_and_counts_down(model: RemainingModel) -> None:
    verdicts, (alert,) = play(scripted_line(on_s=3, remaining=model), wearing(99))
    assert {verdict.remaining_life_until for verdict in verdicts[50:]} == {LifeEnd.FAILURE}
    assert (verdicts[100].condition, verdicts[-1].condition) == (Condition.NORMAL, Condition.DEVIATING)
    medians = [verdict.remaining_life_s[1] for verdict in verdicts[50:] if verdict.remaining_life_s]
    assert len(medians) == len(verdicts[50:])
    assert medians[-1] < 20 < 60 < medians[0]
    for second in (220, 270):
        low, _, high = verdicts[second].remaining_life_s or (NAN, NAN, NAN)
        assert low <= LIFE_S - 1 - second <= high
    assert alert.verdict.remaining_life_until is LifeEnd.FAILURE
    assert alert.message.endswith(f"; {remaining_life(alert.verdict)}")
    assert "left" in alert.message


@pytest.mark.parametrize("chunk_rows", [3, 50, 1000])
def test_the_rows_may_come_in_any_portions(model: RemainingModel, chunk_rows: int) -> None:
    values = [*wearing(98), *([0.3] * 60)]
    one, first = play(scripted_line(on_s=3, off_s=5, remaining=model), values)
    other, second = play(scripted_line(on_s=3, off_s=5, remaining=model), values, chunk_rows=chunk_rows)
    assert len(first) == 2
    assert [alert.verdict for alert in first] == [alert.verdict for alert in second]
    assert one[-1] == other[-1]


def test_a_blind_asset_has_no_remaining_life_and_gets_older_meanwhile(model: RemainingModel) -> None:
    values = wearing(97)
    lost = [NAN if 100 <= second < 200 else value for second, value in enumerate(values)]
    verdicts, _ = play(scripted_line(remaining=model), lost)
    assert verdicts[90].remaining_life_s is not None
    assert (verdicts[190].condition, verdicts[190].remaining_life_s) == (Condition.BLIND, None)
    assert verdicts[190].remaining_life_until is None
    low, _, high = verdicts[280].remaining_life_s or (NAN, NAN, NAN)
    assert low <= 19 <= high


def test_a_restart_changes_nothing(model: RemainingModel) -> None:
    values = wearing(96)
    whole, _ = play(scripted_line(remaining=model), values)
    before = scripted_line(remaining=model)
    play(before, values[:150])
    after = scripted_line(remaining=model, memory=before.memory)
    verdicts, _ = play(after, values[150:], 150)
    assert [v.remaining_life_s for v in verdicts] == [v.remaining_life_s for v in whole[150:]]


def test_what_passes_while_nobody_looks_makes_the_asset_older(model: RemainingModel) -> None:
    values = wearing(95)
    lost = [NAN if 100 <= second < 180 else value for second, value in enumerate(values)]
    blind, _ = play(scripted_line(remaining=model), lost)
    before = scripted_line(remaining=model)
    play(before, values[:100])
    away, _ = play(scripted_line(remaining=model, memory=before.memory), values[180:], 180)
    without_restart = scripted_line(remaining=model)
    play(without_restart, values[:100])
    gap, _ = play(without_restart, values[180:], 180)
    for verdicts in (away, gap):
        assert verdicts[-1].remaining_life_s == pytest.approx(blind[-1].remaining_life_s, rel=1e-5)


def test_an_asset_gets_older_by_gaps_and_not_by_clocks_that_are_set(model: RemainingModel) -> None:
    values = wearing(93)
    for moved_s, age_rows in (([0] * 100 + [-1000] * 100, 200), ([0] * 100 + [5000] * 100, 5200)):
        line = scripted_line(remaining=model)
        for second, moved in enumerate(moved_s):
            line.step(rows([values[second]], second + moved), START_NS)
        assert line.memory is not None
        assert line.memory.life is not None
        assert age_rows - FRAMES_BACK_MAX <= line.memory.life.state[0] <= age_rows, "a few rows from the past are late"


def test_an_asset_that_was_watched_without_a_model_of_its_life_is_not_new(model: RemainingModel) -> None:
    before = scripted_line()
    play(before, wearing(92)[:100])
    after = scripted_line(remaining=model, memory=before.memory)
    verdicts, _ = play(after, wearing(92)[100:], 100)
    assert {verdict.remaining_life_s for verdict in verdicts} == {None}
    assert after.memory is not None
    assert after.memory.life == UNKNOWN


@pytest.mark.parametrize("model_hash", ["another", "scripted"], ids=["another bundle", "another version's features"])
def test_a_memory_of_another_model_is_kept_and_there_is_no_estimate(model: RemainingModel, model_hash: str) -> None:
    foreign = Remembered(model_hash, (5.0,))
    line = scripted_line(remaining=model, memory=Memory(START_NS, foreign, None))
    verdicts, _ = play(line, wearing(94))
    assert {verdict.remaining_life_s for verdict in verdicts} == {None}
    assert verdicts[-1].health < 0.5 < verdicts[50].health
    assert line.memory is not None
    assert line.memory.life == foreign


def test_without_a_learnt_model_a_steady_deviation_is_followed_to_twice_its_limit() -> None:
    line = scripted_line(off_s=10)
    verdicts, (alert,) = play(line, [*np.linspace(0.3, 1.9, 4000)], chunk_rows=10)
    last = verdicts[-1]
    assert last.remaining_life_until is LifeEnd.TWICE_THE_LIMIT
    assert last.remaining_life_s is not None
    assert last.remaining_life_s[0] <= 250 <= last.remaining_life_s[2]
    assert "left" not in alert.message
    assert "twice" not in alert.message
    assert {v.remaining_life_s for v in verdicts if v.condition is Condition.NORMAL} == {None}
    assert line.memory is not None
    assert line.memory.life is None


def test_a_steady_deviation_is_not_followed_to_a_level_where_failures_were_learnt_from(model: RemainingModel) -> None:
    verdicts, _ = play(scripted_line(remaining=model), [*np.linspace(0.3, 1.9, 4000)], chunk_rows=10)
    assert {verdict.remaining_life_until for verdict in verdicts[10:]} == {LifeEnd.FAILURE}


def test_health_is_one_half_at_the_limit() -> None:
    healthy, _ = play(scripted_line(), [0.0] * 200)
    at_the_limit, _ = play(scripted_line(), [1.0] * 200)
    beyond, _ = play(scripted_line(), [4.0] * 200)
    assert healthy[-1].health == 1.0
    assert at_the_limit[-1].health == pytest.approx(0.5, abs=0.01)
    assert beyond[-1].health < 0.1


def test_an_alert_has_the_outlook_of_the_row_that_raised_it(model: RemainingModel) -> None:
    values = wearing(93)
    verdicts, (alert,) = play(scripted_line(on_s=3, remaining=model), values)
    _, (together,) = play(scripted_line(on_s=3, remaining=model), values, chunk_rows=1000)
    row = (alert.raised_time_ns - START_NS) // SECOND_NS
    assert alert.verdict == verdicts[row]
    assert (together.verdict, together.message) == (alert.verdict, alert.message)
