"""The course of an asset over a time, from its record judged anew: evidence, condition, and what values were there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.evidence.plot import BINS
from agent.line.advise import Delays
from agent.line.assess import BLIND, CONDITIONS
from agent.line.verdict import Condition
from agent.line.vigil import Vigil
from agent.rehearsal.record import NS_PER_S, Part, Record, judged
from connectors.frame import Int64s

Float64s = npt.NDArray[np.float64]

EARLIER_NS = 86_400 * NS_PER_S
"""So much of the record before the time is judged first, for evidence remembers."""


@dataclass(frozen=True, slots=True)
class Course:
    """An asset in BINS equal places of a time. Rows are those of its grid.

    `time_ns` i64[BINS] is the middle of each place, `evidence` f64[BINS] the highest in it (NaN: none), `condition`
    i64[BINS] the one of most rows (an index into CONDITIONS, -1: no rows). `rows` are all, `conditions` how many were
    in each, and `silent` how many had no good value at all. `good` is the share of rows that each tag had one in.
    """

    asset: str
    period_s: float
    time_ns: Int64s
    evidence: Float64s
    condition: Int64s
    rows: int
    conditions: dict[Condition, int]
    silent: int
    good: dict[str, float]

    @property
    def blind_s(self) -> float:
        """For how long too few values were good to judge by, in seconds."""
        return self.conditions[CONDITIONS[BLIND]] * self.period_s

    @property
    def silent_s(self) -> float:
        """For how long there was no good value at all, in seconds."""
        return self.silent * self.period_s

    @property
    def availability(self) -> float | None:
        """The share of values that were there and good, None where nothing was recorded."""
        return float(np.mean(list(self.good.values()))) if self.rows and self.good else None

    def worst_tags(self, count: int) -> list[tuple[str, float]]:
        """Return the tags with the fewest good values, of those that had not all, the worst first."""
        lacking = [(name, share) for name, share in self.good.items() if share < 1.0]
        return sorted(lacking, key=lambda one: one[1])[:count] if self.rows else []


def course(
    record: Record, since_ns: int, until_ns: int, progress: Callable[[float], None] = lambda _share: None
) -> Course:
    """Judge a record with the asset's own budget, and summarise since <= time < until; raise StoreError.

    `record` should reach EARLIER_NS further back.
    """
    said, manifest = record.said, record.detector.manifest
    delays = Delays.of(said.on_delay_s, said.off_delay_s, record.period_ns / NS_PER_S)
    vigil = Vigil(record.detector, said.alerts_per_s, delays, withheld=record.withheld)
    gathered = _Gathered(len(manifest.tags), since_ns, until_ns)
    for part in record.parts():
        for piece, assessment, _ in judged(vigil, part):
            gathered.add(piece, assessment.evidence, assessment.condition)
        progress((part.last_ns - record.since_ns) / max(until_ns - record.since_ns, 1))
    return gathered.course(record.asset, record.period_ns / NS_PER_S, [tag.name for tag in manifest.tags])


class _Gathered:
    """What the rows of a time come to."""

    def __init__(self, columns: int, since_ns: int, until_ns: int) -> None:
        self._since_ns, self._until_ns = since_ns, until_ns
        self._evidence = np.full(BINS, -np.inf)
        self._conditions = np.zeros((BINS, len(CONDITIONS)), np.int64)
        self._good = np.zeros(columns, np.int64)
        self._rows = self._silent = 0

    def add(self, part: Part, evidence: Float64s, condition: npt.NDArray[np.int8]) -> None:
        times, good = part.grid.time_ns, part.grid.good
        inside = (times >= self._since_ns) & (times < self._until_ns)
        if not inside.any():
            return
        span_ns = self._until_ns - self._since_ns
        bins = ((times[inside] - self._since_ns) * (BINS / span_ns)).astype(np.intp).clip(0, BINS - 1)
        found = evidence[inside]
        np.maximum.at(self._evidence, bins, np.where(np.isnan(found), -np.inf, found))
        np.add.at(self._conditions, (bins, condition[inside]), 1)
        self._good += good[inside].sum(0)
        self._rows += int(inside.sum())
        self._silent += int((~good[inside].any(1)).sum())

    def course(self, asset: str, period_s: float, tags: Iterable[str]) -> Course:
        places = np.arange(BINS, dtype=np.int64)
        share = self._good / max(self._rows, 1)
        return Course(
            asset=asset,
            period_s=period_s,
            time_ns=self._since_ns + (2 * places + 1) * ((self._until_ns - self._since_ns) // (2 * BINS)),
            evidence=np.where(np.isinf(self._evidence), np.nan, self._evidence),
            condition=np.where(self._conditions.any(1), self._conditions.argmax(1), -1),
            rows=self._rows,
            conditions=dict(zip(CONDITIONS, self._conditions.sum(0).tolist(), strict=True)),
            silent=self._silent,
            good=dict(zip(tags, share.tolist(), strict=True)),
        )
