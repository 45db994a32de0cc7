"""A PLC on OPC UA: asyncua's server with one variable per tag, stamped with simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from connectors.frame import BAD_COMMUNICATION_ERROR, BAD_NO_DATA, Dtype, Float32s, NodeAddress, Tag
from simulators.gate import Gate, GateState
from simulators.wire import EXCEPTION_STATUS, Symptom

if TYPE_CHECKING:
    from asyncua import ua
    from asyncua.common.node import Node
    from asyncua.server.server import Server

    from simulators.record import Record

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class OpcuaPlc:
    """One PLC on `opc.tcp://host:port` (0: a free one), without security; its variables are read-only.

    A NaN is served as BadNoData. Timestamps, of source and server, are those of the rows shown. It records the last
    `history_rows` of them, also while nobody can reach it, and tells them to who asks for its history.
    """

    protocol = "opcua"

    def __init__(
        self, tags: Sequence[Tag], host: str = "127.0.0.1", port: int = 0, name: str = "plc", *,
        history_rows: int = 0,
    ) -> None:
        self.tags = tuple(tags)
        self.name = name
        self._gate = Gate(host, port)
        self._symptom: Symptom | None = None
        self._argument = 0
        self._row = self._frozen = np.full(len(self.tags), np.nan, np.float32)
        self._time_ns = 0
        self._server: Server | None = None
        self._nodes: list[Node] = []
        self._history_rows = history_rows
        self._record: Record | None = None

    @property
    def port(self) -> int:
        """Return the TCP port it listens on."""
        return self._gate.port

    @property
    def address(self) -> str:
        """Return the URL of the endpoint."""
        return f"opc.tcp://{self._gate.host}:{self._gate.port}"

    async def start(self) -> None:
        """Listen; raise OSError where the port is taken."""
        from asyncua import ua
        from asyncua.server.server import Server

        await self._gate.set(GateState.HELD)
        server = Server()
        await server.init()
        server.set_endpoint(self.address)
        server.socket_address = ("127.0.0.1", 0)
        server.set_force_server_timestamp(False)
        server.set_server_name(f"Forewarn simulator: {self.name}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self._history_rows:
            self._remember(server)
        await self._add_nodes(server)
        await server.start()
        assert server.bserver is not None
        self._server = server
        self._gate.target = ("127.0.0.1", server.bserver.port)
        await self._gate.set(GateState.OPEN)

    async def stop(self) -> None:
        """Drop all connections and stop listening; may be called twice."""
        await self._gate.set(GateState.SHUT)
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def show(self, values: Float32s, source_time_ns: int) -> None:
        """Write a row f32[C] with its time to the variables; it can be read when this returns."""
        self._row, self._time_ns = np.array(values, np.float32), source_time_ns
        shown = await self._write()
        if self._record is not None:
            self._record.add({node.nodeid: value for node, value in zip(self._nodes, shown, strict=True)})

    async def inject(self, symptom: Symptom | None, argument: int = 0) -> None:
        """Let the wire show a symptom from now on, or None: be well again."""
        if symptom is Symptom.STALE and self._symptom is not Symptom.STALE:
            self._frozen = self._row
        self._symptom, self._argument = symptom, argument
        held = {
            Symptom.TIMEOUT: GateState.HELD,
            Symptom.PARTITION: GateState.HELD,
            Symptom.REFUSED: GateState.SHUT,
        }
        await self._gate.set(held.get(symptom, GateState.OPEN) if symptom else GateState.OPEN)
        await self._write()

    def _remember(self, server: Server) -> None:
        """Let the server keep history; that of an earlier start is kept, as a PLC's is on its card."""
        from simulators.record import Record

        self._record = self._record or Record(self._history_rows)
        server.iserver.history_manager = self._record  # type: ignore[assignment]

    async def _add_nodes(self, server: Server) -> None:
        """Make one folder with one variable per tag; each has no data until the first row."""
        from asyncua import ua
        from asyncua.ua.attribute_ids import AttributeIds

        folder = None
        for tag in self.tags:
            assert isinstance(tag.address, NodeAddress)
            index = await server.register_namespace(tag.address.namespace_uri)
            if folder is None:
                folder = await server.nodes.objects.add_folder(index, self.name)
            node_id = ua.NodeId.from_string(f"ns={index};{tag.address.identifier}")
            kind = ua.VariantType.Boolean if tag.dtype is Dtype.BIT else ua.VariantType.Float
            zero = ua.Variant(False if tag.dtype is Dtype.BIT else 0.0, kind)
            node = await folder.add_variable(node_id, ua.QualifiedName(tag.name, index), zero)
            await _describe(node, tag)
            if self._record is not None:
                await node.set_attr_bit(AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)
                await node.set_attr_bit(AttributeIds.UserAccessLevel, ua.AccessLevel.HistoryRead)
            self._nodes.append(node)
        await self._write()

    async def _write(self) -> list[ua.DataValue]:
        """Write what is to be seen now; return it."""
        from asyncua import ua

        row = self._frozen if self._symptom is Symptom.STALE else self._row
        if self._symptom is Symptom.ZEROS:
            row = np.zeros_like(row)
        step_s = self._argument if self._symptom is Symptom.CLOCK_STEP else 0
        moment = _UNIX + timedelta(microseconds=self._time_ns // 1000, seconds=step_s)
        time = ua.DateTime.fromisoformat(moment.isoformat())
        shown = [self._data_value(tag, value, time) for tag, value in zip(self.tags, row.tolist(), strict=True)]
        for node, value in zip(self._nodes, shown, strict=True):
            await node.write_value(value)
        return shown

    def _data_value(self, tag: Tag, value: float, time: ua.DateTime) -> ua.DataValue:
        from asyncua import ua

        status = 0
        if self._symptom is Symptom.EXCEPTION:
            status = EXCEPTION_STATUS.get(self._argument, BAD_COMMUNICATION_ERROR)
        elif np.isnan(value):
            status = BAD_NO_DATA
        bit = tag.dtype is Dtype.BIT
        variant = ua.Variant(
            value > 0.5 if bit else value, ua.VariantType.Boolean if bit else ua.VariantType.Float
        )
        return ua.DataValue(
            Value=variant,
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=time,
            ServerTimestamp=time,
        )


async def _describe(node: Node, tag: Tag) -> None:
    """Give a variable its unit and the range of its instrument (OPC UA Part 8, 5.3.2)."""
    from asyncua import ua

    if tag.unit:
        unit = ua.EUInformation(DisplayName=ua.LocalizedText(tag.unit))
        await node.add_property(0, "EngineeringUnits", unit)
    if np.isfinite(tag.low) and np.isfinite(tag.high):
        await node.add_property(0, "InstrumentRange", ua.Range(Low=float(tag.low), High=float(tag.high)))
