"""Prognostic assessment: how healthy an asset is, and how long it has, completing what the diagnosis left open.

Where the bundle has a model of remaining life, learnt from runs to failure, that model speaks, of a healthy machine as
well; it is silent only where the data are too poor or the regime is none it knows. Where it has none, a steady
deviation is followed to twice its limit. The two are never mixed: they say different things.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import nan

import numpy as np

from agent.line.assess import Assessment, Detector
from agent.line.diagnose import rounded
from agent.line.elapsed import Elapsed
from agent.line.memory import UNKNOWN, Memory, Remembered
from agent.line.prognose import Prognosis
from agent.line.verdict import Condition, LifeEnd, Verdict
from connectors.frame import Int64s
from models.remaining import RemainingTracker

SPEECHLESS = (Condition.BLIND, Condition.UNSEEN_REGIME)
"""Conditions in which nothing is known of the health, and a learnt model of remaining life has no opinion."""


class Outlook:
    """Follows one asset; the same rows in any portions give the same outlook."""

    def __init__(self, detector: Detector, memory: Memory | None = None) -> None:
        """Begin with a new asset, or go on from a memory.

        What another bundle's model remembers of its life, or another version's features, is kept and not used: how the
        asset began is not known to this one, so there is no estimate. Nor is it where the asset was watched without
        such a model.
        """
        manifest, model = detector.manifest, detector.remaining
        self._prognosis = Prognosis()
        self._life: tuple[float, float, float] | None = None
        self._learnt = model is not None
        self._hash = detector.hash
        self._elapsed = Elapsed(manifest.period_ms * 1_000_000, None if memory is None else memory.time_ns)
        tracker = None if model is None else RemainingTracker(model, manifest.period_ms / 1e3)
        known = None if memory is None else memory.life or (UNKNOWN if self._learnt else None)
        fits = known is None or (
            known.model_hash == detector.hash and tracker is not None and len(known.state) == len(tracker.state)
        )
        self._foreign = None if fits else known
        self._tracker = tracker if fits else None
        if known is not None and self._tracker is not None:
            self._tracker.restore(np.array(known.state))

    @property
    def newest_ns(self) -> int | None:
        """Return the present (UTC) as of the newest row, None before the first."""
        return self._elapsed.newest_ns

    @property
    def life(self) -> Remembered | None:
        """Return what is to be kept of the asset's life over a restart, None where there is nothing."""
        return self._foreign if self._tracker is None else Remembered(self._hash, tuple(self._tracker.state.tolist()))

    def follow(self, assessment: Assessment, first: int, end: int) -> None:
        """Take in the new rows from `first` to before `end` of an assessment."""
        new = slice(first, end)
        at = slice(assessment.position(first), assessment.position(end))
        times_ns = assessment.grid.time_ns[at]
        if not len(times_ns):
            return
        life = self._prognosis.update(times_ns, assessment.evidence[new], assessment.judged[new])
        if not self._learnt:
            self._life = life and (life.q05_s, life.q50_s, life.q95_s)
        periods = self._elapsed.update(times_ns)
        if self._tracker is not None:
            for part in self._unbroken(periods):
                self._life = self._tracker.update(assessment.grid.values[at][part])

    def complete(self, verdict: Verdict) -> Verdict:
        """Return the verdict on the newest row that was followed with its health and remaining life."""
        condition = verdict.condition
        speaks = condition not in SPEECHLESS if self._learnt else condition is Condition.DEVIATING
        life = self._life if speaks else None
        return replace(
            verdict,
            health=nan if condition in SPEECHLESS else rounded(self._prognosis.health),
            remaining_life_s=life and (rounded(life[0]), rounded(life[1]), rounded(life[2])),
            remaining_life_until=None if life is None else LifeEnd.FAILURE if self._learnt else LifeEnd.TWICE_THE_LIMIT,
        )

    def _unbroken(self, periods: Int64s) -> Iterator[slice]:
        """Give the stretches without a gap; the rows that a gap stands for make the asset older all the same."""
        assert self._tracker is not None
        starts = np.union1d([0], np.flatnonzero(periods > 1)).astype(np.int64)
        for start, end in zip(starts, [*starts[1:], len(periods)], strict=True):
            self._tracker.skip(int(periods[start]) - 1)
            yield slice(start, end)
