"""What people say over the API takes effect at the asset's next step, and what cannot be is refused beforehand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx

from agent.api import command_models, event_models, models
from agent.line.alert import Acknowledgement, AlarmState, Withheld, WithheldKind
from agent.line.rebaselining import Progress
from agent.store import codec
from agent.worker import COMMANDS_WAITING_MAX
from tests.agent.asking import ask, client, problem
from tests.agent.plant import Plant
from tests.agent.samples import SECOND_NS, alert


def test_a_person_acknowledges_and_shelves_and_the_next_step_shows_it(plant: Plant) -> None:
    async def scenario() -> list[httpx.Response]:
        answers = []
        plant.pressure = 11.0
        async with plant.running(), client(plant) as http:
            await plant.advance(1)
            for body, path in (
                ({"by": "Ana", "comment": "on it"}, "acknowledge"),
                ({"by": "Bo", "reason": "part ordered", "duration_s": 60}, "shelve"),
                ({"by": "Bo"}, "unshelve"),
            ):
                answers.append(await http.post(f"/api/v1/alerts/pump-1/{path}", json=body))
                before = (await http.get("/api/v1/alerts/pump-1/history")).json()["items"]
                await plant.advance(1)
                after = (await http.get("/api/v1/alerts/pump-1/history")).json()["items"]
                assert len(after) == len(before) + 1
            answers.append(await http.get("/api/v1/alerts/pump-1/history"))
            answers.append(await http.get("/api/v1/assets/pump"))
        return answers

    acknowledged, shelved, unshelved, history, pump = asyncio.run(scenario())
    for answer, command in ((acknowledged, "acknowledge"), (shelved, "shelve"), (unshelved, "unshelve")):
        assert answer.status_code == 202
        assert answer.headers["location"] == "/api/v1/alerts/pump-1"
        assert command_models.CommandAccepted.model_validate(answer.json()).command == command
    _, second, third, fourth = models.AlertHistory.model_validate(history.json()).items
    assert second.acknowledgement is not None
    assert (second.state, second.acknowledgement.by, second.acknowledgement.comment) == (
        "acknowledged",
        "Ana",
        "on it",
    )
    (shelf,) = third.withheld
    assert (shelf.kind, shelf.by, shelf.reason) == ("shelved", "Bo", "part ordered")
    assert shelf.until is not None
    assert codec.parse_time(shelf.until) - codec.parse_time(shelf.since) == 60 * SECOND_NS
    assert not fourth.withheld
    assert [(one.event, one.by) for one in (second, third, fourth)] == [
        ("acknowledge", "Ana"), ("shelve", "Bo"), ("unshelve", "Bo"),
    ]
    assert pump.json()["alert"]["revision"] == 4
    assert pump.json()["alert"]["state"] == "acknowledged"


def test_a_person_says_what_an_alert_was_while_it_is_open_and_corrects_it_when_it_is_over(plant: Plant) -> None:
    async def scenario() -> list[Any]:
        plant.pressure = 11.0
        async with plant.running(), client(plant) as http:
            await plant.advance(1)
            answers = [await http.post("/api/v1/alerts/pump-1/label", json={"by": "Ana", "answer": "sensor"})]
            await plant.advance(1)
            await http.post("/api/v1/alerts/pump-1/acknowledge", json={"by": "Ana"})
            await plant.advance(1)
            plant.pressure = 9.0
            await plant.advance(1)
            assert (await http.get("/api/v1/assets/pump")).json()["alert"] is None
            bo = ({"answer": "normal"}, {"answer": "real", "fault": "impeller blockage", "comment": "a rag"})
            answers += [await http.post("/api/v1/alerts/pump-1/label", json={"by": "Bo"} | one) for one in bo]
            await plant.advance(2)
            answers.append(await http.get("/api/v1/alerts/pump-1/history"))
            return answers

    *said, history = asyncio.run(scenario())
    assert [answer.status_code for answer in said] == [202] * 3
    assert {command_models.CommandAccepted.model_validate(answer.json()).command for answer in said} == {"label"}
    told = models.AlertHistory.model_validate(history.json()).items
    assert [(one.event, one.state) for one in told] == [
        ("raise", "unacknowledged"), ("label", "unacknowledged"), ("acknowledge", "acknowledged"),
        ("return", "normal"), ("label", "normal"), ("label", "normal"),
    ]
    labels = [one.label for one in told if one.label is not None]
    assert [(one.answer, one.fault, one.by, one.comment) for one in labels] == [
        ("sensor", None, "Ana", "")] * 3 + [("normal", None, "Bo", ""), ("real", "impeller blockage", "Bo", "a rag")]


def test_a_label_needs_an_alert_and_a_fault_where_it_is_real(plant: Plant) -> None:
    plant.journal.record(alert(1))
    problem(ask(plant, "POST", "/alerts/pump-9/label", json={"by": "Ana", "answer": "normal"}), 404)
    for body, said in (
        ({"by": "Ana", "answer": "real"}, "fault: is needed"),
        ({"by": "Ana", "answer": "normal", "fault": "seal"}, "only with that"),
        ({"by": "Ana", "answer": "broken"}, "body.answer"),
        ({"answer": "normal"}, "body.by"),
    ):
        assert said in problem(ask(plant, "POST", "/alerts/pump-1/label", json=body), 422).detail


def test_a_person_takes_an_asset_out_of_service_and_returns_it(plant: Plant) -> None:
    async def scenario() -> list[Any]:
        seen: list[Any] = []
        async with plant.running(), client(plant) as http:
            await plant.advance(1)
            body = {"by": "Ana", "reason": "new seal", "duration_s": 3600}
            seen.append(await http.post("/api/v1/assets/pump/out-of-service", json=body))
            plant.pressure = 11.0
            await plant.advance(2)
            seen.append((await http.get("/api/v1/alerts")).json()["items"])
            seen.append((await http.get("/api/v1/assets/pump")).json())
            seen.append((await http.get("/api/v1/assets")).json()["items"][0])
            seen.append(await http.post("/api/v1/assets/pump/out-of-service", json=body))
            seen.append(await http.post("/api/v1/assets/pump/in-service", json={"by": "Bo", "comment": "done"}))
            await plant.advance(2)
            seen.append(await http.post("/api/v1/assets/pump/in-service", json={"by": "Bo"}))
            seen.append((await http.get("/api/v1/events?asset=pump")).json())
            seen.append((await http.get("/api/v1/alerts")).json()["items"])
        return seen

    out, none, pump, summary, twice, back, again, events, alerts = asyncio.run(scenario())
    accepted = command_models.CommandAccepted.model_validate(out.json())
    assert out.status_code == 202
    assert (accepted.command, accepted.asset, accepted.alert_id) == ("out-of-service", "pump", None)
    assert out.headers["location"] == accepted.href == "/api/v1/assets/pump"
    assert none == []
    (way,) = models.AssetDetail.model_validate(pump).withheld
    assert (way.kind, way.by, way.reason) == ("out_of_service", "Ana", "new seal")
    assert models.AssetSummary.model_validate(summary).withheld == [way]
    assert "return it to service first" in problem(twice, 409).detail
    assert back.status_code == 202
    assert problem(again, 409).detail == "pump is in service, and nothing else is planned"
    told = event_models.EventPage.model_validate(events).items
    assert [(one.id, one.kind, one.by, one.comment) for one in told] == [
        ("pump:2", "in_service", "Bo", "done"), ("pump:1", "out_of_service", "Ana", "new seal"),
    ]
    assert [one["id"] for one in alerts] == ["pump-1"], "back in service, it is watched again"


def test_planned_work_is_announced_and_nonsense_is_refused(plant: Plant) -> None:
    body = {"by": "Ana", "reason": "new seal", "duration_s": 3600}
    later = codec.format_time(plant.clock.time_ns() + 3 * 86_400 * SECOND_NS)
    far = codec.format_time(plant.clock.time_ns() + 400 * 86_400 * SECOND_NS)
    assert ask(plant, "POST", "/assets/pump/out-of-service", json=body | {"since": later}).status_code == 202
    assert "more than a year ahead" in problem(
        ask(plant, "POST", "/assets/pump/out-of-service", json=body | {"since": far}), 422
    ).detail
    for path, changes, status in (
        ("/assets/fan/out-of-service", {}, 404),
        ("/assets/pump/out-of-service", {"duration_s": 91 * 86_400}, 422),
        ("/assets/pump/out-of-service", {"reason": ""}, 422),
        ("/assets/pump/out-of-service", {"since": "tomorrow"}, 422),
    ):
        problem(ask(plant, "POST", path, json=body | changes), status)
    problem(ask(plant, "GET", "/events?asset=fan"), 404)
    problem(ask(plant, "GET", "/events?kind=burnt"), 422)


def test_a_person_records_a_failure_and_a_repair(plant: Plant) -> None:
    plant.journal.record(replace(alert(7), state=AlarmState.NORMAL))
    now_ns = plant.clock.time_ns()
    before = codec.format_time(now_ns - 3600 * SECOND_NS)

    async def scenario() -> tuple[httpx.Response, httpx.Response, Any]:
        async with plant.running(), client(plant) as http:
            await plant.advance(1)
            told = {"by": "Ana", "comment": "bearing seized", "at": before, "alert_id": "pump-7", "downtime_s": 7200}
            failed = await http.post("/api/v1/assets/pump/failures", json=told)
            repaired = await http.post("/api/v1/assets/pump/repairs", json={"by": "Bo", "comment": "new bearing"})
            await plant.advance(1)
            return failed, repaired, (await http.get("/api/v1/events?asset=pump")).json()

    failed, repaired, said = asyncio.run(scenario())
    assert command_models.CommandAccepted.model_validate(failed.json()).command == "failure"
    assert command_models.CommandAccepted.model_validate(repaired.json()).command == "repair"
    repair, failure = event_models.EventPage.model_validate(said).items
    assert (failure.kind, failure.since, failure.about, failure.downtime_s) == ("failure", before, "pump-7", 7200)
    assert (repair.kind, repair.by, repair.about, repair.downtime_s) == ("repair", "Bo", None, None)


def test_a_failure_that_cannot_be_is_refused(plant: Plant) -> None:
    plant.journal.record(alert(1, asset="press"))
    later = codec.format_time(plant.clock.time_ns() + SECOND_NS)
    for asset, changes, status, said in [
        ("press", {}, 404, 'there is no asset "press"'),
        ("pump", {"at": later}, 422, "body.at: is to come; record it once it has happened"),
        ("pump", {"alert_id": "pump-9"}, 404, 'there is no alert "pump-9"'),
        ("pump", {"alert_id": "press-1"}, 422, "body.alert_id: press-1 is of press; name an alert of pump, or none"),
        ("pump", {"comment": ""}, 422, "body.comment"),
        ("pump", {"comment": " "}, 422, "body.comment: must not be blank"),
        ("pump", {"by": "\t "}, 422, "body.by: must not be blank"),
        ("pump", {"downtime_s": -1}, 422, "body.downtime_s"),
        ("pump", {"at": "0026-09-21T13:00:00Z"}, 422, 'body.at: "0026-09-21T13:00:00Z" is before 1970 or after 2262'),
        ("pump", {"at": "9026-09-21T13:00:00Z"}, 422, 'body.at: "9026-09-21T13:00:00Z" is before 1970 or after 2262'),
    ]:
        for kind in ("failures", "repairs"):
            body = {"by": "Ana", "comment": "seized"} | changes
            assert problem(ask(plant, "POST", f"/assets/{asset}/{kind}", json=body), status).detail.startswith(said)


def test_commands_that_cannot_be_are_refused(plant: Plant) -> None:
    seen = Acknowledgement("Ana", plant.clock.time_ns(), "")
    until_ns = plant.clock.time_ns() + 5 * SECOND_NS
    shelf = Withheld(WithheldKind.SHELVED, "Bo", plant.clock.time_ns(), until_ns, "part ordered")
    plant.journal.record(replace(alert(1), state=AlarmState.ACKNOWLEDGED, acknowledgement=seen))
    plant.journal.record(replace(alert(2), state=AlarmState.NORMAL))
    plant.journal.record(replace(alert(3), withheld=(shelf,)))
    for path, status, said in [
        ("/alerts/pump-9/acknowledge", 404, 'there is no alert "pump-9"; GET /api/v1/alerts lists them'),
        ("/alerts/pump-1/acknowledge", 409, "pump-1 was acknowledged by Ana at 2026-"),
        ("/alerts/pump-2/acknowledge", 409, "pump-2 is over"),
        ("/alerts/pump-2/shelve", 409, "pump-2 is over"),
        ("/alerts/pump-3/shelve", 409, "pump-3 is shelved until 2026-"),
        ("/alerts/pump-1/unshelve", 409, "pump-1 is not shelved"),
    ]:
        body = {"by": "Cy"} | ({"reason": "x", "duration_s": 5} if path.endswith("/shelve") else {})
        assert problem(ask(plant, "POST", path, json=body), status).detail.startswith(said)


def test_a_full_queue_says_when_to_come_again(plant: Plant) -> None:
    plant.journal.record(alert(1))
    answers = [
        ask(plant, "POST", "/alerts/pump-1/acknowledge", json={"by": "Ana"})
        for _ in range(COMMANDS_WAITING_MAX + 1)
    ]
    assert {answer.status_code for answer in answers[:-1]} == {202}
    assert problem(answers[-1], 503).detail == "too many commands wait for pump; try again"
    assert answers[-1].headers["retry-after"] == "1"
    assert ask(plant, "GET", "/assets/pump").json()["commands_dropped"] == 1


def test_a_switch_is_not_learnt_anew(plant: Plant) -> None:
    plant.line.snapshot = replace(plant.line.snapshot, levels=("pressure",), switches=("temperature",))
    answer = ask(plant, "POST", "/assets/pump/rebaseline", json={"by": "Ana", "tags": ["temperature"]})
    why = "body.tags: temperature: switches between a few values, and has no level in between: learn another model"
    assert problem(answer, 422).detail == why
    answer = ask(plant, "POST", "/assets/pump/rebaseline", json={"by": "Ana", "tags": ["speed"]})
    assert problem(answer, 422).detail.endswith("it has of: pressure")
    answer = ask(plant, "POST", "/assets/pump/rebaseline", json={"by": "Ana", "tags": ["pressure"]})
    assert "are all tags that have a level" in problem(answer, 422).detail, "a switch is nothing to go by"


def test_what_can_be_learnt_anew_is_of_the_model_in_use(plant: Plant) -> None:
    """One may be learnt, or promoted, while the agent runs."""
    body = {"by": "Ana", "tags": ["temperature"]}
    plant.line.snapshot = replace(plant.line.snapshot, levels=())
    answer = ask(plant, "POST", "/assets/pump/rebaseline", json=body)
    assert problem(answer, 422).detail == "body.tags: temperature: there is no model yet"
    plant.line.snapshot = replace(plant.line.snapshot, levels=("pressure", "temperature"))
    assert ask(plant, "POST", "/assets/pump/rebaseline", json=body).status_code == 202


def test_how_far_a_level_is_learnt_anew_is_shown(plant: Plant) -> None:
    assert ask(plant, "GET", "/assets/pump").json()["rebaselining"] is None
    plant.line.snapshot = replace(plant.line.snapshot, rebaselining=Progress(("temperature",), 240))
    shown = ask(plant, "GET", "/assets/pump").json()["rebaselining"]
    assert shown == {"tags": ["temperature"], "rows": 240, "rows_needed": 600}
    pressure, temperature = ask(plant, "GET", "/assets/pump/tags").json()["items"]
    said = "not judged: its level is learnt anew, by 240 of 600 rows so far"
    assert (said in pressure["reasons"], said in temperature["reasons"]) == (False, True)
