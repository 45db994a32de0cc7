"""What the experts say of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]

COVERAGE_MIN = 0.75
"""A row with a smaller share of good values is not scored: too little data is blind, never normal."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the experts say of each of T rows over C tags, S of them scored (NaN for tags that are not).

    `score` f64[T]: squared distance to the most likely regime per good scored tag, about 1 on healthy data, NaN where
    fewer than COVERAGE_MIN of the tags are good. `regime` i64[T]. `distances` f32[T, K]: how far each regime is, in
    standard deviations per good scored tag (root mean square), about 1 at home. `residual` f32[T, C]: measured minus
    expected given the other tags, in standard deviations, 0 where the value is missing. `expected` f32[T, C] in the
    tag's unit. `white` and `deviation` f32[T, S]: the white residual, and the deviation from the regime's mean in its
    own standard deviations. `coverage` f32[T]: share of good tags.
    """

    score: npt.NDArray[np.float64]
    regime: npt.NDArray[np.int64]
    distances: Float32s
    residual: Float32s
    expected: Float32s
    white: Float32s
    deviation: Float32s
    coverage: Float32s

    def then(self, later: Scores) -> Scores:
        """Return these scores followed in time by later ones."""
        return Scores(*(np.concatenate([getattr(self, f), getattr(later, f)]) for f in self.__slots__))

    def at(self, rows: npt.NDArray[np.intp]) -> Scores:
        """Return the rows at some positions."""
        return Scores(*(getattr(self, f)[rows] for f in self.__slots__))

    def last(self, rows: int) -> Scores:
        """Return the newest rows."""
        return Scores(*(getattr(self, f)[max(len(self.score) - rows, 0) :] for f in self.__slots__))
