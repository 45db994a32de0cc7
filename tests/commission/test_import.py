"""Other programs' lists of tags, each in a sample of its format, become configurations that the agent takes."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wiring
from agent.commission.address import connection_at
from agent.commission.how import How
from agent.commission.proposal import Proposal
from agent.commission.readers import READERS
from agent.config.base import ConfigError
from agent.config.file import load
from connectors.frame import Dtype, ModbusAddress, NodeAddress, Table, Tag
from tests.agent.commands import forewarn
from tests.commission.test_proposal import loaded

SAMPLES = Path(__file__).parent / "samples"
COIL, DISCRETE, HOLDING, INPUT = Table
MODBUS = connection_at("modbus-tcp://192.0.2.10")
OPCUA = connection_at("opc.tcp://192.0.2.11:4840", {"security_policy": "None", "insecure": True})
KEP = How(OPCUA, node="nsu=KEPServerEX;s=Ch.Dev.{tag}")
S7 = "http://www.siemens.com/simatic-s7-opcua"
IGNITION = How(OPCUA, namespaces={1: "urn:ignition", 2: "urn:kep"})


def tags(proposal: Proposal) -> dict[str, Tag]:
    """The tags by name, which the agent will have as they are proposed."""
    assert {tag.name: tag for _, tag in loaded(proposal)} == {one.tag.name: one.tag for one in proposal.found}
    return {f"{one.asset}.{one.tag.name}": one.tag for one in proposal.found}


def left_out(proposal: Proposal) -> dict[str, str]:
    return {one.what: one.why for one in proposal.left_out}


def test_telegraf() -> None:
    proposal = READERS["telegraf"](SAMPLES / "telegraf.conf", How())
    assert [(one.asset, one.connection, one.tag) for one in proposal.found] == [
        ("Pump_skid", "Pump_skid", tag) for tag in [
            Tag("motor1_run", "1", ModbusAddress(3, COIL, 5), Dtype.BIT),
            Tag("start", "1", ModbusAddress(3, DISCRETE, 0), Dtype.BIT),
            Tag("power_factor", "1", ModbusAddress(3, HOLDING, 8), Dtype.INT16, 0.01),
            Tag("energy", "1", ModbusAddress(3, HOLDING, 5), Dtype.INT32, 0.001),
            Tag("power", "1", ModbusAddress(3, HOLDING, 3, "CDAB"), Dtype.UINT32, 0.1),
            Tag("tank_level", "1", ModbusAddress(3, INPUT, 0, "BADC"), Dtype.INT16),
            Tag("pressure", "1", ModbusAddress(3, INPUT, 12), Dtype.FLOAT32)]] + [
        ("Gateway", "Gateway", tag) for tag in [
            Tag("motor1_run", "1", ModbusAddress(1, COIL, 0), Dtype.BIT),
            Tag("voltage", "1", ModbusAddress(2, HOLDING, 0, "DCBA"), Dtype.INT16, 0.1),
            Tag("energy", "1", ModbusAddress(2, HOLDING, 5, "DCBA"), Dtype.FLOAT32, 0.001),
            Tag("alarm", "1", ModbusAddress(2, HOLDING, 9, "DCBA", 3), Dtype.BIT),
            Tag("level", "1", ModbusAddress(2, HOLDING, 10, "DCBA"), Dtype.UINT8_LOW),
            Tag("ph", "1", ModbusAddress(2, HOLDING, 11, "DCBA"), Dtype.FLOAT16)]] + [
        ("Meter", "Gateway", Tag("frequency", "1", ModbusAddress(9, INPUT, 30, "CDAB"), Dtype.FLOAT64))] + [
        (name, name, Tag("x", "1", ModbusAddress(2, COIL, 0), Dtype.BIT)) for name in ("Old_line", "Converter")]
    assert left_out(proposal) == {
        "Pump skid: torn": "its registers [10, 12] do not follow each other",
        "Pump skid: serial": "it is a text, not a number",
        "Gateway: motor1_stop": "it is omitted there too",
        "Datagrams": 'controller = "udp://192.0.2.31:502" with transmission mode auto has no counterpart here; '
                     "where the device can also be reached otherwise, say so with --at",
    }
    assert {name: said.model_dump(exclude_unset=True) for name, said in proposal.connections.items()} == {
        "Pump_skid": {"protocol": "modbus-tcp", "host": "192.0.2.10", "port": 1502},
        "Gateway": {"protocol": "modbus-tcp", "host": "192.0.2.20", "port": 502},
        "Old_line": {"protocol": "modbus-rtu", "device": "/dev/ttyUSB0", "baudrate": 19_200, "data_bits": 8,
                     "parity": "even", "stop_bits": 1},
        "Converter": {"protocol": "modbus-rtu-over-tcp", "host": "192.0.2.30", "port": 4001}}


def test_kepware_read_from_the_device() -> None:
    proposal = READERS["kepware"](SAMPLES / "kepware.csv", How(MODBUS, unit_id=7))
    assert tags(proposal) == {
        "Pump.Pressure": Tag("Pressure", "bar", ModbusAddress(7, HOLDING, 12, "CDAB"), Dtype.FLOAT32),
        "Pump.Level": Tag("Level", "%", ModbusAddress(7, INPUT, 20), Dtype.UINT16, 100 / 27_648),
        "Pump.Speed": Tag("Speed", "1/min", ModbusAddress(7, HOLDING, 20), Dtype.UINT16, 1500 / 16_384, low=0,
                          high=1500, clamp=True),
        "machine.Running": Tag("Running", "1", ModbusAddress(7, COIL, 16), Dtype.BIT),
        "machine.Alarm": Tag("Alarm", "1", ModbusAddress(7, HOLDING, 39, bit=3), Dtype.BIT),
        "machine.Hours": Tag("Hours", "h", ModbusAddress(7, HOLDING, 49, "CDAB"), Dtype.UINT32),
    }
    reasons = left_out(proposal)
    assert reasons["line 5: Pump.Flow"].startswith('its scaling "square root" is not linear')
    assert reasons["line 9: Serial"] == "it is no number (String)"
    assert reasons["line 10: Trend"] == "it is an array"
    assert "is no address with a table" in reasons["line 11: S7"]
    abcd = READERS["kepware"](SAMPLES / "kepware.csv", How(MODBUS, order="ABCD"))
    assert tags(abcd)["Pump.Pressure"].address == ModbusAddress(1, HOLDING, 12)


def test_kepware_read_over_its_own_opcua_server() -> None:
    proposal = READERS["kepware"](SAMPLES / "kepware.csv", KEP)
    found = tags(proposal)
    assert found["Pump.Level"] == Tag("Level", "%", NodeAddress("KEPServerEX", "s=Ch.Dev.Pump.Level"))
    assert found["Pump.Flow"].unit == "m3/h"
    assert found["machine.S7"].address == NodeAddress("KEPServerEX", "s=Ch.Dev.S7")
    assert set(left_out(proposal)) == {"line 9: Serial", "line 10: Trend"}


def test_ignition_json() -> None:
    proposal = READERS["ignition"](SAMPLES / "ignition.json", IGNITION)
    oil = NodeAddress("urn:ignition", "s=[PLC]Press.OilTemperature")
    assert tags(proposal) == {
        "Press.OilTemperature": Tag("OilTemperature", "degC", oil, low=-20, high=150),
        "Press.Pressure": Tag("Pressure", "bar", NodeAddress("urn:codesys", "s=|var|Press.Pressure"),
                              scale=400 / 27_648),  # its engHigh is what a display shows, and enforced by nobody
    }
    assert left_out(proposal) == {
        "Press/Recipe": "it is no number (String)",
        "Press/Sum": "it is no OPC tag (expr), so that no device has it",
        "Pump1/Speed": "its OPC item path is bound to a parameter of its type; export the instances of the type",
        "Pump1/Other": "the file has no URI for the namespace 7: give --namespace 7=URI",
    }


def test_ignition_csv() -> None:
    proposal = READERS["ignition"](SAMPLES / "ignition.csv", IGNITION)
    oil = NodeAddress("urn:kep", "s=Ch.Dev.OilTemperature")
    assert tags(proposal) == {
        "Press.OilTemperature": Tag("OilTemperature", "degC", oil, low=-20, high=150),
        "Press.Level": Tag("Level", "m", NodeAddress("urn:kep", "s=Ch.Dev.Level"), scale=0.05),
    }
    assert left_out(proposal) == {"Press/Name": "it is no number (string)"}


def test_thingsboard() -> None:
    proposal = READERS["thingsboard"](SAMPLES / "thingsboard.json", How())
    assert tags(proposal) == {f"Temp_Sensor.{tag.name}": tag for tag in [
        Tag("int16_read", "1", ModbusAddress(4, HOLDING, 20, "CDAB"), Dtype.INT16),
        Tag("float32_read", "1", ModbusAddress(4, INPUT, 34, "CDAB"), Dtype.FLOAT32, 0.1),
        Tag("double_read", "1", ModbusAddress(4, HOLDING, 40), Dtype.FLOAT64),
        Tag("bit_read", "1", ModbusAddress(4, HOLDING, 7, bit=4), Dtype.BIT),
        Tag("coil_read", "1", ModbusAddress(4, COIL, 2), Dtype.BIT)]}
    assert left_out(proposal) == {
        "Temp Sensor: bits_read": "it is a field of 4 bits; take each bit as a tag of its own",
        "Temp Sensor: string_read": "it is no number (string)",
        "Odd": "its connection (udp, socket) has no counterpart here; where the device can also be reached otherwise, "
               "say so with --at"}


TELEGRAF_DEVICE = """
[[inputs.modbus]]
name = "{name}"
controller = "tcp://{host}:502"
holding_registers = [{{name = "level", data_type = "INT16", address = [0]}}]
"""


@pytest.mark.parametrize("program", ["telegraf", "thingsboard"])
def test_devices_of_the_same_name_keep_their_addresses(program: str, tmp_path: Path) -> None:
    devices = [("pump", "192.0.2.1"), ("pump_2", "192.0.2.2"), ("pump_4", "192.0.2.3"), ("pump", "192.0.2.4"),
               ("again", "192.0.2.1"), ("x" * 80, "192.0.2.5"), ("x" * 80, "192.0.2.6")]
    level = {"tag": "level", "type": "16int", "functionCode": 3, "address": 0, "objectsCount": 1}
    file = tmp_path / "devices"
    file.write_text("".join(TELEGRAF_DEVICE.format(name=name, host=host) for name, host in devices)
                    if program == "telegraf" else
                    json.dumps({"master": {"slaves": [{"deviceName": name, "host": host, "port": 502, "unitId": 1,
                                                       "timeseries": [level]} for name, host in devices]}}))
    proposal = READERS[program](file, How())
    assert [proposal.connections[one.connection] for one in proposal.found] == [
        connection_at(f"modbus-tcp://{host}:502") for _, host in devices]
    assert len(proposal.connections) == 6
    assert len(loaded(proposal)) == len(devices), "the agent takes it"


@pytest.mark.parametrize("name", ["tia.xml", "tia_openness.xml", "tia.csv", "tia.xlsx"])
def test_tia(name: str, tmp_path: Path) -> None:
    file = SAMPLES / name
    if name == "tia.xlsx":
        file = tmp_path / name
        file.write_bytes(workbook((SAMPLES / "tia.csv").read_text(encoding="utf-8")))
    proposal = READERS["tia"](file, How(OPCUA))
    found = tags(proposal)
    assert found["Press.Oil_Temperature"] == Tag("Oil_Temperature", "1", NodeAddress(S7, 's="Oil_Temperature"'))
    assert "Oil_Temperature; " in proposal.found[0].note
    if name in ("tia.csv", "tia.xlsx"):
        assert found["Press.Data_block_1.Speed"].address == NodeAddress(S7, 's="Data_block_1"."Speed"')
    if name == "tia.xml":
        assert set(found) == {"Press.Oil_Temperature", "Press.Running"}
        assert {what.partition(": ")[2]: why.split(" (")[0] for what, why in left_out(proposal).items()} == {
            "Hidden": "it is not accessible from HMI and OPC UA; set that in TIA Portal", "Recipe": "it is no number",
            "Drive": "it is a structure", "Trend": "it is an array"}


def test_l5x() -> None:
    proposal = READERS["l5x"](SAMPLES / "project.L5X", KEP)
    assert tags(proposal) == {
        "Press.Oil.Alarm": Tag("Oil.Alarm", "1", NodeAddress("KEPServerEX", "s=Ch.Dev.Oil.Alarm")),
        "Press.Oil.PV": Tag("Oil.PV", "degC", NodeAddress("KEPServerEX", "s=Ch.Dev.Oil.PV")),
        "Press.Cycle": Tag("Cycle", "1", NodeAddress("KEPServerEX", "s=Ch.Dev.Cycle")),
        "Main.Speed": Tag("Speed", "1", NodeAddress("KEPServerEX", "s=Ch.Dev.Program:Main.Speed")),
    }
    assert left_out(proposal) == {
        "Oil.Trend": "it is an array of REAL",
        "Secret": "it may not be accessed from outside (ExternalAccess or OpcUaAccess is None)",
        "Other": "it is another name for Cycle",
        "Delay": "TIMER is no number and no structure of this project"}


def workbook(text: str, *, sheet: str = "PLC Tags") -> bytes:
    """An XLSX as TIA Portal writes it: texts shared, empty cells missing."""
    lines = [line.split(";") for line in text.replace('"""', '"').replace('""', '"').splitlines()]
    strings = list(dict.fromkeys(cell for line in lines for cell in line if cell))
    escape = str.maketrans({"&": "&amp;", "<": "&lt;"})
    body = "".join(
        f'<row r="{r}">' + "".join(f'<c r="{chr(65 + c)}{r}" t="s"><v>{strings.index(cell)}</v></c>'
                                   for c, cell in enumerate(line) if cell) + "</row>"
        for r, line in enumerate(lines, 1))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}"><sheets><sheet name="Other" sheetId="1" '
                           f'r:id="rId1"/><sheet name="{sheet}" sheetId="2" r:id="rId2"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="rId1" Target="worksheets/sheet1.xml"/>'
                                      '<Relationship Id="rId2" Target="/xl/worksheets/sheet2.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData/></worksheet>',
        "xl/worksheets/sheet2.xml": f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">' + "".join(
            f"<si><t>{cell.translate(escape)}</t></si>" for cell in strings) + "</sst>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name, content)
    return out.getvalue()


