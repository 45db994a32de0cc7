from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.main import get_command

from agent.build import JOURNAL, layout_of, load_detectors, origins, sole_owner
from agent.check import check
from agent.checktable import show
from agent.cli import app
from agent.clock import SystemClock
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.store.journal import Journal
from models.bundle import Bundle
from simulators.config import toml
from simulators.plant import Plant
from tests.agent.commands import command, forewarn
from tests.agent.samples import CONFIG, START_NS, alert, quiet_rows
from tests.agent.simulation import Simulation, started

COMMANDS = ("run", "check", "replay", "alerts", "simulate", "learn", "discover", "import", "tags", "evidence")


def test_version_and_help() -> None:
    assert re.fullmatch(r"forewarn \S+\n", forewarn("--version").output)
    text = forewarn("--help").output
    shown = re.findall(r"^  ([a-z][a-z-]*)  ", text, re.MULTILINE)
    assert set(COMMANDS) < set(shown)
    assert sorted(shown) == sorted(get_command(app).commands)
    for name in COMMANDS[:4] + COMMANDS[5:]:
        assert f"Example: forewarn {name}" in forewarn(name, "--help").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run"],
        ["check", "x.toml", "--fast"],
        ["alerts", "--limit", "0"],
        ["run", "x.toml", "--log-level", "LOUD"],
        ["learn", "x.parquet"],
        ["learn", "x.parquet", "--out", "b", "--asset", "pump"],
        ["learn", "x.parquet", "--out", "b", "--period", "often"],
        ["learn", "x.parquet", "--out", "b", "--unit", "bar"],
        ["evidence", "pump-1", "--out", "--key", "k"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert forewarn(*arguments).exit_code == 2


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_bad_configuration_is_refused_with_all_its_problems(name: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.replace('unit = "bar"\n', "").replace("low = 0", "low = 99"))
    result = forewarn(name, file)
    assert result.exit_code == 2
    assert f"{file}: assets.pump.tags[0].unit (pressure): missing" in result.output
    assert f"{file}: assets.pump.tags[0].high (pressure): must be above low (99)" in result.output
    missing = forewarn(name, tmp_path / "none.toml")
    assert (missing.exit_code, "cannot be read (No such file" in missing.output) == (2, True)


def test_a_bundle_that_is_missing_or_truncated_is_named_with_its_remedy(file: Path) -> None:
    graph = file.parent / "bundles" / "pump" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:100])
    result = forewarn("run", file)
    assert result.exit_code == 2
    assert f"assets.pump.bundle: {graph} is not the file the manifest was written for" in result.output
    file.write_text(file.read_text().replace("bundles/pump", "bundles/none"))
    result = forewarn("run", file)
    assert result.exit_code == 2
    assert "bundles/none is not a bundle: no such folder" in result.output


@pytest.mark.parametrize("speed", ["60", "0.5"])
def test_a_device_off_this_machine_is_never_run_at_a_speed(speed: str, file: Path) -> None:
    file.write_text(re.sub(r'host = "127[^"]*"', 'host = "192.0.2.10"', file.read_text()))
    result = forewarn("run", file, "--speed", speed)
    assert result.exit_code == 2
    assert "192.0.2.10 is no simulator on this machine" in result.output
    assert f"with --speed {speed} the agent's second would be another than the device's" in result.output
    assert not list((file.parent / "state").glob("*.db")), "nothing was begun"


def test_tags_and_period_must_be_those_of_the_bundle(file: Path) -> None:
    file.write_text(
        file.read_text()
        .replace('"bar"', '"psi"')
        .replace('"temperature"', '"heat"')
        .replace("period_ms = 1000", "period_ms = 500")
    )
    result = forewarn("run", file)
    assert result.exit_code == 2
    assert (
        "assets.pump.tags: the bundle was learnt with temperature, not configured here; add them"
        in result.output
    )
    assert "assets.pump.tags: the bundle knows no heat; remove them" in result.output
    assert 'assets.pump.tags (pressure).unit: is "psi" and the bundle was learnt in "bar"' in result.output
    assert "assets.pump.period_ms: is 500 and the bundle was learnt at 1000" in result.output


