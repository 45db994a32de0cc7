from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from agent import wiring
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.logs import JsonFormatter
from connectors.frame import Dtype, ModbusAddress, NodeAddress, Table
from connectors.modbus.endpoint import Framing, ModbusEndpoint, SerialLine, Tls
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode
from tests.agent.samples import CONFIG

TWO_ASSETS = (
    CONFIG
    + """
period_ms = 250

[assets.press]
bundle = "bundles/press"
period_ms = 500

[[assets.press.tags]]
name = "running"
unit = "1"
connection = "line3_plc"
unit_id = 2
table = "coil"
register = 7

[[assets.press.tags]]
name = "fault_bit"
unit = "1"
connection = "line3_plc"
unit_id = 2
table = "holding_register"
register = 8
dtype = "uint16"
bit = 3
"""
)


@pytest.fixture
def config() -> Config:
    return Config.parse(TWO_ASSETS, Path("/etc/forewarn/agent.toml"))


def test_a_connection_carries_the_tags_of_all_assets_in_the_order_of_the_file(config: Config) -> None:
    pairs = wiring.tags_of(config, "line3_plc")
    assert [(asset, tag.name) for asset, tag in pairs] == [
        ("pump", "pressure"),
        ("press", "running"),
        ("press", "fault_bit"),
    ]
    pressure, running, bit = (tag for _, tag in pairs)
    assert pressure.address == ModbusAddress(1, Table.INPUT_REGISTER, 12, "ABCD")
    assert (pressure.dtype, pressure.low, pressure.high, pressure.period_ms) == (
        Dtype.FLOAT32,
        0.0,
        25.0,
        1000,
    )
    assert (running.dtype, running.period_ms) == (Dtype.BIT, 500)
    assert (bit.dtype, bit.address) == (Dtype.BIT, ModbusAddress(2, Table.HOLDING_REGISTER, 8, "ABCD", 3))
    ((_, temperature),) = wiring.tags_of(config, "press_plc")
    assert temperature.address == NodeAddress("urn:example:press", "s=press.oil_temperature")
    assert temperature.period_ms == 250


def test_a_connection_is_read_as_often_as_its_most_wanted_tag(config: Config) -> None:
    assert wiring.period_ns(config, "line3_plc") == 500_000_000
    assert wiring.period_ns(config, "press_plc") == 250_000_000


def test_routes_lay_columns_as_the_lines_want_them(config: Config) -> None:
    columns = {"pump": ("temperature", "pressure"), "press": ("fault_bit", "running")}
    pump, press = wiring.routes(config, "line3_plc", columns)
    assert (pump.asset, pump.sources.tolist(), pump.targets.tolist(), pump.columns) == ("pump", [0], [1], 2)
    assert (press.asset, press.sources.tolist(), press.targets.tolist()) == ("press", [1, 2], [1, 0])


def test_endpoints(config: Config) -> None:
    assert wiring.endpoint(config, "line3_plc") == ModbusEndpoint("192.0.2.10", 502, 1000, 10.0)
    where = wiring.endpoint(config, "press_plc")
    assert isinstance(where, OpcuaEndpoint)
    assert (where.mode, where.publishing_interval_ms, where.insecure) == (OpcuaMode.SUBSCRIBE, 250, True)
    fast = wiring.endpoint(config, "press_plc", speed=100, poll=True)
    assert isinstance(fast, OpcuaEndpoint)
    assert (fast.mode, fast.publishing_interval_ms) == (OpcuaMode.POLL, 20)


