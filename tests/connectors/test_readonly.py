"""The byte filters, checked against both libraries' own encoders, and no name of a write in the runtime's
source.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from asyncua import Client, Node, ua
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import UaSession
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from connectors.readonly import (
    MODBUS_READS,
    OPCUA_READS,
    ReadOnlyTransport,
    WriteRefusedError,
    check_modbus,
    check_opcua,
)
from tests import wire

ROOT = Path(__file__).resolve().parents[2]
FRAMER = FramerSocket(DecodePDU(False))


@pytest.mark.parametrize(
    "request_class",
    [ReadCoilsRequest, ReadDiscreteInputsRequest, ReadHoldingRegistersRequest, ReadInputRegistersRequest],
)
def test_every_read_passes(request_class: type[ModbusPDU]) -> None:
    check_modbus(FRAMER.buildFrame(request_class(address=5, count=3, dev_id=1, transaction_id=9)))


@pytest.mark.parametrize(
    "request_pdu",
    [
        WriteSingleCoilRequest(address=1, bits=[True]),
        WriteSingleRegisterRequest(address=1, registers=[1]),
        WriteMultipleRegistersRequest(address=1, registers=[1, 2]),
    ],
)
def test_no_write_passes(request_pdu: ModbusPDU) -> None:
    with pytest.raises(WriteRefusedError, match="only reads"):
        check_modbus(FRAMER.buildFrame(request_pdu))


@given(st.binary(max_size=300))
def test_nothing_but_one_whole_read_passes(data: bytes) -> None:
    try:
        check_modbus(data)
    except WriteRefusedError:
        return
    assert len(data) == 12
    assert data[7] in MODBUS_READS


@given(st.integers(0, 255), st.binary(max_size=16))
def test_a_modbus_function_passes_only_if_it_reads(code: int, tail: bytes) -> None:
    pdu = bytes([code]) + tail
    frame = b"\0\x01\0\0" + (len(pdu) + 1).to_bytes(2, "big") + b"\x01" + pdu
    if code in (1, 2, 3, 4) and len(tail) == 4:
        check_modbus(frame)
    else:
        with pytest.raises(WriteRefusedError):
            check_modbus(frame)


def test_a_second_frame_cannot_hide_behind_a_read() -> None:
    read = FRAMER.buildFrame(ReadCoilsRequest(address=5, count=3, dev_id=1))
    write = FRAMER.buildFrame(WriteSingleRegisterRequest(address=1, registers=[1]))
    with pytest.raises(WriteRefusedError):
        check_modbus(read + write)


def test_every_opc_ua_request_but_the_listed_reads_is_refused() -> None:
    requests = {
        name: kind
        for name, kind in vars(ua).items()
        if name.endswith("Request")
        and hasattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary")
        and inspect.isclass(kind)
    }
    assert len(requests) > 30
    passed = set()
    for name, kind in requests.items():
        body = struct_to_binary(kind())
        try:
            check_opcua(body)
        except WriteRefusedError:
            continue
        passed.add(name)
        assert OPCUA_READS[getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary")] in (
            name.removesuffix("Request"),
            name.removesuffix("ToNodeIdsRequest"),
        )
    assert len(passed) == len(OPCUA_READS)
    assert not passed & {"WriteRequest", "CallRequest", "HistoryUpdateRequest", "AddNodesRequest"}


def test_the_proxy_and_the_filter_know_the_same_reads_without_sharing_them() -> None:
    assert set(OPCUA_READS) == wire.OPCUA_READS
    assert set(MODBUS_READS) == wire.MODBUS_READS


@given(st.binary(max_size=30))
def test_no_opc_ua_bytes_pass_but_a_known_service(data: bytes) -> None:
    try:
        check_opcua(data)
    except WriteRefusedError:
        return
    assert int.from_bytes(data[2:4], "little") in OPCUA_READS


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


def test_the_filtered_transport_sends_what_passes_and_nothing_else() -> None:
    sink = Sink()
    transport = ReadOnlyTransport(sink, check_modbus)  # type: ignore[arg-type]
    read = FRAMER.buildFrame(ReadCoilsRequest(address=5, count=3, dev_id=1))
    write = FRAMER.buildFrame(WriteSingleRegisterRequest(address=1, registers=[1]))
    transport.write(memoryview(read))
    transport.writelines([read[:5], read[5:]])
    for attempt in (
        lambda: transport.write(write),
        lambda: transport.writelines([write[:6], write[6:]]),
        lambda: transport.sendto(read),
    ):
        with pytest.raises(WriteRefusedError):
            attempt()
    assert sink.sent == [read, read]
    transport.close()
    assert sink.closed


WRITES = (
    "write_",
    "mask_write",
    "readwrite_",
    "diag_",
    "add_",
    "delete_nodes",
    "delete_references",
    "set_value",
    "set_attribute",
    "set_writable",
    "set_modelling_rule",
    "history_update",
    "call",
    "register_server",
)


def write_names() -> set[str]:
    """Every public name in the two libraries' clients that can change something in a PLC."""
    owners = (ModbusClientMixin, Client, UaClient, UaSession, Node)
    return {name for owner in owners for name in dir(owner) if name.startswith(WRITES)} | {"call_method"}


def writes_named(source: str) -> list[str]:
    """Return "line name" for each write API that a source names."""
    names = write_names()
    return [
        f"{node.lineno} {name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute | ast.Name | ast.Constant)
        and (name := getattr(node, "attr", getattr(node, "id", getattr(node, "value", None))))
        and isinstance(name, str)
        and name in names
    ]


def test_the_list_of_write_names_is_the_libraries() -> None:
    assert write_names() >= {
        "write_register",
        "write_coil",
        "write_registers",
        "mask_write_register",
        "call",
        "readwrite_registers",
        "diag_restart_communication",
        "write_attributes",
        "write_value",
        "add_nodes",
        "delete_nodes",
        "history_update",
        "call_method",
        "write_values",
    }


def test_no_write_api_is_named_in_what_runs() -> None:
    files = [path for package in ("agent", "connectors", "models") for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 10
    found = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := writes_named(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    "planted",
    [
        "async def f(c): await c.write_register(1, 2)",
        "async def f(n): await n.write_value(3)",
        "getattr(client, 'write_coil')(1, True)",
        "from x import call_method\ncall_method()",
        "c.call(m)",
        "c.mask_write_register(1)",
        "s.write_attributes([], [])",
        "s.history_update(p)",
        "s.delete_nodes(p)",
    ],
)
def test_a_planted_write_is_found(planted: str) -> None:
    assert writes_named(planted)
