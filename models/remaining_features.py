"""What a remaining-life model sees of an asset: its tags relative to their regime, their means, trends and change.

Everything is streaming with O(tags) memory. That the change since the asset's own first rows, its rate and the age tell
more than any window does, and the sum of all tags by how each goes with life more than the tags apart, are the findings
of an ablation on turbofan engines (docs/prognosis.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

MEMORIES = (0.04, 0.11, 0.32)
"""Memories of the exponentially weighted means, in shares of the horizon."""
REFERENCE = 0.24
"""How much of its first rows is the asset's own reference, in shares of the horizon."""
REGIMES_MAX = 12
UNEXPLAINED_MAX = 0.01
"""Regimes count where they leave at most this share of the variance; a continuum of states is one regime."""
SPLIT_MAX = 0.3
"""More of them count where they leave at most this share of what fewer left: two had been taken for one."""
VISITED_MIN = 0.01
"""A regime has at least this share of the rows; fewer are outliers, or the first rows of a wear that comes in steps."""
STILL = 1e-4
"""A tag that moves less than this within regimes, relative to its whole spread, tells nothing of wear."""
_FITTED_ROWS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Normaliser:
    """C tags relative to their regime: `tags` i64[S] are used, `centre`, `scale` f64[S] standardise them,
    `regime` f64[K, S] are the regimes' centres then, `spread` f64[K, S] the deviations within them; `wear` f64[S] are
    the tags' weights in the sum that goes with life, absolutely 1 together.
    """

    tags: Int64s
    centre: Float64s
    scale: Float64s
    regime: Float64s
    spread: Float64s
    wear: Float64s

    @property
    def width(self) -> int:
        """How many columns `apply` gives."""
        return len(self.tags) + 1

    def apply(self, values: Float32s) -> Float64s:
        """Return values f32[N, C] in deviations from their nearest regime's centre, then their sum, as f64[N, S + 1].

        NaN where missing; the sum is weighted by wear, of the tags that are there.
        """
        z = self._relative(values)
        good = ~np.isnan(z)
        weight = (good * np.abs(self.wear)).sum(1)
        total = np.where(weight > 0, (np.where(good, z, 0.0) * self.wear).sum(1) / np.maximum(weight, 1e-12), np.nan)
        return np.concatenate([z, total[:, None]], 1)

    def taught(self, values: Float32s, life: Float64s) -> Normaliser:
        """Return it with the weights of wear learnt from rows f32[N, C] with their life f64[N], NaN where not known.

        A weight is the squared correlation with life, one tag at a time: weights that are fitted together learn the
        machines by heart, of which there are never many.
        """
        known = np.flatnonzero(~np.isnan(life))
        known = known[:: max(-(-len(known) // _FITTED_ROWS_MAX), 1)]
        z = self._relative(values[known])
        good = ~np.isnan(z)
        rows = np.maximum(good.sum(0), 1)
        y = np.where(good, life[known][:, None], 0.0)
        z = np.where(good, z - np.where(good, z, 0.0).sum(0) / rows, 0.0)
        y = np.where(good, y - y.sum(0) / rows, 0.0)
        correlation = (z * y).sum(0) / np.sqrt(np.maximum((z**2).sum(0) * (y**2).sum(0), 1e-12))
        weight = np.sign(correlation) * correlation**2
        return replace(self, wear=weight / max(np.abs(weight).sum(), 1e-12))

    def _relative(self, values: Float32s) -> Float64s:
        z = (values[:, self.tags] - self.centre) / self.scale
        nearest = _nearest(np.nan_to_num(z), ~np.isnan(z), self.regime)
        return np.asarray((z - self.regime[nearest]) / self.spread[nearest])


def normaliser(values: Float32s, remaining_rows: Float64s, horizon_rows: float) -> Normaliser | None:
    """Learn from rows f32[N, C] which regimes there are, how each tag spreads in them, and how it goes with life.

    `remaining_rows` f64[N] is that life, NaN where not known. Regimes are looked for in rows with more of it than the
    horizon, where there are any: stages of wear are not to be found. None where nothing moves.
    """
    healthy = ~(remaining_rows < horizon_rows)
    present = np.maximum((~np.isnan(values)).sum(0), 1)
    centre = np.nansum(values, 0, dtype=np.float64) / present
    scale = np.sqrt(np.nansum((values - centre) ** 2, 0) / present)
    moving = np.flatnonzero(scale > 1e-6 * np.maximum(1.0, np.abs(centre)))
    if not len(moving):
        return None
    centre, scale = centre[moving], scale[moving]
    step = -(-len(values) // _FITTED_ROWS_MAX)
    z = (values[::step][:, moving] - centre) / scale
    whole = ~np.isnan(z).any(1)
    complete, sound = z[whole], healthy[::step][whole]
    if not len(complete):
        return None
    regime = _regimes(complete[sound] if sound.any() else complete)
    nearest = _nearest(complete, np.ones_like(complete, np.bool_), regime)
    members = [complete[nearest == k] for k in range(len(regime))]
    spread = np.stack([rows.std(0) for rows in members])
    shares = np.array([len(rows) for rows in members]) / len(complete)
    telling = np.sqrt(shares @ spread**2) > STILL
    kept = moving[telling]
    spread = np.maximum(spread, 1e-3)[:, telling]
    untaught = Normaliser(kept, centre[telling], scale[telling], regime[:, telling], spread, np.zeros(len(kept)))
    return untaught.taught(values, np.minimum(remaining_rows, horizon_rows))


def _nearest(z: Float64s, good: npt.NDArray[np.bool_], regime: Float64s) -> npt.NDArray[np.intp]:
    """Return the regime nearest to each row of z f64[N, S] by its good tags."""
    if len(regime) == 1:
        return np.zeros(len(z), np.intp)
    distance = np.stack([(((z - centre) ** 2) * good).sum(1) for centre in regime], 1)
    return np.asarray(distance.argmin(1))


def _regimes(z: Float64s) -> Float64s:
    """Return centres f64[K, S] of the regimes that explain rows z f64[N, S], of one where none do."""
    found = z.mean(0, keepdims=True)
    bound = UNEXPLAINED_MAX * float(((z - found) ** 2).sum())
    for count in range(2, min(REGIMES_MAX, len(z) // 3) + 1):
        centres, unexplained = _clusters(z, count)
        if unexplained < bound:
            found, bound = centres, SPLIT_MAX * unexplained
    return np.asarray(found)


def _clusters(z: Float64s, count: int) -> tuple[Float64s, float]:
    """Return centres f64[K, S] by k-means, started far apart, and the sum of squares that they leave.

    That is infinite where a cluster is no regime, being hardly ever visited.
    """
    outliers = max(round(VISITED_MIN * len(z)), 1)
    ordinary = np.argsort(((z - z.mean(0)) ** 2).sum(1), kind="stable")[len(z) // 2]
    centres = z[ordinary : ordinary + 1]
    while len(centres) < count:
        distance = np.stack([((z - centre) ** 2).sum(1) for centre in centres]).min(0)
        centres = np.vstack([centres, z[np.argsort(distance, kind="stable")[-1 - outliers]]])
    for _ in range(10):
        nearest = _nearest(z, np.ones_like(z, np.bool_), centres)
        centres = np.stack([z[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(count)])
    if np.bincount(nearest, minlength=count).min() <= outliers:
        return centres, np.inf
    return centres, float(((z - centres[nearest]) ** 2).sum())


class Features:
    """Follows one asset from its first row; `age_rows` counts all rows, missing ones as well."""

    def __init__(self, tags: int, horizon_rows: float) -> None:
        """Begin with an asset of S columns; `horizon_rows` sets all scales."""
        self.age_rows = 0
        self._horizon_rows = horizon_rows
        self._keep = 1.0 - 1.0 / np.maximum(1.0, np.array(MEMORIES) * horizon_rows)[:, None]
        self._length = max(1.0, round(REFERENCE * horizon_rows))
        self._sum, self._weight = np.zeros((2, len(MEMORIES), tags))
        self._first, self._seen = np.zeros((2, tags))

    @property
    def state(self) -> Float64s:
        """Return all that is remembered, f64[1 + 8 S], to go on with after a restart."""
        parts = (self._sum, self._weight, self._first, self._seen)
        return np.concatenate([[float(self.age_rows)], *(part.ravel() for part in parts)])

    def restore(self, state: Float64s) -> None:
        """Go on from a state of the same number of columns."""
        self.age_rows = int(state[0])
        parts = (self._sum, self._weight, self._first, self._seen)
        for part, content in zip(parts, np.split(state[1:], np.cumsum([p.size for p in parts])[:-1]), strict=True):
            part[:] = content.reshape(part.shape)

    def skip(self, rows: int) -> None:
        """Let so many rows pass without a value."""
        self._sum *= self._keep**rows
        self._weight *= self._keep**rows
        self.age_rows += rows

    def update(self, z: Float64s) -> Float32s:
        """Take normalised rows f64[N, S] in (NaN missing) and return features f32[N, 5 S + 1]."""
        good = ~np.isnan(z)
        filled = np.where(good, z, 0.0)
        out = np.empty((len(z), 5 * z.shape[1] + 1), np.float32)
        for row in range(len(z)):
            out[row] = self._row(filled[row], good[row])
        return out

    def _row(self, z: Float64s, good: npt.NDArray[np.bool_]) -> Float64s:
        self._sum *= self._keep
        self._weight *= self._keep
        self._sum += (1.0 - self._keep) * z
        self._weight += (1.0 - self._keep) * good
        early = good & (self._seen < self._length)
        self._first += np.where(early, z, 0.0)
        self._seen += early
        self.age_rows += 1
        fast, middle, slow = self._sum / np.maximum(self._weight, 1e-12)
        first = self._first / np.maximum(self._seen, 1.0)
        change = middle - first
        age = self.age_rows / self._horizon_rows
        return np.concatenate([fast, middle, middle - slow, change, change / max(age, REFERENCE), [age]])


def features_of(runs: Sequence[Float32s], norm: Normaliser, horizon_rows: float) -> list[Float32s]:
    """Return the features of whole runs of values f32[T, C]."""
    return [Features(norm.width, horizon_rows).update(norm.apply(values)) for values in runs]
