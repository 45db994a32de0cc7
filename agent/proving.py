"""The decode prover over the values that `forewarn check` reads."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.clock import Clock
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
    """Watches the registers of a Modbus device for some seconds: another reading of them may be more plausible."""

    def __init__(self, connector: Connector, clock: Clock, period_ns: int) -> None:
        self._connector = connector if isinstance(connector, ModbusConnector) else None
        self._clock, self._still_ns = clock, min(3 * period_ns // 2, STILL_NS_MAX)
        if self._connector is not None:
            self._connector.watch = Watch(self._connector.tags, sample_ns=0)

    async def watch(self) -> None:
        """Read as long as values change, `PROVE_NS` at most, and judge what came."""
        if self._connector is None:
            return
        begun_ns = changed_ns = self._clock.monotonic_ns()
        earlier: Float32s | None = None
        while (now_ns := self._clock.monotonic_ns()) - begun_ns < PROVE_NS and now_ns - changed_ns <= self._still_ns:
            await self._clock.sleep_until(now_ns + PROVE_EVERY_NS)
            values = (await self._connector.read()).values
            if earlier is None or not np.array_equal(values, earlier, equal_nan=True):
                changed_ns, earlier = now_ns, values
        self._connector.watch.judge_all()

    @property
    def doubts(self) -> dict[int, str]:
        """What was found, by column."""
        return {} if self._connector is None else self._connector.doubts
