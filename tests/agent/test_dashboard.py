"""The dashboard: what it shows of the machines, what people say there, and what no other page can say."""

from __future__ import annotations

import asyncio
import html.parser
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.label_link import LabelLinks, Ticket
from agent.line.alert import Acknowledgement, AlarmState, Answer, Command, Label, Rebaseline, Withheld, WithheldKind
from agent.line.event import AssetEvent, EventKind, EventLog
from agent.line.rebaselining import Progress
from agent.line.stage import Stage
from agent.line.verdict import Condition
from agent.store import codec
from agent.store.journal import EventFilter
from agent.trust import KEY
from tests.agent.asking import URL, client
from tests.agent.doubles import ThresholdLine
from tests.agent.plant import Plant
from tests.agent.samples import SECOND_NS, START_NS, alert, verdict

OURS = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = '</title></h1><script>alert(1)</script>" onfocus="x \u202e'
FORM = ("say", "name", "comment", "hours", "since", "at", "downtime", "aside", "alert", f"tag.{HOSTILE}")
HOUR_NS = 3600 * SECOND_NS


class Seen(html.parser.HTMLParser):
    """The elements and attributes of a page, what its buttons say, the values of its fields, and its text."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.says: list[str] = []
        self.fields: dict[str, str] = {}
        self.ticked: set[str] = set()
        self.links: list[str] = []
        self.unfolded: list[str] = []
        self.text = ""
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.elements.add(tag)
        self.attributes |= told.keys()
        if tag == "button" and "disabled" not in told:
            assert told["name"] == "say"
            self.says.append(told["value"])
        elif tag == "button":
            assert not self.says, "the enter key presses the first button, which must say nothing"
        elif tag in ("input", "textarea"):
            self.fields[told["name"]] = told.get("value", "")
            self.ticked |= {told["name"]} if "checked" in told else set()
        elif tag == "a":
            self.links.append(told["href"])
        elif tag == "details" and "open" in told:
            self.unfolded.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def links(tmp_path: Path) -> LabelLinks:
    return LabelLinks(tmp_path / "state")


def played(
    plant: Plant, links: LabelLinks, scenario: Callable[[httpx.AsyncClient], Awaitable[list[httpx.Response]]]
) -> tuple[list[httpx.Response], Sequence[AssetEvent]]:
    """Play a scenario; return its answers, and the events that came of it, the newest first."""

    async def run() -> tuple[list[httpx.Response], Sequence[AssetEvent]]:
        async with plant.running(), client(plant, links=links) as http:
            return await scenario(http), plant.journal.events(EventFilter("pump")).events

    return asyncio.run(run())


def once(plant: Plant, links: LabelLinks, method: str, path: str, **options: object) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with client(plant, links=links) as http:
            return await http.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(ask())


def test_maintenance_is_entered_and_ended_on_a_machines_page(plant: Plant, links: LabelLinks) -> None:
    async def scenario(http: httpx.AsyncClient) -> list[httpx.Response]:
        await plant.advance(1)
        pages = [await http.get("/"), await http.get("/machines/pump")]
        said = {"say": "out-of-service", "name": "Ana <3", "comment": "new seal", "hours": "4", "since": ""}
        pages.append(await http.post("/machines/pump", data=said, headers=OURS))
        pages.append(await http.get("/machines/pump", params={"sent": "out-of-service"}))
        await plant.advance(1)
        pages += [await http.get("/"), await http.get("/machines/pump")]
        pages.append(await http.post("/machines/pump", data=said, headers=OURS))
        back = {"say": "in-service", "name": "Bo", "comment": "done"}
        pages.append(await http.post("/machines/pump", data=back, headers=OURS))
        await plant.advance(1)
        return [*pages, await http.get("/machines/pump")]

    found, events = played(plant, links, scenario)
    before, first, taken, told, all_, out, again, _, after = map(Seen, found)
    assert "pump well" in " ".join(before.text.split())
    assert before.links == ["machines/pump"]
    assert '<meta http-equiv="refresh" content="30">' in found[0].text
    assert "http-equiv" not in first.attributes, "a page that is being written on is not asked for again"
    assert first.says == ["out-of-service", "rebaseline", "failure", "repair"]
    assert (found[2].status_code, found[2].headers["location"]) == (303, "?sent=out-of-service")
    assert '"out of service" was sent; it takes effect with the next read of pump' in told.text
    assert told.fields["name"] == "Ana <3", "the name is remembered"
    assert "out of service from 2026-09-21T14:13:21Z until 2026-09-21T18:13:21Z, by Ana <3: new seal" in all_.text
    assert out.says == ["in-service", "rebaseline", "failure", "repair"]
    assert found[6].status_code == 409
    assert "is out of service from" in again.text
    assert again.fields["comment"] == "", "a text area has no value"
    assert "new seal</textarea>" in found[6].text, "and what was written is not lost"
    assert found[7].status_code == 303
    assert after.says == first.says
    lasted = "from 2026-09-21T14:13:21Z, until 2026-09-21T18:13:21Z"
    assert f"2026-09-21T14:13:22Z out of service, {lasted}, by Ana <3: new seal" in after.text
    assert [one.kind for one in events] == [EventKind.IN_SERVICE, EventKind.OUT_OF_SERVICE]
    assert not taken.elements, "an answer that leads elsewhere is empty"


def test_an_alert_is_taken_on_and_asked_about(plant: Plant, links: LabelLinks) -> None:
    async def scenario(http: httpx.AsyncClient) -> list[httpx.Response]:
        plant.pressure = 11.0
        await plant.advance(1)
        pages = [await http.get("/"), await http.get("/machines/pump")]
        said = {"say": "acknowledge", "name": "Ana", "comment": "on my way", "alert": Seen(pages[1]).fields["alert"]}
        pages.append(await http.post("/machines/pump", data=said, headers=OURS))
        await plant.advance(1)
        pages.append(await http.get("/machines/pump"))
        (asked,) = [link for link in Seen(pages[-1]).links if "/l/" in link]
        pages.append(await http.get(str(httpx.URL(f"{URL}/machines/pump").join(asked))))
        assert plant.journal.known("pump-1").state is AlarmState.ACKNOWLEDGED
        return pages

    (*found, label), _ = played(plant, links, scenario)
    all_, first, _, taken = map(Seen, found)
    assert "pump-1, unacknowledged: pump deviates: pressure 11.1 bar" in all_.text
    assert 'class="bad"' in found[0].text
    assert first.says[0] == "acknowledge"
    assert "Look for drops at the shaft seal." in first.text
    assert "acknowledge" not in taken.says
    assert "Ana sees to it since 2026-09-21T14:13:21Z. on my way" in taken.text
    assert "What was it?" in label.text


def test_a_failure_and_a_repair_are_recorded(plant: Plant, links: LabelLinks) -> None:
    async def scenario(http: httpx.AsyncClient) -> list[httpx.Response]:
        plant.pressure = 11.0
        await plant.advance(1)
        said = {"say": "repair", "name": "Ana", "comment": "new seal\r\nand oil", "downtime": "0"}
        pages = [await http.post("/machines/pump", data=said, headers=OURS)]
        said = {"say": "failure", "name": "Bo", "comment": "burst", "at": "2026-09-21T13:00", "downtime": ""}
        pages.append(await http.post("/machines/pump", data=said, headers=OURS))
        await plant.advance(1)
        return pages

    answers, (failure, repair) = played(plant, links, scenario)
    assert [page.status_code for page in answers] == [303, 303]
    assert (repair.kind, repair.comment) == (EventKind.REPAIR, "new seal\nand oil")
    assert (repair.about, repair.downtime_s) == (None, 0.0)
    assert (failure.kind, failure.by, failure.about, failure.downtime_s) == (EventKind.FAILURE, "Bo", None, None)
    assert codec.format_time(failure.since_ns) == "2026-09-21T13:00:00.000000000Z"


class Held(ThresholdLine):
    """A line whose alerts are on hold, since a change was seen; it keeps what it is told."""

    def publish(self) -> None:
        super().publish()
        hold = Withheld(WithheldKind.ON_HOLD, None, START_NS, START_NS + HOUR_NS, "temperature seems another sensor")
        anew = Progress(("temperature",), 240, 600)
        self.snapshot = replace(self.snapshot, withheld=(hold,), rebaselining=anew, stage=Stage.SHADOW)

    def submit(self, command: Command) -> bool:
        self.said = [*getattr(self, "said", []), command]
        return True


def test_a_change_that_was_seen_is_answered(tmp_path: Path, links: LabelLinks) -> None:
    async def scenario(http: httpx.AsyncClient) -> list[httpx.Response]:
        await plant.advance(1)
        pages = [await http.get("/machines/pump")]
        for said in ({"say": "nothing-changed"}, {"say": "rebaseline", "tag.temperature": "on"}):
            both = {"name": "Ana", "comment": "new thermometer"}
            pages.append(await http.post("/machines/pump", data=said | both, headers=OURS))
        await plant.advance(1)
        return pages

    plant = Plant(tmp_path / "plant", line_type=Held)
    (first, *rest), _ = played(plant, links, scenario)
    plant.close()
    page = Seen(first)
    assert page.says[:3] == ["nothing-changed", "out-of-service", "rebaseline"]
    assert "on hold from 2026-09-21T14:13:20Z until 2026-09-21T15:13:20Z: temperature seems another sensor" in page.text
    assert "temperature: 240 of 600 rows have come." in page.text
    assert "in shadow, nobody is told of its alerts" in page.text
    assert [one.status_code for one in rest] == [303, 303]
    assert isinstance(plant.line, Held)
    ended, anew = plant.line.said
    assert type(ended).__name__ == "EndHold"
    assert isinstance(anew, Rebaseline)
    assert (anew.tags, anew.by, anew.comment) == (("temperature",), "Ana", "new thermometer")


@pytest.mark.parametrize(("said", "status", "told"), [
    ({"say": "out-of-service", "name": " ", "comment": "seal", "hours": "4"}, 422, "Your name: must not be blank"),
    ({"say": "out-of-service", "name": "Ana", "comment": "", "hours": "4"}, 422, "What is done: must not be empty"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": ""}, 422, "Hours: must be a number"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "1,5"}, 422, "Hours: must be a number"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "inf"}, 422, "Hours: must be 2160 at most"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "nan"}, 422, "Hours: "),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "0"}, 422, "Hours: must be more than 0"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "1e4"}, 422, "Hours: must be 2160 at most"),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "4", "since": "noon"}, 422, "From: "),
    ({"say": "out-of-service", "name": "Ana", "comment": "seal", "hours": "4", "since": "2036-01-01T00:00"}, 422,
     "From: is more than a year ahead"),
    ({"say": "rebaseline", "name": "Ana", "comment": "new"}, 422, "Tags: must name one at least"),
    ({"say": "rebaseline", "name": "Ana", "comment": "new", "tag.speed": "on"}, 422, "Tags: speed: the model has no"),
    ({"say": "failure", "name": "Ana", "comment": "burst", "at": "2036-01-01T00:00"}, 422, "When: is to come"),
    ({"say": "failure", "name": "Ana", "comment": "burst", "at": "0026-09-21T13:00"}, 422, "When: "),
    ({"say": "failure", "name": "Ana", "comment": "burst", "at": "2026-09-21T13:00:30"}, 422, "When: "),
    ({"say": "shelve", "name": "Ana", "comment": "x", "alert": "press-1", "aside": "4"}, 422, "press-1 is of press"),
    ({"say": "acknowledge", "name": "Ana", "alert": "pump-9"}, 404, 'there is no alert "pump-9"'),
    ({"say": "in-service", "name": "Ana"}, 409, "pump is in service"),
    ({"say": "nothing-changed", "name": "Ana"}, 409, "pump is not on hold"),
    ({"say": "burn", "name": "Ana"}, 422, "Nothing was said"),
    ({}, 422, "Nothing was said"),
])
def test_what_cannot_be_is_told_on_the_page_and_what_was_written_is_kept(
    said: dict[str, str], status: int, told: str, plant: Plant, links: LabelLinks
) -> None:
    plant.journal.record(alert(1, asset="press"))
    answer = once(plant, links, "POST", "/machines/pump", data=said, headers=OURS)
    page = Seen(answer)
    assert answer.status_code == status
    assert told in page.text
    assert "body." not in page.text
    assert page.fields["name"] == said.get("name", "")
    for field in {"hours", "since", "at"} & said.keys():
        assert page.fields[field] == said[field]
    assert len(page.unfolded) == (said.get("say") in {"out-of-service", "rebaseline", "failure"})
    assert page.ticked == {name for name in said if name.startswith("tag.")} & {"tag.pressure", "tag.temperature"}


@pytest.mark.parametrize(("headers", "status"), [
    ({"Sec-Fetch-Site": "same-origin"}, 303),
    ({"Origin": URL}, 303),
    ({"Origin": "https://gateway.example", "Host": "gateway.example"}, 303),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Origin": URL}, 403),
    ({"Sec-Fetch-Site": "none"}, 403),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "http://127.0.0.1:8471"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({}, 403),
])
def test_no_other_page_can_say_anything(
    headers: dict[str, str], status: int, plant: Plant, links: LabelLinks
) -> None:
    said = {"say": "out-of-service", "name": "Eve", "comment": "quiet", "hours": "4"}
    answer = once(plant, links, "POST", "/machines/pump", data=said, headers=headers)
    assert answer.status_code == status


def test_what_devices_and_people_write_is_text_on_the_pages(plant: Plant, links: LabelLinks) -> None:
    line = plant.line
    hostile = replace(alert(1), message=HOSTILE, label=Label(Answer.REAL, HOSTILE, HOSTILE, START_NS))
    hostile = replace(hostile, acknowledgement=Acknowledgement(HOSTILE, START_NS, HOSTILE))
    hold = Withheld(WithheldKind.OUT_OF_SERVICE, HOSTILE, START_NS, None, HOSTILE)
    plant.journal.record(EventLog("pump").event(EventKind.REPAIR, START_NS, by=HOSTILE, comment=HOSTILE, about=HOSTILE))
    line.snapshot = replace(line.snapshot, alert=hostile, withheld=(hold,), levels=(HOSTILE, "temperature"))
    for page in (
        once(plant, links, "GET", "/"),
        once(plant, links, "GET", "/machines/pump", headers={"Cookie": "name=%22%3E%3Cscript%3E"}),
        once(plant, links, "GET", "/machines/pump?sent=%3Cscript%3E"),
        once(plant, links, "POST", "/machines/pump", data=dict.fromkeys(FORM, HOSTILE), headers=OURS),
        once(plant, links, "GET", "/machines/%3Cscript%3E"),
    ):
        seen = Seen(page)
        assert "script" not in seen.elements
        assert "onfocus" not in seen.attributes
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


def test_a_machine_that_is_not_there_and_an_agent_that_fails_are_told(plant: Plant, links: LabelLinks) -> None:
    lost = once(plant, links, "GET", "/machines/fan")
    assert (lost.status_code, "there are: pump" in lost.text) == (404, True)
    assert once(plant, links, "POST", "/machines/fan", data={"say": "in-service"}, headers=OURS).status_code == 404
    page = once(plant, links, "GET", "/")
    assert "line3_plc (192.0.2.10:502) is idle: no answer yet" in page.text


SHELF = Withheld(WithheldKind.SHELVED, "Ana", START_NS - HOUR_NS, START_NS + HOUR_NS, "part ordered")
OUT = Withheld(WithheldKind.OUT_OF_SERVICE, "Ana", START_NS - HOUR_NS, START_NS + HOUR_NS, "new seal")
PLANNED = replace(OUT, since_ns=START_NS + 90 * 24 * HOUR_NS, until_ns=START_NS + 91 * 24 * HOUR_NS)


@pytest.mark.parametrize(("changes", "condition", "color"), [
    ({}, Condition.NORMAL, "well"),
    ({"stage": Stage.SHADOW}, Condition.NORMAL, "well"),
    ({"stage": Stage.COLLECTING}, Condition.NORMAL, ""),
    ({"stage": Stage.LEARNING}, Condition.NORMAL, ""),
    ({}, Condition.DEVIATING, "odd"),
    ({}, Condition.UNSEEN_REGIME, "odd"),
    ({}, Condition.SETTLING, ""),
    ({}, Condition.BLIND, ""),
    ({}, None, ""),
    ({"alert": alert(1)}, Condition.DEVIATING, "bad"),
    ({"alert": alert(1)}, Condition.NORMAL, "bad"),
    ({"alert": replace(alert(1), withheld=(SHELF,))}, Condition.DEVIATING, "aside"),
    ({"alert": alert(1), "withheld": (PLANNED,)}, Condition.DEVIATING, "bad"),
    ({"alert": alert(1), "withheld": (OUT,)}, Condition.DEVIATING, "aside"),
    ({"withheld": (PLANNED,)}, Condition.NORMAL, "well"),
])
def test_a_machine_is_green_only_where_it_was_judged_well(
    changes: dict[str, Any], condition: Condition | None, color: str, plant: Plant, links: LabelLinks
) -> None:
    said = None if condition is None else replace(verdict(), condition=condition)
    plant.line.snapshot = replace(plant.line.snapshot, verdict=said, **changes)
    assert re.findall(r'<li class="(\w*)">', once(plant, links, "GET", "/").text) == [color]


def test_an_alert_is_put_aside_and_taken_back(plant: Plant, links: LabelLinks) -> None:
    async def scenario(http: httpx.AsyncClient) -> list[httpx.Response]:
        plant.pressure = 11.0
        await plant.advance(1)
        said = {"say": "shelve", "name": "Ana", "comment": "part ordered", "alert": "pump-1", "aside": "24"}
        pages = [await http.post("/machines/pump", data=said, headers=OURS)]
        await plant.advance(1)
        pages += [await http.get("/"), await http.get("/machines/pump")]
        said = {"say": "unshelve", "name": "Bo", "alert": "pump-1"}
        pages.append(await http.post("/machines/pump", data=said, headers=OURS))
        await plant.advance(1)
        return [*pages, await http.get("/machines/pump")]

    found, _ = played(plant, links, scenario)
    _, all_, aside, _, back = map(Seen, found)
    assert "pump-1, unacknowledged, shelved: pump deviates" in all_.text
    assert "shelved from 2026-09-21T14:13:21Z until 2026-09-22T14:13:21Z, by Ana: part ordered" in all_.text
    assert aside.says[:2] == ["acknowledge", "unshelve"]
    assert back.says[:2] == ["acknowledge", "shelve"]


def test_the_pages_lead_to_each_other_also_behind_a_proxy_that_adds_a_path(plant: Plant, links: LabelLinks) -> None:
    plant.line.snapshot = replace(plant.line.snapshot, alert=alert(1))
    home = httpx.URL("https://gateway.example/forewarn/")
    (to_machine,) = Seen(once(plant, links, "GET", "/")).links
    machine = home.join(to_machine)
    assert str(machine) == "https://gateway.example/forewarn/machines/pump"
    back, label = map(machine.join, Seen(once(plant, links, "GET", "/machines/pump")).links)
    assert back == home
    assert str(label).startswith("https://gateway.example/forewarn/l/pump-1~")
    said = {"say": "rebaseline", "name": "Ana", "tag.pressure": "on"}
    answer = once(plant, links, "POST", "/machines/pump", data=said, headers=OURS)
    assert str(machine.join(answer.headers["location"])) == f"{machine}?sent=rebaseline"


def test_a_page_says_what_cannot_be_read(plant: Plant, links: LabelLinks, tmp_path: Path) -> None:
    plant.line.snapshot = replace(plant.line.snapshot, alert=alert(1))
    links.token(Ticket("pump-1", START_NS))
    (tmp_path / "state" / KEY).chmod(0o644)
    plant.journal.close()
    page = once(plant, LabelLinks(tmp_path / "state"), "GET", "/machines/pump")
    assert page.status_code == 200
    assert "open to other users" in page.text
    assert "the alert journal cannot be read" in page.text
    said = {"say": "acknowledge", "name": "Ana", "alert": "pump-1"}
    assert once(plant, links, "POST", "/machines/pump", data=said, headers=OURS).status_code == 503
