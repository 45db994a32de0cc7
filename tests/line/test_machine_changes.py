"""Changes of the machine itself: a set-point that was never learnt, a sensor that comes back as another."""

from __future__ import annotations

import numpy as np
import pytest

from agent.line.alert import WithheldKind
from agent.line.event import AssetEvent, EventKind
from agent.line.line import Line, LineSettings
from connectors.frame import Float32s
from models.learn import learn
from models.runtime import Detector
from tests.line.frames import frame
from tests.line.scripted import SECOND_NS
from tests.models.plants import TAGS, coupled

SETTINGS = LineSettings(1 / 604_800, 30, 60, hold_ns=3600 * SECOND_NS)
PRESSURE = 1
AWAY, BACK = 600, 720


def told(line: Line, values: Float32s, chunk_rows: int = 20) -> list[AssetEvent]:
    entries = []
    for row in range(0, len(values), chunk_rows):
        part = frame(values[row : row + chunk_rows], row)
        entries += line.step(part, int(part.source_time_ns[-1]))
        line.publish()
    return [one for one in entries if isinstance(one, AssetEvent)]


def replaced(above: float = 0.0, noise: float = 0.0, seed: int = 7, away: slice = slice(AWAY, BACK)) -> Float32s:
    """A machine whose pressure has no good value for a while, and then another level or noise."""
    values = coupled(1200, seed)
    values[away.stop :, PRESSURE] += above
    values[away.stop :, PRESSURE] += np.random.default_rng(1).normal(0, 1, 1200 - away.stop).astype(np.float32) * noise
    values[away, PRESSURE] = np.nan
    return values


@pytest.mark.parametrize("chunk_rows", [1, 20, 1200])
@pytest.mark.parametrize("above", [12.0, -12.0])
def test_a_sensor_that_comes_back_at_another_level_is_a_change(
    running: Detector, above: float, chunk_rows: int
) -> None:
    line = Line("pump", running, SETTINGS)
    (seen,) = told(line, replaced(above), chunk_rows)
    assert (seen.kind, seen.about) == (EventKind.CHANGE_SEEN, "pressure")
    assert f"standard deviations {'above' if above > 0 else 'below'} where it was" in seen.comment
    assert [one.kind for one in line.snapshot.withheld] == [WithheldKind.ON_HOLD]


def test_a_sensor_that_comes_back_much_noisier_is_a_change(running: Detector) -> None:
    (seen,) = told(Line("pump", running, SETTINGS), replaced(noise=6.0))
    assert "times as noisy as it was" in seen.comment


@pytest.mark.parametrize("seed", range(7, 12))
def test_a_sensor_that_comes_back_as_it_was_is_none(running: Detector, seed: int) -> None:
    assert told(Line("pump", running, SETTINGS), replaced(seed=seed)) == []


def test_a_step_of_a_sensor_that_was_there_all_the_time_or_away_for_a_moment_is_none(running: Detector) -> None:
    assert told(Line("pump", running, SETTINGS), replaced(12.0, away=slice(600, 600))) == []
    assert told(Line("pump", running, SETTINGS), replaced(12.0, away=slice(600, 630))) == []


def test_what_happens_to_a_whole_machine_while_its_data_are_away_is_none(running: Detector) -> None:
    values = coupled(1200, 7)
    values[BACK:] += 40.0
    values[AWAY:BACK] = np.nan
    assert told(Line("pump", running, SETTINGS), values) == [], "the connection was away"
    values = replaced(12.0)
    values[BACK:, 3] += 40.0
    assert told(Line("pump", running, SETTINGS), values) == [], "the others do not agree"


def driven(rows: int, seed: int) -> Float32s:
    """The six tags and a set-point that people move every ten minutes."""
    rng = np.random.default_rng(seed)
    setpoint = np.repeat(np.round(rng.uniform(900, 1500, -(-rows // 600)), 1), 600)[:rows]
    return np.column_stack([coupled(rows, seed) + 0.02 * (setpoint[:, None] - 1200), setpoint]).astype(np.float32)


@pytest.fixture(scope="module")
def set_by_people() -> Detector:
    detector = Detector(learn([driven(30_000, 1)], (*TAGS, ("target", "rpm")), 1000, name="pump"))
    assert detector.statistics.modes.setpoints == (6,)
    return detector


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_a_set_point_that_was_never_learnt_is_a_change_until_it_is_back(
    set_by_people: Detector, chunk_rows: int
) -> None:
    values = driven(2400, 2)
    values[600:1500, 6] = 1800.0
    values[1500:1800, 6] = 1200.0
    line = Line("pump", set_by_people, SETTINGS)
    seen, over = told(line, values, chunk_rows)
    assert (seen.kind, seen.about) == (EventKind.CHANGE_SEEN, "target")
    assert seen.comment == "the set-point target is 1800 rpm, outside of 887.9 to 1517 rpm, where it was learnt"
    assert 300 <= (seen.time_ns - int(frame(values[:601]).source_time_ns[-1])) / SECOND_NS <= 400
    assert over.kind is EventKind.HOLD_ENDED
    assert over.comment.startswith("the set-point target is 1200 rpm, within ")
    assert "meanwhile no row could be judged" in over.comment
    assert line.snapshot.withheld == ()


def test_a_set_point_that_is_outside_for_a_moment_is_none(set_by_people: Detector) -> None:
    values = driven(1800, 2)
    values[600:800, 6] = 1800.0
    assert told(Line("pump", set_by_people, SETTINGS), values) == []


def test_a_set_point_that_stays_outside_is_told_once_over_restarts(set_by_people: Detector) -> None:
    values = driven(4800, 2)
    values[600:3000, 6] = 1800.0
    values[3000:3600, 6] = 1200.0
    values[3600:, 6] = 1800.0
    line, events = Line("pump", set_by_people, SETTINGS), []
    for row in range(0, len(values), 1200):
        line = Line("pump", set_by_people, SETTINGS, memory=line.memory, withheld=line.snapshot.withheld)
        for begin in range(row, row + 1200, 100):
            part = frame(values[begin : begin + 100], begin)
            events += line.step(part, int(part.source_time_ns[-1]))
            line.publish()
    seen = [one.about for one in events if isinstance(one, AssetEvent) and one.kind is EventKind.CHANGE_SEEN]
    assert seen == ["target", "target"], "outside, back, and outside again"
