"""XML files and workbooks of unknown origin, read within bounds: no document type, so no entity to grow. Pure."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from agent.config.base import ConfigError

DEPTH_MAX: Final = 100
UNPACKED_BYTES_MAX: Final = 64 * 2**20
_CELL = re.compile(r"([A-Z]{1,3})\d*")


def parse(data: bytes) -> Element:
    """Return the root of an XML document, names without their namespace; raise ConfigError where it is none.

    A document type is refused, because only it can define entities (the billion laughs, files of this machine).
    """
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate(namespace_separator="}")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise ConfigError((f"more than {DEPTH_MAX} elements inside each other; this is no tag export",))
        builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def doctype(*_: object) -> None:
        raise ConfigError(("it has a document type (<!DOCTYPE>), which no tag export has; it is not read",))

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, doctype
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise ConfigError((f"not XML: {error}; export it again",)) from error


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def tables(data: bytes) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield name and rows of each sheet of an XLSX workbook (ECMA-376 Part 1, 18.3); raise ConfigError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            parts = _Parts(book)
            strings = [_text(item) for item in parts.xml("xl/sharedStrings.xml", needed=False)]
            targets = {one.get("Id", ""): one.get("Target", "") for one in parts.xml("xl/_rels/workbook.xml.rels")}
            for sheet in parts.xml("xl/workbook.xml").iter("sheet"):
                target = targets.get(sheet.get("id", ""), "")
                root = parts.xml(target.lstrip("/") if target.startswith("/") else f"xl/{target}")
                yield sheet.get("name", ""), [_cells(row, strings) for row in root.iter("row")]
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise ConfigError((f"not an XLSX workbook ({error}); save it as one again",)) from error


class _Parts:
    """The parts of a workbook, unpacked no further than a bound that all of them share."""

    def __init__(self, book: zipfile.ZipFile) -> None:
        self._book = book
        self._left = UNPACKED_BYTES_MAX

    def xml(self, name: str, *, needed: bool = True) -> Element:
        if not needed and name not in self._book.namelist():
            return Element("none")
        with self._book.open(name) as part:
            data = part.read(self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise ConfigError((f"unpacks to more than {UNPACKED_BYTES_MAX >> 20} MB; export fewer tags at a time",))
        return parse(data)


def _cells(row: Element, strings: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter("c"):
        match = _CELL.fullmatch(cell.get("r", ""))
        position = _column(match[1]) if match else len(cells)
        value = cell.findtext("v", "")
        if cell.get("t") == "s" and value.isdigit() and int(value) < len(strings):
            value = strings[int(value)]
        elif cell.get("t") == "inlineStr":
            value = _text(cell)
        cells += [""] * (position - len(cells))
        cells[position:] = [value]
    return cells


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _text(element: Element) -> str:
    return "".join(part.text or "" for part in element.iter("t"))
