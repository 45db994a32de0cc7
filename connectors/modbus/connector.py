"""The Modbus connector: what is asked of a device in which order, and what its answers mean for each tag.

A connector is used until its first fault and then replaced (see connectors.link).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from connectors import ConnectorError
from connectors.counters import Counters, counted
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, GOOD, Frame, Tag
from connectors.link import About, Clock, Link, LinkSettings, LoadGuard
from connectors.modbus.adapt import AdaptivePlan
from connectors.modbus.addresses import Address, Addresses
from connectors.modbus.decode import Decoder
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.groups import Groups
from connectors.modbus.plan import Block, PlanLimits, halve
from connectors.modbus.units import Units
from connectors.modbus.watch import Watch
from connectors.modbus.wire import Answer, Wire

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_PROBES_PER_READ: Final = 16
"""Requests one read may spend on finding out which tag of a refused block is the bad one."""
SILENT_UNITS_MAX: Final = 2
"""When the first so many units of a read are silent on a connection that had delivered, it is the connection that has
gone: of units that are known to be silent only one is asked in a read."""


def supervise(endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, *,
              settings: LinkSettings | None = None, seed: int = 0) -> Link:
    """Return a link to `endpoint`; its connections share one load guard, and what they learnt of the device.
    """
    guard = LoadGuard(clock, endpoint.max_requests_per_s, endpoint.min_gap_ms, slow_by_ms=endpoint.slow_by_ms)
    latest = ModbusConnector(endpoint, tags, clock, guard)

    def build() -> ModbusConnector:
        nonlocal latest
        latest = ModbusConnector(endpoint, tags, clock, guard, latest)
        return latest

    connects = len(endpoint.addresses)
    settings = settings or LinkSettings.for_requests(
        endpoint.timeout_ms, connect=connects + endpoint.pause_after_connect_ms // endpoint.timeout_ms,
        read=(1 + endpoint.retries) * (len(tags) + _PROBES_PER_READ) + connects,
        pace_ms=endpoint.min_gap_ms + 1e3 / endpoint.max_requests_per_s)
    return Link(build, tags, clock, settings, seed, guard=guard, notes=lambda: latest.notes + latest.tag_notes,
                about=lambda: About(changes=latest.watch.changes))


class ModbusConnector:
    """A Connector over one Modbus connection. Rows are stamped with the middle of their requests.

    Failures of single blocks are statuses: BadTimeout for a unit that is silent, the mapped status of an
    exception (connectors.modbus.decode), BadDecodingError for a reply that is not what was asked for; tags whose period
    is longer than the others' are BadNoData in the rows in which they are not due. `earlier` is the connector to the
    same tags that this one replaces: what it learnt of the device is taken over.
    """

    def __init__(self, endpoint: ModbusEndpoint, tags: Sequence[Tag], clock: Clock, guard: LoadGuard,
                 earlier: ModbusConnector | None = None) -> None:
        self.tags = tuple(tags)
        self._endpoint = endpoint
        self._clock = clock
        self._guard = guard
        if earlier is None:
            limits = PlanLimits(endpoint.max_registers, endpoint.max_bits, endpoint.max_gap_registers,
                                endpoint.one_request_per_tag)
            self._plan = AdaptivePlan(tags, limits)
            self._units = Units(clock, endpoint.timeout_ms)
            self._addresses = Addresses(endpoint.addresses, clock)
            self.watch = Watch([counted(tag) for tag in tags])
            self._counters = Counters.of(tags)
        else:
            self._plan, self._units, self._addresses = earlier._plan, earlier._units, earlier._addresses
            self.watch, self._counters = earlier.watch, earlier._counters
        self._unknown_texts: dict[int, str] = {}
        self._groups = Groups(tags)
        self._is_open = self._delivered = False
        self._retried: int | None = None
        self._wire: Wire | None = None
        self._asked: set[int] = set()
        self._answered = self._probes_left = 0
        self._first_ns = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this connection although it works."""
        return self._addresses.notes() + self._units.notes()

    @property
    def doubts(self) -> dict[int, str]:
        """What is wrong with the meaning of which columns: another reading fits, or a text that stands for nothing."""
        texts = {column: f'the text "{text}" is none of {", ".join(known for known, _ in self.tags[column].texts)}'
                 for column, text in self._unknown_texts.items()}
        return texts | self.watch.findings

    @property
    def tag_notes(self) -> tuple[str, ...]:
        """What a person should know of tags although they are read: of whole tables, and their doubts, by name."""
        shared = tuple(f"{one.where}: {one.text}" for one in self.watch.shared)
        return shared + tuple(f"{self.tags[column].name}: {what}" for column, what in sorted(self.doubts.items()))

    async def open(self) -> None:
        """Connect; raise ConnectorError saying why that failed."""
        await self.close()
        self._wire = await self._connect(self._addresses.order())
        self._is_open = True

    async def read(self) -> Frame:
        """Return one row; raise ConnectorError where the connection is lost or nothing answered at all."""
        if not self._is_open:
            raise ConnectorError(f"{self._endpoint} is not connected")
        try:
            if self._wire is None:  # let go after the last read
                self._wire = await self._connect(self._addresses.order())
            elif self._addresses.back_is_due():
                await self._try_the_first()
            frame = await self._read()
        except ConnectorError:
            if not self._delivered:  # a device that hangs up between reads has not failed
                self._addresses.failed()
            raise
        else:
            self._delivered = True
            return frame
        finally:
            if self._endpoint.close_after_poll:
                self._hang_up()

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        self._is_open = self._delivered = False
        self._hang_up()

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def _connect(self, addresses: Sequence[Address]) -> Wire:
        """Return a connection to the first address that gives one."""
        problems, unreachable = [], True
        for address in addresses:
            wire = Wire(self._endpoint, address)
            try:
                async with self._guard:
                    self._guard.connecting()
                    await wire.connect()
                await self._clock.sleep_until(
                    self._clock.monotonic_ns() + self._endpoint.pause_after_connect_ms * 1_000_000)
            except ConnectorError as error:
                wire.close()
                if not error.retryable:
                    raise
                problems.append(str(error))
                unreachable &= error.unreachable
            except BaseException:
                wire.close()
                raise
            else:
                self._addresses.took(address)
                return wire
        raise ConnectorError("; ".join(problems), unreachable=unreachable)

    async def _try_the_first(self) -> None:
        """Go back from the backup if the first address can be reached again; stay otherwise."""
        self._addresses.stay()
        try:
            wire = await self._connect((self._addresses.first(),))
        except ConnectorError:
            return
        self._hang_up()
        self._wire = wire

    async def _read(self) -> Frame:
        plan = self._plan
        plan.settle()  # what a read that was broken off had learnt counts too
        decoder = plan.decoder
        self._asked = set()
        self._answered, self._probes_left = 0, _PROBES_PER_READ
        self._retried = self._units.silent_longest()
        now_ns = self._clock.monotonic_ns()
        periods = self._groups.due(now_ns)
        again = plan.due(now_ns)
        data = bytearray(decoder.size_bytes)
        statuses: list[int] = []
        found: list[tuple[Block, bytes]] = []
        for block, offset in zip(plan.blocks, decoder.offsets, strict=True):
            if self.tags[block.columns[0]].period_ms not in periods:
                statuses.append(BAD_NO_DATA)
                continue
            answer = await self._ask(block)
            statuses.append(answer.status)
            if answer.status == GOOD:
                data[offset:offset + block.size_bytes] = answer.data
            elif answer.exception:
                await self._isolate(block, answer, found)
        for block in again:
            if self._probes_left > 0:
                await self._probe(block, found)
        self._groups.asked(periods, now_ns)
        self._raise_if_all_silent()
        return self._frame(decoder, data, statuses, found)

    def _raise_if_all_silent(self) -> None:
        """Raise ConnectorError where no unit is left that answers: it is the device that is silent, not they."""
        if not self._asked or self._answered:
            return
        if all(self._units.is_silent(block.unit_id) for block in self._plan.blocks):
            raise self._nobody_answers()

    def _nobody_answers(self) -> ConnectorError:
        """Return the fault of a connection on which nothing comes: it is the device that is silent, not its units."""
        self._units.heard(self._asked)
        return ConnectorError(f"{self._wire or self._endpoint} is connected but no unit answered within "
                              f"{self._endpoint.timeout_ms} ms: check the unit ids, the port and the device's load",
                              unreachable=True)

    def _note_texts(self, texts: Mapping[int, str]) -> None:
        """Remember of each column the first text that stands for nothing, until one comes that stands for something."""
        for column, text in texts.items():
            if text in dict(self.tags[column].texts):
                self._unknown_texts.pop(column, None)
            else:
                self._unknown_texts.setdefault(column, text)

    def _frame(self, decoder: Decoder, data: bytearray, block_status: Sequence[int],
               found: Sequence[tuple[Block, bytes]]) -> Frame:
        """Return the row of what the plan's blocks gave and what was found beside them."""
        now_ns = self._clock.monotonic_ns()
        half_ns = (now_ns - self._first_ns) // 2 if self._asked else 0
        time_ns = self._clock.time_ns() - half_ns
        values, status = decoder.decode(data, block_status, self._plan.status, self._counters, time_ns)
        self.watch.observe(self._plan.blocks, decoder.offsets, data, block_status, now_ns)
        self._note_texts(decoder.texts(data, block_status))
        for block, part in found:
            columns = list(block.columns)
            others = np.full(len(self.tags), BAD_NO_DATA, np.uint32)
            decoded = Decoder(self.tags, (block,)).decode(part, (GOOD,), others, self._counters, time_ns)
            values[columns], status[columns] = decoded[0][columns], decoded[1][columns]
        return Frame(np.array([time_ns], np.int64), values[None, :], status[None, :])

    async def _ask(self, block: Block) -> Answer:
        """Make a request, again where no reply came, unless its unit has been silent of late."""
        silent = self._units.is_silent(block.unit_id)
        if silent and block.unit_id != self._retried:
            return Answer(BAD_TIMEOUT, replied=False)
        for _ in range(1 if silent else 1 + self._endpoint.retries):
            probe = self._units.probe(block)
            answer = await (self._ask_once(block) if probe is None else self._ask_after(probe, block))
            if answer.replied:
                self._answered += 1
                self._units.heard((block.unit_id,))
                return answer
        self._units.silent(block.unit_id)
        self._retried = None
        if self._delivered and not self._answered and len(self._asked) >= SILENT_UNITS_MAX and not self._endpoint.line:
            raise self._nobody_answers()
        return answer

    async def _ask_after(self, probe: Block, block: Block) -> Answer:
        """Make a request after another one, where a late reply could be taken for the answer."""
        answer = await self._ask_once(probe)
        if self._units.probe(block) is not None:
            return Answer(answer.status, replied=answer.replied)
        return await self._ask_once(block)

    async def _ask_once(self, block: Block) -> Answer:
        """Make one request under the load guard."""
        assert self._wire is not None, "read has connected"
        numbered = self._wire.numbered
        async with self._guard:
            if not self._asked:
                self._first_ns = self._clock.monotonic_ns()
            self._asked.add(block.unit_id)
            replied = False
            try:
                answer = await self._wire.request(block)
                replied = answer.replied
                sent, framing = (12, 9) if numbered else (8, 5)  # without the data: Modbus TCP, RTU
                if replied:
                    self._guard.answered(block.count if answer.data else 0, sent, framing + len(answer.data))
                else:
                    self._guard.unanswered(sent)
            finally:
                if not replied and not numbered:
                    self._units.give_up(block)
        if not numbered and answer.status == GOOD:
            self._units.gave(block)
        elif not numbered and answer.exception:
            self._units.refused(block)
        return answer

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
