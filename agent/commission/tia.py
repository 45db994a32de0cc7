"""Tag tables of Siemens TIA Portal (XLSX, XML or CSV) to nodes of an S7-1500's OPC UA server. Pure but for reading.

Source: Siemens, "Exporting PLC tags" (columns of the sheet "PLC Tags", the XML <Tagtable>), TIA Portal Openness for
<SW.Tags.PlcTag>, and "OPC UA server of the S7-1500" for the nodes: namespace http://www.siemens.com/simatic-s7-opcua,
the symbol in quotes as string. %I, %Q and %M have no Modbus address, optimized data blocks have no address at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.commission.how import How
from agent.commission.markup import parse, tables
from agent.commission.proposal import Found, LeftOut, Proposal, settle
from agent.commission.sheet import Row, below_header, decoded, read_bytes, rows
from agent.config.base import ConfigError
from connectors.frame import Tag

NODE: Final = 'nsu=http://www.siemens.com/simatic-s7-opcua;s="{tag}"'
_NUMBERS: Final = frozenset({
    "bool", "byte", "word", "dword", "lword", "sint", "usint", "int", "uint", "dint", "udint", "lint", "ulint", "real",
    "lreal", "time", "ltime", "s5time", "counter", "timer", "bcd16", "bcd32"})
_HEADER: Final = "logical address|node name"


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    table: str
    kind: str
    comment: str
    accessible: bool


def read(file: Path, how: How) -> Proposal:
    """Return the tags of a tag table; raise ConfigError where it is none, or the server is not given."""
    connection = how.opcua()
    found: list[Found] = []
    left: list[LeftOut] = []
    for symbol in _symbols(read_bytes(file)):
        source = f"{symbol.table}: {symbol.name}" if symbol.table else symbol.name
        if why := _obstacle(symbol):
            left.append(LeftOut(source, why))
            continue
        quoted = symbol.name.startswith('"')  # "block"."variable", as somebody wrote it who lists a data block
        usual = NODE.replace('"', "") if quoted else NODE
        try:
            tag = Tag(symbol.name.replace('"', ""), "1", how.node_of(symbol.name, usual))
        except ValueError as error:
            left.append(LeftOut(source, str(error)))
            continue
        note = f"{symbol.kind} {symbol.name}; {symbol.comment}".removesuffix("; ")
        found.append(Found(symbol.table or "machine", "plc", tag, note, source))
    return settle({"plc": connection}, found, left)


def _obstacle(symbol: _Symbol) -> str:
    if symbol.kind.startswith('"') or symbol.kind.lower() in ("struct", "dtl"):
        return f"it is a structure ({symbol.kind}); forewarn discover shows what is in it"
    if symbol.kind.lower().startswith("array"):
        return f"it is an array ({symbol.kind})"
    if symbol.kind.lower() not in _NUMBERS:
        return f"it is no number ({symbol.kind})"
    if not symbol.accessible:
        return "it is not accessible from HMI and OPC UA; set that in TIA Portal"
    return ""


def _symbols(data: bytes) -> Iterator[_Symbol]:
    if data.startswith(b"PK"):
        sheets = dict(tables(data))
        lines = sheets.get("PLC Tags", next(iter(sheets.values()), []))
        yield from map(_from_row, below_header(enumerate(lines, 1), _HEADER))
    elif data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        yield from _from_xml(data)
    else:
        yield from map(_from_row, rows(decoded(data), _HEADER))


def _from_row(row: Row) -> _Symbol:
    return _Symbol(row.text("name", "runtime name"), row.text("path"), row.text("data type"), row.text("comment"),
                   row.text("hmi accessible").lower() not in ("false", "0"))


def _from_xml(data: bytes) -> Iterator[_Symbol]:
    root = parse(data)
    tagtables = [root] if root.tag == "Tagtable" else list(root.iter("Tagtable"))
    for table in tagtables:
        for tag in table.iter("Tag"):
            yield _Symbol("".join(tag.itertext()).strip(), table.get("name", ""), tag.get("type", ""),
                          tag.get("remark", ""), tag.get("hmiAccessible", "True").lower() != "false")
    openness = list(root.iter("SW.Tags.PlcTagTable"))
    for table in openness:
        for tag in table.iter("SW.Tags.PlcTag"):
            yield _Symbol(tag.findtext("AttributeList/Name", ""), table.findtext("AttributeList/Name", ""),
                          tag.findtext("AttributeList/DataTypeName", "").strip('"'),
                          "".join(text.text or "" for text in tag.iter("Text")),
                          tag.findtext("AttributeList/ExternalAccessible", "true").lower() != "false")
    if not tagtables and not openness:
        raise ConfigError(("no <Tagtable> in it; export the tag table again, in TIA Portal: PLC tags, Export",))
