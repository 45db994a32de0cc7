"""A serial line without the wire: a pseudo-terminal whose far end is a TCP port that speaks RTU or ASCII."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from pathlib import Path

_READ_BYTES = 4096


class SerialLine:
    """A device file at `path`, which a Modbus master may open as often as it likes.

    With `link`, the device is found there too, whatever number the next one gets: what /dev/serial/by-id does for a USB
    adapter. `unplug` takes the device away from whoever holds it open, `plug` brings another.
    """

    def __init__(self, link: Path | None = None) -> None:
        self.path = link or Path()
        self._link = link
        self._ends: tuple[int, int] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pump: asyncio.Task[None] | None = None

    async def plug(self, host: str, port: int) -> None:
        """Make the device and join it to a server; raise OSError where nobody listens or `link` is taken."""
        reader, self._writer = await asyncio.open_connection(host, port)
        master, slave = pty.openpty()  # the second stays open: the line does not end when a master closes it
        tty.setraw(slave)
        self._ends = master, slave
        device = os.ttyname(slave)
        if self._link is None:
            self.path = Path(device)
        else:
            self._link.symlink_to(device)
        asyncio.get_running_loop().add_reader(master, self._send, master, self._writer)
        self._pump = asyncio.create_task(_receive(reader, master))

    async def unplug(self) -> None:
        """Take the device away; may be called twice."""
        ends, self._ends = self._ends, None
        if ends is None:
            return
        assert self._pump is not None
        assert self._writer is not None
        asyncio.get_running_loop().remove_reader(ends[0])
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self._writer.close()
        for end in ends:
            os.close(end)
        if self._link is not None:
            self._link.unlink()

    @staticmethod
    def _send(master: int, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(BlockingIOError):
            writer.write(os.read(master, _READ_BYTES))


async def _receive(reader: asyncio.StreamReader, master: int) -> None:
    while data := await reader.read(_READ_BYTES):
        os.write(master, data)
