"""The Modbus connector: what is asked of a device in which order, and what its answers mean for each tag.

A connector is used until its first fault and then replaced (see connectors.link).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors import ConnectorError
from connectors.frame import BAD_TIMEOUT, GOOD, Frame, Tag
from connectors.link import Clock, Link, LinkSettings, LoadGuard
from connectors.modbus.adapt import AdaptivePlan
from connectors.modbus.decode import Decoder
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.plan import Block, PlanLimits, halve
from connectors.modbus.wire import Answer, Wire

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_PROBES_PER_READ: Final = 16
"""Requests one read may spend on finding out which tag of a refused block is the bad one."""
_SILENCE_FIRST_NS: Final = 1_000_000_000
_SILENCE_LAST_NS: Final = 16_000_000_000


def supervise(endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, *,
              settings: LinkSettings | None = None, seed: int = 0) -> Link:
    """Return a link to `endpoint`; its connections share one load guard, and what they learnt of the device.
    """
    guard = LoadGuard(clock, endpoint.max_requests_per_s, endpoint.min_gap_ms)
    earlier: ModbusConnector | None = None

    def build() -> ModbusConnector:
        nonlocal earlier
        earlier = ModbusConnector(endpoint, tags, clock, guard, earlier)
        return earlier

    settings = settings or LinkSettings.for_requests(
        endpoint.timeout_ms, connect=1, read=len(tags) + _PROBES_PER_READ,
        pace_ms=endpoint.min_gap_ms + 1e3 / endpoint.max_requests_per_s)
    return Link(build, tags, clock, settings, seed, guard=guard)


@dataclass(slots=True)
class _Silence:
    """A unit behind the gateway that does not answer: asked ever more rarely, so that it does not delay
    others.
    """

    wait_ns: int
    until_ns: int


class ModbusConnector:
    """A Connector over one Modbus TCP connection. Rows are stamped with the middle of their requests.

    Failures of single blocks are statuses: BadTimeout for a unit that is silent, the mapped status of an
    exception (connectors.modbus.decode), BadDecodingError for a reply that is not what was asked for. `earlier` is
    the connector to the same tags that this one replaces: what it learnt of the device is taken over.
    """

    def __init__(self, endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, guard: LoadGuard,
                 earlier: ModbusConnector | None = None) -> None:
        self.tags = tuple(tags)
        self._endpoint = endpoint
        self._clock = clock
        self._guard = guard
        if earlier is None:
            limits = PlanLimits(endpoint.max_registers, endpoint.max_bits, endpoint.gap_registers)
            self._plan = AdaptivePlan(tags, limits)
            self._silences: dict[int, _Silence] = {}
        else:
            self._plan, self._silences = earlier._plan, earlier._silences
        self._retried: int | None = None
        self._wire: Wire | None = None
        self._asked: set[int] = set()
        self._answered = self._probes_left = 0
        self._first_ns = 0

    async def open(self) -> None:
        """Connect; raise ConnectorError saying why that failed."""
        await self.close()
        self._wire = wire = Wire(self._endpoint)
        async with self._guard:
            await wire.connect()

    async def read(self) -> Frame:
        """Return one row; raise ConnectorError where the connection is lost or nothing answered at all."""
        plan = self._plan
        plan.settle()  # what a read that was broken off had learnt counts too
        decoder = plan.decoder
        self._asked = set()
        self._answered, self._probes_left = 0, _PROBES_PER_READ
        self._retried = self._silent_longest()
        due = plan.due(self._clock.monotonic_ns())
        data = bytearray(decoder.size_bytes)
        block_status = np.empty(len(plan.blocks), np.uint32)
        found: list[tuple[Block, bytes]] = []
        for b, (block, offset) in enumerate(zip(plan.blocks, decoder.offsets, strict=True)):
            answer = await self._ask(block)
            block_status[b] = answer.status
            if answer.status == GOOD:
                data[offset:offset + block.size_bytes] = answer.data
            elif answer.exception:
                await self._isolate(block, answer, found)
        for block in due:
            if self._probes_left > 0:
                await self._probe(block, found)
        if self._asked and not self._answered:
            for unit_id in self._asked:  # it is the device that is silent, not these units
                self._silences.pop(unit_id, None)
            raise ConnectorError(f"{self._endpoint} is connected but no unit answered within "
                                 f"{self._endpoint.timeout_ms} ms: check the unit ids and the device's load")
        values, status = decoder.decode(data, block_status, plan.status)
        for block, part in found:
            columns = list(block.columns)
            decoded = Decoder(self.tags, (block,)).decode(part, np.zeros(1, np.uint32), plan.status)
            values[columns], status[columns] = decoded[0][columns], decoded[1][columns]
        half_ns = (self._clock.monotonic_ns() - self._first_ns) // 2 if self._asked else 0
        time_ns = np.array([self._clock.time_ns() - half_ns], np.int64)
        return Frame(time_ns, values[None, :], status[None, :])

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def _ask(self, block: Block) -> Answer:
        """Make one request under the load guard, unless its unit has been silent of late."""
        if self._wire is None:
            raise ConnectorError(f"{self._endpoint} is not connected")
        silence = self._silences.get(block.unit_id)
        if silence is not None and block.unit_id != self._retried:
            return Answer(BAD_TIMEOUT)
        async with self._guard:
            if not self._asked:
                self._first_ns = self._clock.monotonic_ns()
            self._asked.add(block.unit_id)
            answer = await self._wire.request(block)
        if answer.status == BAD_TIMEOUT and not answer.exception:
            wait_ns = _SILENCE_FIRST_NS if silence is None else min(_SILENCE_LAST_NS, 2 * silence.wait_ns)
            self._silences[block.unit_id] = _Silence(wait_ns, self._clock.monotonic_ns() + wait_ns)
            self._retried = None
        else:
            self._answered += 1
            self._silences.pop(block.unit_id, None)
        return answer

    def _silent_longest(self) -> int | None:
        """Return the one silent unit to ask again in this read: many at once would hold up those that answer.
        """
        now_ns = self._clock.monotonic_ns()
        due = [(silence.until_ns, unit_id) for unit_id, silence in self._silences.items()
               if silence.until_ns <= now_ns]
        return min(due)[1] if due else None

    async def _isolate(self, block: Block, answer: Answer, found: list[tuple[Block, bytes]]) -> None:
        """Halve a block the device refused until the tags it does not have stand alone; collect the others.
        """
        if answer.exception not in (_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE):
            return  # it may well give the block the next time
        halves = None if answer.exception == _ILLEGAL_FUNCTION else halve(block, self.tags)
        if halves is None:
            self._plan.refuse(block.columns, answer.status, self._clock.monotonic_ns())
        elif self._probes_left < len(halves):
            self._plan.postpone(block.columns, answer.status)
        else:
            given = [await self._probe(half, found) for half in halves]
            if all(given):
                self._plan.cut(halves[1])

    async def _probe(self, block: Block, found: list[tuple[Block, bytes]]) -> bool:
        """Ask for a part of what was refused; return whether it was given."""
        self._probes_left -= 1
        answer = await self._ask(block)
        if answer.status == GOOD:
            found.append((block, answer.data))
            self._plan.accept(block.columns)
        elif answer.exception:
            await self._isolate(block, answer, found)
        return answer.status == GOOD
