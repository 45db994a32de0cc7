"""The figures of a back-test, each at a limit fixed before the test part. numpy only, no I/O.

Rows whose label is not known are left out of every figure; they neither end an event nor count as healthy.
Point-adjusted scores and the best F1 over all limits are left out on purpose: a random score does well on the
first (Kim et al., "Towards a rigorous evaluation of time-series anomaly detection", AAAI 2022) and nobody can
run a plant at the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.ranking import average_precision, events_of, vus_pr
from agent.backtest.trial import FAULTY, HEALTHY, UNLABELLED, Float64s, Int8s
from connectors.frame import Bools, Int64s

NS_PER_S: Final = 1_000_000_000
S_PER_WEEK: Final = 7 * 86_400
FALSE_ALARMS: Final = 0.01
NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """What one model said of the labelled rows of one run, in order of time; shapes [T] as in Segment and
    Judged.

    `model` numbers the models: scores of the same model share a scale. A blind row has the score -inf, so
    that a fault that the model could not see is a fault missed.
    """

    run: str
    model: int
    period_ns: int
    times_ns: Int64s
    label: Int8s
    score: Float64s
    alarmed: Bools

    @classmethod
    def of(
        cls,
        run: str,
        model: int,
        period_ns: int,
        times_ns: Int64s,
        label: Int8s,
        score: Float64s,
        alarmed: Bools,
    ) -> JudgedRun:
        """Keep the labelled rows of arrays of shape [T]; a score of NaN becomes -inf."""
        known = label != UNLABELLED
        clean = np.where(np.isnan(score), -np.inf, score)
        return cls(run, model, period_ns, times_ns[known], label[known], clean[known], alarmed[known])

    @property
    def faulty(self) -> Bools:
        """Which rows are labelled as faults, bool[T]."""
        faulty: Bools = self.label == FAULTY
        return faulty

    @property
    def healthy(self) -> Bools:
        """Which rows are labelled as healthy, bool[T]."""
        healthy: Bools = self.label == HEALTHY
        return healthy


@dataclass(frozen=True, slots=True)
class Event:
    """One labelled fault: what became of it. Without an alarm `delay_s` and `lead_s` are NaN."""

    found: bool
    delay_s: float
    lead_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What is printed of one run or of all, see docs/backtest.md; NaN where there is nothing to tell."""

    events: int
    events_found: int
    median_delay_s: float
    p90_delay_s: float
    median_lead_s: float
    false_episodes_per_week: float
    healthy_alarm_fraction: float
    detection_at_1pct: float
    average_precision: float
    vus_pr: float
    rows_per_s: float


def measure(
    runs: Sequence[JudgedRun], limits: Mapping[int, float], merge_gap_s: float, rows_per_s: float
) -> Figures:
    """Return the figures over `runs`; `limits` are those of `limits_at_1pct`, per model.

    Events, episodes and alarm time are pooled; the median and 90 % quantile are over the events found; the
    detection rate and VUS-PR are means over the runs that have them; average precision is pooled over the
    rows that one model has judged and averaged over models, because scores of different models share no
    scale.
    """
    events = [event for run in runs for event in events_in(run)]
    found = [event for event in events if event.found]
    delays = [event.delay_s for event in found]
    episodes = sum(false_episodes(run, merge_gap_s) for run in runs)
    healthy_s = sum(int(run.healthy.sum()) * run.period_ns for run in runs) / NS_PER_S
    alarmed_s = sum(int((run.healthy & run.alarmed).sum()) * run.period_ns for run in runs) / NS_PER_S
    return Figures(
        events=len(events),
        events_found=len(found),
        median_delay_s=float(np.median(delays)) if found else NAN,
        p90_delay_s=float(np.quantile(delays, 0.9)) if found else NAN,
        median_lead_s=float(np.median([event.lead_s for event in found])) if found else NAN,
        false_episodes_per_week=episodes / healthy_s * S_PER_WEEK if healthy_s else NAN,
        healthy_alarm_fraction=alarmed_s / healthy_s if healthy_s else NAN,
        detection_at_1pct=_mean(_detection(run, limits[run.model]) for run in runs),
        average_precision=_mean(_pooled(of_model, average_precision) for of_model in by_model(runs).values()),
        vus_pr=_mean(vus_pr(run.faulty, run.score) for run in runs),
        rows_per_s=rows_per_s,
    )


