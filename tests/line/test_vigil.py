"""Judging rows for looking back, over weeks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.line.advise import Delays
from agent.line.alert import AlarmEvent, Alert, Answer, GiveLabel, Label, Rebaseline
from agent.line.line import Line, LineSettings
from agent.line.rebaselining import TIME_NS_MAX
from agent.line.vigil import Vigil
from agent.rehearsal.record import Part, judged
from connectors.frame import Float32s, Frame
from models.baseline import ROWS
from models.learn import learn
from models.runtime import Detector
from tests.agent.samples import quiet_rows
from tests.learning.watched import DAY_ROWS, PERIOD_S, TAGS, healthy
from tests.line.frames import frame, grid
from tests.line.scripted import SECOND_NS, START_NS
from tests.models.plants import coupled

SETTINGS = LineSettings(alerts_per_s=1 / 604_800, on_delay_s=5, off_delay_s=5)
DELAYS = Delays.of(5, 5, 1.0)


def test_adapting_to_wander_raises_no_alarms_on_a_machine_that_does_not_wander() -> None:
    """What was adapted to must not choose what is adapted to next, or the offset walks away by itself."""
    detector = Detector(learn([healthy(10, 1)], TAGS, PERIOD_S * 1000, name="pump"))
    alarms = []
    for seed in range(20, 24):
        vigil = Vigil(detector, 1 / 604_800, Delays.of(1200, 1200, PERIOD_S))
        raised = 0
        for values in np.split(healthy(20, seed), 20 * DAY_ROWS // 240):
            raised += sum(change.event is AlarmEvent.RAISE for change in vigil.take(grid(values))[1])
        alarms.append(raised)
    assert sum(alarms) <= 11, f"{alarms} in 20 days each, with a budget of one a week"


def recurring() -> Float32s:
    """A plant of two tags: a pattern comes four times, the last time it grows, and another comes."""
    values = quiet_rows(3000)
    pattern = np.minimum(np.arange(250) / 80, 1.0).astype(np.float32)
    for begin, size in ((630, 0.8), (1010, 0.8), (1390, 0.6), (1770, 0.6)):
        values[begin : begin + 250, 1] += size * pattern
    values[1900:2000, 1] += 2.4 * pattern[:100]
    values[2500:2750, 1] -= 0.8 * pattern
    return values


def told(
    detector: Detector, values: Float32s, labels: dict[int, Answer], settings: LineSettings = SETTINGS
) -> tuple[list[int], list[Alert]]:
    """Let a line judge, and label its first alert after some rows; return when it raised, and what it was taught by."""
    line, raised, taught = Line("pump", detector, settings), [], []
    first: Alert | None = None
    for row in range(0, len(values), 10):
        now_ns = START_NS + (row + 9) * SECOND_NS
        entries = line.step(frame(values[row : row + 10], row), now_ns)
        alerts = [entry for entry in entries if isinstance(entry, Alert)]
        raised += [alert.verdict.time_ns for alert in alerts if alert.event is AlarmEvent.RAISE]
        if alerts and (first is None or first.id == alerts[-1].id):
            first = alerts[-1]
        if row in labels:
            assert first is not None
            label = Label(labels[row], None, "Ana", now_ns)
            assert line.submit(GiveLabel(first.id, label, first))
            taught += [entry for entry in line.step(Frame.empty(2), label.time_ns) if isinstance(entry, Alert)]
            first = taught[-1]
    return [(time_ns - START_NS) // SECOND_NS for time_ns in raised], taught


def alarms(
    detector: Detector, values: Float32s, taught: list[Alert], chunk_rows: int, delays: Delays = DELAYS,
    symptoms: tuple[str, ...] = (),
) -> list[int]:
    vigil, raised = Vigil(detector, SETTINGS.alerts_per_s, delays, labelled=taught, symptoms=symptoms), []
    for row in range(0, len(values), chunk_rows):
        changes = vigil.take(grid(values[row : row + chunk_rows], start_s=row))[1]
        raised += [row + change.row for change in changes if change.event is AlarmEvent.RAISE]
        vigil = vigil.fork() if chunk_rows > 100 else vigil
    return raised


def test_what_was_labelled_normal_counts_from_then_on_as_it_does_for_a_line() -> None:
    detector, values = Detector(learn([quiet_rows(800)], [("p", "bar"), ("t", "degC")], 1000, name="pump")), recurring()
    silent, _ = told(detector, values, {})
    assert len(silent) >= 5
    raised, taught = told(detector, values, {1250: Answer.NORMAL})
    before = [row for row in silent if row < 1250]
    assert raised[: len(before)] == before
    assert [row for row in raised if 1250 < row < 1900] == [], "the pattern comes twice, and is known"
    assert len([row for row in raised if 1900 <= row < 2000]) == 1, "it grows"
    assert raised[-1] == silent[-1] >= 2500, "and the other way is another pattern"
    for chunk_rows in (7, 512):
        assert alarms(detector, values, taught, chunk_rows) == raised, chunk_rows
        assert alarms(detector, values, [], chunk_rows) == silent
    corrected, twice = told(detector, values, {1250: Answer.NORMAL, 1700: Answer.REAL})
    assert len(twice) == 2
    assert [row for row in corrected if 1250 < row < 1700] == []
    assert len([row for row in corrected if 1800 <= row < 1900]) == 1, "it is normal no more"
    assert alarms(detector, values, twice[::-1], 7) == corrected


def test_it_waits_for_the_cause_as_a_line_does() -> None:
    detector, values = Detector(learn([quiet_rows(800)], [("p", "bar"), ("t", "degC")], 1000, name="pump")), recurring()
    at_once, _ = told(detector, values, {})
    for symptoms in ((), ("t",)):
        raised, _ = told(detector, values, {}, replace(SETTINGS, cause_delay_s=64, symptoms=symptoms))
        assert 0 < len(raised) <= len(at_once)
        assert raised != at_once
        for chunk_rows in (10, 512):
            assert alarms(detector, values, [], chunk_rows, Delays.of(5, 5, 1.0, 64), symptoms) == raised


@pytest.mark.parametrize("chunk_rows", [1, 7, 512])
def test_a_rebaselining_is_taken_on_as_a_line_takes_it_on(running: Detector, chunk_rows: int) -> None:
    """The pressure sensor is replaced, and what another tag shows meanwhile keeps rows from being learnt from."""
    values, said_row = replaced(2600), 600
    values[700:900, 3] += 12.0
    values[2300:, 1] += 5.0
    seen: list[float] = []
    line = Line("pump", running, SETTINGS, observe=lambda one: seen.extend(one.evidence.tolist()))
    for row in range(len(values)):
        if row == said_row:
            assert line.submit(Rebaseline("pump", ("pressure",), "Ana", START_NS, ""))
        line.step(frame(values[row : row + 1], row), START_NS + row * SECOND_NS)
    vigil, found, raised = Vigil(running, SETTINGS.alerts_per_s, DELAYS), [], []
    for begin in [*range(0, said_row, chunk_rows), *range(said_row, len(values), chunk_rows)]:
        end = min(begin + chunk_rows, said_row if begin < said_row else len(values))
        part = Part(grid(values[begin:end], start_s=begin), rebaselined=("pressure",) if begin == said_row else ())
        for piece, assessment, changes in judged(vigil, part):
            found += assessment.evidence.tolist()
            raised += [piece.grid.time_ns[one.row] for one in changes if one.event is AlarmEvent.RAISE]
    np.testing.assert_allclose(found[: len(seen)], seen, rtol=1e-3, atol=1e-4)
    assert len(seen) >= len(values) - 1
    late = [(at - START_NS) / SECOND_NS for at in raised if at > START_NS + 1000 * SECOND_NS]
    assert len(late) == 1
    assert 2300 < late[0] < 2400, "a fault of the new sensor is seen, and nothing before it"


def test_a_rebaselining_is_begun_again_after_a_restart_and_given_up_after_a_week(running: Detector) -> None:
    vigil, values = Vigil(running, SETTINGS.alerts_per_s, DELAYS), replaced(1300)[500:]
    vigil.rebaseline(("pressure",), START_NS)
    assert vigil.rebaselines
    vigil.take(grid(values[:500]))
    vigil.restart()
    assert vigil.rows_at_once(grid(values[:700])) == ROWS, "nothing of it was kept"
    fork = vigil.fork()
    vigil.take(grid(values[:10], start_s=TIME_NS_MAX // SECOND_NS))
    assert not vigil.rebaselines
    assert fork.rebaselines
    fork.take(grid(values[:ROWS], start_s=500))
    assert not fork.rebaselines
    known = fork.rows_at_once(grid(values))
    assert known == len(values)
    vigil.rebaseline(("nobody",), START_NS)
    assert not vigil.rebaselines


def replaced(count: int) -> Float32s:
    """A machine whose pressure sensor was replaced after 500 rows by one that shows 12 bar more."""
    values = coupled(count, 7)
    values[500:, 1] += 12.0
    return values
