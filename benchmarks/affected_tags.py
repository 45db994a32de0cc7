"""Which tags the faults of the public recordings touch, by the documentation of each set; written before any figure.

A tag is named where the documentation ties what was done to what the tag measures, and nothing that follows from it is.
A fault of which it does not say that is left out, as a tag chosen after a look at the rows would measure nothing.

SKAB (github.com/waico/SKAB, README.md: what was done in each file, what each column measures). Closing a valve in the
flow: the flow rate. Rotor imbalance: the two accelerometers, which are there for vibration. Water of increased
temperature: the thermocouple in the water. Left out are water that leaks or is added (other/1 to 4, 10, 11) and
cavitation (12, 13), because no column is an amount of water or of bubbles.

Cranfield (Ruiz-Carcel and others, 2015, doi.org/10.1016/j.conengprac.2015.04.004): the list of 24 variables, and those
that its contribution plots tie to each fault, as accounts of the paper give them, for the paper itself is not open.
Fault 4, an open direct bypass, is left out: no variable is named for it.

3W (Vargas and others, 2019, doi.org/10.1016/j.petrol.2019.106223: where valves and sensors are). A safety valve in
the production tubing: the sensors on either side of it, downhole and in the tree above. A choke: those on either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True)
class Affected:
    """The `tags` that a fault touches, and the `runs` in which it was staged, where a name may hold *, ? and [...]."""

    fault: str
    runs: tuple[str, ...]
    tags: frozenset[str]


SKAB: Final = (
    Affected("valve closed", ("valve1/*", "valve2/*"), frozenset({"Volume Flow RateRMS"})),
    Affected("rotor imbalance", ("other/[5-9]",), frozenset({"Accelerometer1RMS", "Accelerometer2RMS"})),
    Affected("hot water", ("other/14",), frozenset({"Thermocouple"})),
)

CRANFIELD: Final = (
    # Air delivery pressure PT312, air flow FT305, position of the air valve VC302.
    Affected("air line blocked", ("1_*",), frozenset({"v01", "v08", "v21"})),
    # Water flow FT104, position of the water valve VC101, current of the water pump PO1.
    Affected("water line blocked", ("2_*",), frozenset({"v09", "v22", "v23"})),
    # Differential pressure over the valve VC404 in the separator's input, PT408 - PT403.
    Affected("separator input blocked", ("3_*",), frozenset({"v07"})),
    # Pressure at the bottom of the riser PT401, along it PT401 - PT408, density at its top FT407.
    Affected("slugging", ("5_*",), frozenset({"v02", "v06", "v13"})),
    # Pressure in that line, PT417.
    Affected("2 inch line pressurized", ("6_*",), frozenset({"v24"})),
)

THREEW: Final[Mapping[int, tuple[Affected, ...]]] = {
    2: (Affected("safety valve closes", ("*",), frozenset({"P-PDG", "P-TPT", "T-TPT"})),),
    6: (Affected("choke closes", ("*",), frozenset({"P-MON-CKP", "T-JUS-CKP"})),),
}
"""By event class."""


def affected_in(run: str, faults: Sequence[Affected]) -> Affected | None:
    """Return what is affected in a run, None where the documentation does not say."""
    return next((each for each in faults if any(fnmatchcase(run, name) for name in each.runs)), None)
