"""A shop floor on the wire and the commands of Forewarn as a person starts them: processes, nothing shared.

Each PLC is behind a proxy that takes down every request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.frame import ModbusAddress, NodeAddress, Tag
from simulators.clock import FreeClock
from simulators.config import toml
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from simulators.plant import Plant
from simulators.serve import PlantSource, drive
from tests.wire import ModbusRecorder, OpcuaRecorder, RecordingProxy

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "models" / "bundles"
PERIOD_MS = 5000
SPEED = 40
START_NS = EPOCH_NS + 7200 * 1_000_000_000
"""Two hours into the life of the machines: all of them run."""
PATIENCE_S = 60.0
"""How long (wall time) a test waits for what must happen before it fails; no test depends on its value."""


@dataclass(frozen=True)
class Station:
    """A machine's PLC and the proxy before it; `tags` are what the PLC has, as it has them."""

    name: str
    tags: tuple[Tag, ...]
    source: PlantSource
    plc: ModbusPlc | OpcuaPlc
    proxy: RecordingProxy

    @property
    def address(self) -> str:
        """Where a client connects."""
        return f"{'opc.tcp://' if isinstance(self.plc, OpcuaPlc) else ''}127.0.0.1:{self.proxy.port}"


@asynccontextmanager
async def station(name: str, *, over_opcua: bool = False) -> AsyncIterator[Station]:
    """Run a machine's PLC; it shows its first row until `at_work`."""
    plant = Plant(name, 1)
    tags = plant.opcua_tags if over_opcua else plant.tags
    plc = OpcuaPlc(tags, name=name) if over_opcua else ModbusPlc(tags)
    await plc.start()
    try:
        source = PlantSource(plant)
        await plc.show(*source.row(START_NS))
        async with RecordingProxy(OpcuaRecorder if over_opcua else ModbusRecorder, plc.port) as proxy:
            yield Station(name, tags, source, plc, proxy)
    finally:
        await plc.stop()


@asynccontextmanager
async def floor() -> AsyncIterator[tuple[Station, Station, Station]]:
    """Run a pump and a press on Modbus TCP, and a conveyor on OPC UA."""
    async with (
        station("pump") as pump,
        station("press") as press,
        station("conveyor", over_opcua=True) as conveyor,
    ):
        yield pump, press, conveyor


@asynccontextmanager
async def at_work(*stations: Station) -> AsyncIterator[None]:
    """Let the machines go on, `SPEED` times as fast as life."""
    clock = FreeClock(START_NS, SPEED)
    step_ns = PERIOD_MS * 1_000_000
    drivers = [asyncio.create_task(drive(one.source, [one.plc], clock, step_ns=step_ns)) for one in stations]
    try:
        yield
    finally:
        for driver in drivers:
            driver.cancel()
        await asyncio.wait(drivers)


def moved(tags: Iterable[Tag], **addresses: Mapping[str, object]) -> list[Tag]:
    """Return tags with other addresses: `moved(tags, flow={"order": "CDAB"})`."""
    found = {tag.name: tag for tag in tags}
    for name, change in addresses.items():
        address = found[name].address
        assert isinstance(address, ModbusAddress | NodeAddress)
        found[name] = replace(found[name], address=replace(address, **change))
    return list(found.values())


def configuration(
    folder: Path,
    *assets: tuple[str, Sequence[Tag], str],
    bundles: Path = BUNDLES,
    port: int = 0,
    timeout_ms: int = 10_000,
) -> Path:
    """Write the configuration of assets (name, tags, where their PLC is) and return its path.

    The time-out is patient: a busy test machine is no slow PLC.
    """
    parts = [
        toml(
            name,
            tags,
            where,
            bundle=str(bundles / name),
            period_ms=PERIOD_MS,
            state_dir=str(folder / "state"),
            port=port,
            append=number > 0,
            timeout_ms=timeout_ms,
        )
        for number, (name, tags, where) in enumerate(assets)
    ]
    path = folder / "agent.toml"
    path.write_text("\n".join(parts))
    return path


@dataclass(frozen=True)
class Ended:
    """What came of a command. `said` is the lines on standard error."""

    code: int
    out: str
    said: list[str]


async def forewarn(*arguments: str | Path) -> Ended:
    """Run a command to its end; whatever it is told, it answers a person without a traceback."""
    child = await _start(*arguments, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    assert child.returncode is not None
    ended = Ended(child.returncode, out.decode(), err.decode().splitlines())
    assert "Traceback" not in ended.out + err.decode(), err.decode()
    return ended


async def _start(*arguments: str | Path, stdout: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "agent.cli", *map(str, arguments))
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=stdout, stderr=asyncio.subprocess.PIPE
    )


@dataclass
class RunningAgent:
    """A `forewarn run`: its REST API, and its log as it comes."""

    process: asyncio.subprocess.Process
    log: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def get(self, path: str) -> Any:
        """Ask the REST API, over a socket."""

        def ask() -> Any:
            with urllib.request.urlopen(f"{self.url}/api/v1{path}", timeout=PATIENCE_S) as answer:
                return json.load(answer)

        return await asyncio.get_running_loop().run_in_executor(None, ask)

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Ask until the answer is as it must come to be, and return it."""
        answer = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds(answer := await self.get(path)):
                    assert self.process.returncode is None, f"the agent ended: {self.log}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{path} stays: {json.dumps(answer, indent=1)}") from None
        return answer

    def logged(self, level: str, key: str) -> list[tuple[str, str]]:
        """Return (what, status or error) of the lines of a level that are about a "tag" or a "connection"."""
        lines = [line for line in self.log if line["level"] == level and key in line]
        return [(line[key], line.get("status", line.get("error", ""))) for line in lines]

    async def follow(self, listens: asyncio.Event) -> None:
        """Read the log to its end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(json.loads(line))
            self.url = self.url or str(self.log[-1].get("url", ""))
            if self.url:
                listens.set()
        listens.set()


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[RunningAgent]:
    """Run the agent until the block ends; then it must stop in order, and have logged no error."""
    child = await _start("run", config, "--speed", str(SPEED), stdout=asyncio.subprocess.DEVNULL)
    agent, listens = RunningAgent(child), asyncio.Event()
    follower = asyncio.create_task(agent.follow(listens))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await listens.wait()
        assert agent.url, f"the agent ended: {agent.log}"
        yield agent
        child.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0, agent.log
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        await follower
    assert all(line["level"] in ("info", "warning") for line in agent.log), agent.log
