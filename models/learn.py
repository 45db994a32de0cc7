"""Learns a bundle from healthy history: numpy alone, closed form, no labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models import channels, frozen, graph, modes, regimes
from models.bundle import Bundle, RegimeCard, Statistics, TagSchema, make
from models.calibrate import Calibration, calibrate
from models.head import WINDOW_ROWS, Head
from models.inject import FAULTS
from models.scores import RATES

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ROWS_MIN = 100
FOLDS = 5
FIT_ROWS_MAX = 20_000
"""More rows than this are thinned for fitting; all of them are used for calibration."""
MISSING_MAX = 0.5
_NAMED_MAX = 4


class LearnError(Exception):
    """The history cannot teach a model: what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class _History:
    """Complete rows of the scored channels, standardised: one array f64[T, S] a stretch, NaN rows where incomplete."""

    stretches: list[Float64s]

    def rows(self) -> Float64s:
        everything = np.concatenate(self.stretches)
        return everything[~np.isnan(everything).any(1)]


def learn(
    segments: Sequence[tuple[Float32s, Bools]],
    tags: Sequence[tuple[str, str]],
    period_ms: int,
    *,
    name: str,
    source: str = "",
    progress: Callable[[str, float], None] = lambda _step, _share: None,
) -> Bundle:
    """Learn a bundle from stretches of healthy history on the grid of `period_ms`.

    `segments`: values f32[T, C] and good bool[T, C]; `tags`: C pairs of name and unit. `progress` is called with
    the step's name and the share done, 0..1. Raises LearnError where the history is too short, too poor or does not
    move.
    """
    raw = [np.where(mask, values, np.nan).astype(np.float64) for values, mask in segments if len(values)]
    progress("typing the channels", 0.0)
    roles = _roles(raw, tags)
    scored = np.array([i for i, role in enumerate(roles) if role == channels.SCORED], np.int64)
    everything = np.concatenate(raw)[:, scored]
    centre, scale = np.nanmean(everything, 0), np.nanstd(everything, 0)
    history = _History([_complete((s[:, scored] - centre) / scale) for s in raw])
    _check_amount(history, tags, scored)
    progress("finding how long the machine settles", 0.05)
    learnt_modes = _modes(raw, history)
    history = _settled(history, raw, learnt_modes)
    _check_amount(history, tags, scored)
    count, ridge = _choose(history, lambda share: progress("finding the regimes", 0.25 + 0.35 * share))
    calibration = _cross_fit(
        history, count, ridge, lambda share: progress("calibrating on held-out rows", 0.6 + 0.3 * share)
    )
    fitted = regimes.fit(_thin(history.rows()), count, ridge)
    progress("writing the graph", 0.95)
    limits = frozen.frozen_limits(raw, _restless(roles, learnt_modes))
    statistics = Statistics(scored, centre, scale, fitted, calibration, learnt_modes, limits)
    cards = _describe(fitted, statistics, [tags[i] for i in scored], history)
    bundle = make(
        {
            "name": name,
            "tags": tuple(TagSchema(n, u, r) for (n, u), r in zip(tags, roles, strict=True)),
            "period_ms": period_ms,
            "window_rows": WINDOW_ROWS,
            "faults": FAULTS,
            "regimes": cards,
            "rates": RATES,
            "learnt_rows": len(history.rows()),
            "learnt_from": source,
        },
        graph.build(scored, centre, scale, fitted, Head.load(), len(tags)),
        statistics,
        _card(name, source, tags, roles, cards, period_ms, len(history.rows()), ridge, learnt_modes),
    )
    progress("done", 1.0)
    return bundle


def _roles(raw: list[Float64s], tags: Sequence[tuple[str, str]]) -> list[str]:
    """Return each tag's role, or refuse a history in which a tag is mostly missing or nothing moves."""
    if sum(len(s) for s in raw) < ROWS_MIN:
        raise LearnError(
            f"the history has {sum(len(s) for s in raw)} rows, at least {ROWS_MIN} are needed: record for longer"
        )
    missing = np.isnan(np.concatenate(raw)).mean(0)
    poor = [f"{tag} ({share:.0%})" for (tag, _), share in zip(tags, missing, strict=True) if share > MISSING_MAX]
    if poor:
        raise LearnError(f"mostly missing in the history: {', '.join(poor)}; leave these tags out or record them")
    roles = channels.roles(raw)
    if channels.SCORED not in roles:
        listed = ", ".join(f"{tag} ({role})" for (tag, _), role in list(zip(tags, roles, strict=True))[:_NAMED_MAX])
        more = f" and {len(tags) - _NAMED_MAX} more" if len(tags) > _NAMED_MAX else ""
        raise LearnError(f"no tag of the history has a level to learn: {listed}{more}; record for longer")
    return roles


def _restless(roles: list[str], learnt: modes.Modes) -> list[int]:
    """Return the positions of the tags that never stand still for long on a healthy machine."""
    return [i for i, role in enumerate(roles) if role != channels.CONSTANT and i not in learnt.switches]


def _complete(z: Float64s) -> Float64s:
    return np.where(np.isnan(z).any(1, keepdims=True), np.nan, z)


def _choose(history: _History, progress: Callable[[float], None]) -> tuple[int, float]:
    """Return how many regimes the history has and how much their covariances are shrunk."""
    fitted, held_out = _split(history)
    chosen = (1, regimes.RIDGES[-1])
    for tried, (count, ridge, _) in enumerate(regimes.choose(fitted, held_out)):
        progress(tried / len(regimes.COUNTS))
        chosen = (count, ridge)
    return chosen


