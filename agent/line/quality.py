"""Data quality: how far each tag's values are to be trusted, over the last hour and the last day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.line.wording import lasting
from connectors.frame import (
    BAD_COMMUNICATION_ERROR,
    BAD_DATA_LOST,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_NOT_CONNECTED,
    BAD_OUT_OF_RANGE,
    BAD_TIMEOUT,
    Bools,
    Float32s,
    Frame,
    Int64s,
    is_bad,
)

Float64s = npt.NDArray[np.float64]

SLOT_NS, HOUR_NS, SECOND_NS = 300_000_000_000, 3_600_000_000_000, 1_000_000_000
KINDS = SAMPLES, SILENT, OUT_OF_RANGE, OTHER_BAD, SPIKES, TOO_FAST, COUNTS_LOST = range(7)
_SILENCES = np.array([BAD_TIMEOUT, BAD_NO_COMMUNICATION, BAD_NOT_CONNECTED, BAD_COMMUNICATION_ERROR], np.uint32)
SPIKE_STEPS = 8.0
"""A spike goes so many of a tag's usual steps away, and comes back at once to less than half of that."""
RESTLESS_MIN = 0.25
"""Only a tag that moves in this share of its samples can show a spike: a switch that is pulsed shows none."""
_USUAL = 1 / 64
_KNOWN_SAMPLES = 100
_KEEP_MIN = 1e-16
_BLOCK_ROWS = 4096
"""What is kept of a mean over so many rows is still a number to divide by."""
FROZEN_SHARE = 0.5
_KNOWN_BAD = [SILENT, OUT_OF_RANGE, TOO_FAST, COUNTS_LOST]
EVENT_POINTS, EVENT_POINTS_MAX = 2.0, 20.0
"""What a spike, a value that moved too fast and a counter that began anew cost, and what they cost together at most."""
TOLD_MIN = 0.01
"""A smaller share of bad reads is not worth a sentence."""
_EVENTS = (
    (SPIKES, "spike", "spikes"),
    (TOO_FAST, "value that moved faster than max_rate", "values that moved faster than max_rate"),
    (COUNTS_LOST, "time the counter was set back", "times the counter was set back"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """What is known of C tags' samples: counts i64[KINDS, C] of the last `hour` and `day`, `good_ns` i64[C], when the
    last good value came by the agent's clock (0: never), and `frozen_s` f64[C], for how long a stuck value has stood
    still (0: it is not stuck). Never changes.
    """

    hour: Int64s
    day: Int64s
    good_ns: Int64s
    frozen_s: Float64s


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a tag is to be trusted, 0 to 100, and why it is not 100."""

    score: int
    stale: bool
    reasons: tuple[str, ...]


class QualityTracker:
    """Counts, in O(tags), what comes of C tags; `frozen_s` is told by the assessor."""

    def __init__(self, columns: int) -> None:
        self._hour, self._day = _Sliding(columns, SLOT_NS, 12), _Sliding(columns, HOUR_NS, 24)
        self._good_ns = np.zeros(columns, np.int64)
        self._frozen_s = np.zeros(columns)
        self._seen = np.zeros(columns, np.int64)
        self._last = np.full((2, columns), np.nan, np.float32)
        self._step, self._moves = np.zeros(columns), np.zeros(columns)  # in which share of its samples a tag moves
        self._shown: Quality | None = None

    def note(self, frame: Frame, now_ns: int, too_fast: Bools | None = None) -> None:
        """Take samples in at `now_ns`, the agent's UTC time; `too_fast` bool[T, C] moved faster than they can."""
        if self._hour.move(now_ns) | self._day.move(now_ns):
            self._shown = None
        status = frame.status
        sampled, bad = status != BAD_NO_DATA, is_bad(status)
        if not sampled.any():
            return
        counts = np.zeros((len(KINDS), frame.columns), np.int32)
        counts[SAMPLES] = sampled.sum(0)
        if bad.any():
            fast = np.zeros(status.shape, np.bool_) if too_fast is None else too_fast
            counts[SILENT] = np.isin(status, _SILENCES).sum(0)
            counts[TOO_FAST] = fast.sum(0)
            counts[OUT_OF_RANGE] = ((status == BAD_OUT_OF_RANGE) & ~fast).sum(0)
            counts[COUNTS_LOST] = (status == BAD_DATA_LOST).sum(0)
            counts[OTHER_BAD] = (sampled & bad).sum(0) - counts[_KNOWN_BAD].sum(0)
        counts[SPIKES] = self._spikes(frame.values, ~bad).sum(0)
        self._hour.add(counts)
        self._day.add(counts)
        self._good_ns[(~bad).any(0)] = now_ns
        self._shown = None

    def frozen(self, stood_s: Float64s) -> None:
        """Note for how long each tag's value has been stuck, 0 where it is not."""
        self._frozen_s = stood_s
        self._shown = None

    def quality(self) -> Quality:
        """Return how it is now."""
        if self._shown is None:
            totals = self._hour.total.copy(), self._day.total.copy()
            self._shown = Quality(*totals, self._good_ns.copy(), self._frozen_s)
        return self._shown

    def _spikes(self, x: Float32s, good: Bools) -> Bools:
        """Return bool[T, C]: where the good sample before one of x f32[T, C] stood alone, away from its neighbours."""
        before, last = self._before(x, good)
        away, back, left = last - before, x - last, np.abs(x - before)
        steps, known = np.abs(back), good & np.isfinite(last)
        least = np.minimum(np.abs(away), steps)
        seen = self._seen + np.cumsum(known, 0) - known
        trusted = seen >= _KNOWN_SAMPLES
        step, moves = self._usual(steps, known, trusted, np.maximum(_USUAL, 1 / (seen + 1)))
        self._seen = self._seen + known.sum(0)
        with np.errstate(invalid="ignore"):
            spike = (away * back < 0) & (least > SPIKE_STEPS * step) & (left < least / 2)
        return np.asarray(spike & good & trusted & (moves >= RESTLESS_MIN))

    def _before(self, x: Float32s, good: Bools) -> tuple[Float64s, Float64s]:
        """Return the last good sample but one and the last, each f64[T, C], before each row; remember the newest."""
        if len(x) == 1:  # as on a gateway, row after row
            before, last = self._last[:1], self._last[1:]
            self._last = np.where(good, np.concatenate([last, x]), self._last)
            return before.astype(np.float64), last.astype(np.float64)
        rows = np.maximum.accumulate(np.where(good, np.arange(1, len(x) + 1)[:, None], 0), 0)
        newest = np.vstack([self._last[1], x])
        last = np.take_along_axis(newest, np.vstack([np.zeros_like(rows[:1]), rows]), 0)
        older = np.vstack([self._last[0], last[:-1]])
        before = np.take_along_axis(older, np.vstack([np.zeros_like(rows[:1]), rows]), 0)
        self._last = np.stack([before[-1], last[-1]])
        return before[:-1].astype(np.float64), last[:-1].astype(np.float64)

    def _usual(self, steps: Float64s, known: Bools, trusted: Bools, weight: Float64s) -> tuple[Float64s, Float64s]:
        """Return what is a tag's usual step and how often it moves, f64[T, C], before each row; learn from the rows.

        A step that is far from usual is not learnt from, once it is known what is usual.
        """
        usual, moves = np.empty(steps.shape), np.empty(steps.shape)
        steps = np.where(known, steps, 0.0)
        for low in range(0, len(steps), _BLOCK_ROWS):
            rows = slice(low, low + _BLOCK_ROWS)
            usual[rows] = self._usual_step(steps[rows], known[rows], trusted[rows], weight[rows])
            moves[rows], self._moves = _means(self._moves, steps[rows] != 0, weight[rows] * known[rows])
        return usual, moves

    def _usual_step(self, steps: Float64s, known: Bools, trusted: Bools, weight: Float64s) -> Float64s:
        """Return the usual step f64[T, C] before each row.

        Which are learnt from depends on the rows before: it is guessed, and corrected until nothing changes. Each time
        at least one row more is right.
        """
        usual, newest, learnt = self._step[None], self._step, np.zeros(steps.shape, np.bool_)
        while not np.array_equal(fits := known & ~(trusted & (steps > SPIKE_STEPS * usual)), learnt):
            learnt = fits
            usual, newest = _means(self._step, steps, weight * learnt)
        self._step = newest
        return usual


def _means(start: Float64s, x: Float64s | Bools, weight: Float64s) -> tuple[Float64s, Float64s]:
    """Return the running means f64[T, C] before each row of x f64[T, C], and the last f64[C], from `start` f64[C].

    A row counts as much as its weight f64[T, C] says: in closed form, which must not divide by 0.
    """
    if len(x) == 1:  # as on a gateway, row after row
        return start[None], start + weight[0] * (x[0] - start)
    keep = np.cumprod(np.maximum(1.0 - weight, _KEEP_MIN), 0)
    means = keep * (start + np.cumsum(x * weight / keep, 0))
    return np.vstack([start, means[:-1]]), means[-1]


class _Sliding:
    """Counts [KINDS, C] in the last so many slots of time, the present one included; a clock set back stays in it."""

    def __init__(self, columns: int, slot_ns: int, slots: int) -> None:
        self._slot_ns, self._at = slot_ns, -1
        self._slots = np.zeros((slots, len(KINDS), columns), np.int32)
        self.total = np.zeros((len(KINDS), columns), np.int64)

    def move(self, now_ns: int) -> bool:
        """Forget what has become too old; return whether it is another slot's time now."""
        at = now_ns // self._slot_ns
        if at <= self._at:
            return False
        for slot in range(max(self._at + 1, at - len(self._slots) + 1), at + 1):
            place = slot % len(self._slots)
            self.total -= self._slots[place]
            self._slots[place] = 0
        self._at = at
        return True

    def add(self, counts: npt.NDArray[np.int32]) -> None:
        """Count in the present slot."""
        self._slots[self._at % len(self._slots)] += counts
        self.total += counts


def trust(quality: Quality, column: int, period_ns: int, now_ns: int) -> Trust:
    """Return how far a tag that is sampled every `period_ns` is to be trusted at `now_ns` (UTC).

    It is stale when no good value has come for two of its periods and a second.
    """
    hour, day = quality.hour[:, column], quality.day[:, column]
    good_ns = int(quality.good_ns[column])
    if not good_ns:
        return Trust(0, stale=True, reasons=("no good value has come yet",))
    old_ns = now_ns - good_ns
    if stale := old_ns > 2 * period_ns + SECOND_NS:
        return Trust(0, stale, (f"no good value for {lasting(old_ns / 1e9)}", *_bad(hour, day)))
    reasons = list(_bad(hour, day))
    score = 100.0 * (1 - _bad_share(hour)) * (1 - _bad_share(day) / 2)
    if quality.frozen_s[column] > 0:
        score *= FROZEN_SHARE
        reasons.insert(0, f"frozen for {lasting(float(quality.frozen_s[column]))}")
    events = [(int(hour[kind]), one, many) for kind, one, many in _EVENTS if hour[kind]]
    score -= min(EVENT_POINTS * sum(count for count, _, _ in events), EVENT_POINTS_MAX)
    reasons += [f"{count} {one if count == 1 else many} in the last hour" for count, one, many in events]
    return Trust(max(0, round(score)), stale, tuple(reasons))


def _bad_share(counts: Int64s) -> float:
    return float(counts[[*_KNOWN_BAD, OTHER_BAD]].sum() / max(int(counts[SAMPLES]), 1))


def _bad(hour: Int64s, day: Int64s) -> tuple[str, ...]:
    """Say which reads gave nothing: of the last hour, or where that was well, of the last day."""
    for counts, when in ((hour, "in the last hour"), (day, "in the last day")):
        kinds = ((SILENT, "of reads had no answer"), (OUT_OF_RANGE, "of values were out of range"),
                 (OTHER_BAD, "of values were bad"))
        shares = [(int(counts[kind]) / max(int(counts[SAMPLES]), 1), words) for kind, words in kinds]
        if told := tuple(f"{share:.0%} {words} {when}" for share, words in shares if share >= TOLD_MIN):
            return told
    return ()
