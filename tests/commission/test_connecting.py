"""The page that leads from an address to a configuration: its commands run, and give what it shows."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from pymodbus.framer import FramerType

from agent.commission.readers import READERS
from agent.commission.registermap import COLUMNS
from agent.config.file import load
from connectors.frame import Table
from simulators.serial import SerialLine
from tests.agent.commands import forewarn
from tests.connectors.servers import ModbusPlc, modbus_server
from tests.test_docs import blocks, read, sections

PAGE = read("docs/connecting.md")
KEPWARE = """\
Tag Name,Address,Data Type,Scaling,Eng. Units,Description
Pump.Speed,300004,Word,,rpm,frequency converter
Pump.Flow,300009,Float,,m³/h,
Pump.Name,400100.20H,String,,,
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[dict[str, str]]:
    """The pump that the page tells to start, on free ports."""
    assert "forewarn simulate pump --modbus 5020 --opcua 4840\n" in PAGE
    arguments = ["pump", "--modbus", "0", "--opcua", "0", "--seed", "1"]
    with subprocess.Popen([sys.executable, "-m", "simulators", *arguments], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        where = json.loads(child.stdout.readline())
        yield {"opc.tcp://127.0.0.1:4840": where["opcua"], "127.0.0.1:5020": where["modbus"]}
        child.terminate()


@pytest.fixture(scope="module")
def serial_pump() -> Iterator[str]:
    """The same registers on a serial line: a pseudo-terminal before a server that speaks RTU."""
    plc = ModbusPlc()
    for register, words in {0: [193], 3: [1790], 8: [0x424B, 0x0A3D], 12: [0x4052, 0x4DD3]}.items():
        plc.put(Table.INPUT_REGISTER, register, words)
    plc.put(Table.COIL, 0, [1])
    line, found, over = SerialLine(), Future[str](), Event()

    async def serve() -> None:
        async with modbus_server({1: plc}, framer=FramerType.RTU) as port:
            await line.plug("127.0.0.1", port)
            found.set_result(str(line.path))
            await asyncio.to_thread(over.wait)
            await line.unplug()

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        yield found.result(30)
        over.set()
        serving.result(30)


def shown() -> dict[str, str]:
    """The commands of the page with what it shows for each."""
    found = {}
    for block in blocks(PAGE, "console"):
        command, _, output = block.partition("\n")
        found[command.removeprefix("$ forewarn ")] = output
    return found


def masked(text: str) -> list[str]:
    """Lines without what differs from one moment to the next: numbers, raw words, space, and how a number is bad."""
    words = re.sub(r"\b[0-9A-F]{4}\b", "#", text)
    words = re.sub(r"^( +\w+ +)\S+( +\S+ +)(?:Good, doubtful|BadOutOfRange)", r"\1 # \2 bad", words, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in re.sub(r"\d+(\.\d+)?", "#", words).splitlines() if line.strip()]


def test_the_commands_give_what_the_page_shows(
    simulator: dict[str, str], serial_pump: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, map_ in zip(("map.csv", "manual.csv"), blocks(PAGE, "csv"), strict=True):
        Path(name).write_text(map_, encoding="utf-8")
    Path("kepware.csv").write_text(KEPWARE, encoding="utf-8")
    assert len(shown()) == 6
    for command, output in shown().items():
        for told, real in {**simulator, "/dev/ttyUSB0": serial_pump}.items():
            command, output = command.replace(told, real), output.replace(told, real)
        result = forewarn(*shlex.split(command))
        read = re.search(r"^(\d+) of (\d+) tags were read(, \d+ of them doubtful)?$", output, re.MULTILINE)
        failed = read is not None and (read[1] != read[2] or read[3] is not None)
        assert result.exit_code == failed, result.output
        assert masked(result.output) == masked(output)
    for written in ("opcua.toml", "modbus.toml", "serial.toml", "imported.toml"):
        assert load(Path(written)).assets


def test_the_mistake_in_the_map_is_mended_as_the_page_says(
    simulator: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    map_, _ = blocks(PAGE, "csv")
    header, *lines = map_.splitlines()
    mended = [header + ";scale", *(line + (";0,1" if "temperature" in line else ";") for line in lines)]
    Path("map.csv").write_text("\n".join(mended), encoding="utf-8")
    result = forewarn("discover", f"modbus-tcp://{simulator['127.0.0.1:5020']}", "--map", "map.csv")
    assert result.exit_code == 0, result.output
    assert "5 of 5 tags were read" in result.output


def test_every_column_and_every_kind_is_described_and_no_other() -> None:
    described = re.findall(r"^\| `(\w+)` \|", sections(PAGE)["Modbus with a register map"], re.MULTILINE)
    assert described == list(COLUMNS)
    kinds = re.findall(r"^\| `(\w+)` \|", sections(PAGE)["From another program's list of tags"], re.MULTILINE)
    assert kinds == list(READERS)


def test_a_manual_that_counts_from_1_is_mended_as_the_page_says(
    simulator: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("manual.csv").write_text(blocks(PAGE, "csv")[1], encoding="utf-8")
    where = f"modbus-tcp://{simulator['127.0.0.1:5020']}"
    result = forewarn("discover", where, "--map", "manual.csv", "--counted-from", "1")
    assert result.exit_code == 0, result.output
    assert "6 of 6 tags were read" in result.output
