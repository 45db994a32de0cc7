"""Which Modbus device, by which wire, and how hard it may be asked. Pure: it needs no wire library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from connectors.load import SLOW_BY_MS


class Framing(StrEnum):
    """How a request and its reply are told from other bytes. Only the first numbers them."""

    TCP = "tcp"
    """MBAP header (Modbus Messaging on TCP/IP V1.0b, 3.1); over TCP or TLS."""
    RTU = "rtu"
    """Unit id and CRC-16 (Modbus over Serial Line V1.02, 2.5.1); on a serial line or through TCP."""
    ASCII = "ascii"
    """Hexadecimal text and LRC (the same, 2.5.2); on a serial line or through TCP."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial device and how its bytes look; `parity` is "N", "E" or "O"."""

    device: str
    baudrate: int = 19_200
    parity: str = "E"
    stop_bits: int = 1
    data_bits: int = 8


@dataclass(frozen=True, slots=True)
class Tls:
    """How a device proves who it is, and we who we are (Modbus/TCP Security V21).

    `ca` holds the certificates that may vouch for the device, or its own; the certificate must name `server_name`
    (by default the host). `certificate` and `private_key` are ours, for devices that ask for them.
    """

    ca: Path
    server_name: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A Modbus device, gateway or serial line, and how hard it may be asked.

    `timeout_ms` is for each request, asked up to `retries` times more where no reply came. `host` is empty for a serial
    `line`. `backup` is another address of the same device, used while the first fails. `close_after_poll` lets go of
    the connection after each read, for devices that serve one client at a time.
    """

    host: str = ""
    port: int = 502
    timeout_ms: int = 1000
    max_requests_per_s: float = 10.0
    min_gap_ms: float = 50.0
    slow_by_ms: float = SLOW_BY_MS
    max_registers: int = 125
    max_bits: int = 2000
    max_gap_registers: int = 8
    framing: Framing = Framing.TCP
    line: SerialLine | None = None
    tls: Tls | None = None
    backup: tuple[str, int] | None = None
    retries: int = 0
    pause_after_connect_ms: int = 0
    close_after_poll: bool = False
    one_request_per_tag: bool = False

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses to try, in the order of preference; one, of no meaning, for a serial line."""
        return ((self.host, self.port),) if self.backup is None else ((self.host, self.port), self.backup)

    @property
    def advice(self) -> str:
        """What a person should change here although it works, empty if nothing."""
        if self.line is None or not self.line.device.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
            return ""
        return (f"{self.line.device} may be another adapter after it was plugged in again; name it by its link in "
                "/dev/serial/by-id/")

    def __str__(self) -> str:
        if self.line is not None:
            return f"Modbus line {self.line.device}"
        return f"Modbus device {self.host}:{self.port}"
