"""Ignition's tag export, JSON or CSV, to tags on the OPC UA server that Ignition reads. Pure but for reading the file.

Source: Inductive Automation, "Exporting and Importing Tags" (8.x: JSON; DOC79: the columns of the CSV) and "Tag
Properties" for the names of the keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.commission.how import How
from agent.commission.proposal import Found, LeftOut, Proposal, settle
from agent.commission.scaling import linear
from agent.commission.sheet import number, read_text, rows
from agent.commission.units import unit_text
from agent.commission.untyped import Untyped, tables_in
from agent.config.base import ConfigError
from agent.config.opcua import is_node, split_node
from connectors.frame import NodeAddress, Tag

DEPTH_MAX: Final = 50
_TEXTS: Final = ("string", "datetime", "dataset", "document", "text", "binarydata")
_INDEXED = re.compile(r"ns=(\d+);(.+)")
_NUMBERED: Final = {  # the numbers that DOC79 gives to what 8.x names
    "TagType": {"0": "opc"},
    "DataType": {"7": "string", "8": "datetime", "9": "dataset"},
    "ScaleMode": {"0": "off", "1": "linear", "2": "squareroot", "3": "exponentialfilter"},
    "EngLimitMode": {"0": "nolimit", "1": "enforcelowlimit", "2": "enforcehighlimit", "3": "enforcebothlimits"},
}
_Entry = tuple[tuple[str, ...], Untyped]


def read(file: Path, how: How) -> Proposal:
    """Return the OPC tags of an export; raise ConfigError where it is none, or what it lacks is not given."""
    connection = how.opcua()
    text = read_text(file)
    entries = list(_from_json(text) if text.lstrip().startswith(("{", "[")) else _from_csv(text))
    servers = {server for _, entry in entries if (server := entry.text("opcServer"))}
    if len(servers) > 1 and how.server not in servers:
        several = ", ".join(sorted(servers))
        raise ConfigError((f"its tags come from several servers; choose one with --server: {several}",))
    found: list[Found] = []
    left: list[LeftOut] = []
    for path, entry in entries:
        name = "/".join(path)
        try:
            tag = _tag(path[-1], entry, how)
        except ValueError as error:
            left.append(LeftOut(name, str(error)))
            continue
        note = f"{name}; {entry.text('documentation') or entry.text('tooltip')}".removesuffix("; ")
        found.append(Found(path[-2] if len(path) > 1 else "machine", "plc", tag, note, name))
    return settle({"plc": connection}, found, left)


def _from_json(text: str) -> Iterator[_Entry]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError((f"not JSON: {error}; export the tags again",)) from error
    top = [Untyped(said)] if isinstance(said, dict) else tables_in({"tags": said}, "tags")
    for entry in top:
        yield from _leaves(entry, ())


def _leaves(entry: Untyped, path: tuple[str, ...]) -> Iterator[_Entry]:
    if len(path) > DEPTH_MAX:
        raise ConfigError((f"more than {DEPTH_MAX} folders inside each other; this is no tag export",))
    if name := entry.text("name"):
        path = (*path, name)
    if (inside := entry.tables("tags")) or entry.text("tagType") in ("Folder", "Provider", "UdtInstance", "UdtType"):
        if entry.text("tagType") != "UdtType":  # a definition is no tag; its instances are
            for one in inside:
                yield from _leaves(one, path)
    elif path:
        yield path, entry


def _from_csv(text: str) -> Iterator[_Entry]:
    names = ("TagType", "DataType", "OPCServer", "OPCItemPath", "EngUnit", "EngLow", "EngHigh", "EngLimitMode",
             "ScaleMode", "RawLow", "RawHigh", "ScaledLow", "ScaledHigh", "Tooltip", "Documentation")
    for row in rows(text, "opcitempath"):
        values: dict[str, object] = {}
        for name in names:
            cell = row.text(name.lower())
            value = _NUMBERED.get(name, {}).get(cell, cell)
            key = "valueSource" if name == "TagType" else name.replace("OPC", "opc", 1) if "OPC" in name else (
                name[0].lower() + name[1:])
            values[key] = _number_or_text(value) if name.endswith(("Low", "High")) else value
        path = tuple(part for part in (*row.text("path").split("/"), row.text("name")) if part)
        if path:
            yield path, Untyped(values)


def _number_or_text(cell: str) -> float | str:
    """Return a number where a cell holds one; what else it holds is refused with its tag, later."""
    try:
        return number(cell)
    except ValueError:
        return cell


def _tag(name: str, entry: Untyped, how: How) -> Tag:
    source = entry.text("valueSource").lower()
    if source not in ("opc", "") or (not source and not entry.get("opcItemPath")):
        raise ValueError(f"it is no OPC tag ({source or 'memory'}), so that no device has it")
    if entry.get("enabled") is False:
        raise ValueError("it is disabled there")
    if entry.text("dataType").lower().startswith(_TEXTS) or entry.text("dataType").endswith("Array"):
        raise ValueError(f"it is no number ({entry.text('dataType')})")
    if how.server is not None and entry.text("opcServer") not in ("", how.server):
        raise ValueError(f"it comes from the server {entry.text('opcServer')}")
    scale, offset = _scaling(entry)
    low, high = _limits(entry)
    return Tag(name, unit_text("", entry.text("engUnit")), _address(entry.get("opcItemPath"), how), scale=scale,
               offset=offset, low=low, high=high)


def _address(path: object, how: How) -> NodeAddress:
    if not isinstance(path, str) or not path:
        raise ValueError("its OPC item path is bound to a parameter of its type; export the instances of the type")
    if is_node(path):
        return NodeAddress(*split_node(path))
    match = _INDEXED.fullmatch(path)
    if match is None:
        raise ValueError(f'its OPC item path "{path}" is of another kind of server')
    uri = how.namespaces.get(int(match[1]))
    if uri is None:
        raise ValueError(f"the file has no URI for the namespace {match[1]}: give --namespace {match[1]}=URI")
    text = f"nsu={uri};{match[2]}"
    if not is_node(text):
        raise ValueError(f'"{text}" is no node')
    return NodeAddress(*split_node(text))


def _scaling(entry: Untyped) -> tuple[float, float]:
    match entry.text("scaleMode").lower():
        case "" | "off":
            return 1.0, 0.0
        case "linear":
            return linear(entry.number("rawLow", 0.0), entry.number("rawHigh", 10.0), entry.number("scaledLow", 0.0),
                          entry.number("scaledHigh", 10.0))
        case other:
            raise ValueError(f'its scaling "{other}" is not linear')


def _limits(entry: Untyped) -> tuple[float, float]:
    """Return the limits that are enforced: others are what a display shows, 0 to 100 unless somebody cared."""
    mode = entry.text("engLimitMode").lower()
    low = entry.number("engLow", 0.0) if "low" in mode or "both" in mode else None
    high = entry.number("engHigh", 100.0) if "high" in mode or "both" in mode else None
    return -float("inf") if low is None else low, float("inf") if high is None else high
