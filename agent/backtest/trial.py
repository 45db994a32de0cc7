"""What a back-test is made of: segments to learn from and to judge, and what a learnt model must offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from connectors.frame import Bools, Float32s, Int64s

Float64s = npt.NDArray[np.float64]
Int8s = npt.NDArray[np.int8]

UNLABELLED: Final = -1
HEALTHY: Final = 0
FAULTY: Final = 1


class BacktestError(Exception):
    """The back-test cannot be run as asked; the message names the thing, the file and what is there."""


@dataclass(frozen=True, slots=True)
class Segment:
    """T rows of one run on the grid of the period, without long holes; a run may have several.

    `times_ns` i64[T] (UTC, or from the start of the run), `values` f32[T, C] (NaN where missing), `mask`
    bool[T, C] (True where measured), `label` i8[T]: 1 a fault, 0 healthy, -1 not known (no label, or no row
    at this time).
    """

    run: str
    times_ns: Int64s
    values: Float32s
    mask: Bools
    label: Int8s

    def __post_init__(self) -> None:
        rows = len(self.times_ns)
        assert self.values.shape == self.mask.shape
        assert len(self.values) == len(self.label) == rows
        assert bool(np.all(np.diff(self.times_ns) > 0)), "time rises"

    @property
    def rows(self) -> int:
        """How many rows it holds, missing ones included."""
        return len(self.times_ns)


@dataclass(frozen=True, slots=True)
class Trial:
    """One model's part: the `tags` it is given, what it learns from and what it is tried on."""

    tags: tuple[str, ...]
    learn: tuple[Segment, ...]
    test: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of T rows: `score` f64[T], higher is worse, NaN is blind; `alarmed` bool[T]."""

    score: Float64s
    alarmed: Bools


class Judge(Protocol):
    """One learnt model, its limit fixed."""

    def judge(self, times_ns: Int64s, values: Float32s, mask: Bools, /) -> Judged:
        """Judge the rows of one segment in order, from a fresh state; shapes as in Segment."""


class Learn(Protocol):
    """How to learn one model; raises BacktestError where the data do not suffice."""

    def __call__(
        self,
        segments: Sequence[Segment],
        tags: Sequence[str],
        period_s: float,
        alerts_per_s: float,
        progress: Callable[[float], None],
        /,
    ) -> Judge:
        """Learn from healthy segments to keep to `alerts_per_s`; tell `progress` the share done, 0..1."""
