"""What an alert was, in two taps: the link, the page behind it, and what neither of them can do."""

from __future__ import annotations

import asyncio
import html.parser
import tomllib
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.api.label_page import LABELS_MAX
from agent.config.agent import ApiConfig
from agent.label_link import LabelLinks, Ticket
from agent.line.alert import AlarmEvent, Alert, Answer, Label, Likeness
from agent.line.verdict import Cause
from agent.trust import KEY
from tests.agent.asking import client
from tests.agent.commands import forewarn
from tests.agent.plant import Plant
from tests.agent.samples import CONFIG, SECOND_NS, START_NS, alert

DAY_NS = 86_400 * SECOND_NS
HOSTILE = '</title></h1><script>alert(1)</script>" onfocus="x \u202e'


@pytest.fixture
def links(tmp_path: Path) -> LabelLinks:
    return LabelLinks(tmp_path / "state")


class Seen(html.parser.HTMLParser):
    """The elements of a page, the values of its fields, and its text."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.fields: dict[str, str] = {}
        self.answers: list[str] = []
        self.faults: list[str] = []
        self.offered: list[str] = []
        """What a tap can say, from top to bottom, and where the list of faults and the fields begin."""
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.elements.append(tag)
        self.attributes |= told.keys()
        if tag == "button" and "value" not in told:
            assert "disabled" in told, "the enter key presses the first button, which must answer nothing"
            assert not self.answers
        elif tag == "button":
            (self.faults if told["name"] == "known" else self.answers).append(told["value"])
            self.offered.append(told["value"])
        elif tag in ("details", "textarea", "input"):
            self.offered.append(told.get("name", tag))
            if tag == "input":
                self.fields[told["name"]] = told.get("value", "")

    def handle_data(self, data: str) -> None:
        self.text += data


def opened(plant: Plant, links: LabelLinks, token: str, method: str = "GET", **options: object) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(plant, links=links) as http:
            return await http.request(method, f"/l/{token}", **options)  # type: ignore[arg-type]

    return asyncio.run(once())


def test_a_technician_answers_with_two_taps_and_looking_changes_nothing(plant: Plant, links: LabelLinks) -> None:
    async def scenario() -> tuple[list[httpx.Response], list[int], tuple[Alert, ...]]:
        plant.pressure = 11.0
        async with plant.running(), client(plant, links=links) as http:
            await plant.advance(1)
            path = f"/l/{links.token(Ticket('pump-1', plant.clock.time_ns() + DAY_NS))}"
            pages, revisions = [await http.get(path)], []
            await plant.advance(1)
            revisions.append(len(plant.journal.history("pump-1")))
            said = {"answer": "real", "fault": "impeller blockage", "name": "Ana <3", "comment": "a rag"}
            pages.append(await http.post(path, data=said))
            await plant.advance(1)
            pages.append(await http.get(path))
            pages.append(await http.post(path, data={"answer": "sensor"}, headers={"Cookie": ""}))
            await plant.advance(1)
            revisions.append(len(plant.journal.history("pump-1")))
            return pages, revisions, plant.journal.history("pump-1")

    (first, thanks, again, _), revisions, (*_, told, last) = asyncio.run(scenario())
    assert revisions == [1, 3]
    page = Seen(first)
    answers = ["external leakage of process medium", "normal", "sensor", "not_looked_at"]
    assert page.offered == ["name", "comment", *answers, "details", "vibration", "fault", "real"], "its own comes first"
    assert "What to check first" in page.text
    assert "Look for drops at the shaft seal." in page.text
    assert "pump deviates: pressure 11.1 bar" in page.text
    assert "Thank you" in thanks.text
    assert "Ana &lt;3" in thanks.text
    assert told.label is not None
    assert (told.label.answer, told.label.fault, told.label.by) == (Answer.REAL, "impeller blockage", "Ana <3")
    assert (told.label.comment, told.by) == ("a rag", "Ana <3")
    page = Seen(again)
    assert page.fields["name"] == "Ana <3", "the name is remembered"
    assert page.fields["fault"] == "impeller blockage"
    assert page.faults == ["external leakage of process medium", "impeller blockage", "vibration"]
    assert "So far: impeller blockage, by Ana <3" in page.text
    assert "What to check first" not in page.text, "somebody has looked"
    assert last.label is not None
    assert (last.label.answer, last.label.fault, last.label.by) == (Answer.SENSOR, None, "by link")


def test_one_tap_names_a_known_fault_and_the_same_answer_again_is_no_revision(plant: Plant, links: LabelLinks) -> None:
    async def scenario() -> tuple[list[str], tuple[Alert, ...]]:
        plant.pressure, pages = 11.0, []
        async with plant.running(), client(plant, links=links) as http:
            await plant.advance(1)
            path = f"/l/{links.token(Ticket('pump-1', plant.clock.time_ns() + DAY_NS))}"
            for known in ("vibration", "vibration", "impeller blockage"):
                pages.append((await http.post(path, data={"known": known, "fault": "something"})).text)
                await plant.advance(1)
            return pages, plant.journal.history("pump-1")

    pages, history = asyncio.run(scenario())
    assert ["Kept already" in page for page in pages] == [False, True, False]
    assert [one.label.fault for one in history if one.label is not None] == ["vibration", "impeller blockage"]


def test_a_link_takes_no_more_answers_than_anybody_needs(plant: Plant, links: LabelLinks) -> None:
    raised = alert(1)
    plant.journal.record(raised)
    for number in range(LABELS_MAX):
        label = Label(Answer.REAL, f"fault {number}", "Ana", START_NS)
        plant.journal.record(replace(raised, revision=number + 2, event=AlarmEvent.LABEL, label=label))
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    seen = Seen(opened(plant, links, token))
    assert seen.faults == ["external leakage of process medium", f"fault {LABELS_MAX - 1}", "vibration"]
    refused = opened(plant, links, token, "POST", data={"answer": "sensor"})
    assert refused.status_code == 409
    assert "forewarn label does" in Seen(refused).text


@pytest.mark.parametrize(("like", "offered"), [("seal leak", ["seal leak"]), ("normal", []), ("sensor", [])])
def test_what_an_alert_is_like_is_offered_first_where_it_names_a_fault(
    like: str, offered: list[str], plant: Plant, links: LabelLinks
) -> None:
    plant.journal.record(replace(alert(1), like=Likeness("pump-0", START_NS, like, 0.9)))
    seen = Seen(opened(plant, links, links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))))
    assert seen.faults == [*offered, "external leakage of process medium", "vibration"]
    assert seen.offered[2] == like, "what it says itself"


@pytest.mark.parametrize("cause", [Cause.SENSOR, Cause.COMMUNICATION])
def test_an_alert_of_a_sensor_offers_first_that_it_was_one(cause: Cause, plant: Plant, links: LabelLinks) -> None:
    plant.journal.record(replace(alert(1), verdict=replace(alert(1).verdict, cause=cause)))
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    page = opened(plant, links, token)
    seen = Seen(page)
    faults = ["vibration", "external leakage of process medium"]
    assert seen.offered == [
        "name", "comment", "sensor", "real", "normal", "not_looked_at", "details", *faults, "fault", "real",
    ]
    assert page.text.count(", as the alert says") == 1
    assert "<details>" in page.text, "folded, so that the four answers are seen at once"


def test_faults_of_other_machines_and_failure_modes_of_sensors_are_not_offered(plant: Plant, links: LabelLinks) -> None:
    elsewhere = replace(alert(1, asset="fan"), label=Label(Answer.REAL, "torn belt", "Bo", START_NS))
    plant.journal.record(elsewhere)
    off = replace(alert(1).verdict, cause=Cause.SENSOR)
    plant.journal.record(replace(alert(1), verdict=off))
    seen = Seen(opened(plant, links, links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))))
    assert seen.faults == ["vibration", "external leakage of process medium"]


def test_a_fault_without_a_name_is_asked_for_and_nothing_else_is_lost(plant: Plant, links: LabelLinks) -> None:
    plant.journal.record(alert(1))
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    said = {"answer": "real", "fault": " ", "name": "Ana <3", "comment": "a <rag>"}
    asked = opened(plant, links, token, "POST", data=said)
    assert asked.status_code == 422
    page = Seen(asked)
    assert "Which fault was it? Write it here, or tap one." in page.text
    assert page.answers == ["real", "normal", "sensor", "not_looked_at"], "which fault it was is asked first"
    assert page.faults == ["external leakage of process medium", "vibration"]
    assert "<details open>" in asked.text
    assert page.fields["name"] == "Ana <3"
    assert "a <rag>" in page.text


def test_a_link_says_so_where_the_journal_cannot_be_read(plant: Plant, links: LabelLinks) -> None:
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    plant.journal.close()
    for method in ("GET", "POST"):
        page = opened(plant, links, token, method)
        assert page.status_code == 503
        assert "Nothing was changed" in Seen(page).text


def test_a_link_is_good_for_its_time_and_says_when_that_was(plant: Plant, links: LabelLinks) -> None:
    plant.journal.record(alert(1))
    token = links.token(Ticket("pump-1", plant.clock.time_ns() - SECOND_NS))
    for method in ("GET", "POST"):
        page = opened(plant, links, token, method)
        assert page.status_code == 410
        assert "This link has expired" in page.text
        assert "It was good until 2026-09-21 14:13 UTC" in Seen(page).text


def test_a_link_is_good_for_one_alert_and_nobody_else_can_make_one(plant: Plant, tmp_path: Path) -> None:
    links = LabelLinks(tmp_path / "state")
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    said, _, mac = token.rpartition("~")
    expires = said.rpartition("~")[2]
    foreign = LabelLinks(tmp_path / "elsewhere").token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    for forged in (
        foreign, token[:-1], token + "A", said, f"pump-2~{expires}~{mac}", f"pump-1~{int(expires, 16) + 1:x}~{mac}",
        f"{said}~", "~~", "pump-1", "%00", "x" * 10_000,
    ):
        page = opened(plant, links, forged)
        assert page.status_code == 404, forged
        assert "This link does not work" in page.text


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(token=st.text(max_size=60))
def test_nothing_but_a_token_of_ours_is_one(token: str, links: LabelLinks) -> None:
    assert links.ticket(token) is None


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(number=st.integers(1, 10**9), seconds=st.integers(0, 2**40))
def test_a_token_says_again_what_it_was_made_for(number: int, seconds: int, links: LabelLinks) -> None:
    ticket = Ticket(f"pump.a-b_{number}-{number}", seconds * SECOND_NS)
    assert links.ticket(links.token(ticket)) == ticket


def test_what_machines_and_people_are_called_is_text_on_the_page(plant: Plant, links: LabelLinks) -> None:
    hostile = replace(
        alert(1), message=HOSTILE, label=Label(Answer.REAL, HOSTILE, HOSTILE, START_NS),
        like=Likeness("pump-0", START_NS, HOSTILE, 0.9),
    )
    plant.journal.record(hostile)
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    page = opened(plant, links, token, headers={"Cookie": "name=%22%3E%3Cscript%3E"})
    seen = Seen(page)
    assert "script" not in seen.elements
    assert seen.attributes <= {
        "disabled", "hidden",
        "lang", "charset", "name", "content", "class", "method", "value", "maxlength", "autocomplete", "placeholder",
        "rows",
    }
    assert HOSTILE in seen.text
    assert seen.fields == {"fault": HOSTILE, "name": '"><script>'}
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    thanks = opened(plant, links, token, "POST", data={"answer": "real", "fault": HOSTILE, "name": HOSTILE})
    assert "script" not in Seen(thanks).elements


@pytest.mark.parametrize("body", ["", "answer=burning", "answer", "&".join(f"a{i}=1" for i in range(100)), "\0\0"])
def test_a_form_that_is_not_ours_changes_nothing(body: str, plant: Plant, links: LabelLinks) -> None:
    plant.journal.record(alert(1))
    token = links.token(Ticket("pump-1", START_NS + 10 * DAY_NS))
    assert opened(plant, links, token, "POST", content=body.encode()).status_code == 422
    assert opened(plant, links, token, "DELETE").status_code == 405


def test_an_alert_that_is_not_there_and_a_key_that_cannot_be_used_are_told(plant: Plant, tmp_path: Path) -> None:
    links = LabelLinks(tmp_path / "state")
    page = opened(plant, links, links.token(Ticket("pump-9", START_NS + 10 * DAY_NS)))
    assert page.status_code == 404
    assert "pump-9" in page.text
    (tmp_path / "state" / KEY).chmod(0o644)
    page = opened(plant, LabelLinks(tmp_path / "state"), "x")
    assert page.status_code == 503
    assert "open to other users" in page.text


def test_the_command_prints_a_link_that_works(plant: Plant, tmp_path: Path) -> None:
    plant.journal.record(alert(1))
    state = plant.journal.path.parent
    file = tmp_path / "agent.toml"
    text = CONFIG.replace('state_dir = "state"', f'state_dir = "{state}"')
    file.write_text(f'{text}\n[api]\npublic_url = "https://gateway.example/forewarn/"\nlabel_links_days = 30\n')
    result = forewarn("label-link", "pump-1", file)
    assert result.exit_code == 0, result.output
    base, _, token = result.output.strip().partition("/l/")
    assert base == "https://gateway.example/forewarn"
    ticket = LabelLinks(state).ticket(token)
    assert ticket is not None
    assert ticket.alert_id == "pump-1"
    result = forewarn("label-link", "pump-7", file)
    assert result.exit_code == 2
    assert "there is no alert 'pump-7'; the newest are: pump-1" in result.output


def test_the_name_of_the_public_address_may_be_asked_for() -> None:
    body = tomllib.loads('public_url = "https://gateway.example:8443/x"\nallowed_hosts = ["other"]')
    api = ApiConfig.model_validate(body)
    assert (api.hosts, api.url) == (("other", "gateway.example"), "https://gateway.example:8443/x")
    assert ApiConfig().url == "http://127.0.0.1:8470"
    with pytest.raises(ValueError, match="no address such as"):
        ApiConfig(public_url="gateway")
