"""What a person reads of a model: its regimes in words, and the model card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models import channels
from models.bundle import RegimeCard, Statistics, TagSchema
from models.modes import Modes

Float64s = npt.NDArray[np.float64]

TELLING, TELLING_MAX = 2, 4
"""A regime is named by so many tags, the same for all: those in which they differ most, more where some look alike."""
APART = 0.5
"""Regimes look alike whose levels of each tag told differ by less than this, in units of the tag's spread."""
MEANINGS = {
    channels.SCORED: "judged, by its level and by what the other tags say",
    channels.CONSTANT: "never moved in the history, so it is not looked at",
    channels.DRIFTING: "has no level of its own: the others are judged given its value, and its drift is watched",
    channels.SETPOINT: "commanded: the others are judged given its value",
}
"""What a tag's role means for a person."""


def describe(statistics: Statistics, names: Sequence[tuple[str, str]], x: Float64s) -> tuple[RegimeCard, ...]:
    """Name the regimes of standardised rows x f64[N, U], whose channels have these names and units."""
    experts = statistics.experts
    mean = experts.regimes.mean
    share = np.bincount(experts.see(x).regime, minlength=len(mean)) / len(x)
    telling = _telling(mean, share)
    levels = mean * statistics.scale + statistics.centre
    return tuple(
        RegimeCard(
            f"R{k + 1}",
            ", ".join(_level(names[i], levels[k, i], statistics.scale[i]) for i in telling)
            + f", {share[k]:.0%} of the time",
            round(float(share[k]), 4),
        )
        for k in range(len(mean))
    )


def _telling(mean: Float64s, share: Float64s) -> list[int]:
    """Choose the tags by which regimes with means f64[K, U] are named, the most telling first."""
    first, second = np.triu_indices(len(mean), 1)
    differ = np.abs(mean[first] - mean[second])  # (pairs, U)
    order = np.argsort((share @ mean) ** 2 - (share[:, None] * mean**2).sum(0), kind="stable").tolist()
    telling: list[int] = order[:TELLING]
    while len(telling) < min(TELLING_MAX, mean.shape[1]):
        alike = differ[(differ[:, telling] < APART).all(1)]
        alike = np.where(alike < APART, 0.0, alike).sum(0)
        if not alike.any():
            break
        telling.append(int(alike.argmax()))
    return telling


def _settling(modes: Modes, names: Sequence[str], period_ms: int) -> str:
    """Say for how long the machine settles in each mode."""
    said = [
        f"{', '.join(f'{names[i]} {value:g}' for i, value in zip(modes.switches, mode, strict=True)) or 'always'}: "
        f"{rows * period_ms / 1000:g} s"
        for mode, rows in zip(modes.known, modes.settle_rows, strict=True)
    ]
    return "".join(f"\n- {line}" for line in said)


def _level(tag: tuple[str, str], level: float, scale: float) -> str:
    """Return "flow 52.3 m3/h", to a hundredth of the tag's spread; the unit 1 is not worth saying."""
    decimals = max(0, 2 - int(np.floor(np.log10(scale))))
    return f"{tag[0]} {round(float(level), decimals) + 0.0:.6g} {tag[1]}".removesuffix(" 1").rstrip()


def write_card(
    name: str,
    source: str,
    tags: Sequence[TagSchema],
    regimes: Sequence[RegimeCard],
    period_ms: int,
    rows: int,
    ridge: float,
    modes: Modes,
) -> str:
    """Return the model card, Markdown."""
    listed = "\n".join(f"| {tag.name} | {tag.unit} | {tag.role} |" for tag in tags)
    switches = ", ".join(tags[i].name for i in modes.switches) or "none"
    setpoints = ", ".join(tags[i].name for i in modes.setpoints) or "none"
    regimes_listed = "\n".join(f"- {card.id}: {card.description}" for card in regimes)
    known = {role: meaning for role, meaning in MEANINGS.items() if role in {tag.role for tag in tags}}
    meanings = "\n".join(f"- {role}: {meaning}" for role, meaning in known.items())
    return (
        f"# {name}\n\nLearnt from {rows} rows of {period_ms / 1000:g} s ({source or 'unnamed source'}), "
        f"without labels, by closed form. Covariances shrunk by {ridge:g}.\n\n"
        f"## Tags\n| tag | unit | role |\n|---|---|---|\n{listed}\n\n{meanings}\n\n"
        f"## Modes\nSwitching tags: {switches}. "
        f"Set-points: {setpoints}. After a change of either the machine settles, which is neither learnt from nor "
        f"judged.{_settling(modes, [tag.name for tag in tags], period_ms)}\n\n"
        f"## Regimes\n{regimes_listed}\n"
    )
