"""What is wrong with a configuration, in words: key, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

PROTOCOLS: Final = (
    "modbus-tcp", "modbus-tls", "modbus-rtu", "modbus-ascii", "modbus-rtu-over-tcp", "modbus-ascii-over-tcp", "opcua")
"""What a connection may speak."""
_PORTS: Final = {"modbus-tls": 802}
_ALLOWED: Final = ", ".join(f'"{protocol}"' for protocol in PROTOCOLS)
Location = tuple[int | str, ...]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return what to append to a sentence about an unknown `word`: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    allowed = f"; allowed: {', '.join(names)}" if names else ""
    return f'; did you mean "{near[0]}"?' if near else allowed


def from_validation(
    error: ValidationError, raw: Mapping[str, object], model_at: Callable[[Location], type[BaseModel]]
) -> Iterator[str]:
    """Give one sentence per failure, each beginning with the dotted key in the file.

    `model_at` tells which model checks what lies at a location.
    """
    for detail in error.errors(include_url=False):
        loc = detail["loc"]
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its items are refused, each with a sentence of its own
        fields = {info.alias or name: info for name, info in model_at(loc).model_fields.items()}
        if "register_" in loc:  # pydantic names a default by its field, everything else by its key
            loc = tuple("register" if step == "register_" else step for step in loc)
        yield f"{_dotted(loc)}{_tag_name(loc, raw)}: {_sentence(detail, loc, fields)}"


def across_tables(raw: Mapping[str, object]) -> Iterator[str]:
    """Give the problems that no single table shows: doubled tags, doubled devices, unused connections."""
    connections, assets = _tables(raw.get("connections")), _tables(raw.get("assets"))
    used: set[object] = set()
    for asset, table in assets.items():
        tags = table.get("tags")
        first: dict[object, int] = {}
        for position, tag in enumerate(tags if isinstance(tags, list) else []):
            if not isinstance(tag, dict):
                continue
            used.add(str(tag.get("connection")))
            name = str(tag.get("name", position))
            if name in first:
                yield (
                    f'assets.{asset}.tags[{position}].name: "{name}" is already the name of '
                    f"tags[{first[name]}]; names in an asset must differ"
                )
            first.setdefault(name, position)
    devices: dict[tuple[str, str], str] = {}
    for name, table in connections.items():
        if name not in used:
            yield f'connections.{name}: no tag uses it; remove it or give a tag connection = "{name}"'
        if str(table.get("protocol")).startswith("modbus-"):
            port = table.get("port", _PORTS.get(str(table["protocol"]), 502))
            device = (str(table.get("host", "")), str(table.get("device", port)))
            if device in devices:
                yield (
                    f"connections.{name}: the same device as connections.{devices[device]}; "
                    "a PLC gets one connection, which may carry several unit ids and assets"
                )
            devices.setdefault(device, name)


def _tables(value: object) -> dict[str, dict[str, object]]:
    return {k: v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}


def _dotted(loc: Location) -> str:
    """Write `loc` as a dotted key, without the steps that are pydantic's own."""
    steps = [step for step in loc if step != "[key]"]
    if steps and steps[0] == "connections":
        del steps[2:3]  # the branch of the union that was chosen by `protocol`
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".") or "the file"


def _tag_name(loc: Location, raw: Mapping[str, object]) -> str:
    """Name the tag that `loc` is in: people count names, not positions."""
    match loc:
        case ("assets", str(asset), "tags", int(position), *_):
            tags = _tables(raw.get("assets"))[asset]["tags"]
            tag = tags[position] if isinstance(tags, list) else None
            name = tag.get("name") if isinstance(tag, dict) else None
            return f" ({name})" if isinstance(name, str) and name else ""
    return ""


def _sentence(detail: ErrorDetails, loc: Location, fields: Mapping[str, FieldInfo]) -> str:
    """Say what is wrong and what is allowed, given the fields of the table it is in."""
    kind, got = detail["type"], detail["input"]
    field = next((fields[step] for step in reversed(loc) if isinstance(step, str) and step in fields), None)
    meaning = field.description if field is not None and field.description else ""
    if loc[-1] == "[key]":
        meaning = "a name of letters, digits, _ . - (at most 63; the first a letter or a digit)"
    match kind:
        case "missing" | "too_short":
            return f"missing; needed: {meaning}"
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(loc[-1]), fields)}"
        case "union_tag_not_found":
            return f"missing protocol; allowed: {_ALLOWED}"
        case "union_tag_invalid":
            return f'protocol "{detail["ctx"]["tag"]}" is not known; allowed: {_ALLOWED}'
        case "literal_error":
            return f"got {got!r}; allowed: {detail['ctx']['expected']}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"got {got!r}; needed: {meaning or 'a table'}"
        case "string_pattern_mismatch" | "string_too_short":
            return f"got {got!r}; allowed: {meaning}"
    rule = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"got {got!r}; allowed: {rule}" + (f" ({meaning})" if meaning else "")
