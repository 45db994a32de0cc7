"""Time-outs of what is awaited, where the answer comes at the same moment."""

from __future__ import annotations

import asyncio

import pytest
from asyncua.common.utils import wait_for

from connectors.frame import BAD_NO_COMMUNICATION, Frame
from connectors.link import Link, LinkSettings
from connectors.patience import within
from tests.connectors.servers import ManualClock, run
from tests.connectors.test_link import TAGS


async def answered_as_it_is_given_up() -> None:
    """Await, as asyncua does, what is lost in the very moment in which it is cancelled."""

    async def lost() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("connection lost") from None

    await wait_for(lost(), 60)


class Racing:
    """A connector that never opens."""

    tags = TAGS

    async def open(self) -> None:
        await answered_as_it_is_given_up()

    async def read(self) -> Frame:
        raise AssertionError("never open")

    async def close(self) -> None:
        pass


def test_it_is_over_though_an_error_comes_at_the_same_moment() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), within(10):
            await answered_as_it_is_given_up()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run(main)


def test_a_link_goes_on_though_an_error_comes_at_the_same_moment() -> None:
    async def main() -> None:
        link = Link(Racing, TAGS, ManualClock(), LinkSettings(connect_timeout_ms=10))
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * len(TAGS)]
        assert "no connection within 10 ms" in link.health.error
        await link.close()

    run(main)


def test_whoever_cancels_the_task_itself_is_obeyed() -> None:
    async def main() -> None:
        async def reads() -> None:
            with within(60_000):
                await answered_as_it_is_given_up()

        task = asyncio.create_task(reads())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
