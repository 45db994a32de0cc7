from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wiring
from agent.commission.address import connection_at
from agent.commission.proposal import Found, Proposal, asset_name, settle, toml
from agent.config.base import ConfigError
from agent.config.file import Config
from connectors.frame import Dtype, ModbusAddress, NodeAddress, Table, Tag

MODBUS = connection_at("modbus-tcp://192.0.2.10:1502")
OPCUA = connection_at("opc.tcp://192.0.2.11:4840", {"security_policy": "None", "insecure": True})
FILE = Path("agent.toml")


def loaded(proposal: Proposal) -> list[tuple[str, Tag]]:
    """The tags as the agent will have them, by connection in the order of the file."""
    config = Config.parse(toml(proposal, origin="a test", state_dir="state"), FILE)
    return [pair for name in config.connections for pair in wiring.tags_of(config, name)]


def found(*tags: Tag, connection: str = "plc", asset: str = "pump") -> list[Found]:
    return [Found(asset, connection, tag) for tag in tags]


limits = st.floats(-1e6, 1e6, allow_nan=False)
names = st.text(st.characters(codec="utf-8"), max_size=140)
registers = st.builds(
    lambda name, unit, unit_id, register, dtype, order, scale, offset, low, span, period_ms: Tag(
        name, unit, ModbusAddress(unit_id, Table.HOLDING_REGISTER, register, order), dtype, scale, offset, low,
        low + span, period_ms),
    names, names, st.integers(0, 255), st.integers(0, 65_000),
    st.sampled_from([Dtype.INT16, Dtype.UINT32, Dtype.FLOAT32, Dtype.FLOAT64]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]), limits.filter(lambda x: x != 0), limits, limits,
    st.floats(1, 1e3), st.integers(10, 3_600_000))
texts = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), limits, min_size=1, max_size=3)
strings = st.builds(lambda name, register, length, said, invalid: Tag(
    name, "1", ModbusAddress(1, Table.HOLDING_REGISTER, register, length=length), Dtype.STRING,
    texts=tuple(said.items()), invalid=tuple(invalid)), names, st.integers(0, 65_000), st.integers(1, 125), texts,
    st.lists(limits, max_size=2))
bits = st.builds(lambda name, register, bit: Tag(
    name, "1", ModbusAddress(1, Table.INPUT_REGISTER, register, bit=bit), Dtype.BIT), names, st.integers(0, 65_535),
    st.integers(0, 15))
coils = st.builds(lambda name, register: Tag(name, "1", ModbusAddress(1, Table.COIL, register), Dtype.BIT), names,
                  st.integers(0, 65_535))
nodes = st.builds(lambda name, uri, text, low, span: Tag(
    name, "bar", NodeAddress(uri, f"s={text}"), low=low, high=low + span), names,
    st.text("urn:/.ä", min_size=1), st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1),
    limits, st.floats(1, 1e3))


@settings(deadline=None)
@given(st.lists(st.one_of(registers, bits, coils, strings), min_size=1, max_size=6), st.lists(nodes, max_size=6), names)
def test_what_is_proposed_is_what_the_agent_will_have(modbus: list[Tag], opcua: list[Tag], asset: str) -> None:
    proposal = settle({"plc": MODBUS, "press": OPCUA}, [
        *found(*modbus, asset=asset), *found(*opcua, connection="press", asset=asset)])
    assert loaded(proposal) == [(one.asset, one.tag) for one in sorted(proposal.found, key=lambda one: one.connection)]
    assert len(proposal.found) + len(proposal.left_out) == len(modbus) + len(opcua)
    assert {one.tag.address for one in proposal.found} >= {tag.address for tag in modbus}
    for one in proposal.left_out:
        assert "node" in one.why


