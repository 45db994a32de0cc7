"""A real agent that watches some machines on one simulated Modbus PLC, in lock-step on a manual clock."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

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
from models.learn import learn
from simulators.modbus import ModbusPlc
from tests.agent.samples import quiet_rows
from tests.clock import PATIENCE_S, SPEED, ManualClock

SECOND_NS = 1_000_000_000
PAUSE_NS_MAX = 200_000_000
"""Whoever sleeps for less spares the PLC between two requests of one read; such pauses last until time moves."""
SLEEPERS = 4
"""The read loop, the one that tells the service manager, and the two of commissioning."""
ADDRESS = 'connection = "plc"\nunit_id = 1\ntable = "input_register"\nregister = {}\ndtype = "float32"\n'
OPEN_CIRCUIT = 3276.7
"""What a temperature shows whose sensor is not connected; it is out of its range."""
RANGE = "low = 0\nhigh = 100\n"
FAULT = 6.0
"""What a machine's temperature is higher by in a fault."""


class Site:
    """Machines that go together well, or not: each has a `pressure` and a `temperature`, and a tag `cleaning`.

    `faulty`, `broken` (the sensor of its temperature) and `cleaning` say which ones are, `off` by what pressure and
    temperature of one are higher beside that. The agent is stopped and started by `running`, which
    takes `keys` for the table of each asset.
    """

    def __init__(
        self, folder: Path, assets: Sequence[str], keys: str = "", of_assets: Mapping[str, str] = {},
        bundle: str = 'bundle = "bundle"\n',
    ) -> None:
        self.assets = tuple(assets)
        self.clock = ManualClock()
        self.faulty: set[str] = set()
        self.broken: set[str] = set()
        self.cleaning: set[str] = set()
        self.off: dict[str, tuple[float, float]] = {}
        self.rows = 0
        tags = [Tag(str(place), "", ModbusAddress(1, Table.INPUT_REGISTER, 2 * place), Dtype.FLOAT32)
                for place in range(3 * len(assets))]
        self.plc = ModbusPlc(tags)
        learn([quiet_rows(800)], [("pressure", "bar"), ("temperature", "degC")], 1000, name="m").save(folder / "bundle")
        self._healthy = quiet_rows(1500)
        self.folder, self.keys, self._of_assets = folder, bundle + keys, of_assets
        self._agent: Agent | None = None
        self._url = ""

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

    async def play(self, seconds: int) -> None:
        """Let time pass, a row a second, each judged before the next."""
        for _ in range(seconds):
            await self.show()
            await self.clock.advance(SECOND_NS - self.clock.time_ns() % SECOND_NS, SLEEPERS)
            self._shown_ns = self.clock.time_ns()
            await self._until_judged()

    async def show(self) -> None:
        """Show the next row on the wire."""
        await self.plc.show(np.array(self._next_row(), np.float32), self.clock.time_ns())
        self.rows += 1

    def _next_row(self) -> list[float]:
        row: list[float] = []
        for place, asset in enumerate(self.assets):
            pressure, temperature = self._healthy[800 + (self.rows + 7 * place) % 700].tolist()
            of_pressure, of_temperature = self.off.get(asset, (0.0, 0.0))
            temperature += FAULT * (asset in self.faulty) + of_temperature
            temperature = OPEN_CIRCUIT if asset in self.broken else temperature
            row += [pressure + of_pressure, temperature, float(asset in self.cleaning)]
        return row

    async def command(self, *words: str) -> str:
        """Run a command of `forewarn` that talks to the agent; return what it prints."""
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--api", self._url])
        assert done.exit_code == 0, done.output
        return done.output

    async def download(self, order: str) -> None:
        """Stop the PLC, and let it come back with a program that keeps its floats in another byte order."""
        tags = [replace(tag, address=replace(tag.address, order=order)) for tag in self.plc.tags]  # type: ignore[type-var]
        await self.plc.stop()
        self.plc = ModbusPlc(tags, port=self.plc.port)
        await self.plc.start()

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

    async def _request(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"{self._url}/api/v1{path}", body, {"Content-Type": "application/json"})

        def ask() -> Any:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)

        return await asyncio.get_running_loop().run_in_executor(None, ask)

    async def _until_judged(self) -> None:
        assert self._agent is not None
        async with asyncio.timeout(PATIENCE_S):
            while any(self._agent.snapshot(asset).time_ns < self._shown_ns for asset in self.assets):
                if self.clock.next_in_ns <= PAUSE_NS_MAX:
                    await self.clock.advance(self.clock.next_in_ns)
                await asyncio.sleep(0.001)

    def _configuration(self) -> str:
        text = (
            f'[agent]\nstate_dir = "state"\n[api]\nport = 0\n[connections.plc]\nprotocol = "modbus-tcp"\n'
            f'host = "127.0.0.1"\nport = {self.plc.port}\ntimeout_ms = 60000\nmax_requests_per_s = 1000\n'
        )
        for place, asset in enumerate(self.assets):
            text += (
                f'[assets.{asset}]\nperiod_ms = 1000\non_delay_s = 10\noff_delay_s = 10\n'
                f'suppressed_when = {{ tag = "cleaning", equals = [1] }}\n{self.keys}{self._of_assets.get(asset, "")}'
            )
            for column, (name, unit) in enumerate((("pressure", "bar"), ("temperature", "degC"), ("cleaning", "1"))):
                text += f'[[assets.{asset}.tags]]\nname = "{name}"\nunit = "{unit}"\n'
                text += ADDRESS.format(2 * (3 * place + column)) + ('use = "context"\n' if column == 2 else RANGE)
        return text


@asynccontextmanager
async def site(
    folder: Path, assets: Sequence[str], keys: str = "", of_assets: Mapping[str, str] = {},
    bundle: str = 'bundle = "bundle"\n',
) -> AsyncIterator[Site]:
    """Put a PLC on the wire; `keys` are of the table of each asset, `of_assets` of one, `bundle` says its model."""
    place = Site(folder, assets, keys, of_assets, bundle)
    await place.plc.start()
    await place.show()
    place.rows = 0
    try:
        yield place
    finally:
        await place.plc.stop()
