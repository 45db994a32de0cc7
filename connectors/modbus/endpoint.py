"""Which Modbus device, and how hard it may be asked. Pure: it needs no wire library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A Modbus TCP device or gateway, and how hard it may be asked. `timeout_ms` is for each request."""

    host: str
    port: int = 502
    timeout_ms: int = 1000
    max_requests_per_s: float = 10.0
    min_gap_ms: float = 50.0
    max_registers: int = 125
    max_bits: int = 2000
    gap_registers: int = 8

    def __str__(self) -> str:
        return f"Modbus device {self.host}:{self.port}"
