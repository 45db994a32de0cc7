"""What a PLC is asked, added up, and the pace at which it is asked when it becomes slow."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.link import LoadGuard
from connectors.load import SHARE_MIN, SPACING_NS_MAX, Load, Meter, Pace
from tests.connectors.servers import ManualClock, run

MS, SECOND_NS = 1_000_000, 1_000_000_000


async def asked(guard: LoadGuard, clock: ManualClock, response_ms: float) -> None:
    """One request, on a clock that is moved through every wait."""
    task = asyncio.create_task(_ask(guard, clock, response_ms))
    while not task.done():
        for _ in range(5):
            await asyncio.sleep(0)
        if not task.done():
            clock.advance_s(0.005)
    await task


async def _ask(guard: LoadGuard, clock: ManualClock, response_ms: float) -> None:
    async with guard:
        await clock.sleep_until(clock.monotonic_ns() + int(response_ms * MS))
        guard.answered(10, 12, 29)


async def rate_per_s(guard: LoadGuard, clock: ManualClock, response_ms: float, requests: int) -> float:
    begun_ns = clock.monotonic_ns()
    for _ in range(requests):
        await asked(guard, clock, response_ms)
    return requests * SECOND_NS / (clock.monotonic_ns() - begun_ns)


def test_a_plc_that_takes_twice_as_long_is_asked_half_as_often_and_recovers_slowly() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 10, 0)
        usual = await rate_per_s(guard, clock, 30, 60)
        assert guard.pace.share == 1.0
        await rate_per_s(guard, clock, 75, 60)
        slow = await rate_per_s(guard, clock, 75, 20)
        assert usual / 4 <= slow <= usual / 2
        await rate_per_s(guard, clock, 30, 20)
        assert guard.pace.share < 1.0, "it does not come back at once"
        await rate_per_s(guard, clock, 30, 400)
        assert guard.pace.share == 1.0
        assert await rate_per_s(guard, clock, 30, 40) == pytest.approx(usual, rel=0.2)
        assert guard.take().slow_downs == 1

    run(main)


def test_a_plc_that_hardly_answers_is_still_asked() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 10, 0)
        await rate_per_s(guard, clock, 5, 40)
        await rate_per_s(guard, clock, 2000, 30)
        assert guard.pace.share == SHARE_MIN
        assert await rate_per_s(guard, clock, 2000, 20) >= 1 / (2 + SPACING_NS_MAX / SECOND_NS)

    run(main)


def test_the_jitter_of_our_own_machine_slows_nothing_down() -> None:
    pace = Pace(20 * MS)
    for second in range(500):
        pace.answered(MS if second < 100 else 8 * MS, second * SECOND_NS)
    assert pace.share == 1.0


def test_what_is_slow_for_good_becomes_usual() -> None:
    pace = Pace(20 * MS)
    for second in range(20_000):
        pace.begin(second * SECOND_NS)
        pace.answered((30 if second < 100 else 80) * MS, second * SECOND_NS)
    assert pace.share == 1.0


def test_silence_and_connections_say_nothing_of_how_fast_a_plc_answers() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 10, 0)
        await rate_per_s(guard, clock, 30, 40)
        clock.advance_s(2)
        for _ in range(20):
            async with guard:
                guard.unanswered(12)
                clock.advance_s(1)
            async with guard:
                guard.connecting()
                clock.advance_s(1)
        assert guard.pace.share == 1.0
        load = guard.take()
        assert (load.requests, load.errors, load.connections) == (80, 20, 20)

    run(main)


def test_the_load_is_what_was_asked() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 10, 0)
        await rate_per_s(guard, clock, 30, 50)
        clock.advance_s(2)
        with pytest.raises(ConnectionError):
            async with guard:
                raise ConnectionError
        load = guard.take()
        assert (load.requests, load.errors, load.values) == (51, 1, 500)
        assert (load.bytes_sent, load.bytes_received) == (600, 1450)
        assert load.requests_max_per_s <= 10
        assert load.busy_ns == 50 * 30 * MS
        assert load.busy_share == pytest.approx(load.busy_ns / load.watched_ns)
        assert guard.take() == Load(), "what was taken is not counted again"

    run(main)


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.booleans()), max_size=80))
def test_parts_of_the_load_add_up_to_the_whole(steps: list[tuple[int, bool]]) -> None:
    whole, parts, now_ns, together = Meter(0), Meter(0), 0, Load()
    begun: list[int] = []
    for wait_ns, takes in steps:
        now_ns += wait_ns
        begun.append(now_ns)
        for meter in (whole, parts):
            meter.begun(now_ns)
        if takes:
            together = together.plus(parts.take(now_ns))
    together = together.plus(parts.take(now_ns))
    assert whole.take(now_ns) == together
    most = max((sum(t - SECOND_NS < other <= t for other in begun) for t in begun), default=0)
    assert together.requests_max_per_s == most
