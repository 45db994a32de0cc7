from __future__ import annotations

import io
import os
import re
import subprocess
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from agent.alerts_command import show
from agent.build import JOURNAL
from agent.line.alert import Answer, Label
from agent.loopback import is_loopback
from agent.store import codec
from agent.store.journal import Journal
from tests.agent.commands import command, forewarn
from tests.agent.samples import START_NS, alert


def test_alerts_from_a_journal_as_text_and_as_json(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL, START_NS)
    journal.record(replace(alert(0), label=Label(Answer.REAL, "impeller blockage", "Ana", START_NS)))
    journal.record(alert(1))
    journal.record(alert(2))
    journal.record(replace(alert(5), asset="fan", id="fan-5", label=Label(Answer.NOT_LOOKED_AT, None, "Ana", START_NS)))
    journal.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    listed = forewarn("alerts", "--state-dir", tmp_path).output
    assert listed.splitlines()[3:6] == [
        "pump-2  high  2026-09-21T14:13:22Z  unacknowledged",
        f"    {alert(2).message}",
        "    evidence 1.70 at most; when raised 1 to 28 hours left, most likely 2",
    ]
    assert "unacknowledged, labelled impeller blockage" in listed
    assert "unacknowledged, labelled not looked at" in listed
    lines = forewarn("alerts", "--state-dir", tmp_path, "--json", "--limit", "1", "--asset", "pump").stdout_bytes
    assert lines == codec.encode(alert(2)) + b"\n"
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("columns", [40, 80])
def test_alerts_are_whole_on_a_narrow_terminal(columns: int, tmp_path: Path) -> None:
    long = "pump behaves unlike it ever did in regime R4: bearing_nde_temperature is 36.2 degC, looks like gain"
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, no_color=True)
    show([replace(alert(1), message=long)], console)
    shown = console.file.getvalue()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert long in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("ending", ["", "/", "/api/v1", "/api/v1/"])
def test_alerts_of_this_machine_are_not_asked_of_a_proxy(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"items": []}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    asked: list[str] = []
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with HTTPServer(("127.0.0.1", 0), Agent) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        result = forewarn("alerts", "--api", f"http://127.0.0.1:{server.server_port}{ending}")
        thread.join()
    assert (result.exit_code, result.output) == (0, "no alerts\n")
    assert asked == ["/api/v1/alerts?limit=50"]


@pytest.mark.parametrize(
    ("host", "itself"),
    [
        ("127.0.0.1", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
        ("192.0.2.1", False), ("localhost.org", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, itself: bool) -> None:
    assert is_loopback(host) is itself


def test_alerts_says_where_it_looked_in_vain(tmp_path: Path) -> None:
    result = forewarn("alerts", "--state-dir", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path / JOURNAL}: there is no alert journal that can be read" in result.output
    result = forewarn("alerts", "--api", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "no agent answers there" in result.output
    assert "start it with `forewarn run`" in result.output
    assert forewarn("alerts", "--api", "file:///etc/passwd").exit_code == 2


def test_output_into_a_closed_pipe_is_no_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL, START_NS)
    for number in range(1, 60):
        journal.record(alert(number))
    journal.close()
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        command("alerts", "--state-dir", tmp_path, "--json"),
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(write)
    assert b"Traceback" not in ended.stderr
