"""An alarm whose cause is not clear waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.line.advise import REMEMBERS_ROWS, Delays, Watch
from agent.line.alert import AlarmEvent
from agent.line.assess import Assessor
from agent.line.cause import Opinion
from agent.line.verdict import Cause
from agent.line.vigil import Vigil
from tests.line.frames import grid
from tests.line.scripted import ScriptedDetector

RAISE, RETURN = AlarmEvent.RAISE, AlarmEvent.RETURN
UNCLEAR = Opinion(Cause.MACHINE, 0.7)
SYMPTOM = Opinion(Cause.MACHINE, 0.95, alone=0.9)
MACHINE, SENSOR = Opinion(Cause.MACHINE, 0.95), Opinion(Cause.SENSOR, 0.98, "stuck")


def waiting(told: Sequence[tuple[int, float]], opinions: Sequence[tuple[int, Opinion]], chunk_rows: int = 1000,
            withheld: range = range(0)) -> list[tuple[AlarmEvent, int, int]]:
    """What a watch calls for that waits 160 s for the cause, with delays of 10 and 30 s: event, row and since when.

    `told` are (how many rows, evidence), `opinions` (from which row on, what is thought).
    """
    values = np.repeat([evidence for _, evidence in told], [count for count, _ in told]).astype(np.float32)
    assessor, found = Assessor(ScriptedDetector(), 1e-6), []
    watch = Watch(Delays.of(10, 30, 1.0, 160), raised=False)
    for first in range(0, len(values), chunk_rows):
        assessment = assessor.update(grid(values[first : first + chunk_rows, None], start_s=first))
        quiet = np.isin(np.arange(first, first + assessment.rows), withheld)

        def opinion(row: int, first: int = first) -> Opinion:
            return [thought for since, thought in opinions if since <= first + row][-1]

        found += [
            (change.event, first + change.row, first + change.row - change.since_rows)
            for change in watch.changes(assessment, quiet if quiet.any() else None, opinion)
        ]
    return found


@pytest.mark.parametrize("chunk_rows", [1000, 7])
def test_an_alarm_waits_until_three_looks_agree_on_a_clear_cause(chunk_rows: int) -> None:
    """The on delay ends in row 69; a look is taken every ten rows from then on."""
    long = (60, 0.2), (300, 1.5)
    assert waiting(long, [(0, MACHINE)], chunk_rows) == [(RAISE, 90, 60)]
    assert waiting(long, [(0, UNCLEAR), (100, SENSOR)], chunk_rows) == [(RAISE, 120, 60)]
    assert waiting(long, [(0, SENSOR), (85, MACHINE)], chunk_rows) == [(RAISE, 110, 60)]
    assert waiting(long, [(0, Opinion(Cause.COMMUNICATION, None))], chunk_rows) == [(RAISE, 90, 60)]


def test_one_symptom_alone_is_not_clear_until_something_else_moves() -> None:
    assert waiting([(60, 0.2), (300, 1.5)], [(0, SYMPTOM), (100, MACHINE)]) == [(RAISE, 120, 60)]
    assert waiting([(60, 0.2), (300, 1.5)], [(0, SYMPTOM)]) == [(RAISE, 229, 60)]


@pytest.mark.parametrize("chunk_rows", [1000, 7])
def test_what_stays_unclear_is_told_after_the_delay_and_what_is_grave_at_once(chunk_rows: int) -> None:
    assert waiting([(60, 0.2), (300, 1.5)], [(0, UNCLEAR)], chunk_rows) == [(RAISE, 229, 60)]
    assert waiting([(60, 0.2), (40, 1.5), (100, 5.5)], [(0, UNCLEAR)], chunk_rows) == [(RAISE, 109, 60)]
    assert waiting([(60, 0.2), (100, 5.5)], [(0, UNCLEAR)], chunk_rows) == [(RAISE, 69, 60)], "it never waits"
    assert waiting([(60, 0.2), (5, 1.5), (100, 5.5)], [(0, UNCLEAR)], chunk_rows) == [(RAISE, 74, 60)]


def test_a_deviation_that_returns_before_its_cause_is_clear_is_no_alarm() -> None:
    told = (60, 0.2), (50, 1.5), (100, 0.2), (300, 1.5), (60, 0.2)
    assert waiting(told, [(0, UNCLEAR)]) == [(RAISE, 379, 210), (RETURN, 539, 510)]


def test_an_alarm_that_waits_is_told_once_it_deviates_for_the_on_delay_again() -> None:
    """While the machine is well for less than the off delay there is nothing to show, and a short peak is no alarm."""
    assert waiting([(60, 0.2), (150, 1.5), (29, 0.2), (50, 1.5)], [(0, UNCLEAR)]) == [(RAISE, 248, 60)]
    assert waiting([(60, 0.2), (150, 1.5), (25, 0.2), (9, 1.5), (40, 0.2)], [(0, UNCLEAR)]) == []


def test_an_alarm_that_waits_is_not_told_by_the_first_row_after_a_long_silence() -> None:
    """Data were missing, or the machine was off. It is judged again from row 411 on, when enough rows are there."""
    silent = (60, 0.2), (20, 1.5), (300, np.nan)
    assert waiting([*silent, (40, 1.5), (100, 0.2)], [(0, UNCLEAR)]) == []
    assert waiting([*silent, (60, 1.5)], [(0, UNCLEAR)]) == [(RAISE, 420, 60)]


def test_what_waits_while_alerts_are_withheld_begins_anew_after_them() -> None:
    found = waiting([(60, 0.2), (400, 1.5)], [(0, UNCLEAR)], withheld=range(100, 120))
    begun = 119 + REMEMBERS_ROWS
    assert found == [(RAISE, begun + 9 + 160, begun)]


def test_how_bad_it_was_is_as_of_when_people_were_told() -> None:
    """Else what grew while it waited would be raised again as worse right after."""
    told = (60, 0.2), (100, 1.5), (100, 2.9), (100, 3.5), (50, 3.9)
    assert [event for event, *_ in waiting(told, [(0, UNCLEAR)])] == [RAISE]


def test_looking_back_all_is_not_well_while_an_alarm_waits() -> None:
    """A fault that is tried in a drill would seem to be seen at once, where another deviation has waited already."""
    vigil = Vigil(ScriptedDetector(), 1e-6, Delays.of(10, 30, 1.0, 160))
    course = np.repeat([0.2, 1.5, 0.2], [60, 15, 60]).astype(np.float32)[:, None]
    for first, end, deviates in ((0, 60, False), (60, 80, True), (80, 135, False)):
        _, changes = vigil.take(grid(course[first:end], start_s=first))
        assert (changes, vigil.raised, vigil.deviates) == ([], False, deviates)
