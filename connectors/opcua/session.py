"""One OPC UA session by asyncua: what is asked over a channel of connectors.opcua.channel.

asyncua's own reconnection is not used: it can say "connected" and deliver nothing. A client is used until
its first fault (see connectors.link); a subscription whose keep-alive is overdue is such a fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from connectors import ConnectorError
from connectors.frame import (
    BAD,
    BAD_NODE_ID_UNKNOWN,
    BAD_TYPE_MISMATCH,
    BAD_WAITING_FOR_INITIAL_DATA,
    Tag,
)
from connectors.link import Clock
from connectors.opcua.channel import LOGIN_REQUESTS, faults, log_in, log_out
from connectors.opcua.endpoint import OpcuaEndpoint, Timestamps
from connectors.opcua.resolve import Facts, OpcuaAddress, node_id, read_facts, resolve
from connectors.opcua.rows import Change

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_NS_MAX: Final = 2**63 - 1
_STATUS_MASK: Final = 0xFFFF0000  # the lower half is flags: limits, queue overflow
_OVERFLOW: Final = 0x480          # info type DataValue, overflow bit (Part 4, 7.39)
_SESSION_TIMEOUT_MS: Final = 60_000
_TICKS_PER_INTERVAL: Final = 4
_TICKS_KEPT: Final = 2 * _TICKS_PER_INTERVAL + 1
SETUP_REQUESTS: Final = LOGIN_REQUESTS + 3  # namespaces, subscription, values


class Session:
    """One session by asyncua, its requests filtered on the way out; values wait in one bounded queue."""

    def __init__(self, endpoint: OpcuaEndpoint, tags: Sequence[Tag], clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
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
        self._changes: deque[Change] = deque(maxlen=endpoint.buffer_changes)
        self._subscription = 0
        self._alive_s = 0.0
        self._tick_s = 0.0
        self._ticks_ns = deque([clock.monotonic_ns()], maxlen=_TICKS_KEPT)
        self._watchdog: asyncio.TimerHandle | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self.arrived_ns = clock.monotonic_ns()
        self.renewal_due = False
        self._lost = ""
        self._missing_first: set[int] = set()
        self._all_first = asyncio.Event()
        self.drops = 0

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
            found = await resolve(self.client, addresses, self._namespaces, self._endpoint.max_nodes_per_request)
        for column in addresses:
            self._nodes.pop(column, None)
            if column not in found:
                self._report(Change(column, None, float("nan"), BAD_NODE_ID_UNKNOWN))
        self._nodes |= found
        return list(found)

    def batches(self) -> list[list[int]]:
        """Return the columns to read, in as many requests as the server needs."""
        return _chunks(list(self._nodes), self._endpoint.max_nodes_per_request)

    async def read_values(self, columns: list[int]) -> list[Change]:
        """Read these columns at once."""
        items = [ua.ReadValueId(self._nodes[column], AttributeIds.Value) for column in columns]
        with self.faults("read from"):
            answers = await self.client.uaclient.read(
                ua.ReadParameters(0, ua.TimestampsToReturn.Both, items))
            if len(answers) != len(columns):
                raise ValueError(f"{len(answers)} values for {len(columns)} nodes")
            return [self._change(column, value) for column, value in zip(columns, answers, strict=True)]

    async def subscribe(self, columns: list[int]) -> list[int]:
        """Ask to be told of changes; return the columns for which the server agreed."""
        self._missing_first.update(columns)
        with self.faults("subscribe at"):
            if not self._subscription:
                await self._create_subscription()
            await self._forget_items(columns)
            agreed: list[int] = []
            for batch in _chunks(columns, self._endpoint.max_nodes_per_request):
                codes = await self._monitor(batch, _every_sample())
                plain = [column for column in batch if codes[column] in _FILTER_REFUSED]
                if plain:  # a server that cannot report the new time of an old value still reports new values
                    codes |= await self._monitor(plain, None)
                for column in batch:
                    if codes[column] & BAD:
                        self._report(Change(column, None, float("nan"), codes[column] & _STATUS_MASK))
                    else:
                        agreed.append(column)
        return agreed

    async def initial_values(self) -> None:
        """Wait, at most one time-out, until every monitored tag has been reported once."""
        if self._missing_first:
            self._all_first.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._endpoint.timeout_ms / 1e3):
                await self._all_first.wait()

    def drain(self) -> list[Change]:
        """Take all that was reported since the last call."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    @property
    def settled_ns(self) -> int:
        """Up to when, on the monotonic clock, all changes have surely come: two publishing intervals ago.

        The intervals are the server's and pass in its time, whatever the speed of our clock; hence the ticks.
        """
        return self._ticks_ns[0]

    def check_alive(self) -> None:
        """Raise ConnectorError where the subscription has ended or its keep-alive is overdue."""
        protocol = self.client.uaclient.protocol
        if not self._lost and (protocol is None or protocol.is_closed):
            self._lost = "the server closed the connection"
        if self._lost:
            raise ConnectorError(f"{self._endpoint}: {self._lost}")

    async def close(self) -> None:
        """End the session and its subscription; never raises."""
        for timer in (self._watchdog, self._renewal, self._ticking):
            if timer is not None:
                timer.cancel()
        await log_out(self.client)

    async def _create_subscription(self) -> None:
        endpoint = self._endpoint
        result = await self.client.uaclient.create_subscription(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=endpoint.publishing_interval_ms,
                RequestedLifetimeCount=endpoint.lifetime_count,
                RequestedMaxKeepAliveCount=endpoint.keepalive_count),
            self._published)
        self._subscription = result.SubscriptionId
        keepalive_ms = result.RevisedPublishingInterval * result.RevisedMaxKeepAliveCount
        self._alive_s = (keepalive_ms + endpoint.timeout_ms) / 1e3
        self._tick_s = result.RevisedPublishingInterval / 1e3 / _TICKS_PER_INTERVAL
        self._feed_watchdog()
        self._tick()

    async def _forget_items(self, columns: list[int]) -> None:
        """End the monitored items of nodes that were found anew: an item follows the node that was."""
        old = [self._items.pop(column) for column in columns if column in self._items]
        for batch in _chunks(old, self._endpoint.max_nodes_per_request):
            await self.client.uaclient.delete_monitored_items(
                ua.DeleteMonitoredItemsParameters(self._subscription, batch))

    async def _monitor(self, columns: list[int], trigger: ua.DataChangeFilter | None) -> dict[int, int]:
        items = [ua.MonitoredItemCreateRequest(
            ua.ReadValueId(self._nodes[column], AttributeIds.Value), ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(
                ClientHandle=column, SamplingInterval=self._sampling_ms[column], Filter=trigger,
                QueueSize=self._endpoint.queue_size, DiscardOldest=True))
            for column in columns]
        results = await self.client.uaclient.create_monitored_items(ua.CreateMonitoredItemsParameters(
            self._subscription, ua.TimestampsToReturn.Both, items))
        if len(results) != len(columns):
            raise ValueError(f"{len(results)} results for {len(columns)} monitored items")
        self._items |= {column: result.MonitoredItemId for column, result in zip(columns, results, strict=True)
                        if result.StatusCode.is_good()}
        return {column: int(result.StatusCode.value)
                for column, result in zip(columns, results, strict=True)}

    def _published(self, result: ua.PublishResult) -> None:
        """Queue what a publish response carries; called by asyncua for each, keep-alives included."""
        self._feed_watchdog()
        self.arrived_ns = self._clock.monotonic_ns()
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                for item in notification.MonitoredItems:
                    if 0 <= item.ClientHandle < len(self._sampling_ms):
                        self._report(self._change(item.ClientHandle, item.Value))
            elif isinstance(notification, ua.StatusChangeNotification) and notification.Status.is_bad():
                self._lost = f"the server ended the subscription ({notification.Status.name})"

    def _report(self, change: Change) -> None:
        self.drops += len(self._changes) == self._changes.maxlen
        self._changes.append(change)
        self._missing_first.discard(change.column)
        if not self._missing_first:
            self._all_first.set()

    def _change(self, column: int, value: ua.DataValue) -> Change:
        code = 0 if value.StatusCode is None else int(value.StatusCode.value)
        self.drops += code & _OVERFLOW == _OVERFLOW
        status = code & _STATUS_MASK
        raw = None if value.Value is None else value.Value.Value
        if not status & BAD:
            if raw is None:
                status = BAD_WAITING_FOR_INITIAL_DATA
            elif not isinstance(raw, bool | int | float):
                status = BAD_TYPE_MISMATCH
        number = float("nan") if status & BAD or raw is None else float(raw)
        return Change(column, self._stamp(value), number, status)

    def _stamp(self, value: ua.DataValue) -> int | None:
        """Return when a value was, by the clock that the configuration believes; None where that gave no time."""
        match self._endpoint.timestamps:
            case Timestamps.SOURCE:
                return _time_ns(value.SourceTimestamp) or _time_ns(value.ServerTimestamp)
            case Timestamps.SERVER:
                return _time_ns(value.ServerTimestamp) or self._clock.time_ns()  # some send none: WinCC
            case Timestamps.GATEWAY:
                return self._clock.time_ns()

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
    StatusCodes.BadFilterNotAllowed})


def _every_sample() -> ua.DataChangeFilter:
    """Report a value also where only its time stamp is new: it tells a steady process from a dead source."""
    return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp, int(ua.DeadbandType.None_), 0.0)


def _chunks(columns: list[int], size: int) -> list[list[int]]:
    return [columns[i:i + size] for i in range(0, len(columns), size)]


def _time_ns(stamp: datetime | None) -> int | None:
    """Return UTC ns since 1970, or None for a stamp that is missing or says nothing (1601, 9999)."""
    if stamp is None:
        return None
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    time_ns = (aware - _EPOCH) // timedelta(microseconds=1) * 1000
    return time_ns if 0 < time_ns < _TIME_NS_MAX else None


def is_identifier(text: str) -> bool:
    """Return whether a text is the tail of a NodeId: "s=pump.speed", "i=2258", "g=...", "b=..."."""
    try:
        node_id(1, text)
    except (UaError, ValueError):
        return False
    return True
