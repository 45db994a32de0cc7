"""A serial device as an asyncio transport: the only importer of pyserial, which opens and sets up the port."""

from __future__ import annotations

import asyncio
import os
import termios
from typing import Final

import serial

from connectors.modbus.endpoint import SerialLine

_READ_BYTES: Final = 4096


class SerialPort(asyncio.Transport):
    """An open port; bytes go to `protocol` until it is closed or vanishes, which `connection_lost` tells.

    A request has 8 to 17 bytes, far less than the kernel's buffer: it is written at once or the line is broken.
    """

    def __init__(self, line: SerialLine, protocol: asyncio.Protocol) -> None:
        """Open and set up the device, with what it had received thrown away; raise OSError where that fails."""
        super().__init__()
        try:
            self._port = serial.Serial(
                line.device, line.baudrate, line.data_bits, line.parity, line.stop_bits, timeout=0, exclusive=True)
        except (ValueError, termios.error) as error:
            raise OSError(f"the port refuses {line.baudrate} baud, parity {line.parity}, {line.data_bits} data bits, "
                          f"{line.stop_bits} stop bits ({error})") from error
        self._fd = self._port.fileno()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one request."""
        try:
            sent = os.write(self._fd, data)
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self._lose(OSError(f"the port took {sent} of {len(data)} bytes"))

    def close(self) -> None:
        """Close the port; may be called twice. The descriptor is free at once: a device that was unplugged may come
        back by the same name.
        """
        if self._port.is_open:
            self._loop.remove_reader(self._fd)
            self._port.close()

    def abort(self) -> None:
        """Close the port."""
        self.close()

    def is_closing(self) -> bool:
        """Return whether the port is closed."""
        return not self._port.is_open

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._protocol.data_received(data)
        else:  # ready to be read and nothing there: the device has gone
            self._lose(OSError("the device was unplugged"))

    def _lose(self, error: OSError) -> None:
        if self._port.is_open:
            self.close()
            self._protocol.connection_lost(error)
