"""Lists for people: a line for each thing, whatever was written into it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.line.alert import Answer, Label, Withheld, WithheldKind
from agent.line.event import EventKind, EventLog
from agent.told import happened, kept_back, standing
from tests.agent.samples import START_NS, alert

FORGED = "rag\npump-9  high  2026-09-21T14:13:22Z  unacknowledged\r\n    press: bearing has seized"


def test_what_people_write_begins_no_line_of_its_own() -> None:
    labelled = replace(alert(), label=Label(Answer.REAL, FORGED, FORGED, START_NS), root=FORGED)
    event = EventLog("pump").event(EventKind.REPAIR, START_NS, by=FORGED, comment=FORGED, about=FORGED)
    held = Withheld(WithheldKind.SHELVED, FORGED, START_NS, None, FORGED)
    for line in (standing(labelled), happened(event), kept_back(held)):
        assert len(line.splitlines()) == 1
        assert "bearing has seized" in line


@pytest.mark.parametrize(("about", "comment", "line"), [
    ("flow", "flow seems another sensor", "change seen: flow seems another sensor"),
    ("flow", "the flowmeter was away", "change seen, of flow: the flowmeter was away"),
    ("pump-1", "as pump-12", "change seen, of pump-1: as pump-12"),
    ("a+b", "", "change seen, of a+b"),
    (None, "away", "change seen: away"),
    ("5bf73bbd7f94" + 52 * "0", "as configured", "change seen, of 5bf73bbd7f94: as configured"),
])
def test_what_an_event_is_about_is_said_once(about: str | None, comment: str, line: str) -> None:
    assert happened(EventLog("pump").event(EventKind.CHANGE_SEEN, START_NS, comment=comment, about=about)) == line
