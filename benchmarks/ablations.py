"""What each part of our model is worth: every set of recordings with the part, and without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from benchmarks import cmapss, cranfield, skab, tep, threew
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.variants import VARIANTS

SETS: Final = {
    "TEP": tep.run,
    "SKAB": skab.run,
    "Cranfield": cranfield.run,
    "C-MAPSS": cmapss.run_leads,
    "3W": threew.run,
}


def run(options: Options) -> Iterator[Result]:
    """Yield the figures that have a target, of the whole model and of each without a part, by set."""
    asked = options.methods or tuple(VARIANTS)
    for name, of_set in SETS.items():
        sought: set[tuple[str, str]] = set()
        for result in of_set(replace(options, methods=(OURS, *asked), subsets=cmapss.SUBSETS)):
            if result.target is not None:
                sought.add((result.case, result.metric))
            if (result.case, result.metric) in sought:
                yield replace(result, benchmark="ablations", case=f"{name}, {result.case}", target=None, met=None)
