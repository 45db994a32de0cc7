"""What the story is played on: two simulated PLCs and an agent as child processes, in a folder for the time being."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

import models
from agent.clock import Clock
from agent.demo.children import Children
from agent.demo.rest import Rest, RestError
from agent.demo.scenario import DemoError, Plc, Scenario, Script, script_of
from agent.demo.story import Moment
from connectors.link import LinkState
from models import bundle as bundles
from models.bundle import BundleError, Manifest

READY_S_MAX: Final = 60.0
LOOK_INTERVAL_NS: Final = 100_000_000
ANY_PORT: Final = "port = 0\n"
ON_DELAY_S, OFF_DELAY_S = 30, 300
BUNDLES: Final = Path(models.__file__).parent / "bundles"


class Listening(BaseModel):
    """The line of its log with which the agent says where its API is."""

    url: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything runs: the script that is being played, the agent's configuration and API, and what the machines are.

    `began_ns` is when, on the monotonic clock, the simulated time of the machine that degrades began to run.
    """

    script: Script
    file: Path
    rest: Rest
    began_ns: int
    wheres: Mapping[str, str]
    regimes: Mapping[str, Mapping[str, str]]

    def plant_time_ns(self, monotonic_ns: int) -> int:
        """Return the simulated time at a time of the wall clock."""
        return self.script.start_ns + int((monotonic_ns - self.began_ns) * self.script.speed)

    async def look(self, clock: Clock) -> Moment:
        """Ask the agent for everything; raise RestError."""
        names = (self.script.sick, self.script.healthy)
        found = [await self.rest.asset(name) for name in names]
        connections = await self.rest.connections()
        now_ns = self.plant_time_ns(clock.monotonic_ns())
        return Moment(now_ns, dict(zip(names, found, strict=True)), tuple(connections.items))


async def set_up(
    scenario: Scenario,
    speed: float,
    children: Children,
    folder: Path,
    clock: Clock,
    say: Callable[[str], None],
) -> Stage:
    """Start everything and wait until the agent watches both machines; raise DemoError."""
    manifests = {name: _manifest(name) for name in (scenario.sick, scenario.healthy)}
    say(f"Starting the PLCs of a simulated {scenario.sick} and a simulated {scenario.healthy} ...")
    started = await asyncio.gather(
        *(_plc(children, scenario.command(name, speed), clock) for name in manifests)
    )
    plcs, (began_ns, _) = zip(*started, strict=True)
    for plc in plcs:
        say(f"  the {plc.name} listens: {plc.where}")
    say("Starting the agent against both ...")
    file, url = await _agent(children, plcs, manifests, folder, speed)
    stage = Stage(
        script=script_of(scenario, plcs),
        file=file,
        rest=Rest(url),
        began_ns=began_ns,
        wheres={plc.name: plc.where for plc in plcs},
        regimes={
            name: {one.id: one.description for one in manifest.regimes} for name, manifest in manifests.items()
        },
    )
    say(f"  its REST API: {stage.rest.url}")
    say(f"  its configuration: {file}")
    try:
        async with asyncio.timeout(READY_S_MAX):
            await _until_watching(stage, children, clock)
    except TimeoutError:
        reason = await _why_not_watching(stage)
        raise DemoError(f"The agent does not watch both machines after {READY_S_MAX:g} s: {reason}") from None
    minute = stage.script.minute(stage.plant_time_ns(clock.monotonic_ns()))
    say(f"Ready, at simulated minute {minute:.0f}: the agent watches both machines.")
    return stage


def _manifest(name: str) -> Manifest:
    try:
        return bundles.load(BUNDLES / name).manifest
    except BundleError as error:
        raise DemoError(f"The model bundle of the {name} cannot be used: {error}") from error


async def _plc(children: Children, arguments: list[str], clock: Clock) -> tuple[Plc, int]:
    """Start a PLC and return what it says of itself, and when (monotonic, ns) its simulated time began to run."""
    child = await children.start(f"simulated {arguments[0]}", "simulators", arguments)
    return await child.announced(Plc), clock.monotonic_ns()


async def _agent(
    children: Children, plcs: Sequence[Plc], manifests: Mapping[str, Manifest], folder: Path, speed: float
) -> tuple[Path, str]:
    """Write the configuration, start the agent, return the file and where the API is: the file names that port then."""
    parts = await asyncio.gather(
        *(_configuration(children, plc, manifests[plc.name].period_ms, folder, append=bool(number))
          for number, plc in enumerate(plcs))
    )  # fmt: skip
    file, text = folder / "agent.toml", "\n".join(parts)
    file.write_text(text, encoding="utf-8")
    child = await children.start("agent", "agent", ["run", str(file), "--speed", f"{speed:g}"])
    url = (await child.announced(Listening)).url
    file.write_text(text.replace(ANY_PORT, f"port = {urllib.parse.urlsplit(url).port}\n", 1), encoding="utf-8")
    return file, url


async def _configuration(children: Children, plc: Plc, period_ms: int, folder: Path, *, append: bool) -> str:
    where = ["--opcua", plc.opcua] if plc.opcua else ["--modbus", plc.modbus or ""]
    options = {
        "--bundle": BUNDLES / plc.name,
        "--period-ms": period_ms,
        "--on-delay-s": ON_DELAY_S,
        "--off-delay-s": OFF_DELAY_S,
        "--state-dir": folder / "state",
        "--port": 0,
    }
    arguments = ["config", plc.name, *where, *(str(part) for option in options.items() for part in option)]
    name = f"configuration of the {plc.name}"
    return await children.output_of(name, "simulators", [*arguments, *(["--append"] if append else [])])


async def _until_watching(stage: Stage, children: Children, clock: Clock) -> None:
    while await _why_not_watching(stage):
        children.check()
        await clock.sleep_until(clock.monotonic_ns() + LOOK_INTERVAL_NS)


async def _why_not_watching(stage: Stage) -> str:
    """Return what is missing until both machines are judged, "" where nothing is."""
    try:
        if reason := await stage.rest.not_ready():
            return reason
        for one in (await stage.rest.connections()).items:
            if one.state is not LinkState.DELIVERING:
                return f"{one.connection} is {one.state.value}: {one.error or 'no data yet'}"
        for name in (stage.script.sick, stage.script.healthy):
            if (await stage.rest.asset(name)).verdict is None:
                return f"the {name} was not judged yet"
    except RestError as error:
        return str(error)
    return ""
