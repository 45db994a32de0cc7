"""Learns a bundle from healthy history: numpy alone, closed form, no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models import channels, frozen, modes, regimes
from models.bundle import Bundle, Statistics, TagSchema, make
from models.calibrate import Calibration, calibrate
from models.card import describe, write_card
from models.degradations import FAULTS
from models.experts import RIM, Experts
from models.fault_head import FaultHead
from models.features import Observed, learn_reference
from models.features import Reference as HeadReference
from models.features import Statistics as HeadStatistics
from models.history import FOLDS, Chunk, History
from models.regimes import Regimes
from models.scores import STATISTICS, Reference, ReferenceLearner, ScoreBank

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Progress = Callable[[str, float], None]

ROWS_MIN = 100
MISSING_MAX = 0.5
GAIN_ROWS = 50.0
"""A regime's own width leans on that of all with the weight of so many rows."""
SPANS_ROWS_MAX = 10_000
"""About so many rows say what the fault head takes for healthy."""
_UNLIMITED = np.full(len(STATISTICS), np.inf)
_NAMED_MAX = 4


class LearnError(Exception):
    """The history cannot teach a model: what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Search:
    """What learning may choose from: at most so many regimes; the share of drift from which a tag is not scored."""

    regimes_max: int = regimes.COUNTS[-1]
    drift_max: float = channels.DRIFT_MAX


EVERYTHING = Search()


@dataclass(frozen=True, slots=True)
class _Shape:
    """What held-out rows have settled: how many regimes, how much shrinkage, which channels condition the others."""

    history: History
    count: int
    ridge: float
    conditions: int


def learn(
    segments: Sequence[Float32s],
    tags: Sequence[tuple[str, str]],
    period_ms: int,
    *,
    name: str,
    source: str = "",
    seed: int = 0,
    search: Search = EVERYTHING,
    settling: Sequence[Bools] = (),
    progress: Progress = lambda _step, _share: None,
) -> Bundle:
    """Learn a bundle from stretches of healthy history on the grid of `period_ms`.

    `segments`: values f32[T, C], NaN where one is missing; `tags`: C pairs of name and unit; `seed` draws where the
    search for regimes begins, `search` bounds it. Rows that are `settling`, bool[T] of each stretch, teach only
    how long that takes. `progress` is called with the step's name and the share done, 0..1.
    Raises LearnError where the history is too short, too poor or does not move.
    """
    raw = [values for values in segments if len(values)]
    unsettled = [rows for rows in settling if len(rows)] or [np.zeros(len(values), np.bool_) for values in raw]
    progress("typing the channels", 0.0)
    roles = _roles(raw, tags, search)
    history = History.of(raw, _positions(roles, channels.SCORED, channels.SETPOINT, channels.DRIFTING))
    _check_amount(history, tags)
    progress("finding how long the machine settles", 0.05)
    scored = roles.count(channels.SCORED)
    setpoints = tuple(int(i) for i in _positions(roles, channels.SETPOINT))
    learnt_modes = _modes(history, scored, setpoints, seed, search)
    progress("finding the regimes", 0.2)
    learnt_modes, shape, experts, folds = _settled(history, scored, learnt_modes, unsettled, tags, seed, search)
    if learnt_modes.commands:
        learnt_modes = replace(
            learnt_modes,
            learnt=modes.learnt_settings(raw, learnt_modes),
            still=modes.still_tags(raw, learnt_modes),
        )
    progress("calibrating on held-out rows", 0.4)
    reference, calibration = _calibrate(
        shape.history, folds, lambda share: progress("calibrating on held-out rows", 0.4 + 0.5 * share)
    )
    progress("writing the graph", 0.95)
    limits = frozen.frozen_limits(raw, _restless(roles, learnt_modes))
    h = shape.history
    head = _head_reference(h, folds)
    statistics = Statistics(h.used, h.centre, h.scale, experts, reference, head, calibration, learnt_modes, limits)
    learnt_rows = h.count()
    cards = describe(statistics, [tags[i] for i in h.used], h.rows()[0])
    schema = tuple(TagSchema(n, u, r) for (n, u), r in zip(tags, roles, strict=True))
    from models import graph  # onnx, which the running agent has no use for

    bundle = make(
        {
            "name": name,
            "tags": schema,
            "period_ms": period_ms,
            "faults": FAULTS,
            "regimes": cards,
            "learnt_rows": learnt_rows,
            "learnt_from": source,
        },
        graph.build(statistics, FaultHead.load()),
        statistics,
        write_card(name, source, schema, cards, period_ms, learnt_rows, shape.ridge, learnt_modes),
    )
    progress("done", 1.0)
    return bundle


def _positions(roles: Sequence[str], *wanted: str) -> npt.NDArray[np.int64]:
    return np.array([i for role in wanted for i, has in enumerate(roles) if has == role], np.int64)


def _roles(raw: Sequence[Float32s], tags: Sequence[tuple[str, str]], search: Search) -> list[str]:
    """Return each tag's role, or refuse a history in which a tag is mostly missing or nothing moves."""
    rows = sum(len(s) for s in raw)
    if rows < ROWS_MIN:
        raise LearnError(f"the history has {rows} rows, at least {ROWS_MIN} are needed: record for longer")
    missing = sum(np.isnan(s).sum(0) for s in raw) / rows
    poor = [f"{tag} ({share:.0%})" for (tag, _), share in zip(tags, missing, strict=True) if share > MISSING_MAX]
    if poor:
        raise LearnError(f"mostly missing in the history: {', '.join(poor)}; leave these tags out or record them")
    roles = channels.roles(raw, search.drift_max)
    if channels.SCORED not in roles:
        listed = ", ".join(f"{tag} ({role})" for (tag, _), role in list(zip(tags, roles, strict=True))[:_NAMED_MAX])
        more = f" and {len(tags) - _NAMED_MAX} more" if len(tags) > _NAMED_MAX else ""
        raise LearnError(f"no tag of the history has a level to learn: {listed}{more}; record for longer")
    return roles


