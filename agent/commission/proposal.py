"""What was found of a plant, and the configuration that is proposed for it. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pydantic import ValidationError

from agent.config import problems
from agent.config.assets import TagConfig
from agent.config.base import ConnectionConfig
from connectors import ConnectorError
from connectors.frame import ModbusAddress, NodeAddress, Tag
from connectors.modbus.plan import BIT_TABLES, check

_LATIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_NAME_CHARS_MAX, _ASSET_CHARS_MAX, _UNIT_CHARS_MAX = 128, 63, 32
NO_UNIT = "1"


@dataclass(frozen=True, slots=True)
class Found:
    """A tag that was found: of which machine, on which connection, and a note for whoever reads the file.

    `source` says where it stands (a line of a file, a browse path), for messages.
    """

    asset: str
    connection: str
    tag: Tag
    note: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was found and is not proposed, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Connections by name, tags in the order in which they were found, and what was left out."""

    connections: Mapping[str, ConnectionConfig]
    found: tuple[Found, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def assets(self) -> dict[str, list[Found]]:
        """The tags by machine."""
        grouped: dict[str, list[Found]] = {}
        for one in self.found:
            grouped.setdefault(one.asset, []).append(one)
        return grouped


def settle(connections: Mapping[str, ConnectionConfig], found: Iterable[Found],
           left_out: Iterable[LeftOut] = ()) -> Proposal:
    """Return a proposal that the configuration will take: names made to fit and to differ, the impossible left out."""
    good: list[Found] = []
    left = list(left_out)
    used: dict[str, set[str]] = {}
    for one in found:
        asset = asset_name(one.asset)
        tag = replace(one.tag, name=_unused(tag_name(one.tag.name), used.setdefault(asset, set()), _NAME_CHARS_MAX),
                      unit=tag_unit(one.tag.unit))
        candidate = replace(one, asset=asset, tag=tag)
        if why := _objection(candidate, connections[one.connection]):
            left.append(LeftOut(one.source or one.tag.name, why))
        else:
            used[asset].add(tag.name)
            good.append(candidate)
    named = {one.connection for one in good}
    return Proposal({name: said for name, said in connections.items() if name in named}, tuple(good), tuple(left))


def asset_name(text: str) -> str:
    """Return `text` as the name of an asset: letters, digits, _ and -, at most 63."""
    plain = unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-")[:_ASSET_CHARS_MAX]
    return name if name and name[0].isalnum() else f"machine{name}"


def connection_name(device: str, connection: ConnectionConfig, connections: Mapping[str, ConnectionConfig]) -> str:
    """Return what `connections` call a connection already, else the device's name, numbered where it is taken."""
    same = (name for name, known in connections.items() if known == connection)
    return next(same, None) or _unused(asset_name(device), connections, _ASSET_CHARS_MAX)


def tag_name(text: str) -> str:
    """Return `text` as the name of a tag: printable, no space at either end, at most 128 characters."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_NAME_CHARS_MAX].strip() or "tag"


def tag_unit(text: str) -> str:
    """Return `text` as a unit, "1" where there is none."""
    return " ".join(text.split())[:_UNIT_CHARS_MAX].strip() or NO_UNIT


def _unused(name: str, used: Collection[str], chars_max: int) -> str:
    if name not in used:
        return name
    numbered = (f"{name[:chars_max - 8]}_{number}" for number in range(2, len(used) + 3))
    return next(candidate for candidate in numbered if candidate not in used)


def _objection(one: Found, connection: ConnectionConfig) -> str:
    """Return why the configuration would refuse a tag; empty where it takes it."""
    keys = dict(_keys(one))
    try:
        TagConfig.model_validate(keys, context={"protocols": {one.connection: _protocol(connection)}})
        if isinstance(one.tag.address, ModbusAddress):
            check([one.tag])
    except ValidationError as error:
        return "; ".join(problems.from_validation(error, {}, lambda _: TagConfig))
    except ConnectorError as error:
        return str(error)
    return ""


def _protocol(connection: ConnectionConfig) -> str:
    return str(getattr(connection, "protocol"))  # noqa: B009 - each kind of connection has its own literal


def toml(proposal: Proposal, *, origin: str, state_dir: str) -> str:
    """Return the configuration, with comments that say where each tag comes from; `origin` heads it."""
    lines = [
        f"# Proposed by `{_comment(origin)}`.",
        "# Compare names, units and values with the machine, delete what does not matter, then:",
        "#   forewarn check --tags-only THIS_FILE         does each tag give what the machine's display shows?",
        "#   forewarn learn HISTORY.parquet --out BUNDLE --config THIS_FILE --asset NAME",
        "", "[agent]", f"state_dir = {_value(state_dir)}", "",
    ]
    for name, connection in proposal.connections.items():
        keys = connection.model_dump(exclude_unset=True, by_alias=True)
        lines += [f"[connections.{name}]", *(f"{key} = {_value(value)}" for key, value in keys.items()), ""]
    for asset, members in proposal.assets.items():
        lines += [f"[assets.{asset}]", f'bundle = "bundles/{asset}"   # made by forewarn learn', "period_ms = 1000",
                  'budget = "1/week"', ""]
        for one in members:
            lines += [f"# {_comment(one.note)}"] if one.note else []
            lines += [f"[[assets.{asset}.tags]]", *(f"{key} = {_value(value)}" for key, value in _keys(one)), ""]
    if proposal.left_out:
        lines += ["# Left out:", *(f"#   {_comment(f'{one.what}: {one.why}')}" for one in proposal.left_out), ""]
    return "\n".join(lines)


def _keys(one: Found) -> Iterator[tuple[str, object]]:
    """Yield the keys of a tag's table: what identifies it, where it lives, and all that is not as by default."""
    tag, address = one.tag, one.tag.address
    yield from (("name", tag.name), ("unit", tag.unit), ("connection", one.connection))
    if isinstance(address, NodeAddress):
        yield "node", str(address)
    elif isinstance(address, ModbusAddress):
        yield from (("unit_id", address.unit_id), ("table", address.table.value), ("register", address.register))
        if address.table not in BIT_TABLES:
            yield "dtype", tag.dtype.value
        yield from _unusual(address, ("unit_id", "table", "register"))
    yield from _unusual(tag, ("name", "unit", "address", "dtype"))


def _unusual(thing: Tag | ModbusAddress, told: Sequence[str]) -> Iterator[tuple[str, object]]:
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.name not in told and value != field.default:
            yield field.name, dict(value) if field.name == "texts" else value


def _value(value: object) -> str:
    """Return a TOML value; JSON's escapes are a part of TOML's."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{_value(str(key))} = {_value(item)}' for key, item in value.items())}}}"
        case Path():
            return _value(str(value.absolute()))
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Return text that stays in its line and may stand in a TOML comment."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
