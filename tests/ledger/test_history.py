"""What the ledger takes from a journal: an alert is judged by what people had been told when they answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ledger.account import account
from agent.ledger.history import history_of
from agent.line import lifecycle
from agent.line.alert import Acknowledge, Alert, Answer, GiveLabel, Label, Priority
from agent.line.lifecycle import Patience
from agent.line.verdict import Cause, Verdict
from agent.store.journal import Journal
from tests.agent.samples import ADVISORY, SECOND_NS, START_NS, verdict
from tests.ledger.test_account import PER_S

Happening = Callable[[Alert, int], Alert | None]


def judged(cause: Cause, now_ns: int) -> Verdict:
    return replace(verdict(time_ns=now_ns), cause=cause)


def raised(cause: Cause, now_ns: int) -> Alert:
    return lifecycle.raised("pump-1", now_ns, now_ns, judged(cause, now_ns), Priority.LOW, cause.value, ADVISORY)


def acknowledged(alert: Alert, now_ns: int) -> Alert | None:
    return lifecycle.obey(alert, Acknowledge(alert.id, "Ana", now_ns), now_ns)


def returned(alert: Alert, now_ns: int) -> Alert | None:
    return lifecycle.returned(alert, now_ns, now_ns)


def reassessed(cause: Cause) -> Happening:
    return lambda alert, now_ns: lifecycle.reassessed(
        alert, judged(cause, now_ns), Priority.HIGH, cause.value, ADVISORY, now_ns
    )


def raised_again(cause: Cause) -> Happening:
    return lambda alert, now_ns: lifecycle.raised_again(alert, raised(cause, now_ns))


def worsened(cause: Cause) -> Happening:
    return lambda alert, now_ns: lifecycle.worsened(alert, raised(cause, now_ns))


def reminded(alert: Alert, now_ns: int) -> Alert | None:
    return lifecycle.due(alert, (), Patience(realarm_ns=1), now_ns)


def labelled(answer: Answer) -> Happening:
    label = Label(answer, None, "Ana", START_NS)
    return lambda alert, now_ns: lifecycle.obey(alert, GiveLabel(alert.id, label), now_ns)


AS_SENSOR, AS_MACHINE = reassessed(Cause.SENSOR), reassessed(Cause.MACHINE)
A_SENSOR = labelled(Answer.SENSOR)


@pytest.mark.parametrize(("cause", "happenings", "right"), [
    pytest.param(Cause.SENSOR, [acknowledged, AS_MACHINE, A_SENSOR], 1, id="the sensor was replaced meanwhile"),
    pytest.param(Cause.SENSOR, [acknowledged, A_SENSOR, AS_MACHINE], 1, id="reassessed after the answer"),
    pytest.param(Cause.MACHINE, [acknowledged, AS_SENSOR, A_SENSOR], 0, id="people were told that it was the machine"),
    pytest.param(Cause.MACHINE, [A_SENSOR], 0, id="wrong from the start"),
    pytest.param(Cause.SENSOR, [acknowledged, AS_MACHINE, reminded, A_SENSOR], 0, id="told anew"),
    pytest.param(Cause.SENSOR, [acknowledged, worsened(Cause.MACHINE), A_SENSOR], 0, id="told anew, and worse"),
    pytest.param(Cause.SENSOR, [acknowledged, A_SENSOR, worsened(Cause.MACHINE)], 1, id="told anew after the answer"),
    pytest.param(Cause.MACHINE, [returned, raised_again(Cause.SENSOR), A_SENSOR], 1, id="raised again as a sensor"),
    pytest.param(Cause.SENSOR, [acknowledged, labelled(Answer.NORMAL), AS_MACHINE, A_SENSOR, returned], 1,
                 id="the answer was corrected"),
])  # fmt: skip
def test_an_alert_is_judged_by_what_people_had_been_told(
    cause: Cause, happenings: Sequence[Happening], right: int, tmp_path: Path
) -> None:
    with closing(Journal(tmp_path / "journal.db", START_NS)) as journal:
        now_ns, stands = START_NS, raised(cause, START_NS)
        journal.record(stands)
        for happens in happenings:
            now_ns += SECOND_NS
            if (new := happens(stands, now_ns)) is not None:
                stands = new
                journal.record(stands)
        found = account(history_of(journal, tmp_path / "telemetry", "pump", 1000), PER_S, None, now_ns + SECOND_NS)
    assert (found.judged, found.right) == (1, right)