BOMB = ('<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
        '<Tagtable name="x"><Tag type="Real">&b;</Tag></Tagtable>')
EXTERNAL = ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><Tagtable name="x"><Tag type="Real">&e;</Tag>'
            "</Tagtable>")


@pytest.mark.parametrize("kind", ["tia", "l5x"])
@pytest.mark.parametrize("text", [BOMB, EXTERNAL])
def test_entities_are_not_read(kind: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(ConfigError, match="document type"):
        READERS[kind](tmp_path / "x.xml", KEP)


def test_what_grows_when_unpacked_or_nests_for_ever_is_not_read(tmp_path: Path) -> None:
    deep = tmp_path / "deep.xml"
    deep.write_text("<a>" * 200 + "</a>" * 200)
    with pytest.raises(ConfigError, match="inside each other"):
        READERS["tia"](deep, KEP)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", "<sst>" + " " * (80 << 20) + "</sst>")
    (tmp_path / "big.xlsx").write_bytes(out.getvalue())
    assert len(out.getvalue()) < 1 << 20
    with pytest.raises(ConfigError, match="unpacks to more than"):
        READERS["tia"](tmp_path / "big.xlsx", KEP)


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(sorted(READERS)), data=st.data())
def test_no_file_breaks_a_reader(kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    sample = data.draw(st.sampled_from([path.read_bytes() for path in sorted(SAMPLES.iterdir())]))
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 20)))
    broken = sample[:start] + data.draw(st.binary(max_size=8)) + sample[end:]
    file = tmp_path_factory.getbasetemp() / "broken"
    file.write_bytes(broken)
    for how in (IGNITION, KEP, How(MODBUS), How()):
        try:
            READERS[kind](file, how)
        except ConfigError as error:
            assert all(error.problems)  # noqa: PT017 - a refusal must say why; no refusal is well, too


