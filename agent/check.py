"""`forewarn check`: read every tag once and say how that went; touches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent import wiring
from agent.clock import Clock
from agent.config import Config
from connectors import Connector, ConnectorError
from connectors.frame import (
    BAD_CONFIGURATION_ERROR,
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_TIMEOUT,
    BAD_TYPE_MISMATCH,
    Frame,
    ModbusAddress,
    Tag,
    is_bad,
    status_name,
)

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
        """Whether it was read."""
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
        frame, latency_ms = await _read(connector, clock)
    except ConnectorError as error:
        trouble = str(error)
    except TimeoutError:
        trouble = (
            f"{where}: no answer within {CONNECT_S_MAX:g} s; check the address, the cable and the firewall"
        )
    checks = []
    for column, (asset, tag) in enumerate(pairs):
        status, value = _newest(frame, column)
        remedy = trouble or remedy_for(status, tag)
        checks.append(
            TagCheck(asset, tag.name, tag.unit, name, str(tag.address), value, status, latency_ms, remedy)
        )
    return checks


async def _read(connector: Connector, clock: Clock) -> tuple[Frame, float]:
    """Connect and read; return the frame and how long its read took in ms."""
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            await connector.open()
        async with asyncio.timeout(READ_S_MAX):
            for _ in range(READS_MAX):
                begun_ns = clock.monotonic_ns()
                frame = await connector.read()
                latency_ms = (clock.monotonic_ns() - begun_ns) / 1e6
                if frame.rows and not is_bad(frame.status[-1]).any():
                    break
            return frame, latency_ms
    finally:
        await connector.close()


def _newest(frame: Frame, column: int) -> tuple[int, float | None]:
    """Return status and value of the newest row."""
    if not frame.rows:
        return BAD_NO_COMMUNICATION, None
    value = float(frame.values[-1, column])
    return int(frame.status[-1, column]), None if np.isnan(value) else value


def remedy_for(status: int, tag: Tag) -> str:
    """Say what to do about a status, in the words of the configuration; empty where it is not bad."""
    if not is_bad(np.array([status], np.uint32))[0]:
        return ""
    modbus = tag.address if isinstance(tag.address, ModbusAddress) else None
    match status:
        case _ if status == BAD_OUT_OF_RANGE:
            limits = f"{tag.low:g} to {tag.high:g} {tag.unit}"
            wrong = "dtype, order, register, scale and offset" if modbus else "node, scale and offset"
            return f"the value cannot be ({limits} is allowed): check {wrong}, then low and high"
        case _ if status == BAD_NODE_ID_UNKNOWN and modbus is not None:
            return (
                f"the device has no {modbus.table.value} {modbus.register}: check table and register "
                "(counted from 0; a manual's 30001 or 40001 is 0)"
            )
        case _ if status == BAD_NODE_ID_UNKNOWN:
            return f"the server has no node {tag.address}: check namespace URI and identifier"
        case _ if status == BAD_TIMEOUT and modbus is not None:
            return f"unit {modbus.unit_id} does not answer: check unit_id, and timeout_ms of the connection"
        case _ if status == BAD_TYPE_MISMATCH:
            return "the value is not a number: choose another node"
        case _ if status == BAD_DECODING_ERROR:
            return "what came is not a number of this type: check dtype and order"
        case _ if status == BAD_CONFIGURATION_ERROR and modbus is not None:
            return (
                f"the device refuses to read its {modbus.table.value} table there: check table and register"
            )
    return f"the device reports {status_name(status)}: look at the device"


def failures(checks: Sequence[TagCheck]) -> list[TagCheck]:
    """Return those that could not be read."""
    return [found for found in checks if not found.good]
