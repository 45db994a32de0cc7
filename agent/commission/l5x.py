"""Tags of a Rockwell Logix project (L5X) to nodes of the OPC UA server that has them. Pure but for reading the file.

Source: Rockwell Automation 1756-RM084, "Logix 5000 Controllers Import/Export" (Tags, DataTypes, Programs). A project
has names and types and no addresses; which nodes a server makes of the names is told by a template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from agent.commission.how import How
from agent.commission.markup import parse
from agent.commission.proposal import Found, LeftOut, Proposal, settle
from agent.commission.sheet import read_bytes
from agent.commission.units import unit_text
from agent.config.base import ConfigError
from connectors.frame import Tag

_NUMBERS: Final = frozenset({"BOOL", "BIT", "SINT", "INT", "DINT", "LINT", "USINT", "UINT", "UDINT", "ULINT", "REAL",
                             "LREAL"})
NESTING_MAX: Final = 8
TAGS_MAX: Final = 100_000
_Leaf = tuple[str, str, str]
"""The name below the tag (".PV"), the type, and why it cannot be a tag ("" where it can)."""


def read(file: Path, how: How) -> Proposal:
    """Return the tags of a project, members of its own structures each by itself; raise ConfigError."""
    connection = how.opcua()
    root = parse(read_bytes(file))
    controller = root.find("Controller")
    if controller is None:
        raise ConfigError(("no <Controller> in it; export the project or its tags as L5X again",))
    types = {one.get("Name", ""): list(one.iter("Member")) for one in controller.iterfind("DataTypes/DataType")}
    scopes = [(controller.get("Name", "controller"), "", controller)]
    scopes += [(one.get("Name", ""), f"Program:{one.get('Name', '')}.", one) for one in controller.iterfind(
        "Programs/Program")]
    found: list[Found] = []
    left: list[LeftOut] = []
    for asset, prefix, scope in scopes:
        for element in scope.iterfind("Tags/Tag"):
            name = element.get("Name", "")
            description = " ".join(element.findtext("Description", "").split())
            for below, kind, why in _leaves(element, types):
                full = f"{prefix}{name}{below}"
                if why:
                    left.append(LeftOut(full, why))
                    continue
                try:
                    node = how.node_of(full)
                except ValueError as error:
                    left.append(LeftOut(full, str(error)))
                    continue
                tag = Tag(f"{name}{below}", unit_text("", _unit(element, below)), node)
                found.append(Found(asset, "plc", tag, f"{kind} {full}; {description}".removesuffix("; "), full))
                if len(found) > TAGS_MAX:
                    raise ConfigError((f"more than {TAGS_MAX} tags; export fewer",))
    return settle({"plc": connection}, found, left)


def _leaves(tag: Element, types: Mapping[str, list[Element]]) -> Iterator[_Leaf]:
    if tag.get("TagType") == "Alias":
        yield "", "", f"it is another name for {tag.get('AliasFor', 'something')}"
    elif tag.get("ExternalAccess") == "None" or tag.get("OpcUaAccess") == "None":
        yield "", "", "it may not be accessed from outside (ExternalAccess or OpcUaAccess is None)"
    else:
        yield from _of_type("", tag.get("DataType", ""), tag.get("Dimensions", ""), types, 0)


def _of_type(name: str, kind: str, dimensions: str, types: Mapping[str, list[Element]], depth: int) -> Iterator[_Leaf]:
    if dimensions not in ("", "0"):
        yield name, kind, f"it is an array of {kind}"
    elif kind.upper() in _NUMBERS:
        yield name, kind, ""
    elif kind in types and depth < NESTING_MAX:
        for member in types[kind]:
            if member.get("Hidden") != "true":
                yield from _of_type(f"{name}.{member.get('Name', '')}", member.get("DataType", ""),
                                    member.get("Dimension", ""), types, depth + 1)
    else:
        yield name, kind, f"{kind or 'its type'} is no number and no structure of this project"


def _unit(tag: Element, below: str) -> str:
    """Return the engineering unit that the project gives to a tag or to its member."""
    operand = below.upper()
    return next((" ".join((unit.text or "").split()) for unit in tag.iterfind("EngineeringUnits/EngineeringUnit")
                 if unit.get("Operand", "").upper() == operand), "")
