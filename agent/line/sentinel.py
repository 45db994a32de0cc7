"""Whether a machine is still the one that was learnt, and what is seen of it while its alerts are on hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.line.assess import LOOK_BACK_ROWS, Assessment, Detector
from agent.line.verdict import Verdict
from models.baseline import Baseline

OUTSIDE_NS: Final = 300_000_000_000
"""So long a set-point must be outside of its learnt range before that is a change, and not a moment of one."""
AWAY_NS: Final = 60_000_000_000
"""A tag that had no good value for so long may have been replaced meanwhile."""
AFTER_ROWS: Final = 32
"""Rows from which it is told whether it was."""
BEFORE_ROWS_MIN: Final = 16
STEP_MIN: Final = 4.0
"""The level of a replaced sensor is at least so many standard deviations elsewhere,"""
NOISE_MIN: Final = 3.0
"""or its noise so many times more, or less;"""
AGREE_MAX: Final = 3.0
"""and the distance of the others by themselves, about 1 on a healthy machine, is less than this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A change that was seen at `time_ns` (UTC): its `cause` in words, and the tag that it is `about`.

    `over` where it is one that was told before, and is no more.
    """

    cause: str
    about: str
    time_ns: int
    over: bool = False


class SetpointWatch:
    """Tells when a set-point stands outside of the range in which its model knows it, and when it is back."""

    def __init__(self, detector: Detector, told: Sequence[float] = ()) -> None:
        """Begin with none outside, or with those that were `told` before a restart."""
        self._detector = detector
        modes = detector.statistics.modes
        self._columns = list(modes.setpoints)
        self._low, self._high = np.array(modes.low), np.array(modes.high)
        self._since_ns = np.zeros(len(self._columns), np.int64)
        self._told = np.array(told or [0.0] * len(self._columns)) > 0

    @property
    def told(self) -> tuple[float, ...]:
        """Of each set-point 1 where it was told that it is outside, and it has not come back; else 0."""
        return tuple(self._told.astype(np.float64).tolist())

    def follow(self, assessment: Assessment) -> list[Seen]:
        """Take new rows in; return what they tell."""
        found: list[Seen] = []
        if not self._columns:
            return found
        first = assessment.position(0)
        values = assessment.grid.values[first:, self._columns]
        outside = (values < self._low) | (values > self._high)  # False for NaN, which tells nothing
        inside = (values >= self._low) & (values <= self._high)
        if not outside.any() and not self._since_ns.any() and not self._told.any():
            return found
        for row, time_ns in enumerate(assessment.grid.time_ns[first:].tolist()):
            begins = outside[row] & (self._since_ns == 0)
            self._since_ns[begins] = time_ns
            lasting = (self._since_ns > 0) & (time_ns - self._since_ns >= OUTSIDE_NS) & ~self._told
            back = inside[row] & self._told
            self._since_ns[inside[row]] = 0
            self._told = (self._told | lasting) & ~inside[row]
            found += [
                self._seen(place, float(values[row, place]), time_ns, over=bool(back[place]))
                for place in np.flatnonzero((lasting & outside[row]) | back).tolist()
            ]
        return found

    def _seen(self, place: int, value: float, time_ns: int, *, over: bool) -> Seen:
        tag = self._detector.manifest.tags[self._columns[place]]
        unit = "" if tag.unit in ("", "1") else f" {tag.unit}"
        known = f"{self._low[place]:.4g} to {self._high[place]:.4g}{unit}"
        where = f"within {known} again" if over else f"outside of {known}, where it was learnt"
        return Seen(f"the set-point {tag.name} is {value:.4g}{unit}, {where}", tag.name, time_ns, over)


class SensorWatch:
    """Tells when a tag was away and came back as another: its level or its noise has stepped, and the others agree."""

    def __init__(self, detector: Detector, baseline: Baseline) -> None:
        tags, scored = len(detector.manifest.tags), detector.statistics.scored
        self._detector, self._baseline = detector, baseline
        self._scored = np.zeros(tags, np.bool_)
        self._scored[scored] = True
        self._away_ns = np.zeros(tags, np.int64)
        """Since when a tag has been away, 0 where it is there, or nothing is known of it from before."""
        self._before, self._after = np.zeros((2, tags)), np.zeros((2, tags))
        """Mean residual and its spread before a tag went, sum of residuals and of their squares since it is back."""
        self._after_rows = np.zeros(tags, np.int64)
        self._back = np.zeros(tags, np.bool_)

    def follow(self, assessment: Assessment) -> list[Seen]:
        """Take new rows in; return what they tell."""
        found: list[Seen] = []
        first = assessment.position(0)
        good = assessment.grid.good
        whole = np.asarray(good.all(1))
        if whole[first - 1 :].all() and not self._back.any():
            return found
        idle = not (self._back.any() or self._away_ns.any())
        for row, stays in enumerate((whole[first - 1 : -1] & whole[first:]).tolist()):
            if idle and stays:
                continue  # none is away, goes or comes back
            at = first + row
            self._leave(assessment, at)
            time_ns = int(assessment.grid.time_ns[at])
            home = good[at] & (self._away_ns > 0)
            self._back |= home & (time_ns - self._away_ns >= AWAY_NS)
            self._away_ns[home] = 0
            self._after_rows[home], self._after[:, home] = 0, 0.0
            found += self._weigh(assessment, row, at)
            idle = not (self._back.any() or self._away_ns.any())
        return found

    def _leave(self, assessment: Assessment, at: int) -> None:
        """Take note of how tags stood that have just gone, where most of the others are there."""
        good = assessment.grid.good
        gone = good[at - 1] & ~good[at] & self._scored
        if not gone.any() or 2 * good[at, self._scored].sum() < self._scored.sum():
            return
        past = slice(max(at - LOOK_BACK_ROWS, 0), at)
        for column in np.flatnonzero(gone).tolist():
            known = good[past, column] & np.isfinite(assessment.scores.score[past])
            residual = assessment.scores.residual[past, column][known]
            if len(residual) >= BEFORE_ROWS_MIN:
                self._away_ns[column] = int(assessment.grid.time_ns[at])
                self._before[:, column] = residual.mean(), residual.std()
                self._back[column] = False

    def _weigh(self, assessment: Assessment, row: int, at: int) -> list[Seen]:
        """Take the row in for tags that are back; return what is told of those of which there are rows enough."""
        if not self._back.any() or not assessment.judged[row]:
            return []
        here = self._back & assessment.grid.good[at]
        residual = np.where(here, assessment.scores.residual[at], 0.0)
        self._after += np.stack([residual, residual**2])
        self._after_rows[here] += 1
        enough = here & (self._after_rows >= AFTER_ROWS)
        self._back &= ~enough
        return [seen for column in np.flatnonzero(enough).tolist() if (seen := self._told(assessment, column, at))]

    def _told(self, assessment: Assessment, column: int, at: int) -> Seen | None:
        mean, square = self._after[:, column] / AFTER_ROWS
        spread = float(np.sqrt(max(square - mean**2, 0.0)))
        before, noise = self._before[:, column].tolist()
        louder = spread / max(noise, 1e-6)
        if abs(mean - before) < STEP_MIN and 1.0 / NOISE_MIN < louder < NOISE_MIN:
            return None
        if not self._others_agree(assessment, column, at):
            return None
        tag = self._detector.manifest.tags[column].name
        how = f"{abs(mean - before):.2g} standard deviations {'above' if mean > before else 'below'} where it was"
        if abs(mean - before) < STEP_MIN:
            how = f"{louder:.2g} times as noisy as it was"
        cause = (
            f"{tag} seems to be another sensor, or span: after it had no good value it is {how}, and the other tags "
            "are as ever. If so, have it re-baselined"
        )
        return Seen(cause, tag, int(assessment.grid.time_ns[at]))

    def _others_agree(self, assessment: Assessment, column: int, at: int) -> bool:
        """Say whether the last rows are as learnt but for this tag."""
        past = slice(max(at + 1 - AFTER_ROWS, 0), at + 1)
        values, good = assessment.grid.values[past], assessment.grid.good[past]
        without = np.zeros(values.shape, np.bool_)
        without[:, column] = True
        score = self._detector.score(self._baseline.corrected(values, good), good, without).score
        return bool(np.nanmean(score) < AGREE_MAX)


class Hold:
    """What is seen of an asset while its alerts are on hold: it ends with a statement of that, never silently."""

    def __init__(self, about: str = "") -> None:
        self.about = about
        """What the change was seen of; empty where that was before a restart."""
        self._judged = self._above = 0
        self._peak = 0.0
        self._tag = ""

    def note(self, assessment: Assessment, verdict: Callable[[int], Verdict]) -> None:
        """Take in new rows; `verdict` gives that on one of them, by its number."""
        evidence = np.where(assessment.judged, assessment.evidence, 0.0)
        self._judged += int(assessment.judged.sum())
        self._above += int((evidence >= 1.0).sum())
        highest = int(evidence.argmax())
        if evidence[highest] <= self._peak:
            return
        self._peak = float(evidence[highest])
        if self._peak >= 1.0 and (parts := verdict(highest).contributions):
            self._tag = parts[0].tag

    def sentence(self) -> str:
        """Return what was seen, in words."""
        if not self._judged:
            return "meanwhile no row could be judged"
        if not self._above:
            return f"meanwhile nothing deviated in {self._judged:,} rows"
        where = f", {self._tag} most" if self._tag else ""
        return (
            f"meanwhile {self._above:,} of {self._judged:,} rows deviated, with an evidence of up to {self._peak:.2f}"
            f"{where}"
        )
