"""Whether a fault that people labelled is known the next time: each at its repair, by name, by a person who knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from agent.line.likeness import Prototype, Prototypes
from benchmarks.plant_year_case import AssetYear, FaultOutcome, Raised
from benchmarks.result import Figure
from simulators.faults import Degradation

RECOGNISED: Final = "a labelled fault recognised the next time"
MISNAMED: Final = "first alerts given another fault's name"
FALSELY_NAMED: Final = "false alerts given a fault's name"


def recognition(case: str, years: Sequence[AssetYear]) -> list[Figure]:
    """Return how often the first alert of a fault has its name first, where that was labelled before on its plant.

    The machines of one make share a bundle, and with it what people labelled. Named otherwise is any other name, of a
    fault that was labelled before or of one that was not.
    """
    known: list[bool] = []
    misnamed: list[bool] = []
    false: list[bool] = []
    for _, group in groupby(sorted(years, key=_bundle), key=_bundle):
        for outcome, names, like in _told(list(group)):
            if outcome is None:
                false.append(like is not None)
                continue
            true = name_of(outcome.fault.degradation)
            misnamed.append(like not in (None, true))
            if true in names:
                known.append(like == true)
    return [
        Figure(case, RECOGNISED, _percent(known), "%"),
        Figure(case, "labelled faults that came again", len(known), ""),
        Figure(case, MISNAMED, _percent(misnamed), "%"),
        Figure(case, FALSELY_NAMED, _percent(false), "%"),
    ]


def name_of(degradation: Degradation) -> str:
    """Return what the person calls a fault: its kind, and of a sensor's fault the sensor."""
    return degradation.kind if degradation.tag is None else f"{degradation.kind} of {degradation.tag}"


def _told(years: Sequence[AssetYear]) -> Iterator[tuple[FaultOutcome | None, set[str], str | None]]:
    """Give for each alert of the machines of a make, in the order of time, the fault that it is the first of, or None.

    With it come the names that had been given by then, and the one that it is said to be like.
    """
    firsts = [(one.first, one) for year in years for one in year.faults if one.first is not None]
    others = [(one, None) for year in years for one in year.other]
    labels = sorted((one.repaired_s, place) for place, (_, one) in enumerate(firsts))
    prototypes: list[Prototype] = []
    for raised, outcome in sorted([*firsts, *others], key=lambda each: each[0].time_s):
        while labels and labels[0][0] <= raised.time_s:
            prototypes.append(_prototype(*firsts[labels.pop(0)[1]]))
        like = Prototypes(prototypes).nearest(raised.signature, raised.verdict.fault_probabilities)
        yield outcome, {one.name for one in prototypes}, None if like is None else like.name


def _prototype(raised: Raised, outcome: FaultOutcome) -> Prototype:
    told = raised.verdict
    return Prototype(
        raised.alert_id, told.time_ns, name_of(outcome.fault.degradation), False, raised.signature, raised.signature,
        told.fault_probabilities, told.model_hash,
    )


def _bundle(year: AssetYear) -> tuple[int, str]:
    return year.asset.seed, year.asset.machine


def _percent(rights: Sequence[bool]) -> float:
    return 100 * float(np.mean(rights)) if rights else float("nan")
