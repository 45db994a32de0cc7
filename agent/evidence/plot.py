"""Plots that a mail can carry: SVG that stretches with the page, labels as text beside it, nothing that runs.

However many rows there are, a plot has at most BINS places from left to right: of the rows in one the least and the
greatest value are drawn, so that no peak is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import Bools, Int64s

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

BINS: Final = 500
WIDTH, HEIGHT = 1000.0, 100.0
"""Of the SVG's own grid, which the page stretches."""
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800,
                   604800)
GAP_PLACES: Final = 2.5
"""A line is broken where it has nothing for so many times as long as usual."""
_TICKS: Final = 6
_PAD: Final = 0.06
_RIGHT: Final = 0.6
"""A label of a mark further right than this share of the plot stands to the left of it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that all plots of a page share, from `begin_ns` to `end_ns` UTC."""

    begin_ns: int
    end_ns: int

    @property
    def is_long(self) -> bool:
        """Whether it is more than a day, so that times need their date."""
        return self.end_ns - self.begin_ns > 86_400_000_000_000

    def share(self, time_ns: int) -> float:
        """Return where a time lies, 0 at the left and 1 at the right edge."""
        return (time_ns - self.begin_ns) / max(self.end_ns - self.begin_ns, 1)

    def bins(self, time_ns: Int64s) -> npt.NDArray[np.intp]:
        """Return for each time i64[N] in which of the BINS places it lies, -1 outside."""
        places = np.floor((time_ns - self.begin_ns) * (BINS / max(self.end_ns - self.begin_ns, 1))).astype(np.intp)
        return np.where((time_ns >= self.begin_ns) & (time_ns <= self.end_ns), np.minimum(places, BINS - 1), -1)

    def ticks(self) -> Iterator[tuple[int, str]]:
        """Give round times and how to write them."""
        span_s = (self.end_ns - self.begin_ns) / 1e9
        step_s = next((step for step in _STEPS_S if span_s / step <= _TICKS), 604800 * math.ceil(span_s / 604800 / 6))
        form = "%m-%d %H:%M" if self.is_long else "%H:%M:%S" if step_s < 60 else "%H:%M"
        first = -(-self.begin_ns // (step_s * 10**9))
        for number in range(first, self.end_ns // (step_s * 10**9) + 1):
            yield number * step_s * 10**9, datetime.fromtimestamp(number * step_s, UTC).strftime(form)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, such as "raised"."""

    name: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A course f[N] at times i64[N], drawn as `style`: "measured", "expected" or "limit" (see page.css)."""

    style: str
    time_ns: Int64s
    values: Floats


def plot(
    axis: Axis,
    traces: Sequence[Trace],
    marks: Sequence[Mark],
    *,
    bad: tuple[Int64s, Bools] | None = None,
    least: tuple[float, float] | None = None,
    below: str = "",
    named: bool = False,
) -> str:
    """Return a plot as HTML, with the names of the marks where they are to be `named`.

    `bad` bool[N] at times i64[N] is marked; `least` is what the y axis spans at least; `below` is put below the plot.
    """
    bottom, top = _span(traces, least)
    grid_levels = list(levels(bottom, top))
    grid = "".join(f"M0,{_y(level, bottom, top)}H{WIDTH:g}" for level in grid_levels)
    drawn = [f'<path class="grid" d="{grid}"/>']
    drawn += [path for trace in traces if (path := _path(axis, trace, bottom, top))]
    if bad is not None:
        drawn += [
            f'<rect class="bad" x="{x * WIDTH / BINS:g}" y="94" width="{width * WIDTH / BINS:g}" height="6"/>'
            for x, width in _runs(axis, *bad)
        ]
    labels = "".join(
        f'<span class="y" style="top:{_y(level, bottom, top):g}%">{level:.6g}</span>' for level in grid_levels
    )
    inside = [mark for mark in marks if 0 <= axis.share(mark.time_ns) <= 1]
    lines = "".join(
        f'<div class="mark {escape(mark.name)}" style="left:{axis.share(mark.time_ns):.3%}"></div>' for mark in inside
    )
    ticks = "".join(
        f'<span class="x" style="left:{axis.share(time_ns):.3%}">{text}</span>' for time_ns, text in axis.ticks()
    )
    return (
        f'<div class="plot">{_labels(axis, inside) if named else ""}<div class="area">'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">{"".join(drawn)}</svg>'
        f'{labels}{lines}</div>{below}<div class="ticks{" dates" if axis.is_long else ""}">{ticks}</div></div>'
    )


def strip(axis: Axis, time_ns: Int64s, kinds: Int64s, names: Sequence[str]) -> str:
    """Return a band that shows which of the named kinds i64[N] held when; of several in one place the highest."""
    bins = axis.bins(time_ns)
    shown = np.full(BINS, -1)
    np.maximum.at(shown, bins[bins >= 0], kinds[bins >= 0])
    for empty in np.flatnonzero(shown < 0)[np.flatnonzero(shown < 0) > 0]:  # between two rows the first one holds
        shown[empty] = shown[empty - 1]
    edges = np.flatnonzero(np.diff(shown, prepend=-2, append=-2))
    parts = "".join(
        f'<i class="{names[shown[begin]]}" style="left:{begin / BINS:.2%};width:{(end - begin) / BINS:.2%}"></i>'
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if shown[begin] >= 0
    )
    return f'<div class="strip">{parts}</div>'


def _labels(axis: Axis, marks: Sequence[Mark]) -> str:
    """Return the names of marks, those of each time on a line of its own: they are often close together."""
    placed = []
    times = sorted({mark.time_ns for mark in marks})
    for line, time_ns in enumerate(times):
        share = axis.share(time_ns)
        side = f"right:{1 - share:.3%}" if share > _RIGHT else f"left:{share:.3%}"
        name = ", ".join(mark.name for mark in marks if mark.time_ns == time_ns)
        clock = datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%H:%M:%S")
        placed.append(f'<span style="top:{line * 1.15:g}rem;{side}">{escape(name)} {clock}</span>')
    return f'<div class="labels" style="height:{len(times) * 1.15:g}rem">{"".join(placed)}</div>'


def _span(traces: Sequence[Trace], least: tuple[float, float] | None) -> tuple[float, float]:
    found = [trace.values[np.isfinite(trace.values)] for trace in traces]
    values = np.concatenate([np.array(least or (), np.float64), *found])
    if not len(values):
        return 0.0, 1.0
    bottom, top = float(values.min()), float(values.max())
    pad = (top - bottom) * _PAD or max(abs(top), 1.0) * 0.01
    return bottom - pad, top + pad


def levels(bottom: float, top: float) -> Iterator[float]:
    """Give three to five round numbers between two."""
    rough = (top - bottom) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    for number in range(math.ceil(bottom / step), math.floor(top / step) + 1):
        yield number * step


def _y(value: float, bottom: float, top: float) -> float:
    return round(HEIGHT * (top - value) / (top - bottom), 2)


def _path(axis: Axis, trace: Trace, bottom: float, top: float) -> str:
    good = np.isfinite(trace.values)
    bins = axis.bins(trace.time_ns)
    bins[~good] = -1
    used = np.unique(bins[bins >= 0])
    if not len(used):
        return ""
    high, low = np.full(BINS, -np.inf), np.full(BINS, np.inf)
    values = trace.values.astype(np.float64)
    np.maximum.at(high, bins[bins >= 0], values[bins >= 0])
    np.minimum.at(low, bins[bins >= 0], values[bins >= 0])
    breaks = np.flatnonzero(np.diff(used) > _apart_max(used)) + 1
    drawn = []
    for part in np.split(used, breaks):
        x = [(place + 0.5) * WIDTH / BINS for place in part.tolist()]
        upper = [f"{at:g},{_y(value, bottom, top):g}" for at, value in zip(x, high[part].tolist(), strict=True)]
        lower = [f"{at:g},{_y(value, bottom, top):g}" for at, value in zip(x, low[part].tolist(), strict=True)]
        if trace.style == "measured":
            drawn.append(f"M{'L'.join(upper + lower[::-1])}Z")
        else:
            middle = (high[part] + low[part]) / 2
            drawn.append("M" + "L".join(
                f"{at:g},{_y(value, bottom, top):g}" for at, value in zip(x, middle.tolist(), strict=True)
            ))
    return f'<path class="{trace.style}" d="{"".join(drawn)}"/>'


def _apart_max(used: npt.NDArray[np.intp]) -> float:
    """Return how far apart two places of a line may be: rows, or those of a slow tag, can be further than places."""
    return GAP_PLACES * float(np.median(np.diff(used))) if len(used) > 1 else 0.0


def _runs(axis: Axis, time_ns: Int64s, which: Bools) -> list[tuple[int, int]]:
    """Return the stretches of places, first and how many, in which something is so."""
    there = np.zeros(BINS, np.bool_)
    bins = axis.bins(time_ns)
    there[bins[(bins >= 0) & which]] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return [(int(begin), int(end - begin)) for begin, end in edges.reshape(-1, 2)]
