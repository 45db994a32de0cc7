"""Every method that is compared, by name: ours, the packages that a user would pick, and rules that know nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.judge import learn_heart
from agent.backtest.trial import Float64s, Judge, Judged, Learn, Segment
from agent.backtest.trivial import TRIVIAL
from benchmarks import classic, outliers, sequences
from benchmarks.peers import Fit, Scorer, peer
from benchmarks.result import BenchmarkError
from benchmarks.variants import VARIANTS, Variant
from connectors.frame import Bools, Float32s, Int64s

OURS: Final = "forewarn"


@dataclass(frozen=True, slots=True)
class Method:
    """How to make a `Learn` from a seed, what has to be installed for it, and whether the seed matters.

    One that is not run `by_default` has to be asked for by its name.
    """

    make: Callable[[int], Learn]
    needs: str = ""
    seeded: bool = False
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class AtLimit:
    """Our judge, its alarm taken row by row: where the evidence reaches the limit, as a peer's does."""

    heart: Judge

    def judge(self, times_ns: Int64s, values: Float32s, mask: Bools, /) -> Judged:
        """Alarm on each row whose calibrated evidence is at least 1; the benchmark adds the delays it wants."""
        score = self.heart.judge(times_ns, values, mask).score
        with np.errstate(invalid="ignore"):
            return Judged(score, score >= 1)


def at_limit(heart: Learn) -> Learn:
    """Return a heart's `Learn` whose judge alarms row by row."""

    def learn(
        segments: Sequence[Segment],
        tags: Sequence[str],
        period_s: float,
        alerts_per_s: float,
        progress: Callable[[float], None],
        /,
    ) -> Judge:
        return AtLimit(heart(segments, tags, period_s, alerts_per_s, progress))

    return learn


def _fixed(fit: Fit, needs: str) -> Method:
    return Method(lambda _seed: peer(fit), needs)


def _seeded(fit: Callable[[Sequence[Float64s], int], Scorer], needs: str) -> Method:
    return Method(lambda seed: peer(lambda stretches: fit(stretches, seed)), needs, seeded=True)


def _variant(variant: Variant) -> Method:
    return Method(lambda _seed: at_limit(variant.learner()), by_default=False)


def _rule(learn: Learn) -> Method:
    return Method(lambda _seed: learn)


METHODS: Final[Mapping[str, Method]] = {
    # What we learn has no random part.
    OURS: Method(lambda _seed: at_limit(learn_heart)),
    "PCA-T2": _fixed(classic.pca_t2, "sklearn"),
    "PCA-Q": _fixed(classic.pca_q, "sklearn"),
    "Mahalanobis": _fixed(classic.mahalanobis, "sklearn"),
    "EWMA-Mahalanobis": _fixed(classic.smoothed(classic.mahalanobis), "sklearn"),
    "LedoitWolf": _fixed(classic.ledoit_wolf, "sklearn"),
    "EWMA-LedoitWolf": _fixed(classic.smoothed(classic.ledoit_wolf), "sklearn"),
    "IForest": _seeded(classic.isolation_forest, "sklearn"),
    "LOF": _fixed(classic.local_outlier_factor, "sklearn"),
    "KNN": _fixed(outliers.nearest_neighbours, "pyod"),
    "ECOD": _fixed(outliers.ecod, "pyod"),
    "COPOD": _fixed(outliers.copod, "pyod"),
    "AutoEncoder": _seeded(outliers.auto_encoder, "pyod"),
    "LSTM": _seeded(sequences.lstm, "pyod"),
    "KMeansAD": _seeded(sequences.kmeans_windows, "aeon"),
    "MatrixProfile": _fixed(sequences.matrix_profile, "stumpy"),
    "HalfSpaceTrees": _seeded(sequences.half_space_trees, "river"),
    **{name: _rule(learn) for name, learn in TRIVIAL.items()},
    **{name: _variant(variant) for name, variant in VARIANTS.items()},
}


def chosen(names: Sequence[str]) -> Mapping[str, Method]:
    """Return the methods of these names, letter case ignored, all where there are none.

    Raises BenchmarkError for an unknown name and where a package is not installed.
    """
    known = {name.lower(): name for name in METHODS}
    if unknown := [name for name in names if name.lower() not in known]:
        raise BenchmarkError(f"no method {', '.join(unknown)}; there are: {', '.join(METHODS)}")
    picked = [known[name.lower()] for name in names] or [name for name, method in METHODS.items() if method.by_default]
    return installed({name: METHODS[name] for name in picked})


def installed(methods: Mapping[str, Method]) -> Mapping[str, Method]:
    """Return the methods if their packages are installed; raise BenchmarkError, saying what to do, if not."""
    missing = sorted({method.needs for method in methods.values() if not _installed(method.needs)})
    if missing:
        without = ",".join(name for name, method in METHODS.items() if not method.needs and method.by_default)
        raise BenchmarkError(
            f"not installed: {', '.join(missing)}; pip install 'forewarn[bench]', or compare without: "
            f"--methods '{without}'"
        )
    return methods


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return not package or find_spec(package) is not None
