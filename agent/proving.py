"""What the values that `forewarn check` reads tell: the decode prover at work, and what moves too fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.clock import Clock
from agent.line.rate_of_change import RateOfChange
from connectors import Connector
from connectors.frame import Float32s
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.watch import Watch

PROVE_NS: Final = 5_000_000_000
PROVE_EVERY_NS: Final = 250_000_000
"""How long, and how often, registers are read to judge whether another reading of them is more plausible."""
STILL_NS_MAX: Final = 1_500_000_000
"""Values that stand still for a period and a half, or this long, are not waited for."""


class Prover:
    """Watches a device for some seconds: another reading of its registers may be more plausible, a limit too tight.

    `max_rates` f64[C] are in units per second, infinite for tags that have none; the columns after those are the
    connector's own.
    """

    def __init__(self, connector: Connector, clock: Clock, period_ns: int, max_rates: Sequence[float]) -> None:
        self._connector = connector
        self._modbus = connector if isinstance(connector, ModbusConnector) else None
        self._clock, self._still_ns = clock, min(3 * period_ns // 2, STILL_NS_MAX)
        self._max_rates = [*max_rates, *[np.inf] * (len(connector.tags) - len(max_rates))]
        self._too_fast: dict[int, str] = {}
        if self._modbus is not None:
            self._modbus.watch = Watch(self._modbus.tags, sample_ns=0)

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
            _, too_fast = rates.screen(frame)
            for column in () if too_fast is None else np.flatnonzero(too_fast.any(axis=0)).tolist():
                self._too_fast[column] = self._say(column)
            if earlier is None or not np.array_equal(frame.values, earlier, equal_nan=True):
                changed_ns, earlier = now_ns, frame.values
        if self._modbus is not None:
            self._modbus.watch.judge_all()

    @property
    def doubts(self) -> dict[int, str]:
        """What was found, by column."""
        return self._too_fast | ({} if self._modbus is None else self._modbus.doubts)

    def _say(self, column: int) -> str:
        return (
            f"it moved faster than max_rate allows ({self._max_rates[column]:g} {self._connector.tags[column].unit} "
            "a second): look at the sensor and its wires, or raise max_rate"
        )
