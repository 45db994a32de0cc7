"""The benchmarks by name; each is a function from options to results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from benchmarks import (
    ablations,
    acquisition,
    alerts,
    cmapss,
    cranfield,
    footprint,
    historian,
    inference,
    refinement,
    simulated,
    skab,
    tags,
    tep,
    threew,
)
from benchmarks.options import Options
from benchmarks.result import Result

BENCHMARKS: Final[Mapping[str, Callable[[Options], Iterable[Result]]]] = {
    "tep": tep.run,
    "skab": skab.run,
    "cranfield": cranfield.run,
    "cmapss": cmapss.run,
    "threew": threew.run,
    "tags": tags.run,
    "simulated": simulated.run,
    "alerts": alerts.run,
    "ablations": ablations.run,
    "refinement": refinement.run,
    "inference": inference.run,
    "footprint": footprint.run,
    "acquisition": acquisition.run,
    "historian": historian.run,
}

SEEDS: Final[Mapping[str, int]] = {"simulated": simulated.SEEDS, "alerts": alerts.SEEDS}
"""The seeds of those that need more than is usual."""

PARTED: Final = frozenset({"acquisition"})
"""Those whose parts stand for themselves and are kept where only some were measured."""
