"""Two machines: the first one's PLC speaks OPC UA, the second one's Modbus TCP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from asyncua import ua

from connectors.frame import Dtype, NodeAddress, Tag
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from tests.end_to_end.place import ADDRESS
from tests.end_to_end.site import Site

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

    sleepers = Site.sleepers + 1

    def __init__(self, folder: Path, keys: str) -> None:
        super().__init__(folder, ["pump", "press"], keys)
        self.cpu = Cpu()

    @property
    def plcs(self) -> tuple[ModbusPlc | OpcuaPlc, ...]:
        """Both."""
        return self.plc, self.cpu

    async def show(self) -> None:
        """Show the next row on both wires."""
        await self._tell()
        await super().show()

    async def change_program(self) -> None:
        """Stop the pump's PLC, and let it come back with a program that uses a library."""
        await self.cpu.stop()
        self.cpu = Cpu(with_library=True, port=self.cpu.port)
        await self.cpu.start()
        await self._tell()

    async def change_firmware(self) -> None:
        """Replace the firmware of the pump's PLC while it runs."""
        await self.cpu.flash("4711")

    async def _tell(self) -> None:
        await self.cpu.tell(self._next_row()[: len(NAMES)], self.clock.time_ns())

    def _configuration(self) -> str:
        text = super()._configuration()
        for column, name in enumerate(NAMES):
            text = text.replace(ADDRESS.format(2 * column), f'connection = "cpu"\nnode = "nsu={NAMESPACE};s={name}"\n')
        return text + (
            f'[connections.cpu]\nprotocol = "opcua"\nurl = "{self.cpu.address}"\nsecurity_policy = "None"\n'
            'insecure = true\nmode = "poll"\ntimeout_ms = 60000\nmax_requests_per_s = 1000\n'
        )
