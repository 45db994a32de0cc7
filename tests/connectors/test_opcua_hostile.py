"""Ten thousand OPC UA servers that answer nonsense, from the start or somewhere in a session that began well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from benchmarks.acquisition.hostile import Attack, Liar, attack, recorded, takes_a_value
from tests.connectors.servers import run
from tests.loop import SteadyLoop

SEED = 4840
SERVERS = 10_000
AT_ONCE = 50
DAMAGED_EVERY = 5
"""A session that began well costs three times as much as nonsense from the start."""
TIMEOUT_MS = 500
GROWTH_MAX_MIB = 50
FAREWELLS = 8


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """asyncua logs what it cannot read, and pytest would keep all of it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def said() -> list[bytes]:
    """What a right server says while one value is read."""
    return recorded()


def test_what_a_right_server_said_gives_a_value_again(said: list[bytes]) -> None:
    async def main() -> None:
        async with Liar.listening() as liar:
            liar.parts = said
            assert await takes_a_value(liar.port)
            liar.parts = said[:-2]
            assert not await takes_a_value(liar.port), "the value is in the last message but one, before the farewell"

    run(main)


@pytest.mark.parametrize("buffer_bytes", [0, 16, 24, 0xFFFFFFFF])
def test_a_server_without_room_for_a_request_gives_no_value(said: list[bytes], buffer_bytes: int) -> None:
    async def main() -> None:
        async with Liar.listening() as liar:
            liar.parts = [said[0][:16] + buffer_bytes.to_bytes(4, "little") + said[0][20:], *said[1:]]
            assert await takes_a_value(liar.port, TIMEOUT_MS) == (buffer_bytes > 8192)

    run(main)


def test_ten_thousand_hostile_servers_leave_nothing_behind(said: list[bytes]) -> None:
    """Each connect has to end with a frame: an error or a hang of one fails or holds up the whole."""

    async def main() -> Attack:
        seen = await attack(said, SERVERS, SEED, at_once=AT_ONCE, timeout_ms=TIMEOUT_MS, damaged_every=DAMAGED_EVERY)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return seen

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        seen = runner.run(main())
    print(SEED, seen.done, seen.read, seen.growth_mib, seen.longest_s)
    assert not seen.wrong[:3]
    assert seen.done == SERVERS
    assert seen.growth_mib <= GROWTH_MAX_MIB
    assert SERVERS // 50 < seen.read < SERVERS // DAMAGED_EVERY, "some of the damaged sessions come to a value"


def test_a_farewell_that_is_not_answered_holds_nobody_up(said: list[bytes]) -> None:
    """A quarter of a second each, where it was a second: the time-out of a connect may be exceeded by half a second."""

    async def main() -> None:
        async with Liar.listening() as liar:
            liar.parts, liar.leaves = said[:-1], False
            begun_s = asyncio.get_running_loop().time()
            for _ in range(FAREWELLS):
                assert await takes_a_value(liar.port)
            assert asyncio.get_running_loop().time() - begun_s < 0.75 * FAREWELLS

    run(main)