def _restless(roles: list[str], learnt: modes.Modes) -> list[int]:
    """Return the positions of the tags that never stand still for long on a healthy machine."""
    return [i for i, role in enumerate(roles) if role != channels.CONSTANT and i not in learnt.commands]


def _check_amount(history: History, tags: Sequence[tuple[str, str]]) -> None:
    rows, needed = history.count(), max(ROWS_MIN, 3 * len(history.used))
    if rows < needed:
        raise LearnError(
            f"only {rows} rows have all {len(history.used)} tags good, at least {needed} are needed for "
            f"{', '.join(tags[i][0] for i in history.used[:_NAMED_MAX])}...: record for longer or leave poor tags out"
        )


def _modes(
    history: History, scored: int, setpoints: tuple[int, ...], seed: int, search: Search
) -> modes.Modes:
    """Find the switching tags and, by a first fit to all rows, how long the machine settles after a command."""
    raw = history.stretches
    switches = modes.find_switches(raw)
    if not switches + setpoints:
        return modes.Modes((), (), ())
    plain = history.first(scored)
    x, _ = plain.rows()
    count, ridge = _choose(x, search)
    experts = Experts(regimes.fit(x, count, ridge, seed=seed), np.empty(0), np.empty(0))
    judged, score = [], []
    for chunk in plain.chunks():
        judged.append(chunk.judged)
        score.append(experts.see(chunk.x[chunk.judged]).distance / scored)
    found = modes.Modes(
        switches, modes.known_modes(raw, switches), (), setpoints, *modes.setpoint_ranges(raw, setpoints)
    )
    since, mode = _course(found, history)
    seen = np.concatenate(judged)
    settle_rows = modes.settle_rows(since[seen], np.concatenate(score), mode[seen], [0] * len(found.known))
    return replace(found, settle_rows=settle_rows)


def _settled(
    history: History,
    scored: int,
    found: modes.Modes,
    unsettled: Sequence[Bools],
    tags: Sequence[tuple[str, str]],
    seed: int,
    search: Search,
) -> tuple[modes.Modes, _Shape, Experts, list[Experts]]:
    """Fit the experts to settled rows; where they show that settling takes longer than was `found`, fit them anew.

    A first fit to all rows has regimes for what is rare once those of the changes themselves are gone: how a machine
    starts with one of its products. The experts that are to judge such rows have to find them ordinary. What is left
    has to be enough: a short history keeps the time that was found first.
    """
    fitted: tuple[modes.Modes, _Shape, Experts, list[Experts]] | None = None
    while True:
        settled = history.without(
            [found.settling(s) | rows for s, rows in zip(history.stretches, unsettled, strict=True)]
        )
        try:
            _check_amount(settled, tags)
        except LearnError:
            if fitted is None:
                raise
            return fitted
        shape = _shape(settled, scored, seed, search)
        experts, folds = _cross_fit(shape, seed)
        fitted = found, shape, experts, folds
        longer = _longer(found, shape.history, folds) if found.commands else found
        if longer == found:
            return fitted
        found = longer


