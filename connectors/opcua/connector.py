"""The OPC UA connector: rows by subscription or by polling, over sessions that are used until their first fault.

See connectors.link for what happens then, and connectors.opcua.session for the session itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from connectors import ConnectorError
from connectors.frame import BAD_NODE_ID_UNKNOWN, Frame, NodeAddress, PathAddress, Tag, is_bad
from connectors.link import Clock, Link, LinkSettings, LoadGuard
from connectors.opcua.changes import Changes
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode, check_security
from connectors.opcua.gaps import NOTHING_RECORDED, Gaps, Recorded
from connectors.opcua.memory import Memory, shown
from connectors.opcua.paths import steps
from connectors.opcua.recovery import Refill, piece_ns
from connectors.opcua.redundancy import RECONSIDER_NS, Opened, best, better_elsewhere, degraded
from connectors.opcua.resolve import Facts, OpcuaAddress
from connectors.opcua.rows import CurrentValues
from connectors.opcua.session import SETUP_REQUESTS, HistoryError, Session, is_identifier

_RETRY_NS: Final = 60_000_000_000
_SOON_NS: Final = 5_000_000_000
_WATCH_NS: Final = 10_000_000_000


def supervise(endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock, *,
              settings: LinkSettings | None = None, seed: int = 0, recorded: Recorded = NOTHING_RECORDED) -> Link:
    """Return a link to `endpoint`, with the one load guard that all its connections share.

    `recorded` is what has come before, by source times (UTC): what is missing in it and since is to be filled.
    """
    guard = LoadGuard(clock, endpoint.max_requests_per_s, endpoint.min_gap_ms, slow_by_ms=endpoint.slow_by_ms)
    memory = Memory(endpoint, clock, tags, _gaps(endpoint, tags, recorded))

    newest: OpcuaConnector | None = None
    drops_before = 0

    def build() -> OpcuaConnector:
        nonlocal newest, drops_before
        drops_before = drops()
        newest = OpcuaConnector(endpoint, tags, clock, guard, memory)
        return newest

    def drops() -> int:
        return drops_before + (0 if newest is None else newest.drops)

    async def recover() -> Frame:
        return Frame.empty(len(tags)) if newest is None else await newest.recover()

    requests = SETUP_REQUESTS * len(endpoint.urls) + 2 * -(-len(tags) // endpoint.max_nodes_per_request)
    settings = settings or LinkSettings.for_requests(
        endpoint.timeout_ms, connect=requests, read=requests,
        pace_ms=endpoint.min_gap_ms + 1e3 / endpoint.max_requests_per_s)
    return Link(build, tags, clock, settings, seed, guard=guard, drops=drops, notes=memory.notes, about=memory.about,
                recover=None if memory.gaps is None else recover)


class OpcuaConnector:
    """A Connector over one OPC UA session. Rows carry source timestamps (connectors.opcua.rows says how).

    A node the server does not know, or whose value is no number, is a status of that tag alone. A server that was
    restarted or whose namespaces have moved is a fault: a new connection finds the nodes anew.
    """

    def __init__(self, endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock, guard: LoadGuard,
                 memory: Memory | None = None) -> None:
        self.tags = tuple(tags)
        self._endpoint = endpoint
        self._clock = clock
        self._guard = guard
        self._memory = memory or Memory(endpoint, clock, tags)
        self._addresses = _addresses(tags)
        check_security(endpoint)
        self._current = self._no_values()
        self._wire: Session | None = None
        self._url = endpoint.url
        self._facts: Facts | None = None  # as they were when the session began
        self._level = 0
        self._drops = 0
        self._unknown: list[int] = []
        self._retry_at_ns = self._watch_at_ns = self._reconsider_at_ns = 0
        self._first = True
        self._refill: Refill | None = None
        self._heard_ns = -1

    async def open(self) -> None:
        """Connect, find the nodes and, if so configured, subscribe; raise ConnectorError saying why that
        failed.
        """
        await self.close()
        self._current = self._no_values()
        self._first, self._heard_ns = True, -1
        async with self._guard:
            self._guard.connecting()
            self._url, self._wire, self._facts = await best(self._endpoint.urls, self._connect)
            wire, now_ns = self._wire, self._clock.monotonic_ns()
            self._watch_at_ns, self._reconsider_at_ns = now_ns + _WATCH_NS, now_ns + RECONSIDER_NS
            self._level = self._facts.service_level
            self._memory.begin(self._url, self._facts, wire.warning)
            await self._find(wire, range(len(self.tags)))
            if self._endpoint.mode is OpcuaMode.SUBSCRIBE:
                await wire.initial_values()
            if self._memory.gaps is not None:
                self._refill = Refill(self.tags, wire, self._memory.gaps, _period_ns(self.tags))

    async def read(self) -> Frame:
        """Return the rows since the last call; raise ConnectorError where the connection is lost or gone
        quiet.
        """
        wire = self._wire
        if wire is None:
            raise ConnectorError(f"{self._endpoint} is not connected")
        await self._look_after(wire)
        following = self._endpoint.mode is OpcuaMode.SUBSCRIBE and (
            not wire.polled or len(wire.polled) < len(wire.columns))
        if following:
            wire.check_alive()
        parts = [wire.drain()]
        self._guard.answered(parts[0].size)
        left = wire.columns if self._endpoint.mode is OpcuaMode.POLL else list(wire.polled)
        while left:
            async with self._guard:
                part, left = await wire.read_some(left)
                self._guard.answered(part.size)
            parts.append(part)
        changes, now_ns = Changes.joined(parts), self._clock.monotonic_ns()
        if following:
            arrived_ns = now_ns if wire.polled else wire.arrived_ns
            frame = self._current.rows(changes, self._clock.time_ns(), arrived_ns, wire.settled_ns)
        else:
            frame = self._current.poll(changes, self._clock.time_ns(), now_ns)
        self._note_gap(changes, frame)
        self._note(changes, frame)
        return frame

    async def recover(self) -> Frame:
        """Return rows that were missed before this session, from the server's history; none where there are no more.

        What is fresh goes first: only what the load guard has to spare is asked for, and nothing more before the next
        read where the server failed to answer. Faults end the filling, never the session.
        """
        memory, refill, past = self._memory, self._refill, Frame.empty(len(self.tags))
        enough_ns = self._clock.monotonic_ns() + _period_ns(self.tags) // 2
        while (refill is not None and refill.waiting and not past.rows and self._guard.spare
               and self._clock.monotonic_ns() < enough_ns):
            try:
                async with self._guard:
                    self._guard.bulk()
                    past = await refill.step()
                    self._guard.answered(past.rows * past.columns)
            except HistoryError:
                break
            finally:
                memory.rows_recovered += past.rows
                memory.unrecovered = self._unrecovered(refill)
        return past

    def _no_values(self) -> CurrentValues:
        return CurrentValues(self.tags, self._endpoint.group_ms, self._memory.counters)

    async def _connect(self, url: str) -> Opened:
        """Open a session with one of the servers and ask it what it is; raise ConnectorError."""
        wire = Session(replace(self._endpoint, url=url), self.tags, self._clock, self._memory.limits)
        try:
            await wire.connect()
            return url, wire, await wire.facts()
        except BaseException:
            await wire.close()
            raise

    async def _look_after(self, wire: Session) -> None:
        """Do what is due beside reading: watch the server, renew the channel, look for nodes that were not there."""
        now_ns = self._clock.monotonic_ns()
        retry = bool(self._unknown) and now_ns >= self._retry_at_ns
        if retry or now_ns >= self._watch_at_ns:
            self._watch_at_ns = now_ns + _WATCH_NS
            async with self._guard:
                await self._watch(wire)
        if retry:
            async with self._guard:
                await self._find(wire, self._unknown)
        if wire.renewal_due:
            async with self._guard:
                await wire.renew()
        if now_ns >= self._reconsider_at_ns:
            self._reconsider_at_ns = now_ns + RECONSIDER_NS
            if wire.polled:  # the server may have room by now
                async with self._guard:
                    self._follow(await wire.subscribe(list(wire.polled)), wire)
            if len(self._endpoint.urls) > 1:
                await self._reconsider()

    async def _watch(self, wire: Session) -> None:
        """Raise ConnectorError where the server is not what it was when the session began."""
        before, facts = self._facts, await wire.facts()
        if changed := self._memory.changed(self._url, facts):
            raise ConnectorError(f"{changed}: its tags are looked for anew")
        if len(self._endpoint.urls) > 1 and before is not None and degraded(before, facts):
            raise ConnectorError(f"the service level of OPC UA server {self._url} has fallen to {facts.service_level}: "
                                 "the redundant server is asked")
        self._level = facts.service_level
        self._memory.keep(self._url, facts)

    async def _reconsider(self) -> None:
        """Raise ConnectorError where the other server would now be chosen."""
        async with self._guard:
            self._guard.connecting()
            better = await better_elsewhere(self._endpoint.urls, self._url, self._level, self._connect)
        if better:
            raise ConnectorError(f"OPC UA server {better} is the better one again")

    def _note(self, changes: Changes, frame: Frame) -> None:
        """Look soon for nodes that have just gone, and tell what became of the tags after a change of the server."""
        following = self._endpoint.mode is OpcuaMode.SUBSCRIBE
        gone = {*changes.column[changes.status == BAD_NODE_ID_UNKNOWN].tolist()} - {*self._unknown}
        gone = {column for column in gone if following or isinstance(self._addresses[column], PathAddress)}
        if gone:
            self._unknown += sorted(gone)
            self._retry_at_ns = min(self._retry_at_ns, self._clock.monotonic_ns() + _SOON_NS)
        if self._first and frame.rows:
            self._first = False
            missing = [tag.name for tag, status in zip(self.tags, frame.status[-1], strict=True)
                       if status == BAD_NODE_ID_UNKNOWN]
            self._memory.found([tag.name for tag in self.tags], missing)

    def _note_gap(self, changes: Changes, frame: Frame) -> None:
        """Take note of how far values have surely come: by a message of the server, not because none has come."""
        gaps, wire = self._memory.gaps, self._wire
        if gaps is None or wire is None or not frame.rows or is_bad(frame.status[-1]).all():
            return
        if self._heard_ns < 0:
            gaps.resumed(int(frame.source_time_ns[0]))
        if changes.size or wire.arrived_ns > self._heard_ns:
            self._heard_ns = wire.arrived_ns
            gaps.delivered(int(frame.source_time_ns[-1]))

    def _unrecovered(self, refill: Refill) -> str:
        """Tell why the server's history cannot fill gaps, or not for all tags."""
        if refill.error:
            return (f"what was missed is not filled from the history of OPC UA server {self._url}: {refill.error}. "
                    'Remedy: let the server keep history and let this user read it, or set history = "off"')
        return "; ".join(
            f"OPC UA server {self._url} {does} of {len(columns)} of {len(self.tags)} tags: "
            f"{shown([self.tags[column].name for column in sorted(columns)])}"
            for does, columns in (("keeps no history", refill.without),
                                  ("does not give all the history it has", refill.partial)) if columns)

    async def close(self) -> None:
        """End the session and its subscription; may be called twice."""
        wire, self._wire, self._refill = self._wire, None, None
        if wire is not None:
            self._drops += wire.drops
            await wire.close()

    @property
    def drops(self) -> int:
        """How many values were lost because they came faster than they were read, here or in the server."""
        return self._drops + (0 if self._wire is None else self._wire.drops)

    def _follow(self, columns: list[int], wire: Session) -> list[int]:
        """Tell which tags the server does not tell the changes of; return the columns."""
        reasons = ", ".join(sorted(set(wire.polled.values())))
        self._memory.polled = "" if not wire.polled else (
            f"{len(wire.polled)} of {len(self.tags)} tags are read by polling, since OPC UA server {self._url} refuses "
            f"to tell of their changes ({reasons}). Remedy: none is needed; else end other clients' subscriptions, or "
            'choose mode = "poll"')
        return columns

    async def _find(self, wire: Session, columns: Sequence[int]) -> None:
        self._retry_at_ns = self._clock.monotonic_ns() + _RETRY_NS
        found = await wire.find({column: self._addresses[column] for column in columns})
        if self._endpoint.mode is OpcuaMode.SUBSCRIBE:
            found = self._follow(await wire.subscribe(found), wire)
        self._unknown = [column for column in columns if column not in found]


