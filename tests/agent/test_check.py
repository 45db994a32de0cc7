from __future__ import annotations

import asyncio

import pytest

from agent.check import read_once
from connectors import ConnectorError
from connectors.frame import Frame, Tag
from tests.clock import ManualClock


class Slow:
    """A connector that hangs where it is told to, and answers at once elsewhere."""

    tags: tuple[Tag, ...] = ()

    def __init__(self, hangs_in: str) -> None:
        self.closed = False
        self._hangs_in = hangs_in

    async def open(self) -> None:
        await self._at("open")

    async def read(self) -> Frame:
        await self._at("read")
        return Frame.bad(0, 1, 0)

    async def close(self) -> None:
        self.closed = True

    async def _at(self, place: str) -> None:
        if place == self._hangs_in:
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("hangs_in", "said"),
    [
        ("open", "the press: no answer within 0 s; check the address"),
        ("read", "the press: connected, but a read took more than 0 s; check whether the PLC is overloaded"),
    ],
)
def test_a_read_that_takes_too_long_is_not_taken_for_an_address_that_is_wrong(hangs_in: str, said: str) -> None:
    connector = Slow(hangs_in)
    connect_s, read_s = (0, 60) if hangs_in == "open" else (60, 0)
    with pytest.raises(ConnectorError, match=said):
        asyncio.run(read_once(connector, "the press", ManualClock(), connect_s=connect_s, read_s=read_s))
    assert connector.closed
