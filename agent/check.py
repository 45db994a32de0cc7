"""`forewarn check`: read every tag once and say how that went; touches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent import wiring
from agent.clock import Clock
from agent.config.file import Config
from agent.remedy import doubt, remedy_for
from connectors import Connector, ConnectorError
from connectors.frame import BAD_NO_COMMUNICATION, Frame, is_bad

CONNECT_S_MAX = 15.0
READ_S_MAX = 30.0
READS_MAX = 3
"""A connector may need more than one read to find out which tag of a refused block is the bad one."""


@dataclass(frozen=True, slots=True)
class TagCheck:
    """What came of one tag: `value` in its unit, None where bad; `remedy` is empty where all is well."""

    asset: str
    tag: str
    unit: str
    connection: str
    address: str
    value: float | None
    status: int
    latency_ms: float | None
    remedy: str

    @property
    def good(self) -> bool:
        """Whether it was read and may be believed."""
        return not self.remedy


async def check(config: Config, clock: Clock) -> list[TagCheck]:
    """Read every tag of every connection once, all connections at the same time; never raises for a fault."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_check_connection(config, name, clock)) for name in config.connections]
    return [found for task in tasks for found in task.result()]


async def _check_connection(config: Config, name: str, clock: Clock) -> list[TagCheck]:
    pairs = wiring.tags_of(config, name)
    tags = [tag for _, tag in pairs]
    where = wiring.endpoint(config, name, poll=True)
    frame, latency_ms, trouble = Frame.bad(clock.time_ns(), len(tags), BAD_NO_COMMUNICATION), None, ""
    try:
        connector = wiring.connector(where, tags, clock)
        frame, latency_ms = await read_once(connector, where, clock)
    except ConnectorError as error:
        trouble = str(error)
    checks = []
    for column, (asset, tag) in enumerate(pairs):
        status, value = _newest(frame, column)
        remedy = trouble or (remedy_for(status, tag) if value is None else doubt(value, tag))
        checks.append(
            TagCheck(asset, tag.name, tag.unit, name, str(tag.address), value, status, latency_ms, remedy)
        )
    return checks


async def read_once(
    connector: Connector,
    where: object,
    clock: Clock,
    *,
    connect_s: float = CONNECT_S_MAX,
    read_s: float = READ_S_MAX,
) -> tuple[Frame, float]:
    """Connect, read and close; return the frame and how long its read took in ms.

    Raise ConnectorError where that fails or takes longer than `connect_s` and `read_s`.
    """
    doing = f"no answer within {connect_s:g} s; check the address, the cable and the firewall"
    try:
        async with asyncio.timeout(connect_s):
            await connector.open()
        doing = (
            f"connected, but a read took more than {read_s:g} s; "
            "check whether the PLC is overloaded, or max_requests_per_s too low for so many tags"
        )
        async with asyncio.timeout(read_s):
            for _ in range(READS_MAX):
                begun_ns = clock.monotonic_ns()
                frame = await connector.read()
                latency_ms = (clock.monotonic_ns() - begun_ns) / 1e6
                if frame.rows and not is_bad(frame.status[-1]).any():
                    break
            return frame, latency_ms
    except TimeoutError as error:
        raise ConnectorError(f"{where}: {doing}") from error
    finally:
        await connector.close()


def _newest(frame: Frame, column: int) -> tuple[int, float | None]:
    """Return status and value of the newest row."""
    if not frame.rows:
        return BAD_NO_COMMUNICATION, None
    value = float(frame.values[-1, column])
    return int(frame.status[-1, column]), None if np.isnan(value) else value


def failures(checks: Sequence[TagCheck]) -> list[TagCheck]:
    """Return those that could not be read, or not be believed."""
    return [found for found in checks if not found.good]
