"""The agent's answers over HTTP, from a server that says what the test wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.api.connection_models import ConnectionList
from agent.api.models import AlertPage
from agent.demo.rest import Rest, RestError
from agent.line.verdict import Condition
from tests.demo.canned import alert, asset, connection, verdict

READY = (
    '{"status": "ready", "telemetry_steps": 1, "telemetry_steps_lost": 0, "telemetry_bytes_damaged": 0, '
    '"telemetry_error": null}'
)


class Server(ThreadingHTTPServer):
    """Answers GET by the table `answers`, path -> (status, body); anything else is 404."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        status, body = self.server.answers.get(self.path, (404, "nothing here"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_the_agents_answers_come_as_the_api_declares_them(server: Server) -> None:
    raised = alert(20)
    pump = asset("pump", verdict("pump", 21, Condition.DEVIATING), raised)
    server.answers = {
        "/api/v1/readiness": (200, READY),
        "/api/v1/assets/pump": (200, pump.model_dump_json()),
        "/api/v1/connections": (200, ConnectionList(items=[connection("pump")]).model_dump_json()),
        "/api/v1/alerts?limit=500": (200, AlertPage(items=[raised], before=None).model_dump_json()),
    }

    async def scenario() -> None:
        rest = Rest(server.url)
        assert rest.url == f"{server.url}/api/v1"
        assert await rest.not_ready() == ""
        assert await rest.asset("pump") == pump
        assert (await rest.connections()).items == [connection("pump")]
        assert (await rest.alerts()).items == [raised]

    asyncio.run(scenario())


def test_an_agent_that_is_not_ready_says_why(server: Server) -> None:
    server.answers["/api/v1/readiness"] = (503, '{"title": "x", "detail": "starting: not every connection was tried"}')
    assert asyncio.run(Rest(server.url).not_ready()) == "starting: not every connection was tried"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, '{"detail": "there is no asset pump"}', "there is no asset pump"),
        (500, "<html>", "HTTP Error 500"),
        (200, "<html>", "did not answer GET /assets/pump as it should"),
        (200, '{"asset": "pump"}', "did not answer GET /assets/pump as it should"),
    ],
)
def test_a_useless_answer_is_one_error(server: Server, status: int, body: str, says: str) -> None:
    server.answers["/api/v1/assets/pump"] = (status, body)
    with pytest.raises(RestError, match=says):
        asyncio.run(Rest(server.url).asset("pump"))


def test_readiness_that_fails_otherwise_is_an_error(server: Server) -> None:
    with pytest.raises(RestError):
        asyncio.run(Rest(server.url).not_ready())


def test_nobody_there_is_an_error() -> None:
    url = "http://127.0.0.1:1"
    with pytest.raises(RestError, match="did not answer GET /connections"):
        asyncio.run(Rest(url).connections())


def test_a_proxy_in_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers["/api/v1/readiness"] = (200, READY)
    assert asyncio.run(Rest(server.url).not_ready()) == ""
