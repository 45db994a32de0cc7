"""`forewarn check`: read every tag and say how that went; touches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from agent import wiring
from agent.clock import Clock
from agent.config.file import Config
from agent.proving import Proofs, Prover, beside
from agent.remedy import doubt, remedy_for
from connectors import Connector, ConnectorError
from connectors.counters import counted
from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    Dtype,
    Frame,
    ModbusAddress,
    NodeAddress,
    PathAddress,
    Tag,
    is_bad,
)
from connectors.link import LoadGuard
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.orders import registers_of
from connectors.modbus.plan import BIT_TABLES
from connectors.opcua.endpoint import OpcuaEndpoint
from connectors.patience import within

DOING = "reading every tag; some seconds more where values change, or one is in doubt"
CONNECT_S_MAX = 15.0
READ_S_MAX = 30.0
_MAY_BE_ANOTHERS = (BAD_OUT_OF_RANGE, BAD_DECODING_ERROR, BAD_NODE_ID_UNKNOWN)
LET_GO_NS = 500_000_000
"""What a device that serves one client at a time is given to let go of a connection before the next."""
READS_MAX = 3
"""A connector may need more than one read to find out which tag of a refused block is the bad one."""


@dataclass(frozen=True, slots=True)
class TagCheck:
    """What came of one tag: `value` in its unit, None where bad; `remedy` is empty where all is well.

    `raw` is what the device gave: the registers in hexadecimal, or the type of the value; "" where it gave nothing.
    `doubtful` says that a value came well and is hardly a measurement.
    """

    asset: str
    tag: str
    unit: str
    address: str
    value: float | None
    status: int
    raw: str
    doubtful: bool
    remedy: str

    @property
    def good(self) -> bool:
        """Whether it was read and may be believed."""
        return not self.remedy


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """What came of one connection: the device asked, how it is protected, what it calls itself, and its tags.

    `notes` are what a person should know although it works, such as a backup in use.

    `latency_ms` is how long the read took, None where there was none, and `remedy` why there was none.
    """

    name: str
    device: str
    security: str
    server: str
    reached: bool
    latency_ms: float | None
    remedy: str
    tags: tuple[TagCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def assets(self) -> list[str]:
        """The assets that have tags on it, in the order of the configuration."""
        return list(dict.fromkeys(tag.asset for tag in self.tags))


async def check(config: Config, clock: Clock) -> list[ConnectionCheck]:
    """Read every tag of every connection once, all connections at the same time; never raises for a fault."""
    wiring.import_protocols(config)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_check_connection(config, name, clock)) for name in config.connections]
    return [task.result() for task in tasks]


async def _check_connection(config: Config, name: str, clock: Clock) -> ConnectionCheck:
    pairs = wiring.tags_of(config, name)
    tags = [counted(tag) for _, tag in pairs]
    words = _words(tags)
    where = wiring.endpoint(config, name, poll=True)
    frame, latency_ms, trouble = Frame.bad(clock.time_ns(), len(tags), BAD_NO_COMMUNICATION), None, ""
    notes: tuple[str, ...] = ()
    found = Proofs({}, {})
    try:
        connector = wiring.connector(where, [*tags, *words.values()], clock)
        period_ns, max_rates = wiring.period_ns(config, name), wiring.max_rates(config, name)
        prover = Prover(connector, tags, clock, period_ns, max_rates)
        frame, latency_ms = await read_once(connector, where, clock, then=prover.watch)
        notes, found = wiring.notes(where, connector), prover.found
        if _is_suspicious(frame, tags, found):
            found = await _look_beside(where, tags, clock, period_ns, max_rates, found.lacking) or found
    except ConnectorError as error:
        trouble = str(error)
    about = await _inspect(where, tags, clock) if latency_ms is not None else ("", [""] * len(tags))
    raw = _raw_words(tags, list(words), frame) if words else about[1]
    checks = tuple(_tag_check(asset, tag, *_newest(frame, i), raw[i], trouble, found.of(i))
                   for i, ((asset, _), tag) in enumerate(zip(pairs, tags, strict=True)))
    security = _security(where)
    reached = latency_ms is not None
    return ConnectionCheck(name, str(where), security, about[0], reached, latency_ms, trouble, checks, notes)


def _is_suspicious(frame: Frame, tags: Sequence[Tag], found: Proofs) -> bool:
    """Return whether a register may be another one's: a tag is doubted, or gives no value though the device answers."""
    if found.doubts or not frame.rows:
        return bool(found.doubts)
    status, values = frame.status[-1, :len(tags)], frame.values[-1, :len(tags)].tolist()
    return bool(np.isin(status, _MAY_BE_ANOTHERS).any()) or any(map(doubt, values, tags))