def events_in(run: JudgedRun) -> list[Event]:
    """Return the events of a run: stretches of rows labelled as faults.

    An event is found by the first alarm raised inside it, and its delay runs from its first row to that
    alarm. An alarm that was on before is no news: it finds the event only if it stands to the event's end,
    and then with delay 0, so that "always on" finds everything and pays in false episodes and alarm time; one
    that goes off inside the event without coming back has not found it. The lead is from then to the event's
    end, which is the end of the run where it failed.
    """
    raised = run.alarmed & ~np.append(False, run.alarmed[:-1])
    events = []
    for first, last in zip(*events_of(run.faulty), strict=True):
        inside = np.flatnonzero(raised[first : last + 1])
        if len(inside) == 0 and not run.alarmed[first : last + 1].all():
            events.append(Event(found=False, delay_s=NAN, lead_s=NAN))
            continue
        seen = first + inside[0] if len(inside) else first
        delay_ns = run.times_ns[seen] - run.times_ns[first]
        lead_ns = run.times_ns[last] + run.period_ns - run.times_ns[seen]
        events.append(Event(found=True, delay_s=float(delay_ns) / NS_PER_S, lead_s=float(lead_ns) / NS_PER_S))
    return events


def false_episodes(run: JudgedRun, merge_gap_s: float) -> int:
    """Count the alarm episodes that begin on a healthy row.

    Alarms with at most `merge_gap_s` of quiet between them are one episode, so one that comes back soon after
    a fault has ended is part of the fault's.
    """
    starts, ends = events_of(run.alarmed)
    quiet_ns = run.times_ns[starts[1:]] - run.times_ns[ends[:-1]] - run.period_ns
    begins = starts[np.append(True, quiet_ns > merge_gap_s * NS_PER_S)] if len(starts) else starts
    return int(run.healthy[begins].sum())


def limits_at_1pct(runs: Sequence[JudgedRun]) -> dict[int, float]:
    """Return per model the limit that 1 % of healthy rows exceed, NaN where there are none.

    It is the 99 % quantile of the score over the runs without a fault where there are any (the custom for the
    Tennessee Eastman process: Russell, Chiang and Braatz, 2000), otherwise over all healthy rows. It looks at
    the test part and so compares statistics; it is no operating limit.
    """
    limits = {}
    for model, judged in by_model(runs).items():
        clean = [run for run in judged if not run.faulty.any()] or judged
        score = np.concatenate([run.score[run.healthy] for run in clean])
        score = score[score > -np.inf]
        limits[model] = float(np.quantile(score, 1 - FALSE_ALARMS)) if len(score) else NAN
    return limits


def by_model(runs: Sequence[JudgedRun]) -> dict[int, list[JudgedRun]]:
    """Return the runs that each model has judged."""
    groups: dict[int, list[JudgedRun]] = {}
    for run in runs:
        groups.setdefault(run.model, []).append(run)
    return groups


def _detection(run: JudgedRun, limit: float) -> float:
    """Return the share of the faulty rows over the limit."""
    return float(np.mean(run.score[run.faulty] > limit)) if run.faulty.any() and not np.isnan(limit) else NAN


def _pooled(runs: Sequence[JudgedRun], rank: Callable[[Bools, Float64s], float]) -> float:
    return rank(np.concatenate([run.faulty for run in runs]), np.concatenate([run.score for run in runs]))


def _mean(values: Iterable[float]) -> float:
    """Return the mean of those that are not NaN; NaN where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else NAN
