"""A real agent on two machines: the first one's PLC speaks OPC UA, the second one's Modbus TCP; on a manual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from asyncua import ua

from connectors.frame import Dtype, NodeAddress, Tag
from simulators.opcua import OpcuaPlc
from tests.end_to_end.site import ADDRESS, SECOND_NS, SLEEPERS, Site

MACHINES = ("pump", "press")
NAMES = ("pressure", "temperature", "cleaning")
NAMESPACE, LIBRARY = "urn:example:pump", "urn:example:library"
BUILD_NUMBER = ua.NodeId(ua.ObjectIds.Server_ServerStatus_BuildInfo_BuildNumber)


class Cpu(OpcuaPlc):
    """A PLC on OPC UA whose firmware can be replaced, and whose programs may use a library."""

    def __init__(self, *, with_library: bool = False, port: int = 0) -> None:
        nodes = [Tag(name, "", NodeAddress(NAMESPACE, f"s={name}"), Dtype.FLOAT32) for name in NAMES]
        self._first = [Tag("version", "", NodeAddress(LIBRARY, "s=version"), Dtype.FLOAT32)] * with_library
        super().__init__([*self._first, *nodes], port=port)

    async def tell(self, row: list[float], time_ns: int) -> None:
        """Show the values of the machine, behind those of the library."""
        await self.show(np.array([1.0] * len(self._first) + row, np.float32), time_ns)

    async def flash(self, build: str) -> None:
        """Go on with another firmware."""
        assert self._server is not None
        await self._server.get_node(BUILD_NUMBER).write_value(build)


class Cell(Site):
    """The pump, on OPC UA, and the press."""

    def __init__(self, folder: Path, keys: str) -> None:
        super().__init__(folder, MACHINES, keys)
        self.cpu = Cpu()

    async def play(self, seconds: int) -> None:
        """Let time pass, a row a second, each judged before the next."""
        for _ in range(seconds):
            await self.show()
            await self.clock.advance(SECOND_NS - self.clock.time_ns() % SECOND_NS, SLEEPERS + 1)
            self._shown_ns = self.clock.time_ns()
            await self._until_judged()

    async def show(self) -> None:
        """Show the next row on both wires."""
        await self.cpu.tell(self._next_row()[: len(NAMES)], self.clock.time_ns())
        await super().show()

    async def download(self, order: str = "") -> None:
        """Stop the pump's PLC, and let it come back with a program that uses a library."""
        await self.cpu.stop()
        self.cpu = Cpu(with_library=True, port=self.cpu.port)
        await self.cpu.start()
        await self.cpu.tell(self._next_row()[: len(NAMES)], self.clock.time_ns())

    def _configuration(self) -> str:
        text = super()._configuration()
        for place, name in enumerate(NAMES):
            text = text.replace(ADDRESS.format(2 * place), f'connection = "cpu"\nnode = "nsu={NAMESPACE};s={name}"\n')
        return text + (
            f'[connections.cpu]\nprotocol = "opcua"\nurl = "{self.cpu.address}"\nsecurity_policy = "None"\n'
            'insecure = true\nmode = "poll"\ntimeout_ms = 60000\nmax_requests_per_s = 1000\n'
        )


@asynccontextmanager
async def cell(folder: Path, keys: str) -> AsyncIterator[Cell]:
    """Put both PLCs on the wire; `keys` are of the table of each asset."""
    place = Cell(folder, keys)
    await place.plc.start()
    await place.cpu.start()
    await place.show()
    place.rows = 0
    try:
        yield place
    finally:
        await place.plc.stop()
        await place.cpu.stop()