def test_a_context_tag_is_no_tag_of_the_bundle(file: Path) -> None:
    text, context = file.read_text(), '[[assets.pump.tags]]\nname = "cleaning"\nunit = "1"\nconnection = "line3_plc"\n'
    context += 'unit_id = 1\ntable = "coil"\nregister = 3\nuse = "context"\n\n'
    at = text.index("[[assets.pump.tags]]")
    file.write_text(text[:at] + context + text[at:])
    config = load(file)
    assert list(load_detectors(config)) == ["pump"]
    assert layout_of(config)["pump"] == (("pressure", "bar"), ("temperature", "degC"), ("cleaning", "1"))
    file.write_text(text.replace('name = "temperature"', 'name = "temperature"\nuse = "context"'))
    refused = forewarn("run", file).output
    assert 'assets.pump.tags: the bundle was learnt with temperature; remove use = "context"' in refused


def test_a_port_that_is_taken_is_a_message(file: Path) -> None:
    from agent.server import listen

    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        file.write_text(
            file.read_text().replace("[api]\nport = 0", f"[api]\nport = {taken.getsockname()[1]}")
        )
        result = forewarn("run", file)
    assert result.exit_code == 2
    assert "set api.host and api.port to an address that is free" in result.output


def test_check_reads_every_tag_once(simulation: Simulation, tmp_path: Path) -> None:
    file = simulation.write(tmp_path / "agent.toml", simulation.modbus)
    result = forewarn("check", file)
    assert result.exit_code == 0, result.output
    count = len(Plant("pump", 1).tags)
    assert f"{count} of {count} tags were read" in result.output
    assert re.search(
        r"discharge_pressure +\d+\.\d+ +bar +Good +[0-9A-F]{4} [0-9A-F]{4} +unit 1 input_register 12", result.output
    )
    assert re.search(r"pump_plc: Modbus device 127.0.0.1:\d+; reached, read in \d+\.\d ms", result.output)
    assert "not protected: Modbus has no security" in result.output
    assert list(tmp_path.iterdir()) == [file]  # nothing was touched


