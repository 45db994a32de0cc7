"""The demonstration for real: simulators, agent and wire; nothing is left behind, however it ends."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agent.clock import SystemClock
from agent.config.file import Config
from agent.demo.children import ChildError
from agent.demo.scenario import SCENARIO, Scenario
from agent.demo.show import Show

FAST = 300
"""Simulated seconds per second: as fast as it goes, whatever that does to the polls."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that one left behind is seen; with a space in its path."""
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "agent.demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "40"},
    )


def still_listens(text: str) -> list[str]:
    """Return the addresses named in a text at which something still listens."""
    found = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", text)))
    assert found
    alive = []
    for port in found:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                alive.append(port)
    return alive


def test_it_plays_from_the_start_to_the_summary(place: Path) -> None:
    process = start("--speed", str(FAST))
    out, err = process.communicate(timeout=110)
    assert err == ""
    assert not still_listens(out)
    assert not list(place.iterdir())
    in_order = (
        "Forewarn demo: a pump degrades",
        f"Simulated time runs {FAST} times faster than wall time",
        "the pump listens: Modbus TCP 127.0.0.1:",
        "the conveyor listens: OPC UA opc.tcp://127.0.0.1:",
        "its REST API: http://127.0.0.1:",
        "its configuration: ",
        "Ready, at simulated minute",
        "bearing_wear begins in the pump; nobody has told the agent",
        "minute  95.0  the pump fails",
        "What happened, in simulated time",
        "08:15:00  minute  15.0   bearing_wear began in the pump",
        "09:35:00  minute  95.0   the pump failed",
        "The conveyor stayed healthy",
    )
    assert re.search(".*".join(map(re.escape, in_order)), out, re.DOTALL), out
    assert "\x1b" not in out, "no terminal, no control characters"
    # On a machine that is too slow for this speed no alert comes; then that is what must be said.
    warned = re.search(r"The agent warned [\d.]+ minutes after the onset and [\d.]+ minutes before the fail", out)
    missed = "The agent did NOT warn before the pump failed." in out
    assert process.returncode == (0 if warned else 1)
    assert bool(warned) != missed
    if warned:
        assert re.search(r"ALERT pump-\d.*the pump fails", out, re.DOTALL)
        assert re.search(r"^  vibration +\d+% .* yes$", out, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(place: Path, number: signal.Signals) -> None:
    process = start()
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Starting the agent" in line:
            break
    process.send_signal(number)
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert rest.endswith("Stopped; everything that was started has ended.\n")
    assert not still_listens(said)
    assert not list(place.iterdir())


def test_it_ends_when_nobody_reads_what_it_says(place: Path) -> None:
    process = start()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    process.stderr.close()
    assert not list(place.iterdir())


def play(scenario: Scenario) -> tuple[Show, str]:
    out = io.StringIO()
    show = Show(scenario, FAST, Console(file=out), SystemClock())
    with pytest.raises(ChildError) as error:
        asyncio.run(show.run())
    return show, f"{out.getvalue()}{error.value}"


def test_a_plc_that_cannot_start_is_told_with_what_it_said(place: Path) -> None:
    show, said = play(replace(SCENARIO, fault="belt_slip"))
    assert "The simulated pump ended unexpectedly (exit code 2)" in said
    assert "| simulators: The pump cannot have the fault 'belt_slip'; it can have: bearing_wear" in said
    assert show.warned is None
    assert not list(place.iterdir())


def test_a_plc_that_dies_ends_the_demonstration(place: Path) -> None:
    process = start()
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ready, at simulated minute" in line:
            break
    told = re.search(r"its REST API: (\S+)/api/v1\n +its configuration: (.*)\n", said)
    assert told is not None
    config = Config.parse(Path(told[2]).read_text(encoding="utf-8"), Path(told[2]))
    assert config.api.url == told[1], "commands beside it find the agent, and links lead to it"
    os.kill(child_of(process.pid, "simulators conveyor"), signal.SIGKILL)
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
    assert "The demonstration failed. The simulated conveyor ended unexpectedly (killed by signal 9)." in rest
    assert not still_listens(said)
    assert not list(place.iterdir())


def child_of(parent: int, words: str) -> int:
    """Return the number of the child process of `parent` in whose command line `words` stand (Linux's /proc)."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            father = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile
            continue
        if father == parent and words in command:
            return int(folder.name)
    raise AssertionError(f"no child of {parent} runs {words}")
