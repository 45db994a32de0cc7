"""Variables of an OPC UA server to tags of machines. Pure; the walk itself is connectors.opcua.browse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.commission.address import Connection
from agent.commission.pattern import SEPARATOR
from agent.commission.proposal import NO_UNIT, Found, LeftOut, Proposal, asset_name, settle
from agent.commission.units import unit_text
from connectors.frame import GOOD, Tag, status_name

if TYPE_CHECKING:
    from connectors.opcua.browse import AddressSpace, Variable


def proposal_of(space: AddressSpace, connection: Connection, level: int | None = None, name: str = "plc") -> Proposal:
    """Return tags for all variables that can be, by the object that they belong to, or by that at a `level` from 1."""
    variables = [_at_level(variable, level) for variable in space.variables]
    usable = [variable for variable in variables if not variable.obstacle]
    machines = _machine_names(usable)
    found = [Found(machines[variable.path[:variable.machine]], name, _tag(variable), _note(variable),
                   SEPARATOR.join(variable.path)) for variable in usable]
    left = [LeftOut(SEPARATOR.join(variable.path), variable.obstacle) for variable in variables if variable.obstacle]
    left += [LeftOut(SEPARATOR.join(path) or "Objects", f"the server does not open it ({why})")
             for path, why in space.closed]
    return settle({name: connection}, found, left)


def _at_level(variable: Variable, level: int | None) -> Variable:
    """Return the variable with the machine at a level of its path, where it is that deep."""
    return variable if level is None or level >= variable.machine else replace(variable, machine=level)


def _machine_names(variables: Sequence[Variable]) -> dict[tuple[str, ...], str]:
    """Name each object by the shortest end of its path that no other object has."""
    owners = list(dict.fromkeys(variable.path[:variable.machine] for variable in variables))
    names: dict[tuple[str, ...], str] = {}
    for length in range(1, max((len(owner) for owner in owners), default=0) + 2):
        same = defaultdict(list)
        for owner in owners:
            same[asset_name("_".join(owner[-length:]) or "plant")].append(owner)
        for text, holders in same.items():
            if len(holders) == 1 and text not in names.values():
                names.setdefault(holders[0], text)
        if len(names) == len(owners):
            return names
    for number, owner in enumerate(owners):
        names.setdefault(owner, f"{asset_name('_'.join(owner))[:50]}_{number}")
    return names


def _tag(variable: Variable) -> Tag:
    limits = _limits(variable)
    low, high = limits or (-float("inf"), float("inf"))
    return Tag(".".join(variable.path[variable.machine:]), unit_text(variable.unit_code, variable.unit) or NO_UNIT,
               variable.address, low=low, high=high)


def _limits(variable: Variable) -> tuple[float, float] | None:
    """Return what the sensor can measure: outside of it a value is a fault of the sensor (Part 8, 5.6.2).

    A range that the present value lies outside of was never maintained, and is not taken.
    """
    limits = variable.range or variable.normal
    if limits is None or (variable.value is not None and not limits[0] <= variable.value <= limits[1]):
        return None
    return limits


def _note(variable: Variable) -> str:
    now = "no value now" if variable.value is None else f"{variable.value:.6g}"
    if variable.status != GOOD:
        now = f"{now} ({status_name(variable.status)})"
    parts = [SEPARATOR.join(variable.path), f"{variable.kind} {now}".strip()]
    if variable.description != variable.path[-1]:
        parts.append(variable.description)
    limits = _limits(variable)
    if limits is not None:
        parts.append(f"low and high are its {'InstrumentRange' if variable.range else 'EURange'}")
    elif shown := variable.range or variable.normal:
        parts.append(f"its range, {shown[0]:g} to {shown[1]:g}, cannot be right: the value lies outside")
    return "; ".join(part for part in parts if part)
