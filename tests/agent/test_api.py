from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter

from agent.api import command_models, event_models, guard, models, problems, telemetry_models
from agent.api.app import create_app
from agent.api.connection_models import ConnectionList
from agent.api.trust_models import TagTrustList
from agent.daemon import Agent
from agent.line.alert import Acknowledgement, AlarmState, Withheld, WithheldKind
from agent.line.event import AssetEvent, EventKind
from agent.server import ApiServer, listen
from agent.store import codec
from agent.store.series import Series
from tests.agent.asking import ask, client, problem
from tests.agent.doubles import until
from tests.agent.plant import SLEEPERS, Plant
from tests.agent.samples import alert, revised
from tests.clock import PATIENCE_S


def test_the_agent_is_live_before_it_is_ready(plant: Plant) -> None:
    assert models.Health.model_validate(ask(plant, "GET", "/health").json()).status == "live"
    starting = ask(plant, "GET", "/readiness")
    assert problem(starting, 503).detail == "starting: not every connection was tried yet"
    assert starting.headers["retry-after"] == "5"


def test_assets_with_live_verdict_and_values(plant: Plant) -> None:
    async def scenario() -> tuple[Any, Any, Any, Any]:
        async with plant.running(), client(plant) as http:
            before = (await http.get("/api/v1/assets")).json()
            await plant.advance(2)
            return (
                before,
                (await http.get("/api/v1/assets")).json(),
                (await http.get("/api/v1/assets/pump")).json(),
                (await http.get("/api/v1/connections")).json(),
            )

    before, assets, pump, connections = asyncio.run(scenario())
    assert models.AssetList.model_validate(before).items[0].condition in ("blind", "normal")
    (shown,) = models.AssetList.model_validate(assets).items
    assert (shown.asset, shown.condition, shown.alert_id, shown.alarm_state) == (
        "pump",
        "normal",
        None,
        "normal",
    )
    assert (shown.health, shown.remaining_life) == (0.26, "1 to 28 hours left, most likely 2")
    detail = models.AssetDetail.model_validate(pump)
    assert detail.verdict is not None
    assert (detail.verdict.health, detail.verdict.remaining_life_until) == (0.26, "failure")
    assert detail.verdict.remaining_life_s == [3600.0, 7200.5, 1e5]
    assert [(r.tag, r.value, r.status) for r in detail.readings] == [
        ("pressure", 9.0, "Good"),
        ("temperature", 40.0, "Good"),
    ]
    assert detail.rows == 5
    one, two = ConnectionList.model_validate(connections).items
    assert (one.connection, one.protocol, one.period_ms, one.reads, one.ticks_missed) == (
        "line3_plc",
        "modbus-tcp",
        1000,
        3,
        0,
    )
    assert (two.connection, two.reads) == ("press_plc", 2)


def test_an_asset_that_was_never_judged_is_blind_not_normal(plant: Plant) -> None:
    (shown,) = models.AssetList.model_validate(ask(plant, "GET", "/assets").json()).items
    assert (shown.condition, shown.time) == ("blind", None)
    assert (shown.health, shown.remaining_life) == (None, "no estimate")
    detail = ask(plant, "GET", "/assets/pump").json()
    assert detail["readings"][0]["value"] is None
    assert detail["readings"][0]["status"] == "BadNoData"


def test_how_far_each_tag_is_to_be_trusted(plant: Plant) -> None:
    shown = TagTrustList.model_validate(ask(plant, "GET", "/assets/pump/tags").json())
    assert [(item.tag, item.trust, item.stale, item.last_good) for item in shown.items] == [
        ("pressure", 0, True, None),
        ("temperature", 0, True, None),
    ]
    assert shown.items[0].reasons == ["no good value has come yet"]
    assert ask(plant, "GET", "/assets/nothing/tags").status_code == 404


def test_an_alert_is_the_journals_bytes(plant: Plant) -> None:
    plant.journal.record(alert())
    response = ask(plant, "GET", "/alerts/pump-1")
    assert response.status_code == 200
    assert response.content == codec.encode(alert())
    assert models.AlertModel.model_validate_json(response.content).verdict.contributions[1].measured is None


