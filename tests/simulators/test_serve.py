"""The free-running plant on a clock that a test moves, recordings, histories, and the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.config.file import load
from connectors.frame import Dtype, Float32s, ModbusAddress
from simulators import config, faults, history
from simulators.__main__ import main
from simulators.clock import FreeClock
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant
from simulators.recording import Recording
from simulators.serve import PlantSource, drive
from simulators.wire import Symptom, WireFault, WireKind

SECOND = 1_000_000_000


class StepClock:
    """Jumps to where the driver wants to sleep to, and ends it at `end_ns`."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.now_ns = start_ns
        self.end_ns = end_ns

    def time_ns(self) -> int:
        return self.now_ns

    async def sleep_until(self, time_ns: int) -> None:
        if time_ns >= self.end_ns:
            raise asyncio.CancelledError
        self.now_ns = time_ns


class Notes:
    """A PLC that takes down what it is told."""

    protocol = "notes"
    address = "here"

    def __init__(self) -> None:
        self.rows: list[tuple[int, Float32s]] = []
        self.symptoms: list[tuple[int, Symptom | None, int]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def show(self, values: Float32s, source_time_ns: int) -> None:
        self.rows.append((source_time_ns, values))

    async def inject(self, symptom: Symptom | None, argument: int = 0) -> None:
        self.symptoms.append((len(self.rows), symptom, argument))


def drive_to_end(
    source: PlantSource | Recording, clock: StepClock, wrong: list[WireFault] | None = None
) -> Notes:
    notes = Notes()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(drive(source, [notes], clock, wrong or [], source.period_ns))
    return notes


def test_a_driven_plc_shows_every_second_of_the_plant_and_the_faults_of_the_wire() -> None:
    plant = Plant("conveyor", 3)
    wrong = [
        WireFault(WireKind.REBOOT, EPOCH_NS + 4 * SECOND, 4),
        WireFault(WireKind.EXCEPTION, EPOCH_NS, 1, 6),
    ]
    notes = drive_to_end(PlantSource(plant), StepClock(EPOCH_NS, EPOCH_NS + 10 * SECOND), wrong)
    assert [time_ns for time_ns, _ in notes.rows] == [EPOCH_NS + s * SECOND for s in range(10)]
    assert np.array_equal([row for _, row in notes.rows], plant.rows(0, 10))
    assert notes.symptoms == [
        (0, Symptom.EXCEPTION, 6),
        (1, None, 0),
        (4, Symptom.REFUSED, 0),
        (7, Symptom.ZEROS, 0),
        (8, None, 0),
    ]


def test_the_free_clock_runs_as_fast_as_it_is_told() -> None:
    async def scenario() -> None:
        clock = FreeClock(5 * SECOND, speed=1e6)
        await clock.sleep_until(10 * SECOND)
        assert clock.time_ns() >= 10 * SECOND
        await clock.sleep_until(0)

    asyncio.run(scenario())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a run.parquet"
    time = pl.datetime_range(
        datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 3, 1, 0, 0, 3, tzinfo=UTC), "1s", eager=True
    )
    pl.DataFrame(
        {
            "time": time,
            "x": [1.5, None, 3.5, 4.5],
            "name": list("abcd"),
            "n": [1, 2, 3, 4],
            "label": [0, 0, 1, 1],
        }
    ).write_parquet(path)
    return path


def test_a_recording_is_a_plant(recording: Path) -> None:
    played = Recording.read(recording)
    assert played.name == "a run"
    assert [
        (tag.name, tag.address.register) for tag in played.tags if isinstance(tag.address, ModbusAddress)
    ] == [("x", 0), ("n", 2)]
    assert {tag.dtype for tag in played.tags} == {Dtype.FLOAT32}
    assert str(played.opcua_tags[0].address) == "nsu=urn:forewarn:simulators;s=a run.x"
    start = played.epoch_ns
    assert start == int(datetime(2020, 3, 1, tzinfo=UTC).timestamp()) * SECOND
    assert played.period_ns == SECOND
    row, time_ns = played.row(start + SECOND + 5)
    assert time_ns == start + SECOND
    assert np.isnan(row[0])
    assert row[1] == 2
    assert played.row(start - 7)[1] == start
    assert played.row(start + 99 * SECOND)[1] == start + 3 * SECOND
    notes = drive_to_end(played, StepClock(start, start + 4 * SECOND))
    assert np.array_equal([row for _, row in notes.rows], played.values, equal_nan=True)


