"""Bad input: each gives one clear message that names the thing and the remedy, and the rest keeps running."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.frame import Dtype, ModbusAddress, Tag
from simulators.plant import Plant
from simulators.wire import Symptom
from tests.acceptance import shop
from tests.acceptance.shop import Ended, Station, forewarn

FAILED, UNUSABLE = 1, 2
NAMESPACE = "urn:forewarn:simulators"
NOWHERE = "127.0.0.1:1"


def with_bad_tags(pump: Station, conveyor: Station) -> tuple[list[Tag], list[Tag]]:
    """Ask the pump's PLC for a unit and a register, the conveyor's for a node and a namespace it lacks."""
    return (
        shop.moved(pump.tags, vibration={"unit_id": 7}, seal_pressure={"register": 9000}),
        shop.moved(
            conveyor.tags,
            belt_tension={"identifier": "s=conveyor.tension"},
            part_rate={"namespace_uri": "urn:nobody"},
        ),
    )


BAD_TAGS = {
    "pump.vibration": ("BadTimeout", "unit 7 does not answer: check unit_id"),
    "pump.seal_pressure": (
        "BadNodeIdUnknown",
        "the device has no input_register 9000: check table and register",
    ),
    "conveyor.belt_tension": (
        "BadNodeIdUnknown",
        f"the server has no node nsu={NAMESPACE};s=conveyor.tension: check namespace URI and identifier",
    ),
    "conveyor.part_rate": (
        "BadNodeIdUnknown",
        "the server has no node nsu=urn:nobody;s=conveyor.part_rate: check",
    ),
}


def one_line_with(text: str, *parts: str) -> str:
    """Return the one line that has all parts."""
    (line,) = [line for line in text.splitlines() if all(part in line for part in parts)]
    return line


async def checked(config: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Run `forewarn check` for a machine and for a person; return each tag it found, and what it wrote."""
    for_machine, for_person = await asyncio.gather(
        forewarn("check", config, "--json"), forewarn("check", config)
    )
    assert (for_machine.code, for_person.code) == (FAILED, FAILED)
    assert (for_machine.said, for_person.said) == ([], [])
    report = json.loads(for_machine.out)
    assert not report["good"]
    assert report["problems"] == []
    return {f"{tag['asset']}.{tag['tag']}": tag for tag in report["tags"]}, for_person.out


def test_check_names_each_tag_that_is_not_there_and_reads_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop.station("pump") as pump, shop.station("conveyor", over_opcua=True) as conveyor:
            pump_tags, conveyor_tags = with_bad_tags(pump, conveyor)
            config = shop.configuration(
                tmp_path, ("pump", pump_tags, pump.address), ("conveyor", conveyor_tags, conveyor.address)
            )
            tags, text = await checked(config)
            pump.proxy.assert_read_only()
            conveyor.proxy.assert_read_only()
        assert {name for name, tag in tags.items() if not tag["good"]} == set(BAD_TAGS)
        for name, (status, remedy) in BAD_TAGS.items():
            assert (tags[name]["status"], tags[name]["value"]) == (status, None)
            assert remedy in tags[name]["remedy"]
            one_line_with(text, f"{name}: ", remedy)
        assert all(tag["status"] == "Good" for name, tag in tags.items() if name not in BAD_TAGS)
        one_line_with(text, f"{len(tags) - len(BAD_TAGS)} of {len(tags)} tags were read")

    asyncio.run(scenario())


def test_check_names_each_plc_that_is_absent_or_silent(tmp_path: Path) -> None:
    pump, conveyor = Plant("pump", 1).tags, Plant("conveyor", 1).opcua_tags

    async def scenario() -> None:
        async with shop.station("press") as press:
            await press.plc.inject(Symptom.TIMEOUT)
            config = shop.configuration(
                tmp_path,
                ("pump", pump, NOWHERE),
                ("press", press.tags, press.address),
                ("conveyor", conveyor, f"opc.tcp://{NOWHERE}"),
                timeout_ms=500,
            )
            tags, text = await checked(config)
        assert {tag["status"] for tag in tags.values()} == {"BadNoCommunication"}
        refused = f"connection pump_plc ({len(pump)} tags): cannot connect to Modbus device {NOWHERE}: "
        one_line_with(text, refused, "Check the address, the network")
        refused = (
            f"connection conveyor_plc ({len(conveyor)} tags): cannot connect to OPC UA server opc.tcp://"
        )
        one_line_with(text, refused + NOWHERE, "check the address, the network and that the server runs")
        silent = f"connection press_plc ({len(press.tags)} tags): Modbus device {press.address} is connected"
        one_line_with(text, silent, "no unit answered within 500 ms: check the unit ids")
        one_line_with(text, f"0 of {len(tags)} tags were read")

    asyncio.run(scenario())