def _period_ns(tags: Sequence[Tag]) -> int:
    return min(tag.period_ms for tag in tags) * 1_000_000


def _gaps(endpoint: OpcuaEndpoint, tags: Sequence[Tag], recorded: Recorded) -> Gaps | None:
    if endpoint.history is None:
        return None
    period_ns = _period_ns(tags)
    return Gaps(endpoint.history, period_ns, piece_ns(len(tags), period_ns), int(endpoint.history_max_h * 3.6e12),
                recorded)


def _addresses(tags: Sequence[Tag]) -> list[OpcuaAddress]:
    """Return the tags' addresses; raise ConnectorError naming every one that cannot be."""
    addresses: list[OpcuaAddress] = []
    problems = []
    for tag in tags:
        match tag.address:
            case NodeAddress(_, identifier):
                addresses.append(tag.address)
                if not is_identifier(identifier):
                    problems.append(f"tag '{tag.name}': '{identifier}' is no node identifier; write "
                                    "s=NAME, i=NUMBER, g=GUID or b=BASE64")
            case PathAddress(path):
                addresses.append(tag.address)
                try:
                    steps(path)
                except ValueError as error:
                    problems.append(f"tag '{tag.name}': {error}")
            case _:
                problems.append(f"tag '{tag.name}' has no OPC UA node")
    if problems:
        raise ConnectorError("; ".join(problems), retryable=False)
    return addresses
