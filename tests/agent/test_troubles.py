from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import numpy as np
import pytest

from agent.troubles import QUIET_NS, Troubles
from connectors.frame import (
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_TIMEOUT,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    UNCERTAIN,
    Frame,
    ModbusAddress,
    Table,
    Tag,
)
from connectors.link import LinkHealth, LinkState
from tests.clock import ManualClock

TAGS = [
    Tag("flow", "m3/h", ModbusAddress(1, Table.COIL, 0)),
    Tag("speed", "rpm", ModbusAddress(7, Table.COIL, 1)),
]


class Watched:
    """Troubles of a connection `plc`, fed with statuses; `told` are the fields of what was logged since."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "agent.troubles")
        self.clock = ManualClock()
        self._caplog = caplog
        self._troubles = Troubles("plc", TAGS, ["pump.flow", "pump.speed"], self.clock)

    def tags(
        self, *status: int, state: LinkState = LinkState.DELIVERING, error: str = "", notes: tuple[str, ...] = ()
    ) -> list[tuple[str, ...]]:
        self._caplog.clear()
        frame = (
            Frame.of(0, np.ones(len(TAGS)), np.array(status, np.uint32)) if status else Frame.empty(len(TAGS))
        )
        self._troubles.note(frame, LinkHealth(
            state, 0, None, 1, 1, 0, 1, 1.0, 0.0, error, notes=notes))
        fields = ("connection", "error", "note", "tag", "status", "remedy")
        return [
            (record.levelname, *(vars(record)[name] for name in fields if name in vars(record)))
            for record in self._caplog.records
        ]

    def wait(self, duration_ns: int) -> None:
        asyncio.run(self.clock.advance(duration_ns))


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Watched:
    return Watched(caplog)


def test_nothing_is_said_while_all_is_well(watched: Watched) -> None:
    for status in ((), (GOOD, GOOD), (GOOD, UNCERTAIN), (BAD_NO_DATA, BAD_WAITING_FOR_INITIAL_DATA)):
        assert watched.tags(*status) == []


def test_a_tag_is_told_of_once_with_its_remedy_and_once_when_it_is_back(watched: Watched) -> None:
    ((level, name, status, remedy),) = watched.tags(GOOD, BAD_TIMEOUT)
    assert (level, name, status) == ("WARNING", "pump.speed", "BadTimeout")
    assert "unit 7 does not answer" in remedy
    for quiet in ((GOOD, BAD_TIMEOUT), (GOOD, BAD_NO_DATA), (), (GOOD, BAD_TIMEOUT)):
        assert watched.tags(*quiet) == []
    assert watched.tags(GOOD, GOOD) == [("INFO", "pump.speed", "Good")]
    assert watched.tags(GOOD, GOOD) == []


def test_a_tag_that_comes_and_goes_does_not_fill_the_log(watched: Watched) -> None:
    said = [watched.tags(*status) for _ in range(50) for status in ((BAD_OUT_OF_RANGE, GOOD), (GOOD, GOOD))]
    assert sum(map(len, said)) == 2
    watched.wait(QUIET_NS)
    assert len(watched.tags(BAD_OUT_OF_RANGE, GOOD)) == 1
    assert watched.tags(BAD_NODE_ID_UNKNOWN, GOOD) == []
    watched.wait(QUIET_NS)
    assert watched.tags(BAD_NODE_ID_UNKNOWN, GOOD)[0][2] == "BadNodeIdUnknown"


def test_a_connection_is_told_of_once_and_its_tags_not_at_all(watched: Watched) -> None:
    def down() -> Sequence[tuple[str, ...]]:
        return watched.tags(
            BAD_NO_COMMUNICATION, BAD_NO_COMMUNICATION, state=LinkState.BACKING_OFF, error="cannot connect"
        )

    assert down() == [("WARNING", "plc", "cannot connect")]
    assert down() == []
    assert watched.tags(GOOD, GOOD) == [("INFO", "plc")]
    assert down() == [("WARNING", "plc", "cannot connect")]


def test_a_device_that_is_back_and_gives_nothing_has_its_tags_told_of(watched: Watched) -> None:
    watched.tags(BAD_TIMEOUT, BAD_TIMEOUT, state=LinkState.BACKING_OFF, error="cannot connect")
    told = watched.tags(BAD_TIMEOUT, BAD_TIMEOUT, state=LinkState.CONNECTED, error="cannot connect")
    assert [name for _, name, *_ in told] == ["pump.flow", "pump.speed"]


def test_a_note_is_told_when_it_begins_to_hold(caplog: pytest.LogCaptureFixture) -> None:
    plc = Watched(caplog)
    assert plc.tags(GOOD, GOOD, notes=("its clock is wrong",)) == [("WARNING", "plc", "its clock is wrong")]
    assert plc.tags(GOOD, GOOD, notes=("its clock is wrong",)) == []
    assert plc.tags(GOOD, GOOD) == []
    assert plc.tags(GOOD, GOOD, notes=("its clock is wrong",)) == [("WARNING", "plc", "its clock is wrong")]
