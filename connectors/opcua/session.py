"""One OPC UA session by asyncua: what is asked over a channel of connectors.opcua.channel.

asyncua's own reconnection is not used: it can say "connected" and deliver nothing. A client is used until
its first fault (see connectors.link); a subscription whose keep-alive is overdue is such a fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final, NamedTuple

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors import ConnectorError
from connectors.frame import (
    BAD,
    BAD_NODE_ID_UNKNOWN,
    GOOD,
    Tag,
)
from connectors.link import Clock
from connectors.opcua.changes import Backlog, Changes, Columns
from connectors.opcua.channel import FAULTS, LOGIN_REQUESTS, faults, log_in, log_out
from connectors.opcua.decode import STATUS_MASK, DataValues
from connectors.opcua.endpoint import OpcuaEndpoint, Timestamps
from connectors.opcua.history import NOT_KEPT, Asked, read_raw
from connectors.opcua.limits import NOT_FOLLOWED, TOO_MANY, Limits, Service
from connectors.opcua.publishing import Notification, Publisher, read_values
from connectors.opcua.resolve import Facts, OpcuaAddress, node_id, read_facts, resolve
from connectors.patience import within

_SESSION_TIMEOUT_MS: Final = 60_000
_TICKS_PER_INTERVAL: Final = 4
_TICKS_KEPT: Final = 2 * _TICKS_PER_INTERVAL + 1
SETUP_REQUESTS: Final = LOGIN_REQUESTS + 3  # namespaces, subscription, values


class HistoryError(Exception):
    """A server did not give the history it was asked for; `not_kept` where it has none, for us or at all."""

    def __init__(self, why: str, *, not_kept: bool = False) -> None:
        super().__init__(why)
        self.not_kept = not_kept


class Past(NamedTuple):
    """What the server's history has of one tag: a status code, values, and where it goes on (b"": nowhere)."""

    status: int
    continuation: bytes
    changes: Changes


