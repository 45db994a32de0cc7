"""`forewarn tags`: what a running agent thinks of the values that it reads."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from agent.api.trust_models import TagTrustModel
from agent.tags_command import show
from simulators.plant import Plant
from tests.agent.commands import command, forewarn
from tests.agent.simulation import Simulation, started

TAGS = len(Plant("pump", 1).tags)


@pytest.fixture
def agent(simulation: Simulation, tmp_path: Path) -> Iterator[str]:
    """Where an agent answers that looks for the discharge pressure in a register that is not there."""
    file = simulation.write(tmp_path / "agent.toml", simulation.modbus, ("register = 12\n", "register = 9000\n"))
    with subprocess.Popen(command("run", file), stderr=subprocess.PIPE, text=True) as child:
        yield started(child)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        child.stderr.read()


def answered(url: str) -> str:
    """Wait until good values have come."""
    while json.loads(forewarn("tags", "pump", "--api", url, "--json").stdout)["tags"][0]["trust"] == 0:
        pass
    return url


def test_the_table_shows_what_comes_of_each_tag(agent: str) -> None:
    result = forewarn("tags", "--api", answered(agent))
    assert result.exit_code == 1
    assert re.search(r"^tag +value +unit +status +age +trust +why *$", result.output, re.MULTILINE)
    assert re.search(r"^  speed +1\d{3} +rpm +Good +\d+ s +100 *$", result.output, re.MULTILINE)
    failing = r"^  discharge_pressure +- +bar +BadNodeIdUnknown +- +0 +no good value has come yet *$"
    assert re.search(failing, result.output, re.MULTILINE)
    assert f"{TAGS - 1} of {TAGS} tags are trusted with 50 or more; not pump.discharge_pressure" in result.output


def test_programs_get_the_same_as_json(agent: str) -> None:
    result = forewarn("tags", "pump", "--api", answered(agent), "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["good"], report["doubted"]) == (1, False, ["pump.discharge_pressure"])
    shown = {tag["tag"]: tag for tag in report["tags"]}
    assert len(shown) == TAGS
    assert (shown["speed"]["asset"], shown["speed"]["trust"], shown["speed"]["stale"]) == ("pump", 100, False)
    assert 1000 < shown["speed"]["value"] < 2000
    assert (shown["discharge_pressure"]["value"], shown["discharge_pressure"]["age_s"]) == (None, None)
    assert forewarn("tags", "pump", "--api", agent, "--min-trust", "0").exit_code == 0


def test_an_asset_that_is_not_there_and_an_agent_that_does_not_answer_are_told(agent: str) -> None:
    result = forewarn("tags", "pumpe", "--api", agent)
    assert (result.exit_code, f'{agent}: there is no asset "pumpe"; there are: pump' in result.output) == (2, True)
    result = forewarn("tags", "--api", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "no agent answers there" in result.output
    assert "start it with `forewarn run`, or name its address with --api" in result.output
    assert forewarn("tags", "--api", "ftp://127.0.0.1").exit_code == 2
    assert forewarn("tags", "--min-trust", "101").exit_code == 2


@pytest.mark.parametrize("body", [b'{"items": [{"tag": "speed"}]}', b"<html>"])
def test_what_is_no_agent_of_this_version_is_told(body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        result = forewarn("tags", "pump", "--api", f"http://127.0.0.1:{server.server_port}")
        thread.join()
    assert result.exit_code == 2
    assert "what answers is no agent of this version" in result.output


def tag(name: str, **more: object) -> TagTrustModel:
    fields: dict[str, object] = {
        "tag": name, "unit": "bar", "period_ms": 1000, "value": 9.07, "status": "Good", "status_code": 0, "time": None,
        "age_s": 0.2, "trust": 100, "reasons": [], "stale": False, "last_good": None, "samples_hour": 1,
        "samples_day": 1,
    }
    return TagTrustModel.model_validate(fields | more)


@pytest.mark.parametrize("width", [60, 140])
def test_names_and_units_are_shown_to_the_letter_and_a_narrow_terminal_has_the_reasons_below(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), legacy_windows=False)
    reasons = ["frozen for 3 h", "12% of reads had no answer in the last hour"]
    found = {"pump": [tag("a", unit="[bar]"), tag("b :gear:", trust=40, reasons=reasons, age_s=7200.0)]}
    show(found, ["pump.b :gear:"], 50, console)
    header, asset, first, second, *below = [line.rstrip() for line in console.file.getvalue().splitlines()]
    why = "; ".join(reasons)
    assert (header.split()[-1], asset) == (("why" if width == 140 else "trust"), "pump")
    assert first.split() == ["a", "9.07", "[bar]", "Good", "0", "s", "100"]
    assert re.fullmatch(r"  b :gear: +9\.07 +bar +Good +2 h +40" + (f" +{why}" if width == 140 else ""), second)
    told = "1 of 2 tags are trusted with 50 or more; not pump.b :gear:"
    assert below == ([told] if width == 140 else [f"pump.b :gear:: {why}", told])
