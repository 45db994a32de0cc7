"""The supervised link and the load guard, on a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import ConnectorError
from connectors.frame import (
    BAD_CONFIGURATION_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_TIMEOUT,
    GOOD,
    Frame,
    Tag,
)
from connectors.link import TRANSITIONS, Link, LinkEvent, LinkSettings, LinkState, LoadGuard
from tests.connectors.servers import START_NS, ManualClock, run

TAGS = (Tag("a", "bar"), Tag("b", "bar"))


@dataclass
class Plc:
    """What the scripted connectors of one test share: how the device behaves, and what was done to it."""

    clock: ManualClock = field(default_factory=ManualClock)
    open_error: ConnectorError | None = None
    read_error: ConnectorError | None = None
    hangs_at: str = ""
    hangs_up_when_idle: bool = False
    status: int = GOOD
    built: int = 0
    opened: int = 0
    closed: int = 0
    built_at_ns: list[int] = field(default_factory=list)

    def build(self) -> ScriptedConnector:
        self.built += 1
        self.built_at_ns.append(self.clock.monotonic_ns())
        return ScriptedConnector(self)

    def link(self, seed: int = 0, settings: LinkSettings | None = None) -> Link:
        return Link(self.build, TAGS, self.clock, settings, seed)


class ScriptedConnector:
    """A connector to a `Plc`."""

    def __init__(self, plc: Plc) -> None:
        self.tags = TAGS
        self._plc = plc
        self._used = False

    async def open(self) -> None:
        if self._plc.hangs_at == "open":
            await asyncio.Event().wait()
        if self._plc.open_error:
            raise self._plc.open_error
        self._plc.opened += 1

    async def read(self) -> Frame:
        if self._plc.hangs_at == "read":
            await asyncio.Event().wait()
        if self._plc.read_error:
            raise self._plc.read_error
        if self._plc.hangs_up_when_idle and self._used:
            raise ConnectorError("closed by the device")
        self._used = True
        return Frame.of(self._plc.clock.time_ns(), [1.0, 2.0], [self._plc.status] * 2)

    async def close(self) -> None:
        self._plc.closed += 1


def test_every_state_and_event_is_either_a_transition_or_impossible() -> None:
    assert set(TRANSITIONS) <= set(product(LinkState, LinkEvent))
    for state in LinkState:
        assert TRANSITIONS[state, LinkEvent.CLOSE] is LinkState.CLOSED
    reached = {LinkState.IDLE}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(LinkState)
    assert not [
        event for (state, event) in TRANSITIONS if state is LinkState.CLOSED and event is not LinkEvent.CLOSE
    ]


def test_the_first_read_connects_and_delivers() -> None:
    async def main() -> None:
        plc = Plc()
        link = plc.link()
        assert link.health.state is LinkState.IDLE
        frame = await link.read()
        assert frame.values.tolist() == [[1.0, 2.0]]
        health = link.health
        assert (health.state, health.attempts, health.reads, health.reads_failed) == (
            LinkState.DELIVERING,
            1,
            1,
            0,
        )
        assert health.last_good_ns == START_NS
        assert not health.error
        await link.close()
        assert link.health.state is LinkState.CLOSED
        assert (plc.opened, plc.closed) == (1, 1)

    run(main)


def test_a_fault_gives_a_bad_row_and_leaves_the_wire_alone_until_the_back_off_is_over() -> None:
    async def main() -> None:
        plc = Plc()
        link = plc.link()
        await link.read()
        plc.read_error = ConnectorError("cable cut")
        plc.clock.advance_s(1)
        frame = await link.read()
        assert frame.status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert np.isnan(frame.values).all()
        assert frame.source_time_ns.tolist() == [plc.clock.time_ns()]
        assert plc.closed == 2, "the connector is thrown away at once, and so is the one that was tried instead"
        assert "cable cut" in link.health.error
        for _ in range(9):
            plc.clock.advance_s(0.1)
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert plc.built == 2
        plc.read_error = None
        plc.clock.advance_s(1.1)
        assert (await link.read()).values.tolist() == [[1.0, 2.0]]
        assert plc.built == 3, "a new connector, not the old one"
        assert not link.health.error
        assert link.health.reads_failed == 10
        await link.close()

    run(main)


def test_a_device_that_hangs_up_between_slow_reads_loses_none_of_them() -> None:
    async def main() -> None:
        plc = Plc(hangs_up_when_idle=True)
        link = plc.link()
        for _ in range(10):
            assert (await link.read()).values.tolist() == [[1.0, 2.0]]
            plc.clock.advance_s(60)
        health = link.health
        assert (health.reads_failed, health.attempts, health.error) == (0, 10, "")
        await link.close()

    run(main)


def test_a_device_that_hangs_up_after_each_fast_read_is_not_stormed_with_connections() -> None:
    async def main() -> None:
        plc = Plc(hangs_up_when_idle=True)
        link = plc.link()
        for _ in range(100):
            await link.read()
            plc.clock.advance_s(0.1)
        for earlier, later in pairwise(plc.built_at_ns):
            assert later - earlier >= 1_000_000_000
        await link.close()

    run(main)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_back_off_doubles_with_jitter_between_its_bounds(seed: int) -> None:
    async def main() -> None:
        plc = Plc(open_error=ConnectorError("refused"))
        link = plc.link(seed)
        while plc.built < 12:
            await link.read()
            plc.clock.advance_s(0.01)
            plc.clock.advance_s(max(0.0, link.health.retry_in_ms / 1e3 - 0.01))
        waits_s = [(b - a) / 1e9 for a, b in pairwise(plc.built_at_ns)]
        for n, wait_s in enumerate(waits_s):
            span = min(60.0, 2.0 ** (n + 1))
            assert max(1.0, span / 2) <= wait_s <= max(1.0, span) + 0.02

    run(main)


def test_links_that_failed_together_do_not_come_back_together() -> None:
    async def main() -> None:
        waits = set()
        for seed in range(32):
            link = Plc(open_error=ConnectorError("refused")).link(seed)
            await link.read()
            waits.add(round(link.health.retry_in_ms))
        assert len(waits) > 28

    run(main)


def test_only_a_good_value_ends_the_back_off() -> None:
    async def main() -> None:
        plc = Plc(status=BAD_TIMEOUT)
        link = plc.link(settings=LinkSettings(stale_after_ms=0))
        waits = []
        for _ in range(5):
            while link.health.state is not LinkState.BACKING_OFF:
                await link.read()
                plc.clock.advance_s(1)
            waits.append(link.health.retry_in_ms)
            plc.clock.advance_s(61)
            await link.read()
        assert waits[-1] > 10 * waits[0]
        await link.close()

    run(main)


def test_a_connection_through_which_nothing_comes_is_rebuilt() -> None:
    async def main() -> None:
        plc = Plc(status=BAD_TIMEOUT)
        link = plc.link(settings=LinkSettings(stale_after_ms=5_000))
        for _ in range(6):
            assert (await link.read()).status.tolist() == [[BAD_TIMEOUT] * 2]
            plc.clock.advance_s(1)
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert "nothing has come for 5000 ms" in link.health.error
        assert plc.closed == 1
        await link.close()

    run(main)


def test_bad_news_from_a_living_device_is_no_reason_to_rebuild() -> None:
    async def main() -> None:
        plc = Plc(status=BAD_NODE_ID_UNKNOWN)
        link = plc.link(settings=LinkSettings(stale_after_ms=5_000))
        for _ in range(60):
            assert (await link.read()).status.tolist() == [[BAD_NODE_ID_UNKNOWN] * 2]
            plc.clock.advance_s(1)
        assert plc.built == 1
        await link.close()

    run(main)


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_connector_that_hangs_is_given_up(where: str) -> None:
    async def main() -> None:
        plc = Plc(hangs_at=where)
        link = plc.link(settings=LinkSettings(connect_timeout_ms=20, read_timeout_ms=20))
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert plc.closed == 1
        assert "20 ms" in link.health.error
        await link.close()

    run(main)


def test_each_read_has_the_whole_time_out_for_itself() -> None:
    async def main() -> None:
        plc = Plc()
        link = plc.link(settings=LinkSettings(read_timeout_ms=60))
        await link.read()
        await asyncio.sleep(0.04)
        plc.hangs_at = "read"
        reading = asyncio.create_task(link.read())
        early: list[bool] = []
        asyncio.get_running_loop().call_later(0.05, lambda: early.append(reading.done()))
        assert (await reading).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert early == [False], "the time of the read before does not count"
        assert "60 ms" in link.health.error
        await link.close()

    run(main)


def test_a_read_that_is_broken_off_is_no_fault_and_the_next_one_is_bounded_too() -> None:
    async def main() -> None:
        plc = Plc(hangs_at="read")
        link = plc.link(settings=LinkSettings(read_timeout_ms=60))
        reading = asyncio.create_task(link.read())
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not link.health.error
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert "60 ms" in link.health.error
        await link.close()

    run(main)


def test_what_no_attempt_can_mend_is_not_tried_again() -> None:
    async def main() -> None:
        plc = Plc(open_error=ConnectorError("certificate is missing", retryable=False))
        link = plc.link()
        for _ in range(3):
            assert (await link.read()).status.tolist() == [[BAD_CONFIGURATION_ERROR] * 2]
            plc.clock.advance_s(3600)
        assert (plc.built, link.health.state) == (1, LinkState.FAILED)
        assert "certificate" in link.health.error
        await link.close()

    run(main)


def test_a_read_broken_off_while_connecting_is_a_failed_attempt() -> None:
    async def main() -> None:
        plc = Plc(hangs_at="open")
        link = plc.link()
        reading = asyncio.create_task(link.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        plc.hangs_at = ""
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert plc.closed == 1
        plc.clock.advance_s(2)
        assert (await link.read()).values.tolist() == [[1.0, 2.0]]
        await link.close()

    run(main)


def test_a_closed_link_stays_closed() -> None:
    async def main() -> None:
        plc = Plc()
        link = plc.link()
        await link.close()
        await link.close()
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 2]
        assert plc.built == 0

    run(main)


async def ask(guard: LoadGuard, clock: ManualClock, at_s: list[float], duration_s: float = 0.0) -> None:
    async with guard:
        at_s.append(clock.monotonic_ns() / 1e9)
        if duration_s:
            await clock.sleep_until(clock.monotonic_ns() + int(duration_s * 1e9))


async def play(clock: ManualClock, asks: Callable[[], list[asyncio.Task[None]]]) -> None:
    """Move the clock in steps of 10 ms until all tasks are done."""
    tasks = asks()
    while not all(task.done() for task in tasks):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance_s(0.01)
    await asyncio.gather(*tasks)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0.5, 1.0, 3.0, 10.0, 50.0]), st.sampled_from([0.0, 20.0, 150.0]), st.integers(1, 25))
def test_the_guard_keeps_the_rate_in_any_second_and_the_gap(
    rate: float, gap_ms: float, requests: int
) -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, rate, gap_ms)
        at_s: list[float] = []
        await play(clock, lambda: [asyncio.create_task(ask(guard, clock, at_s)) for _ in range(requests)])
        burst = max(1, int(rate))
        for i in range(requests - burst):
            assert at_s[i + burst] - at_s[i] >= burst / rate - 1e-6
        for earlier, later in pairwise(at_s):
            assert later - earlier >= gap_ms / 1e3 - 1e-6
        assert guard.requests == requests

    run(main)


def test_the_guard_lets_one_request_through_at_a_time() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 100, 30)
        at_s: list[float] = []
        await play(clock, lambda: [asyncio.create_task(ask(guard, clock, at_s, 0.2)) for _ in range(4)])
        for earlier, later in pairwise(at_s):
            assert later - earlier >= 0.23 - 1e-6

    run(main)


def test_a_request_cancelled_while_waiting_leaves_the_guard_free() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 1, 0)
        at_s: list[float] = []
        await ask(guard, clock, at_s)
        waiting = asyncio.create_task(ask(guard, clock, at_s))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        clock.advance_s(1)
        await ask(guard, clock, at_s)
        assert at_s == [0.0, 1.0]

    run(main)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_device_out_of_reach_is_tried_often_enough_to_find_it_back_within_ten_seconds(seed: int) -> None:
    async def main() -> None:
        plc = Plc(open_error=ConnectorError("no route to host", unreachable=True))
        link = plc.link(seed)
        while plc.built < 12:
            await link.read()
            plc.clock.advance_s(0.01)
            plc.clock.advance_s(max(0.0, link.health.retry_in_ms / 1e3 - 0.01))
        waits_s = [(b - a) / 1e9 for a, b in pairwise(plc.built_at_ns)]
        assert all(5.0 <= wait_s <= 7.02 for wait_s in waits_s[2:])
        assert waits_s[0] < waits_s[1] < waits_s[2]

    run(main)
