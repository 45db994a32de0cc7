"""Whether the alerts of the public recordings name the tags that the faults touch, by the agent's own line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np

from agent.backtest.judge import OFF_DELAY_S, ON_DELAY_S, bundle_of
from agent.backtest.ranking import events_of
from agent.backtest.recording import Recording
from agent.backtest.trial import FAULTY, HEALTHY, BacktestError, Float64s, Segment, Trial
from agent.line.alert import AlarmEvent, Alert
from agent.line.assess import LOOK_BACK_ROWS
from agent.line.line import Line, LineSettings
from agent.line.verdict import Cause, Verdict
from benchmarks import cranfield, skab, threew
from benchmarks.affected_tags import CRANFIELD, SKAB, THREEW, Affected, affected_in
from benchmarks.fault_names import TAGS_READ
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Figure, Result, mean_over_seeds
from benchmarks.trials import ALERTS_PER_S
from connectors.frame import BAD_NO_DATA, GOOD, Bools, Frame, Int64s
from models.runtime import Detector

CHUNK_ROWS: Final = 600
ASSET: Final = "asset"

LARGEST_Z: Final = "max |z|"
MOST_VARIABLE: Final = "most variable"
CHANCE: Final = "drawn at random"
ALERTS: Final = "faults with an alert"
FIRST: Final = "an affected tag first"
AMONG: Final = f"an affected tag among the first {TAGS_READ}"
AT_RANDOM: Final = f"an affected tag among {TAGS_READ} drawn at random"
CAUSE: Final = "cause machine"


@dataclass(frozen=True, slots=True)
class Named:
    """One fault of a recording with `tags` measured, of which it touches `affected`; `raised` at its first alert.

    `orders` are the tags in the order in which each method names them, ours and the rules that know less, empty without
    an alert.
    """

    affected: Affected
    tags: tuple[str, ...]
    raised: Verdict | None
    orders: Mapping[str, tuple[str, ...]]

    def share_by_chance(self, read: int) -> float:
        """Return how probable it is that an affected tag is among `read` tags drawn at random."""
        drawn, others = min(read, len(self.tags)), sum(tag not in self.affected.tags for tag in self.tags)
        return 1 - comb(others, drawn) / comb(len(self.tags), drawn)


def run(options: Options) -> Iterator[Result]:
    """Learn as the benchmark of each set does, let the agent's line watch, and read the first alert of each fault."""
    found: dict[str, list[Named]] = {
        "SKAB": list(named(skab.trials(options), SKAB, progress_of(options, "SKAB"))),
        "Cranfield": list(named(cranfield.trials(options), CRANFIELD, progress_of(options, "Cranfield"))),
        "3W": [
            each for number in threew.CLASSES
            for each in named(threew.trials(options, number), THREEW[number], progress_of(options, f"3W {number}"))
        ],
    }
    for method in (OURS, LARGEST_Z, MOST_VARIABLE, CHANCE):
        yield from mean_over_seeds("tags", method, [measure(found, method)], {})


def progress_of(options: Options, doing: str) -> Callable[[float], None]:
    """Return what tells of the share of a set that is done."""
    return lambda share: options.progress(doing, share)


def named(trials: Recording, faults: Sequence[Affected], progress: Callable[[float], None]) -> Iterator[Named]:
    """Yield each fault whose tags the documentation gives, if a right one and a wrong one are measured."""
    for number, trial in enumerate(trials.trials):
        runs = dict.fromkeys(part.run for part in trial.test)
        told = {run: affected for run in runs if (affected := affected_in(run, faults)) and _asks(affected, trial.tags)}
        detector = _learnt(trial, trials.period_s) if told else None
        for run, affected in told.items():
            parts = [part for part in trial.test if part.run == run]
            yield from _named_in(parts, trial, affected, detector, trials.period_ns)
        progress((number + 1) / len(trials.trials))


def _asks(affected: Affected, tags: Sequence[str]) -> bool:
    return 0 < len(affected.tags.intersection(tags)) < len(tags)


def _learnt(trial: Trial, period_s: float) -> Detector | None:
    try:
        return Detector(bundle_of(trial.learn, trial.tags, period_s, lambda _share: None))
    except BacktestError:
        return None  # what cannot be learnt raises no alert


def _named_in(
    parts: Sequence[Segment], trial: Trial, affected: Affected, detector: Detector | None, period_ns: int
) -> Iterator[Named]:
    """Yield the faults of one run, each with what is said at its first alert."""
    raised = [] if detector is None else [alert.verdict for alert in raised_in(parts, detector, period_ns)]
    times_ns = np.concatenate([part.times_ns for part in parts])
    for first_ns, last_ns in spans_of(times_ns, np.concatenate([part.label for part in parts])):
        said = next((verdict for verdict in raised if first_ns <= verdict.time_ns <= last_ns), None)
        orders = {} if said is None else orders_at(said, parts, trial)
        yield Named(affected, trial.tags, said, orders)