class Session:
    """One session by asyncua, its requests filtered on the way out; values wait in one bounded queue."""

    def __init__(self, endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock,
                 limits: Limits | None = None) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._limits = limits or Limits(endpoint.max_nodes_per_request)
        self._tags = tuple(tags)
        self._texts = {(column, text): number for column, tag in enumerate(tags) for text, number in tag.texts}
        self._sampling_ms = [tag.period_ms for tag in tags]
        self.client = Client(endpoint.url, timeout=endpoint.timeout_ms / 1e3)
        self.client.application_uri = endpoint.application_uri
        self.client.name = self.client.description = "Forewarn"
        # An orphaned session takes one of the few a PLC has: it should end soon, yet not between two reads.
        self.client.session_timeout = max([_SESSION_TIMEOUT_MS, *(4 * ms for ms in self._sampling_ms)])
        self.warning = ""
        self._namespaces: tuple[str, ...] = ()
        self._nodes: dict[int, ua.NodeId] = {}
        self._items: dict[int, int] = {}
        self.polled: dict[int, str] = {}
        """Why the server tells of no changes of these columns: they have to be read."""
        # A first report has a value for each tag.
        self._changes = Backlog(max(endpoint.buffer_changes, 2 * len(tags)))
        self._overflows = 0
        self._publisher = Publisher(self.client, self._published, self._heard, self._end)
        self._alive_s = 0.0
        self._tick_s = 0.0
        self._ticks_ns = deque([clock.monotonic_ns()], maxlen=_TICKS_KEPT)
        self._watchdog: asyncio.TimerHandle | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self.arrived_ns = clock.monotonic_ns()
        self.renewal_due = False
        self._lost = ""
        self._missing_first = np.zeros(len(tags), np.bool_)
        self._all_first = asyncio.Event()

    @property
    def drops(self) -> int:
        """How many values were lost: in the server's queues, on the way, or here. A lost message counts as one."""
        return self._changes.drops + self._overflows + self._publisher.missed

    async def connect(self) -> None:
        """Connect and log in; raise ConnectorError saying why that failed."""
        self.warning = await log_in(self.client, self._endpoint, self._clock.time_ns())
        self._schedule_renewal()

    async def renew(self) -> None:
        """Renew the security token of the channel before it expires."""
        with self.faults("renew the secure channel to"):
            await self.client.open_secure_channel(renew=True)
            self.client.uaclient.revolve_security_token()
        self._schedule_renewal()

    async def facts(self) -> Facts:
        """Read what the server says of itself."""
        with self.faults("read the namespaces of"):
            facts = await read_facts(self.client, self._clock)
        self._namespaces = facts.namespaces
        return facts

    async def find(self, addresses: Mapping[int, OpcuaAddress]) -> list[int]:
        """Look up where nodes are by the last `facts`; return the columns of those that may be there."""
        with self.faults("find nodes at"):
            found = await resolve(self.client, addresses, self._namespaces,
                                  self._limits.of(Service.TRANSLATE))
        for column in addresses:
            self._nodes.pop(column, None)
            self.polled.pop(column, None)
        self._report(Changes.bad([column for column in addresses if column not in found], BAD_NODE_ID_UNKNOWN))
        self._nodes |= found
        return list(found)

    @property
    def columns(self) -> list[int]:
        """The columns whose nodes are known."""
        return list(self._nodes)

    async def read_some(self, columns: list[int]) -> tuple[Changes, list[int]]:
        """Read as many of these columns as one request may ask for; return what came, and the columns that are left."""
        batch, rest = columns[: self._limits.of(Service.READ)], columns[self._limits.of(Service.READ) :]
        with self.faults("read from"):
            try:
                values = await read_values(self.client, [self._nodes[column] for column in batch])
            except UaStatusCodeError as error:
                if error.code in TOO_MANY and self._limits.refused(Service.READ, len(batch)):
                    return Changes.bad((), GOOD), columns
                raise
        self._overflows += values.overflows
        return self._stamped(np.array(batch, np.intp), values), rest

    @property
    def history_nodes_max(self) -> int:
        """How many nodes' history one request may ask for."""
        return self._limits.of(Service.HISTORY)

    async def read_history(self, asked: Sequence[Asked], until_ns: int, values_max: int) -> list[Past]:
        """Return what the server's history has up to `until_ns`, `values_max` values of each at most.

        Raise HistoryError where it has no answer: that is no fault of the session, whose values go on.
        """
        nodes = [self._nodes[one.column] for one in asked]
        try:
            answers = await read_raw(self.client, nodes, asked, until_ns, values_max)
        except FAULTS as error:
            code = error.code if isinstance(error, UaStatusCodeError) else 0
            if code in TOO_MANY:
                self._limits.refused(Service.HISTORY, len(asked))
            why = str(error) or f"no answer within {self._endpoint.timeout_ms} ms"
            raise HistoryError(why, not_kept=code in NOT_KEPT) from error
        return [Past(status, continuation, self._stamped(np.full(len(values.raw), one.column, np.intp), values))
                for one, (status, continuation, values) in zip(asked, answers, strict=True)]

    async def subscribe(self, columns: list[int]) -> list[int]:
        """Ask to be told of changes; return the columns that values will come of, if only by reading them (`polled`).
        """
        self._missing_first[columns] = True
        with self.faults("subscribe at"):
            if not self._publisher.subscription:
                try:
                    await self._create_subscription()
                except UaStatusCodeError as error:
                    if error.code not in NOT_FOLLOWED:
                        raise
                    self._poll(columns, NOT_FOLLOWED[error.code])
                    return columns
            await self._forget_items(columns)
            codes = await self._monitor_all(columns, [self._trigger(column) for column in columns])
            plain = [column for column in columns if codes[column] in _FILTER_REFUSED]
            if plain:  # a server that cannot report the new time of an old value still reports new values
                codes |= await self._monitor_all(plain, [None] * len(plain))
        for column in columns:
            if codes[column] & BAD and codes[column] not in NOT_FOLLOWED:
                self._report(Changes.bad([column], codes[column] & STATUS_MASK))
        for code, why in NOT_FOLLOWED.items():
            self._poll([column for column in columns if codes[column] == code], why)
        return [column for column in columns if not codes[column] & BAD or column in self.polled]

    def _poll(self, columns: list[int], why: str) -> None:
        self.polled |= dict.fromkeys(columns, why)
        self._missing_first[columns] = False

    async def initial_values(self) -> None:
        """Wait, at most one time-out, until every monitored tag has been reported once."""
        if not self._missing_first.any():
            return
        self._all_first.clear()
        with suppress(TimeoutError), within(self._endpoint.timeout_ms):
            await self._all_first.wait()

    def drain(self) -> Changes:
        """Take all that was reported since the last call."""
        return self._changes.drain()

    @property
    def settled_ns(self) -> int:
        """Up to when, on the monotonic clock, all changes have surely come: two publishing intervals ago.

        The intervals are the server's and pass in its time, whatever the speed of our clock; hence the ticks.
        """
        return self._ticks_ns[0]

    @property
    def lost(self) -> str:
        """Why the connection or the subscription has ended, or its keep-alive is overdue; "" while all is well."""
        protocol = self.client.uaclient.protocol
        if not self._lost and (protocol is None or protocol.is_closed):
            self._lost = "the server closed the connection"
        return self._lost

    def check_alive(self) -> None:
        """Raise ConnectorError where the session is `lost`."""
        if self.lost:
            raise ConnectorError(f"{self._endpoint}: {self.lost}")

    async def close(self) -> None:
        """End the session and its subscription; never raises."""
        for timer in (self._watchdog, self._renewal, self._ticking):
            if timer is not None:
                timer.cancel()
        await self._publisher.close()
        await log_out(self.client)

    async def _create_subscription(self) -> None:
        endpoint = self._endpoint
        result = await self._publisher.create(ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=endpoint.publishing_interval_ms,
            RequestedLifetimeCount=endpoint.lifetime_count,
            RequestedMaxKeepAliveCount=endpoint.keepalive_count))
        keepalive_ms = result.RevisedPublishingInterval * result.RevisedMaxKeepAliveCount
        self._alive_s = (keepalive_ms + endpoint.timeout_ms) / 1e3
        self._tick_s = result.RevisedPublishingInterval / 1e3 / _TICKS_PER_INTERVAL
        self._feed_watchdog()
        self._tick()

    async def _forget_items(self, columns: list[int]) -> None:
        """End the monitored items of nodes that were found anew: an item follows the node that was."""
        old = [self._items.pop(column) for column in columns if column in self._items]
        for batch in _chunks(old, self._limits.of(Service.MONITOR)):
            await self.client.uaclient.delete_monitored_items(
                ua.DeleteMonitoredItemsParameters(self._publisher.subscription, batch))

    async def _monitor_all(self, columns: list[int], triggers: list[ua.DataChangeFilter | None]) -> dict[int, int]:
        """Have these columns monitored, in as many requests as the server needs; return their status codes."""
        codes: dict[int, int] = {}
        while len(codes) < len(columns):
            batch = slice(len(codes), len(codes) + self._limits.of(Service.MONITOR))
            try:
                codes |= await self._monitor(columns[batch], triggers[batch])
            except UaStatusCodeError as error:
                if error.code in TOO_MANY and self._limits.refused(Service.MONITOR, len(columns[batch])):
                    continue
                if error.code not in NOT_FOLLOWED:
                    raise
                codes |= dict.fromkeys(columns[len(codes) :], int(error.code))  # it will take no more
        return codes

    async def _monitor(self, columns: list[int], triggers: list[ua.DataChangeFilter | None]) -> dict[int, int]:
        items = [ua.MonitoredItemCreateRequest(
            ua.ReadValueId(self._nodes[column], AttributeIds.Value), ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(
                ClientHandle=column, SamplingInterval=self._sampling_ms[column], Filter=trigger,
                QueueSize=self._endpoint.queue_size, DiscardOldest=True))
            for column, trigger in zip(columns, triggers, strict=True)]
        results = await self.client.uaclient.create_monitored_items(ua.CreateMonitoredItemsParameters(
            self._publisher.subscription, ua.TimestampsToReturn.Both, items))
        if len(results) != len(columns):
            raise ValueError(f"{len(results)} results for {len(columns)} monitored items")
        codes = {column: int(result.StatusCode.value) for column, result in zip(columns, results, strict=True)}
        for column, result in zip(columns, results, strict=True):
            if not codes[column] & BAD:
                self._items[column] = result.MonitoredItemId
                self.polled.pop(column, None)
        return codes

    def _trigger(self, column: int) -> ua.DataChangeFilter:
        """Return what the server is to report of a tag.

        Without a deadband that is every sample, also where only its time stamp is new: it tells a steady process from a
        dead source. With one it is what leaves the deadband (Part 4, 7.22.2): a new time alone would undo it.
        """
        tag = self._tags[column]
        if tag.deadband:
            width = tag.deadband / abs(tag.scale)
            return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, int(ua.DeadbandType.Absolute), width)
        if tag.deadband_percent:
            return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, int(ua.DeadbandType.Percent),
                                       tag.deadband_percent)
        return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp, int(ua.DeadbandType.None_), 0.0)

    def _heard(self) -> None:
        """Take note of a message of the subscription, a keep-alive included."""
        self._feed_watchdog()
        self.arrived_ns = self._clock.monotonic_ns()

    def _published(self, notification: Notification) -> None:
        """Queue what a message of the subscription carries."""
        if isinstance(notification, DataValues):
            self._overflows += notification.overflows
            changes = self._stamped(notification.handle.astype(np.intp), notification)
            known = changes.column < len(self._sampling_ms)
            self._report(changes if known.all() else changes.take(known))
        elif isinstance(notification, ua.StatusChangeNotification) and notification.Status.is_bad():
            self._end(f"the server ended the subscription ({notification.Status.name})")

    def _end(self, why: str) -> None:
        self._lost = self._lost or why

    def _report(self, changes: Changes) -> None:
        self._changes.append(changes)
        self._missing_first[changes.column] = False
        if not self._missing_first.any():
            self._all_first.set()

    def _stamped(self, columns: Columns, values: DataValues) -> Changes:
        """Return values of these columns by the clock that the configuration believes, 0 where that gave no time."""
        match self._endpoint.timestamps:
            case Timestamps.SOURCE:
                time_ns = np.where(values.source_ns > 0, values.source_ns, values.server_ns)
            case Timestamps.SERVER:  # some send none: WinCC
                time_ns = np.where(values.server_ns > 0, values.server_ns, self._clock.time_ns())
            case Timestamps.GATEWAY:
                time_ns = np.full(len(columns), self._clock.time_ns())
        for at, text, status in values.texts:
            number = self._texts.get((int(columns[at]), text)) if columns[at] < len(self._tags) else None
            if number is not None and not status & BAD:
                values.raw[at], values.status[at] = number, status
        return Changes(columns, time_ns, values.raw, values.status)

    def _feed_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = asyncio.get_running_loop().call_later(self._alive_s, self._overdue)

    def _tick(self) -> None:
        self._ticks_ns.append(self._clock.monotonic_ns())
        self._ticking = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def _overdue(self) -> None:
        self._lost = f"no keep-alive of the subscription for {self._alive_s:.1f} s"

    def _schedule_renewal(self) -> None:
        self.renewal_due = False
        loop = asyncio.get_running_loop()
        self._renewal = loop.call_later(0.75 * self.client.secure_channel_timeout / 1e3, self._expect_renewal)

    def _expect_renewal(self) -> None:
        self.renewal_due = True

    def faults(self, doing: str) -> AbstractContextManager[None]:
        """Name the faults of requests that are made beside this class (connectors.opcua.browse)."""
        return faults(doing, self._endpoint)


_FILTER_REFUSED: Final = frozenset({
    StatusCodes.BadMonitoredItemFilterUnsupported, StatusCodes.BadMonitoredItemFilterInvalid,
    StatusCodes.BadFilterNotAllowed, StatusCodes.BadDeadbandFilterInvalid})


def _chunks(columns: list[int], size: int) -> list[list[int]]:
    return [columns[i:i + size] for i in range(0, len(columns), size)]


def is_identifier(text: str) -> bool:
    """Return whether a text is the tail of a NodeId: "s=pump.speed", "i=2258", "g=...", "b=..."."""
    try:
        node_id(1, text)
    except (UaError, ValueError):
        return False
    return True