@pytest.mark.parametrize(("table", "expected"), [
    ('protocol = "modbus-rtu-over-tcp"\nhost = "192.0.2.10"\nbackup_host = "192.0.2.11"\nretries = 2',
     ModbusEndpoint("192.0.2.10", framing=Framing.RTU, backup=("192.0.2.11", 502), retries=2)),
    ('protocol = "modbus-ascii-over-tcp"\nhost = "192.0.2.10"\nport = 4001\nmax_registers = 40\nmax_gap_registers = 0',
     ModbusEndpoint("192.0.2.10", 4001, framing=Framing.ASCII, max_registers=40, max_gap_registers=0)),
    ('protocol = "modbus-tls"\nhost = "192.0.2.10"\nca = "/etc/ca.pem"\nbackup_host = "192.0.2.11"\nbackup_port = 803',
     ModbusEndpoint("192.0.2.10", 802, tls=Tls(Path("/etc/ca.pem")), backup=("192.0.2.11", 803))),
    ('protocol = "modbus-rtu"\ndevice = "/dev/ttyUSB0"\nparity = "none"\nstop_bits = 2\nmin_gap_ms = 100',
     ModbusEndpoint(line=SerialLine("/dev/ttyUSB0", 19_200, "N", 2, 8), framing=Framing.RTU, min_gap_ms=100)),
    ('protocol = "modbus-ascii"\ndevice = "/dev/ttyS1"\nbaudrate = 9600\ndata_bits = 7\nclose_after_poll = true',
     ModbusEndpoint(line=SerialLine("/dev/ttyS1", 9600, "E", 1, 7), framing=Framing.ASCII, close_after_poll=True)),
])
def test_every_modbus_wire_has_its_endpoint(table: str, expected: ModbusEndpoint) -> None:
    text = CONFIG.replace('protocol = "modbus-tcp"\nhost = "192.0.2.10"', table)
    found = wiring.endpoint(Config.parse(text, Path("agent.toml")), "line3_plc")
    assert isinstance(found, ModbusEndpoint)
    assert found == expected
    assert ("by-id" in found.advice) == ("ttyUSB" in table)


def _at(one: str, other: str) -> Config:
    """Return the sample's configuration with other addresses of its two connections."""
    text = CONFIG.replace('protocol = "modbus-tcp"\nhost = "192.0.2.10"', one)
    return Config.parse(text.replace('url = "opc.tcp://192.0.2.11:4840"', other), Path("agent.toml"))


_SIMULATED = 'protocol = "modbus-tcp"\nhost = "127.0.0.1"', 'url = "opc.tcp://localhost:4840/plant"'


def test_any_speed_is_for_simulators_on_this_machine() -> None:
    wiring.only_simulators(_at(*_SIMULATED), 600.0)
    wiring.only_simulators(_at(_SIMULATED[0], 'url = "opc.tcp://[::1]:4840"'), 0.5)


@pytest.mark.parametrize(("tables", "named"), [
    (('protocol = "modbus-tcp"\nhost = "192.0.2.10"', _SIMULATED[1]), ["line3_plc: 192.0.2.10"]),
    ((_SIMULATED[0] + '\nbackup_host = "plc-b"', _SIMULATED[1]), ["line3_plc: plc-b"]),
    (('protocol = "modbus-rtu"\ndevice = "/dev/ttyS1"', _SIMULATED[1]), ["line3_plc: /dev/ttyS1"]),
    ((_SIMULATED[0], _SIMULATED[1] + '\nbackup_url = "opc.tcp://192.0.2.12:4840"'), ["press_plc: 192.0.2.12"]),
    (('protocol = "modbus-tcp"\nhost = "192.0.2.10"', 'url = "opc.tcp://127.0.0.1.example.com:4840"'),
     ["line3_plc: 192.0.2.10", "press_plc: 127.0.0.1.example.com"]),
])
def test_a_real_device_is_asked_at_its_own_pace(tables: tuple[str, str], named: list[str]) -> None:
    """What `max_requests_per_s` promises a device must not depend on how fast our clock runs."""
    config = _at(*tables)
    wiring.only_simulators(config, 1.0)
    with pytest.raises(ConfigError) as refused:
        wiring.only_simulators(config, 60.0)
    assert [problem.split(" is no simulator")[0] for problem in refused.value.problems] == [
        f"connections.{name}" for name in named
    ]
    assert all("run without --speed" in problem for problem in refused.value.problems)


def test_the_log_is_one_json_object_a_line() -> None:
    record = logging.makeLogRecord(
        {
            "name": "agent.x",
            "levelname": "ERROR",
            "msg": "no %s\nat all",
            "args": ("luck",),
            "path": Path("/x"),
            "steps": 3,
            "created": 1764460800.5,
        }
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2025-11-30T00:00:00.500+00:00",
        "level": "error",
        "message": "no luck\nat all",
        "logger": "agent.x",
        "path": "/x",
        "steps": 3,
    }
