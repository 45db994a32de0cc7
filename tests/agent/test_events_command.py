"""`forewarn events`, from a journal and from an agent that answers over a socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.build import JOURNAL
from agent.line.event import AssetEvent, EventKind
from agent.store.journal import Journal
from tests.agent.commands import forewarn
from tests.agent.plant import Plant
from tests.agent.samples import START_NS
from tests.agent.test_say_command import served

SECOND_NS = 1_000_000_000

HOUR_NS = 3600 * SECOND_NS


def event(number: int, kind: EventKind, asset: str = "pump", **more: object) -> AssetEvent:
    """Something that happened at the START, a minute after the one before."""
    now_ns = START_NS + number * 60 * SECOND_NS
    fields: dict[str, object] = {"until_ns": None, "by": None, "comment": "", "about": None} | more
    return AssetEvent(f"{asset}:{number}", asset, kind, now_ns, fields.pop("since_ns", now_ns), **fields)  # type: ignore[arg-type]


EVENTS = (
    event(0, EventKind.OUT_OF_SERVICE, since_ns=START_NS + HOUR_NS, until_ns=START_NS + 5 * HOUR_NS, by="Ana",
          comment="\x1b"),
    event(1, EventKind.CHANGE_SEEN, until_ns=START_NS + 60 * SECOND_NS, about="temperature", comment="another sensor"),
    event(2, EventKind.LIVE, asset="press", by="Bo", comment="as it\n  should"),
    event(3, EventKind.FAILURE, by="Ana", about="pump-7", downtime_s=7200.0, comment="seal burst"),
)
LINES = (
    "2026-09-21T14:16:20Z  pump  failure, of pump-7, by Ana, downtime 2 h: seal burst",
    "2026-09-21T14:15:20Z  press  live, by Bo: as it should",
    "2026-09-21T14:14:20Z  pump  change seen, of temperature: another sensor",
    "2026-09-21T14:13:20Z  pump  out of service, from 2026-09-21T15:13:20Z, until 2026-09-21T19:13:20Z, by Ana: \ufffd",
)


def test_events_of_a_journal_are_listed_the_newest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL, START_NS)
    assert forewarn("events", "--state-dir", tmp_path).output == "no events\n"
    for one in EVENTS:
        journal.record(one)
    journal.close()

    def listed(*options: str) -> tuple[str, ...]:
        return tuple(forewarn("events", "--state-dir", tmp_path, *options).output.splitlines())

    assert listed() == LINES
    assert listed("--asset", "press") == LINES[1:2]
    assert listed("--kind", "change_seen") == LINES[2:3]
    assert listed("--since", "2026-09-21T14:15:20Z", "--limit", "1") == LINES[:1]
    bodies = [json.loads(line) for line in listed("--json")]
    assert [(body["id"], body["comment"]) for body in bodies] == [
        (one.id, one.comment) for one in reversed(EVENTS)
    ]


def test_events_are_asked_of_a_running_agent(plant: Plant, tmp_path: Path) -> None:
    for one in EVENTS:
        plant.journal.record(one)
    with served(plant) as url:
        asked = ("--api", url, "--asset", "pump", "--since", "2026-09-21T14:14:20Z")
        assert tuple(forewarn("events", *asked).output.splitlines()) == (LINES[0], LINES[2])
        body = json.loads(forewarn("events", *asked, "--json", "--kind", "failure").output)
        assert (body["id"], body["downtime_s"]) == ("pump:3", 7200.0)
        unknown = forewarn("events", "--api", url, "--asset", "fan")
    assert (unknown.exit_code, 'there is no asset "fan"' in unknown.output) == (2, True)


@pytest.mark.parametrize(("options", "said"), [
    (("--kind", "burnt"), "--kind"),
    (("--since", "noon"), "--since noon"),
    (("--limit", "0"), "--limit"),
    (("--api", "http://127.0.0.1:1"), "no agent answers there"),
    (("--state-dir", "nowhere"), "nowhere"),
])
def test_what_cannot_be_listed_is_told_with_the_reason(options: tuple[str, ...], said: str) -> None:
    result = forewarn("events", *options)
    assert result.exit_code == 2
    assert said in result.output