async def _look_beside(where: wiring.Endpoint, tags: Sequence[Tag], clock: Clock, period_ns: int,
                       max_rates: Sequence[float], lacking: Collection[ModbusAddress]) -> Proofs | None:
    """Return what is found with the register on either side of each tag; None where that cannot be read.

    `lacking` are registers that the device has refused already.
    """
    if not isinstance(where, ModbusEndpoint):
        return None
    connector = wiring.connector(where, [*tags, *beside(tags)], clock)
    prover = Prover(connector, tags, clock, period_ns, max_rates, lacking)
    try:
        await clock.sleep_until(clock.monotonic_ns() + LET_GO_NS)
        await read_once(connector, where, clock, then=prover.watch)
    except ConnectorError:
        return None  # what was read before counts
    return prover.found


def _tag_check(asset: str, tag: Tag, status: int, value: float | None, raw: str, trouble: str,
               found: tuple[str, str]) -> TagCheck:
    """Return what came of a tag; `found` is what is doubted of it after some reads, and how else it would fit."""
    doubts, hint = found
    doubted = "" if value is None or trouble else doubts or doubt(value, tag)
    bad = doubts or "; ".join(filter(None, (remedy_for(status, tag), hint))) if value is None else ""
    remedy = trouble or doubted or bad
    return TagCheck(asset, tag.name, tag.unit, str(tag.address), value, status, raw, bool(doubted), remedy)


def _security(where: wiring.Endpoint) -> str:
    if isinstance(where, ModbusEndpoint):
        return f"TLS, verified by {where.tls.ca}" if where.tls else "not protected: Modbus has no security"
    if where.security_policy == "None":
        return "not protected: security_policy \"None\""
    return f"{where.security_policy}, {where.security_mode}"


def _words(tags: Sequence[Tag]) -> dict[ModbusAddress, Tag]:
    """Return a tag for every register that a tag takes, so that one read shows both values and registers."""
    addresses = [word for tag in tags for word in _words_of(tag)]
    return {address: Tag(str(address), "1", address, Dtype.UINT16) for address in addresses}


def _words_of(tag: Tag) -> list[ModbusAddress]:
    address = tag.address
    if not isinstance(address, ModbusAddress) or address.table in BIT_TABLES:
        return []
    return [ModbusAddress(address.unit_id, address.table, address.register + i) for i in range(registers_of(tag))]


def _raw_words(tags: Sequence[Tag], words: Sequence[ModbusAddress], frame: Frame) -> list[str]:
    """Return each tag's registers in the order of the wire, "" where they did not come."""
    column = {address: len(tags) + i for i, address in enumerate(words)}
    raw = []
    for tag in tags:
        values = [_newest(frame, column[word])[1] for word in _words_of(tag)] if frame.columns > len(tags) else [None]
        raw.append(" ".join(f"{int(value):04X}" for value in values if value is not None) if all(
            value is not None for value in values) else "")
    return raw


async def _inspect(where: wiring.Endpoint, tags: Sequence[Tag], clock: Clock) -> tuple[str, list[str]]:
    """Return what an OPC UA server calls itself and the types of the tags' values; nothing where it does not say."""
    nothing = ("", [""] * len(tags))
    if not isinstance(where, OpcuaEndpoint):
        return nothing
    from connectors.opcua.browse import inspect

    guard = LoadGuard(clock, where.max_requests_per_s, where.min_gap_ms)
    nodes = [tag.address for tag in tags if isinstance(tag.address, NodeAddress | PathAddress)]
    try:
        with within(READ_S_MAX * 1e3):
            found = await inspect(where, nodes, clock, guard)
    except (ConnectorError, TimeoutError):
        return nothing  # the values came, so this is no fault to report
    return found.server, list(found.kinds)


async def read_once(
    connector: Connector,
    where: object,
    clock: Clock,
    *,
    connect_s: float = CONNECT_S_MAX,
    read_s: float = READ_S_MAX,
    then: Callable[[], Awaitable[None]] | None = None,
) -> tuple[Frame, float]:
    """Connect, read, do what comes `then`, and close; return the frame and how long its read took in ms.

    Raise ConnectorError where that fails or takes longer than `connect_s` and `read_s`.
    """
    doing = f"no answer within {connect_s:g} s; check the address, the cable and the firewall"
    try:
        with within(connect_s * 1e3):
            await connector.open()
        doing = (
            f"connected, but a read took more than {read_s:g} s; "
            "check whether the PLC is overloaded, or max_requests_per_s too low for so many tags"
        )
        with within(read_s * 1e3):
            for _ in range(READS_MAX):
                begun_ns = clock.monotonic_ns()
                frame = await connector.read()
                latency_ms = (clock.monotonic_ns() - begun_ns) / 1e6
                if frame.rows and not is_bad(frame.status[-1]).any():
                    break
            if then is not None:
                await then()
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


def failures(found: Sequence[ConnectionCheck]) -> list[TagCheck]:
    """Return those that could not be read, or not be believed."""
    return [tag for connection in found for tag in connection.tags if not tag.good]
