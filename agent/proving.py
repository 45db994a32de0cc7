"""What the values that `forewarn check` reads tell: the decode prover at work, and what moves too fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.clock import Clock
from agent.line.rate_of_change import RateOfChange
from connectors import Connector
from connectors.frame import BAD_NODE_ID_UNKNOWN, Dtype, Float32s, Frame, ModbusAddress, Tag
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.orders import registers_of
from connectors.modbus.plan import BIT_TABLES
from connectors.modbus.watch import Watch

PROVE_NS: Final = 5_000_000_000
PROVE_EVERY_NS: Final = 250_000_000
"""How long, and how often, registers are read to judge whether another reading of them is more plausible."""
STILL_NS_MAX: Final = 1_500_000_000
"""Values that stand still for a period and a half, or this long, are not waited for."""
_LAST_REGISTER: Final = 65_535


@dataclass(frozen=True, slots=True)
class Proofs:
    """What was found, by column: doubts, and how else a tag that is never in its range would be in it.

    `lacking` are registers that the device refused.
    """

    doubts: Mapping[int, str]
    hints: Mapping[int, str]
    lacking: frozenset[ModbusAddress] = frozenset()

    def of(self, column: int) -> tuple[str, str]:
        """Return the doubt and the hint for a column, "" where there is none."""
        return self.doubts.get(column, ""), self.hints.get(column, "")


class Prover:
    """Watches a device for some seconds: another reading of its registers may be more plausible, a limit too tight.

    `max_rates` f64[C] are in units per second, infinite for tags that have none; the columns after those are the
    connector's own. `lacking` are registers that the device has refused already.
    """

    def __init__(self, connector: Connector, tags: Sequence[Tag], clock: Clock, period_ns: int,
                 max_rates: Sequence[float], lacking: Collection[ModbusAddress] = ()) -> None:
        self._connector = connector
        self._modbus = connector if isinstance(connector, ModbusConnector) else None
        self._clock, self._still_ns = clock, min(3 * period_ns // 2, STILL_NS_MAX)
        self._max_rates = [*max_rates, *[np.inf] * (len(connector.tags) - len(max_rates))]
        self._too_fast: dict[int, str] = {}
        self._lacking = set(lacking)
        if self._modbus is not None:
            self._modbus.watch = Watch(tags, sample_ns=0, watched_most=len(tags))

    async def watch(self) -> None:
        """Read as long as values change, `PROVE_NS` at most, and judge what came."""
        limited = np.flatnonzero(np.isfinite(self._max_rates))
        if self._modbus is None and not len(limited):
            return
        rates = RateOfChange(self._max_rates, [tag.period_ms * 1_000_000 for tag in self._connector.tags])
        begun_ns = changed_ns = self._clock.monotonic_ns()
        earlier: Float32s | None = None
        while (now_ns := self._clock.monotonic_ns()) - begun_ns < PROVE_NS and now_ns - changed_ns <= self._still_ns:
            await self._clock.sleep_until(now_ns + PROVE_EVERY_NS)
            frame = await self._connector.read()
            if frame.rows:
                self._note_lacking(frame)
            _, too_fast = rates.screen(frame)
            for column in () if too_fast is None else np.flatnonzero(too_fast.any(axis=0)).tolist():
                self._too_fast[column] = self._say(column)
            if earlier is None or not np.array_equal(frame.values, earlier, equal_nan=True):
                changed_ns, earlier = now_ns, frame.values
        if self._modbus is not None:
            self._modbus.watch.judge_all(self._lacking)

    def _note_lacking(self, frame: Frame) -> None:
        """Remember the single registers that the device refused for good."""
        self._lacking |= {tag.address for tag, status in zip(self._connector.tags, frame.status[-1], strict=True)
                          if status == BAD_NODE_ID_UNKNOWN and isinstance(tag.address, ModbusAddress)
                          and registers_of(tag) == 1}

    @property
    def found(self) -> Proofs:
        """What was found: of whole tables, else of single tags."""
        if self._modbus is None:
            return Proofs(self._too_fast, {})
        watch = self._modbus.watch
        shared = {column: f"{one.where}: {one.text}" for one in watch.shared
                  for column in one.columns if column not in one.spared}
        return Proofs(self._too_fast | self._modbus.doubts | shared, watch.fitting, frozenset(self._lacking))

    def _say(self, column: int) -> str:
        return (
            f"it moved faster than max_rate allows ({self._max_rates[column]:g} {self._connector.tags[column].unit} "
            "a second): look at the sensor and its wires, or raise max_rate"
        )


def beside(tags: Sequence[Tag]) -> list[Tag]:
    """Return a tag for each register that lies directly before or after one of these and that none of them takes."""
    own: dict[ModbusAddress, None] = {}
    near: dict[ModbusAddress, None] = {}
    for tag in tags:
        address = tag.address
        if isinstance(address, ModbusAddress) and address.table not in BIT_TABLES:
            first, registers = address.register, registers_of(tag)
            at = [ModbusAddress(address.unit_id, address.table, first + i) for i in range(-1, registers + 1)]
            own |= dict.fromkeys(at[1:-1])
            near |= dict.fromkeys((at[0], at[-1]))
    return [Tag(str(address), "1", address, Dtype.UINT16) for address in near
            if address not in own and 0 <= address.register <= _LAST_REGISTER]
