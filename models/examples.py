"""From a random plant to what the fault head learns from: the floor is fitted to its history, then watches the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from models import regimes
from models.features import FEATURES, Features, Observed, Statistics, learn_reference
from models.synthetic import MIXTURE, Mixture, Plant, courses, pick

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]

COURSES, ROWS_PER_COURSE = 3, 8
ROWS_PER_PLANT = COURSES * ROWS_PER_COURSE
LAST_ROWS = 400
"""They are drawn from so many last rows of the plant."""
UNTOLD = -1
"""The kind of a struck channel whose degradation is not visible yet."""
YOUNG_WEIGHT = 60.0
"""The row of the onset is drawn so many times as often, later ones less: it is then that an alert needs a name."""
CHANNELS_MAX = 64
WARM_ROWS = 200
"""The averages have seen so many rows before the monitored part begins."""
FIT_SHARE = 0.7
"""The floor is fitted to the first part of history and the reference learnt on the rest, as drift would have it."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The closed-form floor over S channels: standardises by `centre` and `scale` f64[S], then regime experts."""

    centre: Float64s
    scale: Float64s
    experts: regimes.Regimes

    @classmethod
    def fit(cls, stretches: Sequence[Float64s], count: int = 1) -> Floor:
        """Fit `count` regimes to stretches of healthy rows f64[N, S].

        The shrinkage is the one with which the earlier part of the stretches predicts the later part best: what the
        floor will have to do.
        """
        everything = np.concatenate(stretches)
        centre, scale = everything.mean(0), everything.std(0) + 1e-9
        parts = [np.split((s - centre) / scale, [int(len(s) * FIT_SHARE)]) for s in stretches]
        earlier, later = (np.concatenate(part) for part in zip(*parts, strict=True))
        _, ridge, _ = next(regimes.choose(earlier, later))
        return cls(centre, scale, regimes.fit((everything - centre) / scale, count, ridge))

    def observe(self, values: Float64s) -> Observed:
        """Return what the floor sees of a stretch of rows f64[T, S]."""
        e, z, white, offset = self.explain(values)
        unchanged = np.vstack([np.zeros((1, values.shape[1]), bool), values[1:] == values[:-1]])
        return Observed(e, z, unchanged, Statistics(values.shape[1]).update(e, z, white), offset)

    def explain(self, values: Float64s) -> tuple[Float64s, Float64s, Float64s, Float64s]:
        """Return e, z, the white residual and the offset, each f64[T, S], of a stretch of rows f64[T, S]."""
        density, _ = self.experts.assess((values - self.centre) / self.scale)
        best = density.argmax(1)
        centred = (values - self.centre) / self.scale - self.experts.mean[best]
        deviation = np.sqrt(np.diagonal(self.experts.covariance, axis1=1, axis2=2))[best]
        white, e, offset = (np.empty_like(centred) for _ in range(3))
        for k, W in enumerate(self.experts.whiteners()):
            rows = best == k
            white[rows] = centred[rows] @ W
            pull, stiffness = white[rows] @ W.T, (W**2).sum(1)
            e[rows], offset[rows] = pull / np.sqrt(stiffness), pull / stiffness
        return e, centred / deviation, white, offset


@dataclass(frozen=True, slots=True)
class Examples:
    """N rows of plants padded to CHANNELS_MAX channels: what the head sees, and the truth.

    `features` f16[N, CHANNELS_MAX, F], `whole` f32[N, M], `channels` i[N] how many are real; `fault`, `benign`,
    `failing` f32[N] are 0 or 1, `certain` f32[N] is 0 where `fault` is a matter of taste; `kind` i[N, CHANNELS_MAX] is
    UNTOLD where nobody could tell yet; `amplitude` f32[N] is the degradation's in sd, `age` i[N] its rows so far.
    """

    features: npt.NDArray[np.float16]
    whole: Float32s
    channels: npt.NDArray[np.int64]
    fault: Float32s
    benign: Float32s
    failing: Float32s
    certain: Float32s
    kind: npt.NDArray[np.int8]
    amplitude: Float32s
    age: npt.NDArray[np.int64]


def examples(
    plants: Sequence[Plant], rng: np.random.Generator, rows: int = ROWS_PER_COURSE, *, judged: bool = True
) -> Examples:
    """Return `rows` rows of each course of a plant, drawn from the last of what is monitored, as the head sees them."""
    plant = plants[0]
    fit_rows = int(plant.healthy_rows * FIT_SHARE)
    floor = Floor.fit([plant.values[:fit_rows]], plant.regimes)
    reference = learn_reference([floor.observe(plant.values[fit_rows : plant.healthy_rows])])
    return joined([_of_course(each, floor, Features(reference), rng, rows, judged) for each in plants])


def _of_course(
    plant: Plant, floor: Floor, features: Features, rng: np.random.Generator, rows: int, judged: bool
) -> Examples:
    earliest = max(plant.healthy_rows + 10, len(plant.values) - LAST_ROWS)
    begun = plant.healthy_rows - min(WARM_ROWS, plant.healthy_rows - int(plant.healthy_rows * FIT_SHARE))
    first = max(earliest - WARM_ROWS, begun)
    if first > begun:
        e, _, _, offset = floor.explain(plant.values[begun:first])
        features.pass_over(e, offset)
    seen, whole = features.update(floor.observe(plant.values[first:]))
    candidates = np.arange(earliest, len(plant.values))
    age = candidates - plant.onset
    odds = np.where(age >= 0, np.maximum(YOUNG_WEIGHT / (1.0 + np.abs(age)), 1.0), 1.0)
    chosen = rng.choice(candidates, rows, replace=False, p=odds / odds.sum())
    at, count = chosen - first, seen.shape[1]
    padded = np.zeros((rows, CHANNELS_MAX, FEATURES), np.float16)
    padded[:, :count] = seen[at]
    kind = np.zeros((rows, CHANNELS_MAX), np.int8)
    struck = plant.fault[chosen][:, None] & (plant.kind > 0)
    kind[:, :count] = np.where(struck, np.where(plant.certain[chosen][:, None], plant.kind, UNTOLD), 0)
    return Examples(
        padded,
        whole[at],
        np.full(rows, count, np.int64),
        plant.fault[chosen].astype(np.float32),
        plant.benign[chosen].astype(np.float32),
        plant.failing[chosen].astype(np.float32),
        (plant.certain[chosen] & judged).astype(np.float32),
        kind,
        plant.amplitude[chosen].astype(np.float32),
        np.maximum(chosen - plant.onset, 0),
    )


def joined(parts: Sequence[Examples]) -> Examples:
    """Return all the rows of some examples."""
    return Examples(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Examples)})


def example(seed: int, number: int, mixture: Mixture) -> Examples:
    """Return the examples of plant `number` of the training set `seed`."""
    rng = np.random.default_rng([seed, number])
    prior = pick(mixture, rng)
    return examples(courses(prior, rng, COURSES), rng, judged=prior.judged)


def collect(
    plants: int,
    seed: int,
    mixture: Mixture = MIXTURE,
    processes: int = 2,
    progress: Callable[[float], None] = lambda _share: None,
) -> Examples:
    """Draw `plants` plants in `processes` processes; the result does not depend on how many these are."""
    parts = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(partial(example, seed, mixture=mixture), range(plants), chunksize=16):
            parts.append(part)
            progress(len(parts) / plants)
    return joined(parts)