def test_check_names_each_failure_and_its_remedy(simulation: Simulation, tmp_path: Path) -> None:
    file = simulation.write(
        tmp_path / "agent.toml",
        simulation.modbus,
        ("register = 12\n", "register = 9000\n"),
        ('"ABCD"', '"CDAB"'),
    )
    result = forewarn("check", file, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    bad = {tag["tag"]: tag for tag in report["tags"] if not tag["good"]}
    assert not report["good"]
    assert set(bad) == {"flow", "discharge_pressure"}
    said = "(as ABCD |)(at register 9 |)this is a smooth|.*the byte or word order may be wrong"
    assert re.match(said, bad["flow"]["remedy"])
    assert "the device has no input_register 9000" in bad["discharge_pressure"]["remedy"]
    assert all(tag["value"] is not None for tag in report["tags"] if tag["good"])
    (connection,) = report["connections"]
    assert connection["reached"]
    assert connection["latency_ms"] > 0
    assert (bad["discharge_pressure"]["raw"], bad["discharge_pressure"]["latency_ms"]) == ("", connection["latency_ms"])
    assert re.fullmatch(r"[0-9A-F]{4} [0-9A-F]{4}", bad["flow"]["raw"])


@pytest.mark.parametrize("protocol", ["modbus", "opcua"])
def test_check_shows_a_counter_as_its_display_does(protocol: str, simulation: Simulation, tmp_path: Path) -> None:
    tags = Plant("pump", 1).tags if protocol == "modbus" else Plant("pump", 1).opcua_tags
    text = toml("pump", tags, getattr(simulation, protocol), bundle="not learnt yet", port=0, timeout_ms=10_000)
    file = tmp_path / "agent.toml"
    file.write_text(text.replace('name = "speed"\n', 'name = "speed"\ncounter = true\n'))
    result = forewarn("check", "--tags-only", file, "--json")
    assert result.exit_code == 0, result.output
    (speed,) = [tag for tag in json.loads(result.stdout)["tags"] if tag["tag"] == "speed"]
    assert (speed["status"], speed["unit"]) == ("Good", "counts")
    assert 1500 < speed["value"] < 2000


@pytest.mark.parametrize("protocol", ["modbus", "opcua"])
def test_check_doubts_a_max_rate_that_the_values_do_not_keep(
    protocol: str, simulation: Simulation, tmp_path: Path
) -> None:
    tags = Plant("pump", 1).tags if protocol == "modbus" else Plant("pump", 1).opcua_tags
    text = toml("pump", tags, getattr(simulation, protocol), bundle="not learnt yet", port=0, timeout_ms=10_000)
    limits = {"discharge_pressure": 1e-6, "flow": 1e6}
    for tag, limit in limits.items():
        text = text.replace(f'name = "{tag}"\n', f'name = "{tag}"\nmax_rate = {limit}\n')
    file = tmp_path / "agent.toml"
    file.write_text(text)
    found = {tag["tag"]: tag for tag in json.loads(forewarn("check", "--tags-only", file, "--json").stdout)["tags"]}
    too_fast = found["discharge_pressure"]
    assert (too_fast["status"], too_fast["doubtful"]) == ("Good", True)
    assert too_fast["remedy"].startswith("it moved faster than max_rate allows (1e-06 bar a second)")
    assert found["flow"]["good"]


def test_check_shows_what_an_opcua_server_is_and_how_its_values_are_typed(
    simulation: Simulation, tmp_path: Path
) -> None:
    file = tmp_path / "agent.toml"
    text = toml(
        "pump", Plant("pump", 1).opcua_tags, simulation.opcua, bundle="not learnt yet", port=0, timeout_ms=10_000
    )
    file.write_text(text)
    result = forewarn("check", "--tags-only", file, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {tag["tag"]: tag["raw"] for tag in report["tags"]}["running"] == "Boolean"
    assert {tag["raw"] for tag in report["tags"]} == {"Boolean", "Float"}
    (connection,) = report["connections"]
    assert "Server" in connection["server"]
    assert connection["security"] == 'not protected: security_policy "None"'
    assert forewarn("check", file).exit_code == 1  # the bundle is not there


def test_check_stays_readable_on_a_narrow_terminal(simulation: Simulation, tmp_path: Path) -> None:
    wrong = ("register = 12\n", "register = 9000\n")
    config = load(simulation.write(tmp_path / "agent.toml", simulation.modbus, wrong))
    console = Console(width=80, file=io.StringIO(), legacy_windows=False)
    show(asyncio.run(check(config, SystemClock())), (), {}, console)
    lines = console.file.getvalue().splitlines()
    table = lines[2 : lines.index("")]
    assert len(table) == 2 + len(config.assets["pump"].tags)  # no line is broken into two
    assert max(map(len, table)) <= 80
    assert sum("Good" in line for line in table) == len(config.assets["pump"].tags) - 1


def test_check_tells_of_an_unknown_unit_id(simulation: Simulation, tmp_path: Path) -> None:
    result = forewarn(
        "check", simulation.write(tmp_path / "agent.toml", simulation.modbus, ("unit_id = 1", "unit_id = 7"))
    )
    assert result.exit_code == 1
    assert re.search(r"pump\.\w+: unit 7 does not answer: check unit_id", result.output)


def test_check_tells_of_a_plc_that_is_not_there_and_of_the_bundle_as_well(file: Path) -> None:
    (file.parent / "bundles" / "pump" / "manifest.json").unlink()
    result = forewarn("check", file)
    assert result.exit_code == 1
    assert "pump.pressure: cannot connect to Modbus device 127.0.0.1:1" in result.output
    assert "pump.temperature: " in result.output
    assert "manifest.json cannot be read" in result.output
    assert "0 of 2 tags were read; 1 problem with bundles" in result.output


def test_check_warns_of_the_second_connection_while_the_agent_runs(file: Path) -> None:
    state_dir = load(file).agent.state_dir
    said = f"{state_dir}: an agent runs with this state_dir, so each PLC now has a second connection"
    with sole_owner(state_dir):
        assert said in forewarn("check", file).output
        (warning,) = json.loads(forewarn("check", file, "--json").stdout)["warnings"]
        assert warning.startswith(said)
    assert said not in forewarn("check", file).output
    assert json.loads(forewarn("check", file, "--json").stdout)["warnings"] == []
    assert json.loads(forewarn("check", file, "--json").stdout)["bundles"] == {"pump": "not signed"}


def test_check_tells_of_a_node_that_is_not_there(
    simulation: Simulation, tmp_path: Path, bundle: Bundle
) -> None:
    bundle.save(tmp_path / "bundles" / "pump")
    text = CONFIG.replace("opc.tcp://192.0.2.11:4840", simulation.opcua)
    text = text.replace('host = "192.0.2.10"', 'host = "{}"\nport = {}'.format(*simulation.modbus.split(":")))
    file = tmp_path / "agent.toml"
    file.write_text(text)
    result = forewarn("check", file)
    assert result.exit_code == 1
    node = "nsu=urn:example:press;s=press.oil_temperature"
    assert (
        f"pump.temperature: the server has no node {node}: check namespace URI and identifier"
        in result.output
    )
    assert "1 of 2 tags were read" in result.output


def test_run_watches_until_sigterm_and_is_alone_in_its_state_dir(
    simulation: Simulation, tmp_path: Path
) -> None:
    file = simulation.write(tmp_path / "agent.toml", simulation.modbus)
    with subprocess.Popen(command("run", file), stderr=subprocess.PIPE, text=True) as child:
        url = started(child)
        with urllib.request.urlopen(f"{url}/api/v1/assets/pump", timeout=30) as answer:
            assert len(json.load(answer)["readings"]) == len(Plant("pump", 1).tags)
        listed = forewarn("alerts", "--api", url)
        assert (listed.exit_code, listed.output) == (0, "no alerts\n")
        second = forewarn("run", file)
        assert second.exit_code == 2
        assert "another forewarn runs with this state_dir" in second.output
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        rest = child.stderr.read()
    assert child.returncode == 0
    assert "everything read was judged and kept" in rest
    assert all(json.loads(line)["level"] for line in rest.splitlines())
    assert forewarn("alerts", "--state-dir", tmp_path / "state").output == "no alerts\n"


def test_run_survives_kill_9(simulation: Simulation, tmp_path: Path) -> None:
    file = simulation.write(tmp_path / "agent.toml", simulation.modbus)
    for _ in range(2):
        with subprocess.Popen(command("run", file), stderr=subprocess.PIPE, text=True) as child:
            started(child)
            child.kill()
    assert forewarn("alerts", "--state-dir", tmp_path / "state").exit_code == 0


def test_units_in_brackets_are_no_markup(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace('"bar"', '"[bar]"').replace('"degC"', '"[/s]"'))
    table = forewarn("check", file).output
    assert re.search(r"pressure +- +\[bar\] +Bad", table)
    assert re.search(r"temperature +- +\[/s\] +Bad", table)
    journal = Journal(tmp_path / JOURNAL, START_NS)
    journal.record(replace(alert(1), message="pressure is 3 [bar], 2 [/s] above :gear:"))
    journal.close()
    assert "3 [bar], 2 [/s] above :gear:" in forewarn("alerts", "--state-dir", tmp_path).output


def history(path: Path, rows: int = 800) -> Path:
    values = quiet_rows(rows)
    pl.DataFrame(
        {"time": np.arange(rows) * 1.0, "pressure": values[:, 0], "temperature": values[:, 1]}
    ).write_parquet(path)
    return path


def test_learn_writes_a_bundle_that_run_accepts(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundles" / "pump"
    result = forewarn(
        "learn", history(tmp_path / "h.parquet"), "--out", out, "--config", file, "--time", "time"
    )
    assert result.exit_code == 0, result.output
    assert "learnt from 800 rows of 2 tags" in result.output
    assert load_detectors(Config.parse(file.read_text(), file))["pump"].manifest.period_ms == 1000


def test_machines_of_one_bundle_share_what_is_loaded_of_it(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    machine = "[assets.pump]" + text.split("[assets.pump]")[1].split("[api]")[0]
    twin = machine.replace("assets.pump", "assets.twin")
    assert forewarn("learn", history(tmp_path / "h.parquet"), "--out", tmp_path / "bundles" / "pump", "--config", file,
                    "--time", "time").exit_code == 0
    detectors = load_detectors(Config.parse(f"{text}\n{twin}", file))
    assert detectors["pump"] is detectors["twin"]


def test_what_learn_signs_a_gateway_that_requires_signatures_takes(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("[agent]\n", "[agent]\nrequire_signature = true\n"))
    config = Config.parse(file.read_text(), file)
    with pytest.raises(ConfigError, match="is not signed"):
        load_detectors(config)
    arguments = ("learn", history(tmp_path / "h.parquet"), "--out", config.assets["pump"].bundle, "--time", "time")
    result = forewarn(*arguments, "--config", file)
    assert (config.agent.state_dir / "signing.pub").read_text().strip() in result.output
    assert load_detectors(config)
    assert origins(config) == {"pump": "signed by this gateway"}
    assert "; not signed" in forewarn(*arguments, "--config", file, "--no-sign").output
    assert origins(config) == {"pump": "not signed"}
    assert forewarn(*arguments, "--tags", "pressure,temperature", "--key", tmp_path / "other.key").exit_code == 0
    assert origins(config)["pump"].startswith("signed by an unknown key, ed25519:")


def test_tags_in_another_order_are_named(file: Path) -> None:
    head, first, second = re.split(r"(?=\[\[assets\.pump\.tags\]\])", file.read_text())
    file.write_text(head + second.partition("[api]")[0] + first + "\n[api]\nport = 0\n")
    result = forewarn("run", file)
    assert result.exit_code == 2
    assert (
        "assets.pump.tags[0]: is temperature, and the bundle was learnt with pressure in this place; "
        "put the tags in its order: pressure, temperature" in result.output
    )


def test_learn_takes_units_and_leaves_labelled_faults_out(tmp_path: Path) -> None:
    path = history(tmp_path / "h.parquet")
    pl.read_parquet(path).with_columns(label=pl.int_range(800) >= 700).write_parquet(path)
    result = forewarn(
        "learn",
        path,
        "--out",
        tmp_path / "b",
        "--time",
        "time",
        "--label",
        "label",
        "--unit",
        "pressure=bar",
        "--tags",
        "pressure,temperature",
    )
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert [(tag["name"], tag["unit"]) for tag in manifest["tags"]] == [
        ("pressure", "bar"),
        ("temperature", "1"),
    ]
    assert "learnt from 700 rows" in result.output
    assert "100 rows labelled as faults are left out" in result.output


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (800, ["--time", "t"], "has no column t"),
        (800, ["--time", "time", "--tags", "pressure,flow"], "has no column flow"),
        (800, [], "say how far the rows are apart: --time COLUMN, or --period 1s where there is none"),
        (20, ["--time", "time"], "20"),
    ],
)
def test_learn_says_what_is_missing(rows: int, options: list[str], said: str, tmp_path: Path) -> None:
    result = forewarn("learn", history(tmp_path / "h.parquet", rows), "--out", tmp_path / "b", *options)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "b").exists()


def test_learn_of_a_file_that_is_none(tmp_path: Path) -> None:
    result = forewarn("learn", tmp_path / "none.parquet", "--out", tmp_path / "b")
    assert result.exit_code == 2
    assert "none.parquet" in result.output


def test_simulate_passes_its_arguments_to_the_simulators() -> None:
    helped = subprocess.run(
        command("simulate", "pump", "--help"), capture_output=True, text=True, check=False, timeout=60
    )
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: forewarn simulate pump ")
    assert "--modbus" in helped.stdout
    wrong = subprocess.run(
        command("simulate", "pump", "--modbus", "0", "--fault", "gremlins@1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert wrong.returncode != 0
    assert "gremlins" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_commands_that_need_neither_plc_nor_model_wait_for_neither() -> None:
    heavy = {"asyncua", "fastapi", "onnxruntime", "polars"}
    code = f"import sys, agent.cli; sys.exit(' '.join({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.stderr.strip()