def test_a_recording_without_times_has_a_period(recording: Path) -> None:
    played = Recording.read(recording, ["n"], None, 0.5)
    assert played.times_ns.tolist() == [0, SECOND // 2, SECOND, 3 * SECOND // 2]
    assert played.values[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("columns", "time", "says"),
    [
        (["y"], "time", "no column y; it has: time, x, name, n, label"),
        (["name"], "time", "not numbers: name"),
        ([], "when", "no time column 'when'; name one of time, x"),
        ([], "name", "must hold datetimes or int64 ns"),
        ([], "x", "must hold datetimes or int64 ns"),
    ],
)
def test_a_recording_that_cannot_be_played_says_why(
    recording: Path, columns: list[str], time: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Recording.read(recording, columns, time)


def test_broken_recordings_say_why(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(OSError, match=r"x\.parquet"):
        Recording.read(path)
    path.write_text("no")
    with pytest.raises(ValueError, match="not a Parquet file"):
        Recording.read(path)
    pl.DataFrame({"time": [2, 1], "x": [0.0, 0.0]}).write_parquet(path)
    with pytest.raises(ValueError, match="go back"):
        Recording.read(path)
    pl.DataFrame({"time": [1], "s": ["a"]}).write_parquet(path)
    with pytest.raises(ValueError, match="no numeric column"):
        Recording.read(path)
    pl.DataFrame({"time": [], "x": []}).write_parquet(path)
    with pytest.raises(ValueError, match="no rows"):
        Recording.read(path)


def test_a_history_is_the_plant_with_its_truth() -> None:
    wrong = [
        faults.degradation("pump", "bearing_wear", 50, 20),
        faults.degradation("pump", "seal_leak", 60, 5),
    ]
    plant = Plant("pump", 1, wrong)
    seen: list[int] = []
    frame = history.frame(plant, 10, 40, 2, labels=True, progress=seen.append)
    assert frame.columns == ["time", *(tag.name for tag in plant.tags), "label", "remaining_life_s"]
    assert frame["time"].dtype == pl.Datetime("us", "UTC")
    assert frame["time"].cast(pl.Int64).to_list()[:2] == [
        EPOCH_NS // 1000 + 10_000_000,
        EPOCH_NS // 1000 + 12_000_000,
    ]
    assert {frame[tag.name].dtype for tag in plant.tags} == {pl.Float32}
    assert np.array_equal(
        frame.select(tag.name for tag in plant.tags).to_numpy(), Plant("pump", 1, wrong).rows(10, 40, 2)
    )
    assert frame["label"].to_list() == [0] * 20 + [1] * 20
    left = frame["remaining_life_s"].to_list()
    assert left[:20] == [None] * 20
    assert left[20:30] == [20, 18, 16, 14, 12, 5, 3, 1, 0, 0]
    assert sum(seen) == 40
    assert history.frame(plant, 0, 5).columns == ["time", *(tag.name for tag in plant.tags)]


def test_a_history_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "past.parquet"
    history.write(path, Plant("press", 1), 0, 100, labels=True)
    played = Recording.read(path)
    assert [tag.name for tag in played.tags] == [tag.name for tag in MACHINES["press"].tags]
    assert np.array_equal(played.values, Plant("press", 1).rows(0, 100))
    assert played.times_ns.tolist() == history.times_ns(0, 100).tolist()


@pytest.mark.parametrize("machine", tuple(MACHINES))
@pytest.mark.parametrize("where", ["127.0.0.1:5020", "opc.tcp://127.0.0.1:4840"])
def test_the_configuration_is_one_that_the_agent_takes(machine: str, where: str, tmp_path: Path) -> None:
    plant = Plant(machine, 0)
    tags = plant.opcua_tags if "opc" in where else plant.tags
    path = tmp_path / "forewarn.toml"
    path.write_text(config.toml(machine, tags, where, bundle='a "bundle"', period_ms=2000), encoding="utf-8")
    loaded = load(path)
    asset = loaded.assets[machine]
    assert [tag.name for tag in asset.tags] == [tag.name for tag in tags]
    assert asset.period_ms == 2000
    raw = tomllib.loads(path.read_text(encoding="utf-8"))["assets"][machine]["tags"]
    assert [tag.get("node", tag.get("register")) for tag in raw] == [
        tag.address.register if isinstance(tag.address, ModbusAddress) else str(tag.address) for tag in tags
    ]


def test_configurations_of_two_machines_make_one(tmp_path: Path) -> None:
    pump, conveyor = MACHINES["pump"], MACHINES["conveyor"]
    path = tmp_path / "forewarn.toml"
    first = config.toml("pump", pump.tags, "127.0.0.1:5020", bundle="b", on_delay_s=30, off_delay_s=300.5)
    second = config.toml("conveyor", conveyor.tags, "127.0.0.1:5021", bundle="b", append=True)
    path.write_text(first + second, encoding="utf-8")
    loaded = load(path)
    assert list(loaded.connections) == ["pump_plc", "conveyor_plc"]
    delays = [(asset.on_delay_s, asset.off_delay_s) for asset in loaded.assets.values()]
    assert delays == [(30, 300.5), (0, 0)]


@pytest.mark.parametrize("where", ["plc", "http://x:1", "127.0.0.1"])
def test_a_connection_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT for Modbus"):
        config.toml("pump", MACHINES["pump"].tags, where, bundle="b")


def test_the_command_writes_histories_and_configurations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "h.parquet"
    assert (
        main(
            [
                "history",
                "pump",
                "--days",
                "0.01",
                "--period",
                "10",
                "--seed",
                "3",
                "--out",
                str(out),
                "--fault",
                "seal_leak@100:200",
                "--labels",
            ]
        )
        == 0
    )
    frame = pl.read_parquet(out)
    assert len(frame) == 86
    assert frame["label"].sum() == 76
    capsys.readouterr()
    assert main(["config", "press", "--modbus", "127.0.0.1:1", "--bundle", "b"]) == 0
    press = tomllib.loads(capsys.readouterr().out)["assets"]["press"]
    assert (press["bundle"], press["on_delay_s"], press["off_delay_s"]) == ("b", 30, 300), "one loose wire, one alert"
    options = "--modbus 127.0.0.1:1 --bundle b --append --on-delay-s 7 --off-delay-s 8"
    assert main(["config", "press", *options.split()]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert set(printed) == {"connections", "assets"}
    assert (printed["assets"]["press"]["on_delay_s"], printed["assets"]["press"]["off_delay_s"]) == (7, 8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("pump", "give --modbus PORT, --opcua PORT"),
        (
            "pump --modbus 0 --fault belt_slip@0",
            "cannot have the fault 'belt_slip'; it can have: bearing_wear",
        ),
        ("pump --modbus 0 --fault sensor_drift/running@0", "no sensor 'running'"),
        ("pump --modbus 0 --wire cut@0:1", "no wire fault 'cut'"),
        ("pump --modbus 70000", "70000 is no TCP port"),
        ("pump --modbus 0 --opcua -1", "-1 is no TCP port"),
        ("pump --modbus 0 --speed 0", "speed must be above 0"),
        ("pump --modbus 0 --start-s -1", "start must be 0 s or more"),
        ("replay missing.parquet --modbus 0", "missing.parquet"),
        ("history pump --days 0 --out x.parquet", "--days above 0"),
        ("config pump --bundle b", "one of --modbus HOST:PORT and --opcua"),
        ("config pump --bundle b --opcua 127.0.0.1:4840", "write opc.tcp://HOST:PORT"),
        ("config pump --bundle b --modbus opc.tcp://127.0.0.1:4840", "write HOST:PORT"),
    ],
)
def test_bad_arguments_get_one_message_and_exit_code_2(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    message = capsys.readouterr().err
    assert says in message
    assert message.startswith("simulators: ")


def test_the_help_names_the_faults_of_each_machine(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--help"])
        assert ended.value.code == 0
        return " ".join(capsys.readouterr().out.split())

    glance, history = said(), said("history")
    assert glance.startswith("usage: python -m simulators ")
    for machine, kinds in faults.EFFECTS.items():
        told = ", ".join(kinds)
        assert f"its faults: {told}" in glance
        assert f"KIND is one of: {told}" in said(machine)
        assert f"{machine}: {told}" in history


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "simulators",
        "pump",
        "--modbus",
        "0",
        "--speed",
        "100",
        "--start-s",
        "60",
        "--fault",
        "bearing_wear@3600:7200",
        "--wire",
        "timeout@900:30",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["name"] == "pump"
        assert (told["epoch_ns"], told["start_ns"]) == (EPOCH_NS, EPOCH_NS + 60 * SECOND)
        (wear,) = told["faults"]
        assert (wear["kind"], wear["onset_ns"]) == ("bearing_wear", EPOCH_NS + 3600 * SECOND)
        host, port = told["modbus"].split(":")

        async def answers() -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(bytes.fromhex("0001 0000 0006 01 01 0000 0001"))
            reply = await reader.readexactly(10)
            writer.close()
            await writer.wait_closed()
            return reply

        assert asyncio.run(answers())[-1] == 1, "the pump runs"
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["pump", "--modbus", str(port)]) == 2
    message = capsys.readouterr().err
    assert f"Cannot listen on 127.0.0.1:{port}" in message
    assert "Choose another port, or 0" in message