def _modes(raw: list[Float64s], history: _History) -> modes.Modes:
    """Find the switching tags and, by a first fit to all rows, how long the machine settles after they change."""
    switches = modes.find_switches(raw)
    if not switches:
        return modes.Modes((), (), 0)
    count, ridge = _choose(history, lambda _: None)
    experts = regimes.fit(_thin(history.rows()), count, ridge)
    score = np.concatenate([_score(experts, s) for s in history.stretches])
    since = np.concatenate([modes.rows_since_change(s, switches) for s in raw])
    seen = ~np.isnan(score)
    return modes.Modes(switches, modes.known_modes(raw, switches), modes.settle_rows(since[seen], score[seen]))


def _settled(history: _History, raw: list[Float64s], learnt: modes.Modes) -> _History:
    """Leave out the rows in which the machine settles: what is not judged is not learnt from either."""
    if not learnt.settle_rows:
        return history
    unsettled = [modes.rows_since_change(s, learnt.switches) < learnt.settle_rows for s in raw]
    return _History([np.where(u[:, None], np.nan, z) for u, z in zip(unsettled, history.stretches, strict=True)])


def _check_amount(history: _History, tags: Sequence[tuple[str, str]], scored: npt.NDArray[np.int64]) -> None:
    rows, needed = len(history.rows()), max(ROWS_MIN, 3 * len(scored))
    if rows < needed:
        raise LearnError(
            f"only {rows} rows have all {len(scored)} tags good, at least {needed} are needed for "
            f"{', '.join(tags[i][0] for i in scored[:_NAMED_MAX])}...: record for longer or leave poor tags out"
        )


def _thin(x: Float64s) -> Float64s:
    return x[:: -(-len(x) // FIT_ROWS_MAX)]


def _split(history: _History) -> tuple[Float64s, Float64s]:
    """Halve the rows into alternating blocks, so that both halves see every part of the history."""
    x = history.rows()
    block = np.arange(len(x)) * 2 * FOLDS // len(x)
    return _thin(x[block % 2 == 0]), _thin(x[block % 2 == 1])


def _cross_fit(history: _History, count: int, ridge: float, progress: Callable[[float], None]) -> Calibration:
    """Calibrate on rows that the experts had not seen: each fold is scored by experts fitted to the others."""
    # Folds of as many complete rows each, wherever these lie.
    complete = np.flatnonzero(np.concatenate([~np.isnan(s).any(1) for s in history.stretches]))
    edges = [0, *complete[len(complete) * np.arange(1, FOLDS) // FOLDS], sum(len(s) for s in history.stretches)]
    starts = np.cumsum([0, *(len(s) for s in history.stretches)])
    scores: list[Float64s] = []
    for fold, (low, high) in enumerate(pairwise(edges)):
        position = [np.arange(a, a + len(s)) for a, s in zip(starts, history.stretches, strict=False)]
        others = [s[(p < low) | (p >= high)] for p, s in zip(position, history.stretches, strict=True)]
        experts = regimes.fit(_thin(_History(others).rows()), count, ridge)
        held_out = [s[(p >= low) & (p < high)] for p, s in zip(position, history.stretches, strict=True)]
        scores += [_score(experts, part) for part in held_out if len(part)]
        progress((fold + 1) / FOLDS)
    return calibrate(scores)


def _score(experts: regimes.Regimes, x: Float64s) -> Float64s:
    seen = ~np.isnan(x).any(1)
    out = np.full(len(x), np.nan)
    out[seen] = experts.distance(x[seen]) / x.shape[1]
    return out


def _describe(
    fitted: regimes.Regimes, statistics: Statistics, names: list[tuple[str, str]], history: _History
) -> tuple[RegimeCard, ...]:
    """Name each regime by the tags in which it differs most from the whole."""
    density, _ = fitted.assess(_thin(history.rows()))
    share = np.bincount(density.argmax(1), minlength=fitted.count) / len(density)
    cards = []
    for k in range(fitted.count):
        telling = np.argsort(-np.abs(fitted.mean[k]))[:2]
        levels = fitted.mean[k] * statistics.scale + statistics.centre
        words = ", ".join(_level(names[i], levels[i], statistics.scale[i]) for i in telling)
        cards.append(RegimeCard(f"R{k + 1}", f"{words}, {share[k]:.0%} of the time", round(float(share[k]), 4)))
    return tuple(cards)


def _level(tag: tuple[str, str], level: float, scale: float) -> str:
    """Return "flow 52.3 m3/h", to a hundredth of the tag's spread; the unit 1 is not worth saying."""
    decimals = max(0, 2 - int(np.floor(np.log10(scale))))
    return f"{tag[0]} {round(float(level), decimals) + 0.0:.6g} {tag[1]}".removesuffix(" 1").rstrip()


def _card(
    name: str,
    source: str,
    tags: Sequence[tuple[str, str]],
    roles: list[str],
    cards: tuple[RegimeCard, ...],
    period_ms: int,
    rows: int,
    ridge: float,
    learnt: modes.Modes,
) -> str:
    listed = "\n".join(f"| {tag} | {unit} | {role} |" for (tag, unit), role in zip(tags, roles, strict=True))
    switches = ", ".join(tags[i][0] for i in learnt.switches) or "none"
    regimes_listed = "\n".join(f"- {card.id}: {card.description}" for card in cards)
    return (
        f"# {name}\n\nLearnt from {rows} rows of {period_ms / 1000:g} s ({source or 'unnamed source'}), "
        f"without labels, by closed form. Covariances shrunk by {ridge:g}.\n\n"
        f"## Tags\n| tag | unit | role |\n|---|---|---|\n{listed}\n\n## Modes\nSwitching tags: {switches}. "
        f"After a switch the machine settles for {learnt.settle_rows * period_ms / 1000:g} s, "
        f"which is neither learnt from nor judged.\n\n## Regimes\n{regimes_listed}\n"
    )