def spans_of(times_ns: Int64s, label: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first and the last time of each fault of i8[T], with the rows around it of which nobody says."""
    for first, last in zip(*events_of(label != HEALTHY), strict=True):
        faulty = np.flatnonzero(label[first : last + 1] == FAULTY)
        if len(faulty):
            yield int(times_ns[first]), int(times_ns[first + faulty[-1]])


def raised_in(parts: Sequence[Segment], detector: Detector, period_ns: int) -> list[Alert]:
    """Return the alerts that the agent's line raises, or raises again after they were over, over the rows of a run."""
    line = Line(ASSET, detector, LineSettings(ALERTS_PER_S, ON_DELAY_S, OFF_DELAY_S))
    raised = []
    for part in parts:
        status = np.where(part.mask, np.uint32(GOOD), np.uint32(BAD_NO_DATA))
        for start in range(0, part.rows, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            frame = Frame.clean(part.times_ns[rows], part.values[rows], status[rows])
            entries = line.step(frame, int(frame.source_time_ns[-1]) + period_ns)
            raised += [each for each in entries if isinstance(each, Alert) and each.event is AlarmEvent.RAISE]
            line.publish()
    return raised


def orders_at(said: Verdict, parts: Sequence[Segment], trial: Trial) -> dict[str, tuple[str, ...]]:
    """Return the tags as our alert names them, and as two rules do at the same row."""
    learnt = np.concatenate([np.where(part.mask, part.values, np.nan) for part in trial.learn]).astype(np.float64)
    times_ns = np.concatenate([part.times_ns for part in parts])
    values = np.concatenate([np.where(part.mask, part.values, np.nan) for part in parts]).astype(np.float64)
    end = int(np.searchsorted(times_ns, said.time_ns, side="right"))
    mean, sd = _mean(learnt), np.sqrt(_mean((learnt - _mean(learnt)) ** 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        far = _mean(((values[max(end - LOOK_BACK_ROWS, 0) : end] - mean) / np.where(sd > 0, sd, np.nan)) ** 2)
        varies = sd / np.abs(mean)
    return {
        OURS: tuple(each.tag for each in said.contributions),
        LARGEST_Z: _largest(far, trial.tags),
        MOST_VARIABLE: _largest(varies, trial.tags),
    }


def _mean(values: Float64s) -> Float64s:
    """Return the mean f64[C] of what there is of f64[T, C], NaN where there is nothing."""
    there: Bools = ~np.isnan(values)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)


def _largest(values: Float64s, tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags by falling values f64[C], without those that have none."""
    order = np.argsort(-values, kind="stable")
    return tuple(tags[place] for place in order.tolist() if not np.isnan(values[place]))


def measure(found: Mapping[str, Sequence[Named]], method: str) -> list[Figure]:
    """Return what a method names at the same alerts, of each set and, of ours, of each kind of fault."""
    figures = []
    for name, faults in found.items():
        figures += _measured(name, faults, method)
        for kind in dict.fromkeys(each.affected.fault for each in faults) if method == OURS else ():
            figures += _measured(f"{name}: {kind}", [each for each in faults if each.affected.fault == kind], method)
    return figures


def _measured(case: str, faults: Sequence[Named], method: str) -> Iterator[Figure]:
    told = [each for each in faults if each.raised is not None]
    if method == OURS:
        yield Figure(case, ALERTS, len(told), f"of {len(faults)}")
    for metric, read in ((FIRST, 1), (AMONG, TAGS_READ)):
        yield Figure(case, metric, 100 * _share([_rightly(each, method, read) for each in told]), "%")
    if method == OURS:
        yield Figure(case, AT_RANDOM, 100 * _share([_rightly(each, CHANCE, TAGS_READ) for each in told]), "%")
        machine = [each.raised is not None and each.raised.cause is Cause.MACHINE for each in told]
        yield Figure(case, CAUSE, 100 * _share(machine), "%")


def _rightly(each: Named, method: str, read: int) -> float:
    """Return whether an affected tag is among the first `read`, 0 or 1, or how probable that is by chance."""
    if method == CHANCE:
        return each.share_by_chance(read)
    return float(any(tag in each.affected.tags for tag in each.orders[method][:read]))


def _share(rights: Sequence[float]) -> float:
    return float(np.mean(rights)) if rights else float("nan")
