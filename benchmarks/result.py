"""What a benchmark yields: one figure of one method on one case, with the target where it is ours."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np


class BenchmarkError(Exception):
    """The benchmark cannot be run as asked; the message names the thing and says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: at least `value`, or at most."""

    value: float
    at_least: bool = True

    def met(self, value: float | None) -> bool:
        """Say whether `value` reaches the target; nothing measured reaches none."""
        if value is None:
            return False
        return value >= self.value if self.at_least else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One number measured once: of what (`case`), which (`metric`), how much, in what unit; NaN where none."""

    case: str
    metric: str
    value: float
    unit: str

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells it from the others of the same run."""
        return self.case, self.metric


@dataclass(frozen=True, slots=True)
class Result:
    """One figure over `seeds` runs; `value` None where it could not be measured, `target` None for peers."""

    benchmark: str
    case: str
    method: str
    metric: str
    value: float | None
    unit: str
    seeds: int
    target: float | None = None
    met: bool | None = None

    def as_json(self) -> str:
        """Return one object on one line."""
        return json.dumps(asdict(self), allow_nan=False, ensure_ascii=False)


Targets = Mapping[tuple[str, str], Target]
"""Targets by case and metric."""


def mean_over_seeds(
    benchmark: str, method: str, runs: Sequence[Sequence[Figure]], targets: Targets
) -> list[Result]:
    """Return the mean of each figure over the runs, one run per seed; `targets` are empty for a peer.

    A figure that a seed lacks (NaN) makes the mean None; an infinite one too, because JSON has no infinity.
    """
    results = []
    for same in zip(*runs, strict=True):
        first = same[0]
        assert all(figure.key == first.key for figure in same), "every seed measures the same"
        mean = float(np.mean([figure.value for figure in same]))
        value = round(mean, 6) if math.isfinite(mean) else None
        target = targets.get(first.key)
        results.append(
            Result(
                benchmark, first.case, method, first.metric, value, first.unit, len(runs),
                None if target is None else target.value,
                None if target is None else target.met(value),
            )
        )
    return results
