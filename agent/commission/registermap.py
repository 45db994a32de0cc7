"""A register map in CSV, as a manual's table becomes one, to tags. Pure but for reading the file.

docs/connecting.md describes the columns. A map with a mistake is refused as a whole, with every mistake by its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.commission.address import Connection
from agent.commission.dtypes import dtype_of, order_of, table_of
from agent.commission.modicon import Place, place_of
from agent.commission.proposal import Found, LeftOut, Proposal, settle
from agent.commission.sheet import Row, integer, number, read_text, rows
from agent.commission.units import unit_text
from agent.config.base import ConfigError
from connectors.frame import Dtype, ModbusAddress, Tag
from connectors.modbus.plan import BIT_TABLES

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "name": ("name", "tag", "tag name", "tagname", "signal", "variable", "parameter", "point", "symbol", "bezeichnung",
             "benennung", "nom", "nombre"),
    "register": ("register", "reg", "register address", "wire address", "start register", "register number"),
    "address": ("address", "addr", "adresse", "modbus address", "modbus adresse", "modbus register", "modicon",
                "direccion"),
    "table": ("table", "register type", "registertyp", "function", "function code", "fc", "area", "object type",
              "tabelle"),
    "dtype": ("dtype", "type", "data type", "datatype", "datentyp", "typ", "format"),
    "order": ("order", "byte order", "byteorder", "word order", "wordorder", "endian", "endianness", "endianess"),
    "bit": ("bit", "bit number", "bitnr"),
    "bits": ("bits", "bit count", "width"),
    "length": ("length", "len", "registers", "laenge"),
    "unit": ("unit", "units", "einheit", "eng unit", "eng units", "engineering unit", "engineering units", "uom",
             "unite", "unidad"),
    "scale": ("scale", "factor", "faktor", "multiplier", "gain", "scaling", "scale factor", "skalierung", "resolution"),
    "divider": ("divider", "divisor", "teiler"),
    "offset": ("offset", "bias"),
    "low": ("low", "min", "minimum", "lowest", "range low", "eu low", "eng low"),
    "high": ("high", "max", "maximum", "highest", "range high", "eu high", "eng high"),
    "clamp": ("clamp",),
    "invalid": ("invalid", "no value", "not available", "nan"),
    "texts": ("texts", "values", "states", "enum"),
    "counter": ("counter", "totalizer", "totaliser", "zaehler"),
    "rollover": ("rollover", "roll over"),
    "unit_id": ("unit id", "unitid", "slave", "slave id", "slaveid", "device id", "station", "modbus id"),
    "asset": ("asset", "machine", "maschine", "equipment", "group", "gruppe"),
    "period_ms": ("period ms", "scan rate", "poll ms", "period"),
    "comment": ("comment", "description", "beschreibung", "kommentar", "remark", "note", "notes"),
}
"""What each column is for, and the headings it is known by."""
_HEADER: Final = "|".join(re.escape(heading) for key in ("register", "address") for heading in COLUMNS[key])
_TEXT: Final = re.compile(r"(string|text|char|ascii|str)\b.*", re.IGNORECASE)
NEEDS_TEXTS: Final = "{} is a text; say in a column texts what its texts stand for, such as RUN=1 STOP=0"
_SAID_YES: Final = ("1", "true", "yes", "y", "x", "ja", "j")
_PAIR: Final = re.compile(r"\s*([^=]+?)\s*=\s*([^=\s]+)\s*")


@dataclass(frozen=True, slots=True)
class MapDefaults:
    """What holds for rows that do not say: unit id and machine, and from what plain addresses count (0 or 1)."""

    unit_id: int = 1
    asset: str = "machine"
    first: int = 0


def read_map(file: Path, connection: Connection, defaults: MapDefaults, name: str = "plc") -> Proposal:
    """Return the tags of a register map; raise ConfigError with every mistake in it, by line."""
    try:
        return proposal_of(read_text(file), connection, defaults, name)
    except ConfigError as error:
        raise ConfigError(tuple(f"{file}: {problem}".replace(f"{file}: {file}", str(file))
                                for problem in error.problems)) from error


def proposal_of(text: str, connection: Connection, defaults: MapDefaults, name: str = "plc") -> Proposal:
    """Return the tags of the register map in `text`; raise ConfigError with every mistake in it, by line."""
    found: list[Found] = []
    left: list[LeftOut] = []
    problems: list[str] = []
    for row in rows(text, _HEADER):
        if _TEXT.fullmatch(_cell(row, "dtype")) and not _cell(row, "texts"):
            left.append(LeftOut(f"line {row.line}", NEEDS_TEXTS.format(_cell(row, "name"))))
            continue
        tag, mistakes = _tag(row, defaults)
        problems += [f"line {row.line}: {mistake}" for mistake in mistakes]
        if tag is not None:
            note = f"line {row.line}; {_cell(row, 'comment')}".removesuffix("; ")
            found.append(Found(_cell(row, "asset") or defaults.asset, name, tag, note, f"line {row.line}"))
    proposal = settle({name: connection}, found, left)
    problems += [f"{one.what}: {one.why}" for one in proposal.left_out if one not in left]
    if problems:
        raise ConfigError(tuple(problems))
    if not proposal.found:
        raise ConfigError(("no tags: below the header there is no line with a register",))
    return proposal


def _cell(row: Row, column: str) -> str:
    return row.text(*COLUMNS[column])


class _Mistakes(list[str]):
    """What is wrong with one row, each with its column; `of` gives a default in place of what cannot be read."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self._row = row

    def number(self, column: str, default: float) -> float:
        return self._read(column, default, number)

    def integer(self, column: str, default: int) -> int:
        return int(self._read(column, default, integer))

    def _read(self, column: str, default: float, parse: Callable[[str], float]) -> float:
        text = _cell(self._row, column)
        try:
            return parse(text) if text else default
        except ValueError as error:
            self.append(f"{column}: {error}")
            return default