def _longer(found: modes.Modes, history: History, folds: Sequence[Experts]) -> modes.Modes:
    """Return the modes with the time to settle that held-out rows show, never a shorter one."""
    score = np.full(sum(len(s) for s in history.stretches), np.nan)
    begin = 0
    for chunk, _, distance in _held_out(history, folds):
        score[begin : begin + len(chunk.judged)][chunk.judged] = distance
        begin += len(chunk.judged)
    since, mode = _course(found, history)
    return replace(found, settle_rows=modes.settle_rows(since, score, mode, found.settle_rows))


def _course(found: modes.Modes, history: History) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return of all rows how many ago a command has changed, i64[N], and the position of the mode, i64[N]."""
    since = [modes.rows_since_change(s, found.commands) for s in history.stretches]
    return np.concatenate(since), np.concatenate([found.modes(s) for s in history.stretches])


def _choose(x: Float64s, search: Search) -> tuple[int, float]:
    """Return how many regimes rows f64[N, U] have and how much their covariances are shrunk.

    The rows are halved into alternating blocks, so that both halves see every part of the history.
    """
    block = np.arange(len(x)) * 2 * FOLDS // len(x)
    *_, (count, ridge, _) = regimes.choose(x[block % 2 == 0], x[block % 2 == 1], search.regimes_max)
    return count, ridge


def _shape(history: History, scored: int, seed: int, search: Search) -> _Shape:
    """Let the drifting channels condition the others only where that predicts held-out rows better."""
    plain = _Shape(history.first(scored), *_choose(history.first(scored).rows()[0], search), 0)
    if scored == len(history.used):
        return plain
    conditioned = _Shape(history, *_choose(history.rows()[0], search), len(history.used) - scored)
    return min((conditioned, plain), key=lambda shape: _surprise(shape, seed))


def _surprise(shape: _Shape, seed: int) -> float:
    """Return the mean negative log density of the scored channels in the folds that the experts had not seen."""
    x, fold = shape.history.rows()
    whole = regimes.fit(x, shape.count, shape.ridge, seed=seed)
    found = [_experts(shape, x[fold != f], whole).surprise(x[fold == f]) for f in np.unique(fold)]
    return float(np.mean(found))


def _experts(shape: _Shape, x: Float64s, start: Regimes) -> Experts:
    """Fit the experts to rows f64[N, U]; the regimes keep the order they have in `start`."""
    fitted = regimes.fit(x, shape.count, shape.ridge, start=start)
    conditions = x[:, x.shape[1] - shape.conditions :]
    low, high = conditions.min(0), conditions.max(0)
    return Experts(fitted, low - RIM * (high - low), high + RIM * (high - low))


def _cross_fit(shape: _Shape, seed: int) -> tuple[Experts, list[Experts]]:
    """Return the experts of all rows and for each fold those that have not seen it.

    Rows that were not fitted to are further away than those that were, in one regime more so than in another: each
    regime is widened to what held-out rows show.
    """
    x, fold = shape.history.rows()
    whole = regimes.fit(x, shape.count, shape.ridge, seed=seed)
    folds = [_experts(shape, x[fold != f], whole) for f in range(FOLDS)]
    regime, distance = np.zeros(len(x), np.intp), np.zeros(len(x))
    for f, experts in enumerate(folds):
        seen = experts.see(x[fold == f])
        regime[fold == f], distance[fold == f] = seen.regime, seen.distance / experts.scored
    bounded = np.minimum(distance, 5.0 * np.median(distance))
    rows, total = (np.bincount(regime, weights, minlength=shape.count) for weights in (None, bounded))
    gains = (total + GAIN_ROWS * bounded.mean()) / (rows + GAIN_ROWS)
    return _widened(_experts(shape, x, whole), gains), [_widened(experts, gains) for experts in folds]


def _widened(experts: Experts, gains: Float64s) -> Experts:
    r = experts.regimes
    return Experts(
        Regimes(r.log_weight, r.mean, r.covariance * gains[:, None, None]), experts.low, experts.high
    )


def _calibrate(
    history: History, folds: Sequence[Experts], progress: Callable[[float], None]
) -> tuple[Reference, Calibration]:
    """Learn what is healthy from rows that the experts had not seen.

    The reference of the statistics of even folds is learnt from the odd ones and the other way round: a covariance
    flatters the rows it was learnt from. The bundle's own reference is learnt from all.
    """
    learners = [ReferenceLearner(folds[0].scored) for _ in range(3)]
    total = 2 * sum(len(s) for s in history.stretches)
    done = 0
    for chunk, white, _ in _held_out(history, folds):
        for learner, counted in zip(learners, _halves(chunk), strict=True):
            if chunk.first:
                learner.begin()
            learner.update(white, counted)
        done += len(chunk.judged)
        progress(done / total)
    odd, even, every = (learner.reference() for learner in learners)
    statistics = [np.empty((rows, len(STATISTICS)), np.float32) for rows in history.counts()]
    stretch, filled = -1, 0
    banks: list[ScoreBank] = []
    for chunk, white, distance in _held_out(history, folds):
        if chunk.first:
            banks = [ScoreBank(reference, _UNLIMITED) for reference in (even, odd)]
            stretch, filled = stretch + 1, 0
        for_odd, for_even = (bank.update(white, distance) for bank in banks)
        rows = slice(filled, filled + len(white))
        statistics[stretch][rows] = np.where(_halves(chunk)[0][:, None], for_odd, for_even)
        filled = rows.stop
        done += len(chunk.judged)
        progress(done / total)
    return every, calibrate([s for s in statistics if len(s)], [statistic.rate for statistic in STATISTICS])


def _head_reference(history: History, folds: Sequence[Experts]) -> HeadReference:
    """Learn what the fault head takes for healthy from some spans of held-out rows, spread over the history."""
    spans = []
    every = max(history.count() // SPANS_ROWS_MAX, 1)
    for number, chunk in enumerate(chunk for chunk in history.chunks() if chunk.judged.any()):
        if number % every == 0:
            spans.append(_observe(chunk, folds))
    return learn_reference(spans)


def _observe(chunk: Chunk, folds: Sequence[Experts]) -> Observed:
    """Return what the fault head would see of the judged rows of a chunk."""
    x, raw, fold = chunk.x[chunk.judged], chunk.raw[chunk.judged], chunk.fold[chunk.judged]
    e, z, white = (np.empty((len(x), folds[0].scored)) for _ in range(3))
    for f in np.unique(fold):
        rows = fold == f
        seen = folds[f].see(x[rows])
        white[rows] = seen.white
        e[rows], z[rows] = folds[f].explain(x[rows], seen)
    unchanged = np.vstack([np.zeros((1, raw.shape[1]), np.bool_), raw[1:] == raw[:-1]])[: len(raw), : e.shape[1]]
    return Observed(e, z, unchanged, HeadStatistics(e.shape[1]).update(e, z, white))


def _held_out(history: History, folds: Sequence[Experts]) -> Iterator[tuple[Chunk, Float64s, Float64s]]:
    """Give the chunks with their judged rows' white residual f64[n, S] and distance per channel f64[n]."""
    for chunk in history.chunks():
        x, fold = chunk.x[chunk.judged], chunk.fold[chunk.judged]
        white, distance = np.empty((len(x), folds[0].scored)), np.empty(len(x))
        for f in np.unique(fold):
            seen = folds[f].see(x[fold == f])
            white[fold == f], distance[fold == f] = seen.white, seen.distance / folds[f].scored
        yield chunk, white, distance


def _halves(chunk: Chunk) -> tuple[Bools, Bools, Bools]:
    """Return which judged rows are in odd folds, in even folds, in any."""
    odd = chunk.fold[chunk.judged] % 2 == 1
    return odd, ~odd, np.ones(len(odd), np.bool_)
