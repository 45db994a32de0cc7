"""The OPC UA connector: rows by subscription or by polling, over sessions that are used until their first fault.

See connectors.link for what happens then, and connectors.opcua.session for the session itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors import ConnectorError
from connectors.frame import Frame, NodeAddress, Tag
from connectors.link import Clock, Link, LinkSettings, LoadGuard
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode, check_security
from connectors.opcua.rows import CurrentValues
from connectors.opcua.session import SETUP_REQUESTS, Session, is_identifier

_RETRY_NS: Final = 60_000_000_000


def supervise(endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock, *,
              settings: LinkSettings | None = None, seed: int = 0) -> Link:
    """Return a link to `endpoint`, with the one load guard that all its connections share."""
    guard = LoadGuard(clock, endpoint.max_requests_per_s, endpoint.min_gap_ms, slow_by_ms=endpoint.slow_by_ms)

    newest: OpcuaConnector | None = None
    drops_before = 0

    def build() -> OpcuaConnector:
        nonlocal newest, drops_before
        drops_before = drops()
        newest = OpcuaConnector(endpoint, tags, clock, guard)
        return newest

    def drops() -> int:
        return drops_before + (0 if newest is None else newest.drops)

    batches = -(-len(tags) // endpoint.max_nodes_per_request)
    settings = settings or LinkSettings.for_requests(
        endpoint.timeout_ms, connect=SETUP_REQUESTS + 2 * batches, read=SETUP_REQUESTS + 2 * batches,
        pace_ms=endpoint.min_gap_ms + 1e3 / endpoint.max_requests_per_s)
    return Link(build, tags, clock, settings, seed, guard=guard, drops=drops)


class OpcuaConnector:
    """A Connector over one OPC UA session. Rows carry source timestamps (connectors.opcua.rows says how).

    A node the server does not know, or whose value is no number, is a status of that tag alone.
    """

    def __init__(self, endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock, guard: LoadGuard) -> None:
        self.tags = tuple(tags)
        self._endpoint = endpoint
        self._clock = clock
        self._guard = guard
        self._addresses = _addresses(tags)
        check_security(endpoint)
        self._current = CurrentValues(tags, endpoint.group_ms)
        self._wire: Session | None = None
        self._drops = 0
        self._unknown: list[int] = []
        self._retry_at_ns = 0

    async def open(self) -> None:
        """Connect, find the nodes and, if so configured, subscribe; raise ConnectorError saying why that
        failed.
        """
        await self.close()
        self._current = CurrentValues(self.tags, self._endpoint.group_ms)
        self._wire = wire = Session(self._endpoint, self.tags, self._clock)
        async with self._guard:
            self._guard.connecting()
            await wire.connect()
            await self._find(wire, range(len(self.tags)))
            if self._endpoint.mode is OpcuaMode.SUBSCRIBE:
                await wire.initial_values()

    async def read(self) -> Frame:
        """Return the rows since the last call; raise ConnectorError where the connection is lost or gone
        quiet.
        """
        wire = self._wire
        if wire is None:
            raise ConnectorError(f"{self._endpoint} is not connected")
        if self._unknown and self._clock.monotonic_ns() >= self._retry_at_ns:
            async with self._guard:
                await self._find(wire, self._unknown)
        if wire.renewal_due:
            async with self._guard:
                await wire.renew()
        if self._endpoint.mode is OpcuaMode.SUBSCRIBE:
            wire.check_alive()
            told = wire.drain()
            self._guard.answered(len(told))
            return self._current.rows(told, self._clock.time_ns(), wire.arrived_ns, wire.settled_ns)
        changes = list(wire.drain())
        for columns in wire.batches():
            async with self._guard:
                changes += await wire.read_values(columns)
                self._guard.answered(len(columns))
        return self._current.poll(changes, self._clock.time_ns(), self._clock.monotonic_ns())

    async def close(self) -> None:
        """End the session and its subscription; may be called twice."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self._drops += wire.drops
            await wire.close()

    @property
    def drops(self) -> int:
        """How many values were lost because they came faster than they were read, here or in the server."""
        return self._drops + (0 if self._wire is None else self._wire.drops)

    async def _find(self, wire: Session, columns: Sequence[int]) -> None:
        self._retry_at_ns = self._clock.monotonic_ns() + _RETRY_NS
        found = await wire.find({column: self._addresses[column] for column in columns})
        if self._endpoint.mode is OpcuaMode.SUBSCRIBE:
            found = await wire.subscribe(found)
        self._unknown = [column for column in columns if column not in found]


def _addresses(tags: Sequence[Tag]) -> list[NodeAddress]:
    """Return the tags' addresses; raise ConnectorError naming every one that cannot be."""
    addresses, problems = [], []
    for tag in tags:
        if not isinstance(tag.address, NodeAddress):
            problems.append(f"tag '{tag.name}' has no OPC UA node")
            continue
        addresses.append(tag.address)
        if not is_identifier(tag.address.identifier):
            problems.append(f"tag '{tag.name}': '{tag.address.identifier}' is no node identifier; write "
                            "s=NAME, i=NUMBER, g=GUID or b=BASE64")
    if problems:
        raise ConnectorError("; ".join(problems), retryable=False)
    return addresses