def _tag(row: Row, defaults: MapDefaults) -> tuple[Tag | None, list[str]]:
    """Return the tag of a row, None where it has mistakes, and these."""
    mistakes = _Mistakes(row)
    place = _place(row, defaults, mistakes)
    dtype, order = _dtype(row, place, mistakes), _order(row, mistakes)
    scale, offset = _scale(row, mistakes), mistakes.number("offset", 0.0)
    low, high = mistakes.number("low", -float("inf")), mistakes.number("high", float("inf"))
    unit_id = mistakes.integer("unit_id", defaults.unit_id)
    bit = mistakes.integer("bit", -1)
    bits, length = mistakes.integer("bits", 1), mistakes.integer("length", 0)
    period_ms = mistakes.integer("period_ms", 1000)
    invalid, texts = _invalid(row, mistakes), _texts(row, mistakes)
    rollover = mistakes.number("rollover", 0.0)
    if not _cell(row, "name") and not _cell(row, "comment"):
        mistakes.append("name: missing; give each register a name")
    if mistakes or place is None:
        return None, mistakes
    picked = place.bit if bit < 0 else bit
    if picked is not None:
        dtype = Dtype.BIT
    address = ModbusAddress(unit_id, place.table, place.register, order, picked, bits, length)
    return Tag(_cell(row, "name") or _cell(row, "comment"), unit_text("", _cell(row, "unit")), address, dtype, scale,
               offset, low, high, period_ms, _said_yes(row, "clamp"), invalid, texts,
               counter=_said_yes(row, "counter"), rollover=rollover), mistakes


def _said_yes(row: Row, column: str) -> bool:
    return _cell(row, column).lower() in _SAID_YES


def _place(row: Row, defaults: MapDefaults, mistakes: _Mistakes) -> Place | None:
    try:
        table = table_of(said) if (said := _cell(row, "table")) else None
        if register := _cell(row, "register"):
            return place_of(register, table, modicon=table is None)
        if address := _cell(row, "address"):
            return place_of(address, table, defaults.first)
        mistakes.append("register: missing; give the address on the wire, or in a column address Modicon's 40001")
    except ValueError as error:
        mistakes.append(f"address: {error}")
    return None


def _dtype(row: Row, place: Place | None, mistakes: _Mistakes) -> Dtype:
    text = _cell(row, "dtype")
    if place is not None and place.table in BIT_TABLES:
        return Dtype.BIT
    if not text:
        if place is not None and place.bit is None and not _cell(row, "bit"):
            mistakes.append("dtype: missing; give the type of the register, such as int16 or float32")
        return Dtype.UINT16
    try:
        return Dtype.STRING if _TEXT.fullmatch(text) else dtype_of(text)
    except ValueError as error:
        mistakes.append(f"dtype: {error}")
        return Dtype.UINT16


def _order(row: Row, mistakes: _Mistakes) -> str:
    try:
        return order_of(_cell(row, "order"))
    except ValueError as error:
        mistakes.append(f"order: {error}")
        return "ABCD"


def _invalid(row: Row, mistakes: _Mistakes) -> tuple[float, ...]:
    """Return the raw numbers that mean "no value", as 32768, 0x8000 or several with spaces between."""
    found = []
    for text in _cell(row, "invalid").split():
        try:
            found.append(float(integer(text)) if text.lower().startswith("0x") else number(text))
        except ValueError as error:
            mistakes.append(f"invalid: {error}")
    return tuple(found)


def _texts(row: Row, mistakes: _Mistakes) -> tuple[tuple[str, float], ...]:
    """Return what the texts of a string stand for, as RUN=1 STOP=0."""
    said = _cell(row, "texts")
    if said and not re.fullmatch(f"({_PAIR.pattern})+", said):
        mistakes.append(f'texts: "{said}" is not as RUN=1 STOP=0')
        return ()
    found: dict[str, float] = {}
    for text, stands_for in _PAIR.findall(said):
        try:
            found[text] = number(stands_for)
        except ValueError as error:
            mistakes.append(f"texts: {error}")
    return tuple(found.items())


def _scale(row: Row, mistakes: _Mistakes) -> float:
    """Return the factor: a number, or as manuals write it: x0.1, 1/10, /10; times a divider's inverse."""
    text = _cell(row, "scale").lower().lstrip("x*\u00d7 ")
    above, slash, below = text.partition("/")
    try:
        factor = (number(above) if above else 1.0) / (number(below) if slash else 1.0)
        divider = number(_cell(row, "divider") or "1")
        return factor / divider
    except ZeroDivisionError:
        mistakes.append("scale: divides by 0")
    except ValueError as error:
        mistakes.append(f"scale: {error}")
    return 1.0
