"""What kind of Modbus device a simulated PLC is: by which wire it is reached, and what it cannot do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymodbus.framer import FramerType

from simulators.machine import UNIT_ID

FRAMERS: Final = {"tcp": FramerType.SOCKET, "rtu": FramerType.RTU, "ascii": FramerType.ASCII}
"""How pymodbus calls each framing."""


@dataclass(frozen=True, slots=True)
class Traits:
    """A well-behaved Modbus TCP device unless told otherwise.

    `framing` is "tcp", "rtu" or "ascii"; with `serial`, a path to be made, the PLC is reached by a pseudo-terminal
    there, with `certificate` (a PEM file each for certificate and key) by TLS. `units` all show the same values,
    `dead_units` never answer. Every reply takes `reply_delay_ms`. `single_master` refuses a second connection.
    A request for more than `max_registers` is refused with exception 3.
    """

    framing: str = "tcp"
    serial: Path | None = None
    certificate: tuple[Path, Path] | None = None
    units: tuple[int, ...] = (UNIT_ID,)
    dead_units: tuple[int, ...] = ()
    reply_delay_ms: int = 0
    single_master: bool = False
    max_registers: int = 125

    def __post_init__(self) -> None:
        """Raise ValueError for a device that cannot be."""
        if self.framing not in FRAMERS:
            raise ValueError(f"The framing {self.framing!r} is not known; give one of {', '.join(FRAMERS)}.")
        if self.certificate is not None and (self.framing != "tcp" or self.serial is not None):
            raise ValueError("TLS carries Modbus TCP; leave --modbus-framing and --modbus-serial out.")
        if self.serial is not None and self.framing == "tcp":
            raise ValueError("A serial line carries rtu or ascii; add --modbus-framing rtu.")
        if not self.units or any(not 0 <= unit_id <= 255 for unit_id in (*self.units, *self.dead_units)):
            raise ValueError("Unit ids are 0 to 255, at least one that lives.")
        if set(self.units) & set(self.dead_units):
            raise ValueError("A unit is dead or alive, not both.")
        if self.reply_delay_ms < 0 or not 1 <= self.max_registers <= 125:
            raise ValueError("A reply is delayed by 0 ms or more, and a request may be for 1 to 125 registers.")

    def is_dead(self, unit_id: int) -> bool:
        """Return whether a unit never answers; on a bus nobody answers for those that are not there."""
        return unit_id in self.dead_units or (self.framing != "tcp" and unit_id not in self.units)

    def context(self) -> ssl.SSLContext | None:
        """Return what a TLS server needs, None without TLS; raise OSError for files that are none."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        return context
