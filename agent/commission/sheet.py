"""Tables that people and programs export as CSV, with any usual separator, encoding and decimal mark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.base import ConfigError

FILE_BYTES_MAX = 32 * 2**20
NO_HEADER = 'no header: a line must name the columns, such as "{}"'
_SEPARATORS = ";\t,|"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its line in the file, and its cells by the name of their column in lower case."""

    line: int
    cells: Mapping[str, str]

    def text(self, *columns: str) -> str:
        """Return the first of these cells that holds something, without space around it; else ""."""
        return next((cell for column in columns if (cell := self.cells.get(column, "").strip())), "")

    def number(self, *columns: str) -> float | None:
        """Return the number in the first of these cells that holds something; raise ValueError where it is none."""
        text = self.text(*columns)
        return number(text) if text else None


def number(text: str) -> float:
    """Return a number with a decimal point or a decimal comma; raise ValueError where it is none."""
    compact = text.strip().replace("\u00a0", "").replace(" ", "").replace("\u2212", "-")
    if _NUMBER.fullmatch(compact) is None:
        raise ValueError(f'"{text}" is not a number')
    return float(compact.replace(",", "."))


def integer(text: str) -> int:
    """Return a whole number, also in hexadecimal (0x10, 10h); raise ValueError where it is none."""
    compact = text.strip().lower()
    if match := re.fullmatch(r"0x([0-9a-f]+)|([0-9a-f]+)h", compact):
        return int(match[1] or match[2], 16)
    value = number(text)
    if not value.is_integer():
        raise ValueError(f'"{text}" is not a whole number')
    return int(value)


def read_text(file: Path) -> str:
    """Return what a text file says, in UTF-8, UTF-16 with its mark, or else Windows-1252; raise ConfigError."""
    return decoded(read_bytes(file))


def read_bytes(file: Path) -> bytes:
    """Return a file of at most 32 MB; raise ConfigError where there is none."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError((f"{file}: cannot be read ({error.strerror}); name the file to import",)) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError((f"{file}: larger than {FILE_BYTES_MAX >> 20} MB; export fewer tags at a time",))
    return data


def decoded(data: bytes) -> str:
    """Return the text in `data`; every byte means something in the last resort, Windows-1252 with replacements."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def rows(text: str, key: str) -> Iterator[Row]:
    """Yield the records below the header, which is the first line with a column that `key` names.

    `key` is a regular expression for whole cells in lower case. Empty lines and those that begin with # are no records.
    Raise ConfigError where there is no header.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    separator = _separator(lines, key)
    if separator is None:
        raise ConfigError((NO_HEADER.format(key.partition("|")[0]),))
    yield from below_header(_lines(lines, separator), key)


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line that it begins in."""
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    before = 0
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise ConfigError((f"line {reader.line_num}: {error}; save the file as CSV again",)) from error
        if record is None:
            return
        yield before + 1, record
        before = reader.line_num


def below_header(lines: Iterable[tuple[int, list[str]]], key: str) -> Iterator[Row]:
    """Yield the records below the header, as `rows` does; raise ConfigError where there is none."""
    header: list[str] | None = None
    for line, record in lines:
        if header is None:
            names = [column_name(cell) for cell in record]
            header = names if any(re.fullmatch(key, name) for name in names) else None
        elif any(cell.strip() for cell in record) and not record[0].lstrip().startswith("#"):
            yield Row(line, dict(zip(header, record, strict=False)))
    if header is None:
        raise ConfigError((NO_HEADER.format(key.partition("|")[0]),))


def column_name(cell: str) -> str:
    """Return a heading in lower case, without unit in brackets, and with single spaces for every other sign."""
    plain = re.sub(r"[\[(].*?[\])]", " ", cell.strip().lower())
    return " ".join(re.sub(r"[^\w%]+|_", " ", plain).split())


def _separator(text: str, key: str) -> str | None:
    """Return what separates the cells of the first line that has a column named by `key`; None where no line has."""
    for line in text.split("\n"):
        for separator in sorted(_SEPARATORS, key=line.count, reverse=True):
            cells = next(csv.reader([line], delimiter=separator), [])
            if any(re.fullmatch(key, column_name(cell)) for cell in cells):
                return separator
    return None