def test_alerts_are_filtered_and_paged(plant: Plant) -> None:
    for number in range(1, 6):
        plant.journal.record(alert(number))
    plant.journal.record(revised(alert(1), AlarmState.NORMAL))

    def ids(query: str) -> tuple[list[str], int | None]:
        page = models.AlertPage.model_validate(ask(plant, "GET", f"/alerts{query}").json())
        return [item.id for item in page.items], page.before

    assert ids("") == (["pump-5", "pump-4", "pump-3", "pump-2", "pump-1"], None)
    first, before = ids("?limit=2")
    second, _ = ids(f"?limit=2&before={before}")
    assert first + second == ["pump-5", "pump-4", "pump-3", "pump-2"]
    assert ids("?open=false") == (["pump-1"], None)
    assert ids("?state=normal&asset=pump") == (["pump-1"], None)
    assert ids(f"?since={codec.format_time(alert(4).raised_time_ns)}") == (["pump-5", "pump-4"], None)
    history = models.AlertHistory.model_validate(ask(plant, "GET", "/alerts/pump-1/history").json())
    assert [item.state for item in history.items] == ["unacknowledged", "normal"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("GET", "/nothing", {}, 404, "there is nothing at /api/v1/nothing; see GET /api/v1/openapi.json"),
        ("GET", "/assets/press", {}, 404, 'there is no asset "press"; there are: pump'),
        ("GET", "/assets/press/telemetry", {}, 404, 'there is no asset "press"; there are: pump'),
        ("GET", "/alerts/pump-9", {}, 404, 'there is no alert "pump-9"; GET /api/v1/alerts lists them'),
        (
            "GET",
            "/alerts/pump-9/history",
            {},
            404,
            'there is no alert "pump-9"; GET /api/v1/alerts lists them',
        ),
        ("GET", "/alerts?asset=press", {}, 404, 'there is no asset "press"; there are: pump'),
        ("DELETE", "/alerts", {}, 405, "DELETE is not for /api/v1/alerts"),
        ("GET", "/alerts?limit=0", {}, 422, "query.limit: must be 1 or more"),
        ("GET", "/alerts?state=burning", {}, 422, "query.state: Input should be 'normal', 'unacknowledged'"),
        ("GET", "/alerts?since=yesterday", {}, 422, 'query.since: "yesterday" is no time; write it as in "2026-'),
        ("GET", "/alerts?since=2026-01-01", {}, 422, 'query.since: "2026-01-01" does not say its time zone'),
        (
            "GET",
            "/assets/pump/telemetry?tags=flow",
            {},
            422,
            "query.tags: pump has no tag flow; it has: pressure, temper",
        ),
        (
            "GET",
            "/assets/pump/telemetry?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z",
            {},
            422,
            "query.since: must be before until, by 31 days at most",
        ),
        (
            "GET",
            "/assets/pump/telemetry?max_points=5001",
            {},
            422,
            "query.max_points: must be 5000 at most",
        ),
        ("POST", "/alerts/pump-1/acknowledge", {"json": {}}, 422, "body.by: Field required"),
        (
            "POST",
            "/alerts/pump-1/acknowledge",
            {"json": {"by": "A", "bye": 1}},
            422,
            "body.bye: Extra inputs are not",
        ),
        ("POST", "/alerts/pump-1/acknowledge", {"content": b"{"}, 422, "body"),
        (
            "POST",
            "/alerts/pump-1/acknowledge",
            {"content": b'{"by":"A"}', "headers": {"content-type": "text/plain"}},
            422,
            "body: ",
        ),
        (
            "POST",
            "/alerts/pump-1/shelve",
            {"json": {"by": "A", "reason": "", "duration_s": 1}},
            422,
            "body.reason: ",
        ),
        (
            "POST",
            "/alerts/pump-1/shelve",
            {"json": {"by": "A", "reason": "x", "duration_s": 1e9}},
            422,
            "body.duration_s",
        ),
    ],
)
def test_every_error_is_a_problem(
    plant: Plant, method: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    assert problem(ask(plant, method, path, **options), status).detail.startswith(said)


def test_what_was_refused_in_a_request_is_listed(plant: Plant) -> None:
    found = problem(ask(plant, "GET", "/alerts?limit=x&open=maybe"), 422)
    assert [error.location for error in found.errors] == ["query.open", "query.limit"]


def test_a_method_that_is_not_allowed_says_which_is(plant: Plant) -> None:
    assert ask(plant, "PUT", "/alerts/pump-1/acknowledge").headers["allow"] == "POST"


def test_a_bug_is_a_problem_without_a_traceback(plant: Plant) -> None:
    async def once() -> httpx.Response:
        async with client(plant, raise_app_exceptions=False) as http:
            return await http.get("/api/v1/assets")

    plant.agent._lines = {}  # type: ignore[assignment]  # an impossible state
    response = asyncio.run(once())
    assert problem(response, 500).detail == "the agent failed to answer; its log says why"
    assert "Traceback" not in response.text


def test_a_journal_that_cannot_be_read_is_named(plant: Plant) -> None:
    plant.journal.close()
    assert "the alert journal cannot be read" in problem(ask(plant, "GET", "/alerts"), 503).detail


def test_a_body_that_is_too_large_is_refused_announced_or_not(plant: Plant) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 1024

    for content in (b" " * (guard.BODY_BYTES_MAX + 1), stream()):
        found = problem(ask(plant, "POST", "/alerts/pump-1/acknowledge", content=content), 413)
        assert found.detail == "the body is larger than 262144 bytes"


def test_a_body_that_does_not_come_is_given_up(plant: Plant) -> None:
    async def scenario() -> list[Any]:
        sent: list[Any] = []

        async def never() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/x", "headers": [(b"host", b"localhost")]}
        await guard.Guard(create_app(plant.agent), receipt_s_max=0.01)(scope, never, send)
        return sent

    sent = asyncio.run(scenario())
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["detail"] == "the body did not come within 0.01 s"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8470", 200),
        ("127.0.0.1", 200),
        ("[::1]:8470", 200),
        ("LOCALHOST", 200),
        ("gateway.example:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.0.2.1", 421),
        ("", 421),
        ("[::2]", 421),
        ("localhost.evil.example:8470", 421),
    ],
)
def test_names_that_were_rebound_are_refused(plant: Plant, host: str, status: int) -> None:
    response = ask(plant, "GET", "/health", headers={"host": host})
    assert response.status_code == status
    if status == 421:
        assert "name it in api.allowed_hosts" in problem(response, 421).detail


