"""Register maps in CSV, as spreadsheets and manuals give them."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from agent import wiring
from agent.commission.address import connection_at
from agent.commission.modicon import Place, place_of
from agent.commission.registermap import MapDefaults, proposal_of, read_map
from agent.commission.sheet import integer, number, rows
from agent.config.base import ConfigError
from agent.config.file import load
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from tests.agent.commands import forewarn
from tests.connectors.servers import ModbusPlc, modbus_server, pack

PLC = connection_at("modbus-tcp://192.0.2.10")
HOLDING, INPUT = Table.HOLDING_REGISTER, Table.INPUT_REGISTER
PLAIN = """\
name,register,table,dtype,unit,order,scale,offset,low,high,bit,unit_id,asset,period_ms,comment
discharge pressure,12,input_register,float32,bar,CDAB,1,0,0,25,,,pump,,after the valve
running,3,coil,,1,,,,,,,,pump,,
alarm,7,holding_register,,1,,,,,,4,9,fan,500,
"""
GERMAN = "Bezeichnung;Adresse;Datentyp;Einheit;Faktor;Min;Max\nÖl-Temperatur;40101;INT;°C;0,1;-20;1 200,5\n;;;;;;\n"


def tags(text: str) -> list[Tag]:
    return [one.tag for one in proposal_of(text, PLC, MapDefaults()).found]


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        proposal_of(text, PLC, MapDefaults())
    return caught.value.problems


def test_a_map_with_our_own_headings() -> None:
    proposal = proposal_of(PLAIN, PLC, MapDefaults())
    assert [(one.asset, one.tag) for one in proposal.found] == [
        ("pump", Tag("discharge pressure", "bar", ModbusAddress(1, INPUT, 12, "CDAB"), Dtype.FLOAT32, low=0, high=25)),
        ("pump", Tag("running", "1", ModbusAddress(1, Table.COIL, 3), Dtype.BIT)),
        ("fan", Tag("alarm", "1", ModbusAddress(9, HOLDING, 7, bit=4), Dtype.BIT, period_ms=500)),
    ]
    assert proposal.found[0].note == "line 2; after the valve"


def test_a_totalizer_is_a_counter() -> None:
    (tag,) = tags("name;address;type;unit;scale;totalizer;rollover\npower;40101;UDINT;kW;360;yes;999999\n")
    address = ModbusAddress(1, HOLDING, 100)
    assert tag == Tag("power", "kW", address, Dtype.UINT32, 360.0, counter=True, rollover=999_999)
    assert "counter" in problems("name;address;type;offset;counter\nx;40101;UDINT;3;yes\n")[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_map_from_a_german_spreadsheet(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_bytes(GERMAN.replace("\n", "\r\n").encode(encoding))
    (one,) = read_map(file, PLC, MapDefaults(unit_id=3)).found
    address = ModbusAddress(3, HOLDING, 100)
    assert one.tag == Tag("Öl-Temperatur", "degC", address, Dtype.INT16, 0.1, low=-20, high=1200.5)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_and_lines_above_the_header(separator: str) -> None:
    table = GERMAN.replace(",", ".").replace(";", separator)
    assert len(tags("Device X200, revision 3\n\n" + table)) == 1


@pytest.mark.parametrize(("said", "scale"), [
    ("0,1", 0.1), ("x0.1", 0.1), ("* 0.1", 0.1), ("1/10", 0.1), ("/10", 0.1), ("1e-1", 0.1), ("", 1.0)])
def test_factors_as_manuals_write_them(said: str, scale: float) -> None:
    (tag,) = tags(f"name;address;type;scale\nx;30001;REAL;{said}\n")
    assert tag.scale == pytest.approx(scale)


@pytest.mark.parametrize(("text", "table", "first", "place"), [
    ("40013", None, 0, Place(HOLDING, 12, None, True)),
    ("400013", None, 0, Place(HOLDING, 12, None, True)),
    ("465536", None, 1, Place(HOLDING, 65_535, None, True)),
    ("30001", INPUT, 1, Place(INPUT, 0, None, True)),
    ("4x0013", None, 0, Place(HOLDING, 12, None, True)),
    ("00017", None, 0, Place(Table.COIL, 16, None, True)),
    ("40013.5", None, 0, Place(HOLDING, 12, 5, True)),
    ("12", HOLDING, 0, Place(HOLDING, 12, None, False)),
    ("12", HOLDING, 1, Place(HOLDING, 11, None, False)),
    ("0x1F", HOLDING, 0, Place(HOLDING, 31, None, False)),
    ("30013", HOLDING, 0, Place(HOLDING, 30_013, None, False)),
])
def test_addresses(text: str, table: Table | None, first: int, place: Place) -> None:
    assert place_of(text, table, first) == place


@pytest.mark.parametrize("text", ["499999", "40000", "4x0000", "3x99999"])
def test_what_is_no_address_in_modicons_notation_needs_a_table(text: str) -> None:
    with pytest.raises(ValueError, match="is no address with a table"):
        place_of(text, None)


@pytest.mark.parametrize(("said", "order"), [
    ("3210", "DCBA"), ("2301", "CDAB"), ("67452301", "GHEFCDAB"), ("76543210", "HGFEDCBA"), ("efghabcd", "EFGHABCD"),
    ("little endian", "DCBA"), ("", "ABCD")])
def test_byte_orders_as_manuals_write_them(said: str, order: str) -> None:
    (tag,) = tags(f"name;register;table;type;order\nx;1;holding;LREAL;{said}\n")
    assert tag.address == ModbusAddress(1, HOLDING, 1, order)


def test_a_byte_order_that_is_none_is_told_with_those_of_every_width() -> None:
    (said,) = problems("name;register;table;type;order\nx;1;holding;LREAL;ACBD\n")
    assert '"ACBD" is no byte order' in said
    assert "GHEFCDAB" in said
    (said,) = problems("name;register;table;type;order\nx;1;holding;REAL;GHEFCDAB\n")
    assert "GHEFCDAB" in said


def test_a_register_is_the_address_on_the_wire_even_where_it_looks_like_modicons() -> None:
    (tag,) = tags("name;register;table;type\nx;40013;holding;INT\n")
    assert tag.address == ModbusAddress(1, HOLDING, 40_013)


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    text = ("name;register;table;dtype;scale;low;unit_id\n"
            "a;12;holding;flaot32;1;0;1\n"
            "# a remark\n"
            ";x;holding;int16;0,1,2;zero;1\n"
            "c;;holding;int16;;;\n"
            "d;5;register;int16;1/0;;\n"
            "e;65535;holding;float32;;;\n"
            "f;5;holding;;;;999\n"
            "g;12.5;;int16;;;\n")
    said = problems(text)
    for line, part in [(2, 'dtype: "flaot32" is no type of register; write one of '),
                       (4, 'scale: "0,1,2" is not a number'), (4, 'low: "zero"'), (4, "name: missing"),
                       (4, 'address: "x"'), (5, "register: missing"), (6, "scale: divides by 0"),
                       (6, 'address: "register" is no table; write one of coil'), (7, "not in 0..65535"),
                       (8, "dtype: missing"), (9, "give the table in a column of its own")]:
        assert any(one.startswith(f"line {line}: ") and part in one for one in said), (line, part, said)
    assert not any(one.startswith("line 3") for one in said)


@pytest.mark.parametrize("text", ["", "just some text\n", "a;b;c\n1;2;3\n", "name;register\n"])
def test_a_file_that_is_no_map_is_refused(text: str) -> None:
    assert any("no header" in one or "no tags" in one for one in problems(text))


def test_texts_are_left_out_and_said_so() -> None:
    proposal = proposal_of(PLAIN + "serial,100,holding,string(20),1,,,,,,,,,,\n", PLC, MapDefaults())
    ((what, why),) = [(one.what, one.why) for one in proposal.left_out]
    assert what == "line 5"
    assert why.startswith("serial is a text; say in a column texts what its texts stand for")


def test_texts_bit_fields_invalid_numbers_clamps_and_orders_of_eight_bytes() -> None:
    text = ("name;register;table;dtype;order;bit;bits;length;clamp;invalid;texts;low;high\n"
            "state;5;holding;STRING;;;;4;;;RUN=1 STOP BY HAND=0,5;;\n"
            "mode;9;input;WORD;;4;3;;;;;;\n"
            "pt100;10;input;INT;;;;;yes;0x7FFF -32768;;-50;200\n"
            "energy;12;input;LREAL;GHEFCDAB;;;;;;;;\n"
            "level;16;holding;uint8_low;;;;;;;;;\n")
    assert tags(text) == [
        Tag("state", "1", ModbusAddress(1, HOLDING, 5, length=4), Dtype.STRING,
            texts=(("RUN", 1), ("STOP BY HAND", 0.5))),
        Tag("mode", "1", ModbusAddress(1, INPUT, 9, bit=4, bits=3), Dtype.BIT),
        Tag("pt100", "1", ModbusAddress(1, INPUT, 10), Dtype.INT16, low=-50, high=200, clamp=True,
            invalid=(32_767, -32_768)),
        Tag("energy", "1", ModbusAddress(1, INPUT, 12, "GHEFCDAB"), Dtype.FLOAT64),
        Tag("level", "1", ModbusAddress(1, HOLDING, 16), Dtype.UINT8_LOW)]
    (said, *_) = problems("name;register;table;dtype;texts\na;1;holding;string;RUN\n")
    assert said == 'line 2: texts: "RUN" is not as RUN=1 STOP=0'


@settings(deadline=None)
@given(st.text(max_size=400))
def test_no_text_breaks_the_reader(text: str) -> None:
    for body in (text, "name;register;table;dtype\n" + text):
        try:
            proposal_of(body, PLC, MapDefaults())
        except ConfigError as error:
            assert all(error.problems)  # noqa: PT017 - a refusal must say why; no refusal is well, too


cell = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


@settings(deadline=None)
@given(st.lists(st.lists(cell, min_size=3, max_size=3), max_size=5), st.sampled_from(";,\t|"), st.booleans())
def test_a_table_comes_back_whatever_separates_it(body: list[list[str]], separator: str, quote: bool) -> None:
    body = [row for row in body if any(one.strip() for one in row) and not row[0].lstrip().startswith("#")]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL)
    writer.writerows([["name", "register", "unit"], *body])
    read = list(rows(text.getvalue(), "register"))
    assert [[row.cells["name"], row.cells["register"], row.cells["unit"]] for row in read] == body
    assert [row.line for row in read] == list(range(2, len(body) + 2))


@given(st.decimals(-10**6, 10**6, places=3), st.booleans())
def test_numbers_with_a_point_and_with_a_comma_are_the_same(value: object, comma: bool) -> None:
    text = f"{value}"
    assert number(text.replace(".", ",") if comma else text) == pytest.approx(float(text))


def test_whole_numbers() -> None:
    assert [integer(text) for text in ("0x10", "10h", "16", " 16 ", "16,0")] == [16] * 5
    for text in ("1.5", "x", "", "1e400"):
        with pytest.raises((ValueError, OverflowError)):
            integer(text)


def test_a_map_is_read_once_and_shown(tmp_path: Path) -> None:
    plc = ModbusPlc()
    plc.put(HOLDING, 100, pack(12.5, AsyncModbusTcpClient.DATATYPE.FLOAT32, "CDAB"))
    plc.put(HOLDING, 110, [215])
    map_, out = tmp_path / "map.csv", tmp_path / "agent.toml"
    map_.write_text("name;address;type;order;unit;scale;machine\nspeed;40101;REAL;CDAB;rpm;;fan\n"
                    "oil;40111;INT;;°C;0,1;press\nlost;40999;INT;;;;press\n", encoding="utf-8")

    async def main() -> tuple[int, str]:
        async with modbus_server({1: plc}) as port:
            arguments = ("discover", f"modbus-tcp://127.0.0.1:{port}", "--map", map_, "--out", out)
            result = await asyncio.to_thread(forewarn, *arguments)
            return result.exit_code, result.output

    code, output = asyncio.run(main())
    assert code == 1  # one tag is not there
    assert re.search(r"speed +12\.5 +1/min +Good +0000 4148 +unit 1 holding_register 100", output)
    assert re.search(r"oil +21\.5 +degC +Good +00D7", output)
    assert "press.lost: the device has no holding_register 998" in output
    assert "2 of 3 tags were read" in output
    config = load(out)
    assert list(config.assets) == ["fan", "press"]
    assert len(wiring.tags_of(config, "plc")) == 3


def test_without_a_map_nothing_is_asked() -> None:
    result = forewarn("discover", "modbus-tcp://127.0.0.1:1")
    assert result.exit_code == 2
    assert "guessing addresses can disturb it; write the device's register map as a CSV file" in result.output
