"""The report's own plots, as SVG that stretches with the page: alerts over time, and rates against their budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.evidence.plot import HEIGHT, WIDTH, Axis, levels
from agent.html import quoted
from agent.line.spans import Span
from agent.rehearsal.achieved import Achieved

LEAST: Final = 4.0
"""However short it was, so wide of WIDTH an alert is drawn."""
SCALE: Final = 2.0
"""Of the highest budget or rate, where the scale of the rates ends."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted, drawn as `kind` (see report.css)."""

    kind: str
    begin_ns: int
    end_ns: int


def lane(
    name: str, axis: Axis, withheld: Iterable[Span], bars: Sequence[Bar], moments: Sequence[tuple[str, int]]
) -> str:
    """Return the line of one machine: its alerts, when they were withheld, and moments of a kind with a letter."""
    drawn = [_rect(axis, Bar("withheld", begin, end), 0.0, HEIGHT, 0.0) for begin, end in withheld]
    drawn += [_rect(axis, bar, 22.0, 56.0, LEAST) for bar in bars]
    letters = "".join(
        f'<b class="{kind}" style="left:{axis.share(time_ns):.2%}" title="{kind}">{kind[0].upper()}</b>'
        for kind, time_ns in moments
    )
    return f'<div class="lane"><span>{quoted(name)}</span><div>{_svg("".join(drawn))}{letters}</div></div>'


def time_axis(axis: Axis) -> str:
    """Return the times below the lanes."""
    ticks = "".join(f'<span class="x" style="left:{axis.share(at):.2%}">{text}</span>' for at, text in axis.ticks())
    kind = "ticks dates" if axis.is_long else "ticks"
    return f'<div class="lane axis"><span></span><div class="{kind}">{ticks}</div></div>'


def rates(achieved: Sequence[tuple[str, Achieved]]) -> str:
    """Return for each machine its rate of alerts with the interval, and its budget, on one scale.

    The scale ends at SCALE times the highest budget or rate; an interval that goes on is cut there.
    """
    top = SCALE * max(1e-9, *(max(one.budget_per_week, one.per_week or 0.0) for _, one in achieved))
    rows = []
    for name, one in achieved:
        drawn = ""
        if one.weeks:
            low, high, rate = (min(value / top, 1.0) * WIDTH for value in (one.low, one.high, one.per_week or 0.0))
            drawn = f'<rect class="interval" x="{low:.1f}" y="32" width="{high - low:.1f}" height="36"/>'
            drawn += f'<rect class="rate" x="{max(rate - 3, 0):.1f}" y="18" width="6" height="64"/>'
        budget = one.budget_per_week / top * WIDTH
        drawn += f'<rect class="budget" x="{budget - 1.5:.1f}" y="0" width="3" height="{HEIGHT:g}"/>'
        rows.append(f'<div class="lane"><span>{quoted(name)}</span><div>{_svg(drawn)}</div></div>')
    ticks = "".join(
        f'<span class="x" style="left:{level / top:.1%}">{level:.3g}</span>' for level in levels(0.0, top)
    )
    return f'{"".join(rows)}<div class="lane axis"><span></span><div class="ticks">{ticks}</div></div>'


def _rect(axis: Axis, bar: Bar, y: float, height: float, least: float) -> str:
    begin, end = (min(max(axis.share(at), 0.0), 1.0) * WIDTH for at in (bar.begin_ns, bar.end_ns))
    width = max(end - begin, least)
    x = min(begin, WIDTH - width)
    return f'<rect class="{bar.kind}" x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}"/>'


def _svg(drawn: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