def test_no_other_origin_is_invited(plant: Plant) -> None:
    response = ask(plant, "GET", "/health", headers={"origin": "http://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control-")]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    preflight = ask(
        plant,
        "OPTIONS",
        "/alerts/pump-1/acknowledge",
        headers={"origin": "http://evil.example", "access-control-request-method": "POST"},
    )
    assert preflight.status_code == 405


def test_a_window_of_telemetry(plant: Plant) -> None:
    since = codec.format_time(plant.clock.time_ns())

    async def scenario() -> httpx.Response:
        async with plant.running(), client(plant) as http:
            plant.temperature = None
            for second in range(10):
                plant.pressure = float(second)
                await plant.advance(1)
            query = {"tags": ["temperature", "pressure"], "max_points": 5000, "since": since}
            return await http.get("/api/v1/assets/pump/telemetry", params=query)

    window = telemetry_models.TelemetryWindow.model_validate(asyncio.run(scenario()).json())
    assert [(tag.tag, tag.unit) for tag in window.tags] == [("temperature", "degC"), ("pressure", "bar")]
    assert window.rows == 17
    assert window.tags[1].mean == [9.0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert window.tags[0].mean == [40.0] + [None] * 10
    assert window.times == sorted(window.times)


def test_telemetry_is_summarised_for_one_request_at_a_time(tmp_path: Path) -> None:
    begun, go_on = Event(), Event()

    class Held(Agent):
        def series(
            self, asset: str, tags: Sequence[str], since_ns: int, until_ns: int, points_max: int
        ) -> Series:
            begun.set()
            assert go_on.wait(PATIENCE_S)
            return super().series(asset, tags, since_ns, until_ns, points_max)

    plant = Plant(tmp_path, agent_type=Held)

    async def scenario() -> list[httpx.Response]:
        async with client(plant) as http:
            first = asyncio.create_task(http.get("/api/v1/assets/pump/telemetry"))
            await until(begun.is_set)
            second = await http.get("/api/v1/assets/pump/telemetry")
            go_on.set()
            return [await first, second, await http.get("/api/v1/assets/pump/telemetry")]

    first, second, third = asyncio.run(scenario())
    assert (first.status_code, third.status_code) == (200, 200)
    assert "one request at a time" in problem(second, 503).detail
    assert second.headers["retry-after"] == "1"
    plant.close()


def test_evidence_is_made_for_one_request_at_a_time(tmp_path: Path) -> None:
    class Held(Agent):
        async def evidence(self, alert_id: str) -> bytes:
            begun.set()
            await go_on.wait()
            return alert_id.encode()

    plant = Plant(tmp_path, agent_type=Held)
    plant.journal.record(alert(1))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def scenario() -> list[httpx.Response]:
        async with client(plant) as http:
            path = "/api/v1/alerts/pump-1/evidence"
            first = asyncio.create_task(http.get(path))
            await begun.wait()
            second = await http.get(path)
            go_on.set()
            return [await first, second, await http.get(path)]

    first, second, third = asyncio.run(scenario())
    assert (first.status_code, first.text, third.status_code) == (200, "pump-1", 200)
    assert "one request at a time" in problem(second, 503).detail
    assert second.headers["retry-after"] == "10"
    plant.close()


def test_who_waits_for_evidence_is_told_that_the_agent_stops(tmp_path: Path) -> None:
    class Held(Agent):
        async def evidence(self, alert_id: str) -> bytes:
            begun.set()
            await asyncio.Event().wait()
            return b""

    plant = Plant(tmp_path, agent_type=Held)
    plant.journal.record(alert(1))
    begun = asyncio.Event()

    async def scenario() -> httpx.Response:
        stop = asyncio.Event()
        server = ApiServer(create_app(plant.agent), listen("127.0.0.1", 0))
        running = asyncio.create_task(plant.agent.run(stop, server))
        await plant.clock.until_sleeping(SLEEPERS)
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
            asked = asyncio.create_task(http.get("/api/v1/alerts/pump-1/evidence"))
            await begun.wait()
            stop.set()
            await running
            return await asked

    answer = problem(asyncio.run(scenario()), 503)
    assert "the agent stops" in answer.detail


def test_evidence_of_an_alert_that_is_unknown_is_not_found_and_holds_up_no_other(plant: Plant) -> None:
    for _ in range(2):
        assert '"pump-99"' in problem(ask(plant, "GET", "/alerts/pump-99/evidence"), 404).detail


def schemas(plant: Plant) -> dict[str, Any]:
    return ask(plant, "GET", "/openapi.json").json()  # type: ignore[no-any-return]


def test_every_example_in_the_schema_is_valid(plant: Plant) -> None:
    kinds = [
        kind
        for module in (models, command_models, event_models, problems)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    tried = 0
    for kind in kinds:
        for example in TypeAdapter(kind).json_schema().get("examples", []):
            kind.model_validate_json(json.dumps(example))
            tried += 1
    assert tried >= 14
    named = schemas(plant)["components"]["schemas"]
    bodies = [name for name in named if name.endswith(("Body", "Detail", "Page", "Window", "Model"))]
    assert {"AcknowledgeBody", "ShelveBody", "AssetDetail", "AlertPage", "TelemetryWindow"} <= set(bodies)
    assert all(
        named[name].get("examples") for name in ("AlertModel", "AcknowledgeBody", "ShelveBody", "AssetDetail")
    )


def test_the_schema_tells_of_problems_in_their_own_media_type(plant: Plant) -> None:
    for path, operations in schemas(plant)["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert set(answers) >= {"421", "422", "503", "500"}, f"{method} {path}"
            for status, answer in answers.items():
                given = "text/html" if path.endswith("/evidence") else "application/json"
                kind = "application/problem+json" if status >= "400" else given
                assert list(answer["content"]) == [kind], f"{method} {path} {status}"
                assert kind == "text/html" or "$ref" in answer["content"][kind]["schema"]


def test_the_schema_of_an_alert_is_what_is_sent(plant: Plant) -> None:
    sent = json.loads(
        codec.encode(
            replace(
                alert(),
                acknowledgement=Acknowledgement("A", 0, ""),
                withheld=(Withheld(WithheldKind.SHELVED, "B", 0, 1, "x"),),
            )
        )
    )

    def compare(model: type[BaseModel], body: dict[str, Any]) -> None:
        assert set(model.model_fields) == set(body)

    compare(models.AlertModel, sent)
    compare(models.VerdictModel, sent["verdict"])
    compare(models.ContributionModel, sent["verdict"]["contributions"][0])
    compare(models.FaultModel, sent["verdict"]["fault_probabilities"][0])
    compare(models.AcknowledgementModel, sent["acknowledgement"])
    compare(models.WithheldModel, sent["withheld"][0])
    event = AssetEvent("pump:1", "pump", EventKind.SUPPRESSED, 0, 0, None, None, "cleaning is 1", "cleaning")
    compare(event_models.EventModel, json.loads(codec.encode(event)))