def in_wrong_order(station: Station, wrong: Mapping[str, str]) -> tuple[list[Tag], dict[str, str]]:
    """Return a PLC's tags, the floats among them with an order they do not have, and those orders by tag."""
    orders = {
        tag.name: wrong[tag.address.order]
        for tag in station.tags
        if isinstance(tag.address, ModbusAddress) and tag.dtype is Dtype.FLOAT32
    }
    tags = shop.moved(station.tags, **{name: {"order": order} for name, order in orders.items()})
    return tags, {f"{station.name}.{name}": order for name, order in orders.items()}


def test_check_says_of_a_wrong_byte_order_that_it_may_be_wrong(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop.station("pump") as pump, shop.station("press") as press:
            pump_tags, pump_orders = in_wrong_order(pump, {"ABCD": "CDAB", "CDAB": "ABCD"})
            press_tags, press_orders = in_wrong_order(press, {"ABCD": "DCBA", "CDAB": "BADC"})
            config = shop.configuration(
                tmp_path, ("pump", pump_tags, pump.address), ("press", press_tags, press.address)
            )
            found, text = await checked(config)
        orders = pump_orders | press_orders
        assert {name for name, tag in found.items() if not tag["good"]} == set(orders)
        right = {f"{station.name}.{tag.name}": tag.address.order for station in (pump, press) for tag in station.tags
                 if isinstance(tag.address, ModbusAddress)}
        for name, order in orders.items():
            named = f'set order = "{right[name]}" for all of them'
            remedy = f'the byte or word order may be wrong, try another than order = "{order}"'
            told = named if named in found[name]["remedy"] else remedy
            assert told in found[name]["remedy"]
            one_line_with(text, name, told)

    asyncio.run(scenario())


SWAPPED = "accumulator_pressure"


def status_of(asset: dict[str, Any]) -> dict[str, str]:
    return {reading["tag"]: reading["status"] for reading in asset["readings"]}


def is_well(asset: dict[str, Any], *but: str) -> bool:
    return all(status == "Good" for tag, status in status_of(asset).items() if tag not in but)


def judged_by_all_but_its_bad_tags(asset: dict[str, Any]) -> bool:
    statuses = {f"{asset['asset']}.{tag}": status for tag, status in status_of(asset).items()}
    normal = asset["verdict"] and asset["verdict"]["condition"] == "normal"
    return bool(normal) and all(
        status == BAD_TAGS.get(tag, ("Good", ""))[0] for tag, status in statuses.items()
    )


def states(connections: dict[str, Any]) -> list[str]:
    return [one["state"] for one in connections["items"]]


def is_blind(asset: dict[str, Any]) -> bool:
    return not asset["verdict"] or asset["verdict"]["condition"] == "blind"


def test_the_agent_goes_on_with_all_that_it_can_read(tmp_path: Path) -> None:
    """Two machines with bad tags are judged by the others; a third, absent, is judged once its PLC is there.

    The third has a tag whose words are swapped.
    """

    async def scenario() -> None:
        async with shop.floor() as (pump, press, conveyor), shop.at_work(pump, press, conveyor):
            await press.proxy.refuse()
            pump_tags, conveyor_tags = with_bad_tags(pump, conveyor)
            press_tags = shop.moved(press.tags, **{SWAPPED: {"order": "CDAB"}})
            config = shop.configuration(
                tmp_path,
                ("pump", pump_tags, pump.address),
                ("press", press_tags, press.address),
                ("conveyor", conveyor_tags, conveyor.address),
            )
            async with shop.running(config) as agent:
                for name in ("pump", "conveyor"):
                    await agent.until(f"/assets/{name}", judged_by_all_but_its_bad_tags)
                asset = await agent.get("/assets/press")
                assert is_blind(asset)
                assert set(status_of(asset).values()) == {"BadNoCommunication"}
                await agent.get("/readiness")  # else 503
                health = await agent.until(
                    "/connections", lambda found: states(found)[::2] == ["delivering"] * 2
                )
                absent = health["items"][1]
                assert absent["state"] in ("backing_off", "connecting")
                said = f"cannot connect to Modbus device {press.address}: "
                assert said in absent["error"]
                assert "Check the address" in absent["error"]

                await press.proxy.accept()
                await agent.until(
                    "/assets/press", lambda asset: not is_blind(asset) and is_well(asset, SWAPPED)
                )
                health = await agent.until("/connections", lambda found: states(found) == ["delivering"] * 3)
                assert health["items"][1]["error"] == ""
            for station in (pump, press, conveyor):
                station.proxy.assert_read_only()
        told = agent.logged("warning", "tag")
        assert {tag: status for tag, status in told if not tag.startswith("press.")} == {
            tag: status for tag, (status, _) in BAD_TAGS.items()
        }
        assert all(told.count((tag, status)) == 1 for tag, (status, _) in BAD_TAGS.items())
        assert (f"press.{SWAPPED}", "BadOutOfRange") in told
        remedies = {line["tag"]: line["remedy"] for line in agent.log if "remedy" in line}
        assert all(remedy in remedies[tag] for tag, (_, remedy) in BAD_TAGS.items())
        assert "the byte or word order may be wrong" in remedies[f"press.{SWAPPED}"]
        absent = [  # what a person should know of a connection that works is told as a warning, too, without an error
            error for connection, error in agent.logged("warning", "connection") if connection == "press_plc" and error
        ]
        assert len(absent) == 1
        assert absent[0].startswith(said)
        assert ("press_plc", "") in agent.logged("info", "connection")

    asyncio.run(scenario())


CUT_OFF = ("model.onnx", "statistics.npz", "manifest.json", "README.md")


def test_a_truncated_bundle_is_named_with_its_file_and_the_remedy(tmp_path: Path) -> None:
    names = [f"without_{number}" for number in range(len(CUT_OFF))]
    for name, cut in zip(names, CUT_OFF, strict=True):
        shutil.copytree(shop.BUNDLES / "pump", tmp_path / name)
        os.truncate(tmp_path / name / cut, 200)
    tags = Plant("pump", 1).tags
    config = shop.configuration(
        tmp_path,
        *((name, tags, f"127.0.0.1:{port}") for port, name in enumerate(names, start=1)),
        bundles=tmp_path,
    )

    async def scenario() -> tuple[Ended, Ended, Ended]:
        return await asyncio.gather(
            forewarn("run", config), forewarn("replay", tmp_path, config), forewarn("check", config)
        )

    run, replay, check = asyncio.run(scenario())
    assert (run.code, replay.code, check.code) == (UNUSABLE, UNUSABLE, FAILED)
    assert (run.out, replay.out, check.said) == ("", "", [])
    assert len(run.said) == len(replay.said) == len(CUT_OFF)
    for text in ("\n".join(run.said), "\n".join(replay.said), check.out):
        for name, cut in zip(names, CUT_OFF, strict=True):
            one_line_with(
                text, f"assets.{name}.bundle: {tmp_path / name / cut}", "copy the bundle again or learn it"
            )
    one_line_with(check.out, "; 4 problems with bundles")


def healthy(path: Path) -> pl.DataFrame:
    """Write a history of the pump."""
    plant = Plant("pump", 1)
    rows = plant.rows(7200, 300, shop.PERIOD_MS // 1000)
    times = pl.Series("time", range(len(rows))) * (shop.PERIOD_MS / 1000)
    table = pl.DataFrame({"time": times, **{tag.name: rows[:, i] for i, tag in enumerate(plant.tags)}})
    table.write_parquet(path)
    return table


async def read_by_all(path: Path, folder: Path) -> tuple[Ended, Ended, Ended]:
    """Give a Parquet file to each command that reads one."""
    config = shop.configuration(folder, ("pump", Plant("pump", 1).tags, NOWHERE))
    learn, backtest, replay = await asyncio.gather(
        forewarn("learn", path, "--out", folder / "bundle", "--config", config, "--time", "time"),
        forewarn("backtest", path, "--time", "time", "--tags", "speed,flow", "--learn-rows", "200"),
        forewarn("replay", path, config),
    )
    assert not (folder / "bundle").exists()
    for ended in (learn, backtest, replay):
        assert (ended.code, ended.out, len(ended.said)) == (UNUSABLE, "", 1), ended
        assert str(path) in ended.said[0]
    return learn, backtest, replay


def test_a_parquet_without_the_column_names_it_and_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    healthy(path).drop("flow").write_parquet(path)
    learn, backtest, replay = asyncio.run(read_by_all(path, tmp_path))
    missing = f"{path} has no column flow; name one that it has: time, "
    assert f"{tmp_path / 'agent.toml'}: assets.pump.tags: {missing}" in learn.said[0]
    assert f"--tags: {missing}" in backtest.said[0]
    assert f"{path}: no column flow for asset pump; it has: " in replay.said[0]
    assert "record it with every tag of the asset" in replay.said[0]


def test_a_truncated_parquet_is_to_be_copied_again(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    healthy(path)
    os.truncate(path, path.stat().st_size // 2)
    for ended in asyncio.run(read_by_all(path, tmp_path)):
        assert "copy or export it again" in ended.said[0]


def test_all_that_is_wrong_in_a_configuration_is_said_at_once(tmp_path: Path) -> None:
    config = shop.configuration(tmp_path, ("pump", Plant("pump", 1).tags, NOWHERE))
    text = config.read_text()
    for old, new in (
        ("port = 0", "port = 70000"),
        ("period_ms = 5000", "period_ms = 0"),
        ('unit = "degC"\n', ""),
        ("register = 1\n", "regsiter = 1\n"),
        ("low = 0.0\nhigh = 25.0", "low = 30.0\nhigh = 25.0"),
        ('order = "CDAB"', 'order = "ACBD"'),
        ('table = "coil"', 'table = "coils"'),
        ("timeout_ms = ", "retires = 3\ntimeout_ms = "),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    config.write_text(text)

    ended = asyncio.run(forewarn("run", config))
    assert (ended.code, ended.out) == (UNUSABLE, "")
    expected = [
        "api.port: got 70000; allowed: ",
        'connections.pump_plc.retires: unknown key; did you mean "retries"?',
        "assets.pump.period_ms: got 0; allowed: ",
        "assets.pump.tags[0].unit (ambient_temperature): missing; needed: the unit",
        "assets.pump.tags[1].register (tank_level): missing; needed: ",
        'assets.pump.tags[1].regsiter (tank_level): unknown key; did you mean "register"?',
        "assets.pump.tags[7].high (discharge_pressure): must be above low (30)",
        "assets.pump.tags[10].order (motor_current): got 'ACBD'; allowed: \"ABCD\", \"CDAB\", ",
        "assets.pump.tags[15].table (running): got 'coils'; allowed: \"coil\", ",
    ]
    assert all(line.startswith(f"forewarn: {config}: ") for line in ended.said)
    for said in expected:
        one_line_with("\n".join(ended.said), f": {said}")
    assert len(ended.said) == len(expected), ended.said


def test_a_port_that_is_in_use_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = shop.configuration(tmp_path, ("pump", Plant("pump", 1).tags, NOWHERE), port=port)
        ended = asyncio.run(forewarn("run", config))
    assert ended.code == UNUSABLE
    (line,) = ended.said
    assert (
        f"the API cannot listen on 127.0.0.1 port {port}: Address already in use; set api.host and api.port"
        in line
    )


def with_state_in(state: Path, folder: Path) -> Path:
    """Return a configuration with another state_dir."""
    config = shop.configuration(folder, ("pump", Plant("pump", 1).tags, NOWHERE))
    text = config.read_text().replace(json.dumps(str(folder / "state")), json.dumps(str(state)))
    elsewhere = folder / f"{state.name}.toml"
    elsewhere.write_text(text)
    return elsewhere


def test_a_state_directory_that_is_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = asyncio.run(forewarn("run", with_state_in(tmp_path / "file", tmp_path)))
    assert ended.code == UNUSABLE
    (line,) = ended.said
    said = "cannot be used: File exists; name a folder that can be written as agent.state_dir"
    assert f"{tmp_path / 'file'}: {said}" in line


def test_a_state_directory_that_may_not_be_written_cannot_be_used(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    ended = asyncio.run(forewarn("run", with_state_in(closed / "state", tmp_path)))
    assert ended.code == UNUSABLE
    (line,) = ended.said
    assert (
        f"{closed / 'state'}: cannot be used: Permission denied; name a folder that can be written as" in line
    )


def test_simulate_names_a_fault_it_does_not_know_and_those_it_does() -> None:
    ended = asyncio.run(forewarn("simulate", "pump", "--modbus", "0", "--fault", "gremlins@60"))
    assert (ended.code, ended.out) == (UNUSABLE, "")
    (line,) = ended.said
    assert "The pump cannot have the fault 'gremlins'; it can have: bearing_wear, cavitation, " in line
