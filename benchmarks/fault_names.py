"""What an alert has to say of a simulated degradation to be right: its class of cause, a tag, the shape of the signal.

The agent learns without labels, so it can only name what a fault does to a signal (models/degradations.py), never the
part that breaks. A shape is right for a degradation if the simulators' physics makes it in the tags that it moves; the
table was written from that physics, before any figure was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.line import verdict
from agent.line.verdict import Verdict
from simulators.faults import Cause, Degradation, effect

TAGS_READ: Final = 3
"""So many tags of an alert are read: the truth has to be among them."""

# What grows for days is an offset to a head that looks back for minutes, and a shift where tags move together.
_LEVEL: Final = frozenset({"bias", "ramp", "shift"})
SHAPES: Final[Mapping[str, frozenset[str]]] = {
    # Of one sensor. A shift is what several tags of a process do, so it would be wrong here.
    "sensor_drift": frozenset({"bias", "ramp"}),
    "stuck_sensor": frozenset({"stuck"}),
    # The signal drops for a second or two, ever more often: bursts, which grow into a noise.
    "loose_connection": frozenset({"intermittent", "noise"}),
    # Of the machine. Vibration is a level times a random factor, so that its scatter grows with it.
    "bearing_wear": _LEVEL | {"gain", "noise"},
    # Bubbles and stick-slip come and go within seconds, and have a mean.
    "cavitation": _LEVEL | {"gain", "noise"},
    "belt_slip": _LEVEL | {"gain", "noise"},
    # A resistance, a leak or a weak heater multiplies what depends on flow, pressure or duty.
    "filter_fouling": _LEVEL | {"gain"},
    "seal_leak": _LEVEL | {"gain"},
    "heater_ageing": _LEVEL | {"gain"},
    # The stem waits behind its command, then jumps, and the loop hunts; on the press each stroke ends elsewhere.
    "valve_stiction": _LEVEL | {"noise", "oscillation", "delay", "decoupling"},
}
"""The shapes of signals (models/degradations.py FAULTS) that each kind of degradation makes."""

_CAUSES: Final = {Cause.MACHINE: verdict.Cause.MACHINE, Cause.SENSOR: verdict.Cause.SENSOR}


def cause_is_right(machine: str, failing: Degradation, said: Verdict) -> bool:
    """Say whether the class of cause is the true one."""
    return said.cause is _CAUSES[effect(machine, failing).cause]


def shape_is_right(_machine: str, failing: Degradation, said: Verdict) -> bool:
    """Say whether the most probable shape is one that the degradation makes."""
    return bool(said.fault_probabilities) and said.fault_probabilities[0][0] in SHAPES[failing.kind]


def type_is_right(machine: str, failing: Degradation, said: Verdict) -> bool:
    """Say whether a technician is sent the right way: by the class of cause and the shape, both."""
    return cause_is_right(machine, failing, said) and shape_is_right(machine, failing, said)


def tag_is_right(machine: str, failing: Degradation, said: Verdict) -> bool:
    """Say whether a tag that really moves is among the first that are named."""
    moved = effect(machine, failing).tags
    return any(each.tag in moved for each in said.contributions[:TAGS_READ])
