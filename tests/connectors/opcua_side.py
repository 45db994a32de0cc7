"""What the OPC UA tests share: tags, endpoints and a link through a recording proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from connectors.frame import (
    Frame,
    NodeAddress,
    Tag,
)
from connectors.link import Link
from connectors.opcua.connector import supervise
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode
from tests.connectors.servers import NAMESPACE, ManualClock
from tests.wire import OpcuaRecorder, RecordingProxy

S = 1_000_000_000


MODES = list(OpcuaMode)


def tag(name: str, uri: str = NAMESPACE, **limits: float) -> Tag:
    return Tag(name, "", NodeAddress(uri, f"s={name}"), period_ms=50, **limits)


def endpoint(port: int, mode: OpcuaMode, **more: object) -> OpcuaEndpoint:
    options = {
        "timeout_ms": 20_000,
        "publishing_interval_ms": 20,
        "insecure": True,
        "min_gap_ms": 0.0,
        "max_requests_per_s": 1000.0,
    } | more
    return OpcuaEndpoint(f"opc.tcp://127.0.0.1:{port}", mode, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def linked(
    port: int, mode: OpcuaMode, tags: Sequence[Tag], clock: ManualClock, **more: object
) -> AsyncIterator[tuple[Link, RecordingProxy]]:
    """A link through a recording proxy, which must have seen reads only."""
    async with RecordingProxy(OpcuaRecorder, port) as proxy:
        link = supervise(endpoint(proxy.port, mode, **more), tags, clock)
        try:
            yield link, proxy
        finally:
            await link.close()
        proxy.assert_read_only()


async def until(link: Link, clock: ManualClock, holds: Callable[[Frame], bool], step_s: float = 1.0) -> Frame:
    """Read, with `step_s` in between, until a frame is as wanted; the test's own time-out is the limit."""
    while True:
        frame = await link.read()
        if frame.rows and holds(frame):
            return frame
        clock.advance_s(step_s)
        await asyncio.sleep(0.005)
