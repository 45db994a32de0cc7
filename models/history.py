"""Healthy history as learning sees it: long, in 32 bits, standardised chunk by chunk, cut into folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FOLDS = 5
FOLDED_ROWS_MIN = 100
"""A stretch with fewer judged rows is in one fold as a whole, a longer one has its part in each.

So no fold can hold all rows, wherever the gaps are: what is learnt from the others can always be judged.
"""
FIT_ROWS_MAX = 20_000
"""More rows than this are thinned for fitting; all of them are used for calibration."""
CHUNK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one stretch: `x` f64[N, U] standardised, `raw` f32[N, U], `fold` i64[N].

    `judged` bool[N]: the row is complete and the machine had settled; the others are NaN somewhere or do not count.
    `first`: the chunk begins its stretch.
    """

    x: Float64s
    raw: Float32s
    fold: Ints
    judged: Bools
    first: bool


@dataclass(frozen=True, slots=True)
class History:
    """Stretches f32[T, C] of the tags (NaN = missing) and `skipped` bool[T] rows in each, that do not count.

    `used` i64[U] are the positions of the channels that the model looks at, `centre` and `scale` f64[U] standardise
    them.
    """

    stretches: tuple[Float32s, ...]
    skipped: tuple[Bools, ...]
    used: Ints
    centre: Float64s
    scale: Float64s

    @classmethod
    def of(cls, stretches: Sequence[Float32s], used: Ints) -> History:
        """Standardise the channels at positions `used` by their mean and deviation over all stretches."""
        centre, scale = [], []
        for channel in used:
            column = np.concatenate([s[:, channel] for s in stretches]).astype(np.float64)
            centre.append(np.nanmean(column))
            scale.append(np.nanstd(column))
        nothing = tuple(np.zeros(len(s), np.bool_) for s in stretches)
        return cls(tuple(stretches), nothing, used, np.array(centre), np.array(scale))

    def without(self, skipped: Sequence[Bools]) -> History:
        """Return the history in which these rows bool[T] do not count either."""
        joined = tuple(a | b for a, b in zip(self.skipped, skipped, strict=True))
        return History(self.stretches, joined, self.used, self.centre, self.scale)

    def first(self, channels: int) -> History:
        """Return the history of the first so many of the used channels."""
        return History(
            self.stretches, self.skipped, self.used[:channels], self.centre[:channels], self.scale[:channels]
        )

    def chunks(self) -> Iterator[Chunk]:
        """Give all rows in order."""
        short = 0
        for stretch, judged in zip(self.stretches, self._judged(), strict=True):
            folds = _folds(judged, short)
            short += 0 < judged.sum() < FOLDED_ROWS_MIN
            for start in range(0, len(stretch), CHUNK_ROWS):
                rows = slice(start, start + CHUNK_ROWS)
                raw = stretch[rows][:, self.used]
                yield Chunk((raw - self.centre) / self.scale, raw, folds[rows], judged[rows], start == 0)

    def counts(self) -> list[int]:
        """Return how many rows of each stretch are judged."""
        return [int(judged.sum()) for judged in self._judged()]

    def count(self) -> int:
        """Return how many rows are judged."""
        return sum(self.counts())

    def _judged(self) -> Iterator[Bools]:
        for stretch, skipped in zip(self.stretches, self.skipped, strict=True):
            judged = ~skipped
            for start in range(0, len(stretch), CHUNK_ROWS):
                rows = slice(start, start + CHUNK_ROWS)
                judged[rows] &= ~np.isnan(stretch[rows][:, self.used]).any(1)
            yield judged

    def rows(self) -> tuple[Float64s, Ints]:
        """Return the judged rows f64[N, U], thinned to about FIT_ROWS_MAX, and their folds i64[N]."""
        every = -(-self.count() // FIT_ROWS_MAX)
        rows, folds, before = [], [], 0
        for chunk in self.chunks():
            at = np.flatnonzero(chunk.judged)
            at = at[(before + np.arange(len(at))) % max(every, 1) == 0]
            before += int(chunk.judged.sum())
            rows.append(chunk.x[at])
            folds.append(chunk.fold[at])
        return np.concatenate(rows), np.concatenate(folds)


def _folds(judged: Bools, short: int) -> Ints:
    """Return the fold of each row of a stretch, `short` stretches after the first that was too short to be cut."""
    rows = int(judged.sum())
    if rows < FOLDED_ROWS_MIN:
        return np.full(len(judged), short % FOLDS)
    return np.asarray(np.maximum(np.cumsum(judged) - 1, 0) * FOLDS // rows)
