"""A real agent on one simulated Modbus PLC, in lock-step on a manual clock, and the people who talk to it."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
import numpy as np
from typer.testing import CliRunner

from agent.api.app import create_app
from agent.build import build
from agent.cli import app
from agent.config.file import load
from agent.daemon import Agent
from agent.label_link import LabelLinks
from agent.notify import Notifier
from agent.server import ApiServer, listen
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from tests.clock import PATIENCE_S, SPEED, ManualClock

SECOND_NS = 1_000_000_000
PAUSE_NS_MAX = 200_000_000
"""Whoever sleeps for less spares the PLC between two requests of one read; such pauses last until time moves."""
ADDRESS = 'connection = "plc"\nunit_id = 1\ntable = "input_register"\nregister = {}\ndtype = "float32"\n'


def floats(columns: int) -> list[Tag]:
    """What a PLC shows that has nothing but some floats, one behind the other."""
    return [Tag(str(column), "", ModbusAddress(1, Table.INPUT_REGISTER, 2 * column), Dtype.FLOAT32)
            for column in range(columns)]


def tag_of(asset: str, column: int, name: str, unit: str) -> str:
    """How an asset is told of a column of these floats."""
    return f'[[assets.{asset}.tags]]\nname = "{name}"\nunit = "{unit}"\n{ADDRESS.format(2 * column)}'


class Place(ABC):
    """Machines on a PLC: what they show next, and how the agent is told of them, each place says itself.

    The agent is stopped and started by `running`.
    """

    period_s: ClassVar = 1
    sleepers: ClassVar = 4
    """The read loop, the one that tells the service manager, and the two of commissioning."""

    def __init__(self, folder: Path, assets: Sequence[str], tags: Sequence[Tag]) -> None:
        self.folder, self.assets = folder, tuple(assets)
        self.clock = ManualClock()
        self.plc = ModbusPlc(tags)
        self.rows = 0
        self._agent: Agent | None = None
        self._url, self._shown_ns = "", 0

    @abstractmethod
    def _next_row(self) -> list[float]: ...

    def _configuration(self) -> str:
        return (
            f'[agent]\nstate_dir = "state"\n[api]\nport = 0\n[connections.plc]\nprotocol = "modbus-tcp"\n'
            f'host = "127.0.0.1"\nport = {self.plc.port}\ntimeout_ms = 60000\nmax_requests_per_s = 1000\n'
        )

    @property
    def plcs(self) -> tuple[ModbusPlc | OpcuaPlc, ...]:
        """All that are on the wire now."""
        return (self.plc,)

    @asynccontextmanager
    async def on_the_wire(self) -> AsyncIterator[Self]:
        """Put the PLC on the wire, with a first row."""
        for plc in self.plcs:
            await plc.start()
        await self.show()
        self.rows = 0
        try:
            yield self
        finally:
            for plc in self.plcs:
                await plc.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the agent; its state is that of the time before."""
        file = self.folder / "agent.toml"
        file.write_text(self._configuration())
        with listen("127.0.0.1", 0) as listener:
            self._agent = build(load(file), self.clock, Notifier({}, 1), speed=SPEED)
            server = ApiServer(create_app(self._agent, links=LabelLinks(self.folder / "state")), listener)
            self._url, self._shown_ns = server.url, self.clock.time_ns()
            stop = asyncio.Event()
            task = asyncio.create_task(self._agent.run(stop, server))
            await self._until_judged()
            try:
                yield
            finally:
                stop.set()
                await task

    async def play(self, rows: int) -> None:
        """Let time pass, a row every `period_s`, each judged before the next."""
        period_ns = self.period_s * SECOND_NS
        for _ in range(rows):
            await self.show()
            await self.clock.advance(period_ns - self.clock.time_ns() % period_ns, self.sleepers)
            self._shown_ns = self.clock.time_ns()
            await self._until_judged()

    async def show(self) -> None:
        """Show the next row on the wire."""
        await self.plc.show(np.array(self._next_row(), np.float32), self.clock.time_ns())
        self.rows += 1

    async def _until_judged(self) -> None:
        assert self._agent is not None
        async with asyncio.timeout(PATIENCE_S):
            while any(self._agent.snapshot(asset).time_ns < self._shown_ns for asset in self.assets):
                if self.clock.next_in_ns <= PAUSE_NS_MAX:
                    await self.clock.advance(self.clock.next_in_ns)
                await asyncio.sleep(0.001)

    async def command(self, *words: str) -> str:
        """Run a command of `forewarn` that talks to the agent; return what it prints."""
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--api", self._url])
        assert done.exit_code == 0, done.output
        return done.output

    async def get(self, path: str, **query: str) -> Any:
        """Ask the REST API, over a socket."""
        return await self._request(f"{path}?{urllib.parse.urlencode(query)}", None)

    async def fetch(self, path: str) -> httpx.Response:
        """Ask the REST API, over a socket, for what may be no JSON or a problem."""
        async with httpx.AsyncClient(base_url=f"{self._url}/api/v1", timeout=PATIENCE_S) as http:
            return await http.get(path)

    async def browse(self, path: str, form: Mapping[str, str] | None = None) -> httpx.Response:
        """Open a page, or send its form where one is given, as a browser does that nobody has logged in with."""
        async with httpx.AsyncClient(base_url=self._url, timeout=PATIENCE_S) as http:
            return await (http.get(path) if form is None else http.post(path, data=form, headers={"Origin": self._url}))

    async def tap(self, asset: str, what: str, **fields: str) -> None:
        """Press a button of a machine's page, as a browser does."""
        page = (await self.browse(f"/machines/{asset}")).text
        assert f'value="{what}"' in page, page
        answer = await self.browse(f"/machines/{asset}", {"say": what, **fields})
        assert answer.status_code == HTTPStatus.SEE_OTHER, answer.text

    async def events(self) -> list[dict[str, Any]]:
        """Return what happened to the machines, the newest first; not which model judges them."""
        return [one for one in (await self.get("/events"))["items"] if one["kind"] != "in_force"]

    async def say(self, path: str, **body: object) -> Any:
        """Tell the REST API something."""
        return await self._request(path, json.dumps(body).encode())

    async def refused(self, path: str, **body: object) -> int:
        """Tell the REST API what it refuses; return the status that it answers with."""
        async with httpx.AsyncClient(base_url=f"{self._url}/api/v1", timeout=PATIENCE_S) as http:
            answer = await http.post(path, json=body)
        assert answer.is_error, answer.text
        return answer.status_code

    async def _request(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"{self._url}/api/v1{path}", body, {"Content-Type": "application/json"})

        def ask() -> Any:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)

        return await asyncio.get_running_loop().run_in_executor(None, ask)