def test_the_command_writes_a_configuration_and_says_what_it_left_out(tmp_path: Path) -> None:
    out = tmp_path / "agent.toml"
    result = forewarn("import", "telegraf", SAMPLES / "telegraf.conf", "--out", out)
    assert result.exit_code == 0, result.output
    config = load(out)
    assert [len(wiring.tags_of(config, name)) for name in config.connections] == [7, 7, 1, 1]
    assert "left out: Pump skid: serial: it is a text, not a number" in result.output
    assert "#   Pump skid: serial: it is a text, not a number" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(("arguments", "said"), [
    (("csv", "x"), "csv is none of telegraf, thingsboard, kepware, ignition, tia, l5x"),
    (("telegraf", "missing.conf"), "missing.conf: cannot be read"),
    (("telegraf", "kepware.csv"), "kepware.csv: not TOML"),
    (("kepware", "kepware.csv"), "kepware.csv: the file does not say where the device is; give its address with --at"),
    (("kepware", "kepware.csv", "--at", "opc.tcp://192.0.2.1:4840", "--insecure"), "for KEPServerEX --node"),
    (("l5x", "project.L5X", "--at", "modbus-tcp://192.0.2.1"), "these tags have names and no Modbus registers"),
    (("tia", "tia.xml", "--at", "opc.tcp://192.0.2.1:4840", "--user", "x"), "--password-file: missing; user"),
    (("l5x", "project.L5X", "--node", "ns=2;s={tag}"), '--node: got "ns=2;s={tag}"; write "nsu=<namespace URI>'),
    (("ignition", "ignition.json", "--namespace", "x"), "x is not INDEX=URI"),
    (("kepware", "kepware.csv", "--order", "AB"), "AB is none of ABCD"),
    (("kepware", "telegraf.conf", "--at", "modbus-tcp://192.0.2.1"), "telegraf.conf: no header"),
    (("ignition", "ignition.csv", "--at", "opc.tcp://192.0.2.1:4840", "--insecure"), "give --namespace 2=URI"),
])
def test_what_is_missing_is_asked_for(arguments: tuple[str, ...], said: str) -> None:
    kind, file, *options = arguments
    result = forewarn("import", kind, SAMPLES / file, *options)
    assert result.exit_code == 2
    assert said in re.sub(r"[│\s]+", " ", result.output)