def test_what_the_configuration_would_refuse_is_left_out_with_the_reason() -> None:
    proposal = settle({"plc": MODBUS, "press": OPCUA}, [
        *found(Tag("good", "bar", ModbusAddress(1, Table.COIL, 0), Dtype.BIT),
               Tag("too far", "bar", ModbusAddress(1, Table.HOLDING_REGISTER, 65_535)),
               Tag("no unit", "bar", ModbusAddress(300, Table.COIL, 0), Dtype.BIT),
               Tag("scale", "bar", ModbusAddress(1, Table.COIL, 0), Dtype.BIT, scale=0)),
        *found(Tag("line", "bar", NodeAddress("urn:x", "s=a\nb")), connection="press")])
    assert [one.tag.name for one in proposal.found] == ["good"]
    assert list(proposal.connections) == ["plc"]  # an unused connection is refused as well
    assert [(one.what, one.why.split(":")[0]) for one in proposal.left_out] == [
        ("too far", "impossible Modbus addresses"), ("no unit", "unit_id"), ("scale", "scale"), ("line", "node")]


def test_names_are_made_to_differ_and_to_fit() -> None:
    tags = [Tag(name, "", ModbusAddress(1, Table.COIL, i), Dtype.BIT)
            for i, name in enumerate(["a", "a", " a\t", "a_2", "", "x" * 200])]
    proposal = settle({"plc": MODBUS}, found(*tags, asset="Förder band/3"))
    assert [one.tag.name for one in proposal.found] == ["a", "a_2", "a_3", "a_2_2", "tag", "x" * 128]
    assert {one.tag.unit for one in proposal.found} == {"1"}
    assert set(proposal.assets) == {"Foerder_band_3"}
    assert asset_name("!") == "machine"


def test_a_note_stays_in_its_comment() -> None:
    note = 'x\n[agent]\nstate_dir = "elsewhere" \x00 \u2028 end'
    tag = Tag("a", "1", ModbusAddress(1, Table.COIL, 0), Dtype.BIT)
    proposal = settle({"plc": MODBUS}, [Found("pump", "plc", tag, note)])
    text = toml(proposal, origin="forewarn discover 'x\ny'", state_dir='/var/"lib"')
    assert str(Config.parse(text, FILE).agent.state_dir) == '/var/"lib"'


@pytest.mark.parametrize(("address", "keys"), [
    ("modbus-tcp://[::1]:1502/", {"protocol": "modbus-tcp", "host": "::1", "port": 1502}),
    ("modbus-ascii-over-tcp://h:4001", {"protocol": "modbus-ascii-over-tcp", "host": "h", "port": 4001}),
    ("modbus-rtu:///dev/ttyS0?baudrate=9600&parity=none&stop_bits=2",
     {"protocol": "modbus-rtu", "device": "/dev/ttyS0", "baudrate": 9600, "parity": "none", "stop_bits": 2}),
    ("modbus-tls://h?ca=/plc.pem", {"protocol": "modbus-tls", "host": "h", "ca": Path("/plc.pem")}),
    ("modbus-tcp://h?timeout_ms=3000&max_requests_per_s=2.5&close_after_poll=true",
     {"protocol": "modbus-tcp", "host": "h", "timeout_ms": 3000, "max_requests_per_s": 2.5, "close_after_poll": True}),
])
def test_an_address_becomes_the_table_of_a_connection(address: str, keys: dict[str, object]) -> None:
    connection = connection_at(address)
    assert connection.model_dump(exclude_unset=True) == keys
    tag = Tag("a", "1", ModbusAddress(1, Table.COIL, 0), Dtype.BIT)
    config = Config.parse(toml(settle({"plc": connection}, found(tag)), origin="a test", state_dir="state"), FILE)
    assert config.connections["plc"] == connection


@pytest.mark.parametrize(("address", "said"), [
    ("192.0.2.1", "write opc.tcp://HOST:PORT, modbus-tcp://HOST"),
    ("modbus-tcp://", "no host"),
    ("modbus-tcp://[::1", "write opc.tcp://HOST:PORT"),
    ("modbus-rtu:///dev/x?baudrate=\u00b2", "baudrate: got"),
    ("modbus-tcp://h:x", "no host, or no port"),
    ("modbus-tcp://h/path", "not an address that Forewarn knows"),
    ("modbus-rtu://ttyUSB0", "not an address that Forewarn knows"),
    ("modbus-rtu:///dev/x?baudrate=fast", "baudrate: got 'fast'"),
    ("modbus-tcp://h?speed=1", "speed: unknown key"),
    ("opc.tcp://user@h:4840", "without user or password"),
])
def test_an_address_that_is_none_is_refused_with_what_to_write(address: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connection_at(address, {"security_policy": None})
    assert said in "; ".join(caught.value.problems)
