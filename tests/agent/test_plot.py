"""Plots of an evidence pack: no peak is lost, no line leads over what is missing, and their size has a bound."""

from __future__ import annotations

import re

import numpy as np

from agent.evidence.plot import BINS, Axis, Mark, Trace, plot, strip
from tests.agent.samples import SECOND_NS, START_NS


def axis_of(seconds: int) -> tuple[Axis, np.ndarray]:
    times = START_NS + np.arange(seconds, dtype=np.int64) * SECOND_NS
    return Axis(START_NS, int(times[-1])), times


def path_of(html: str, style: str) -> str:
    return re.findall(f'<path class="{style}" d="([^"]*)"', html)[0]


def test_a_peak_of_one_row_among_many_is_drawn() -> None:
    axis, times = axis_of(100_000)
    values = np.zeros(len(times))
    values[70_000] = 100.0
    html = plot(axis, [Trace("measured", times, values)], [])
    heights = [float(y) for y in re.findall(r",([\d.]+)", path_of(html, "measured"))]
    assert min(heights) < 10 < 90 < max(heights)
    assert len(html) < 40 * BINS


def test_a_line_ends_where_nothing_was_measured() -> None:
    axis, times = axis_of(1000)
    measured = (times < times[400]) | (times > times[600])
    html = plot(axis, [Trace("measured", times[measured], np.sin(np.arange(800) / 9)[: measured.sum()])], [])
    assert path_of(html, "measured").count("M") == 2
    sparse = plot(axis, [Trace("expected", times[::100], np.arange(10.0))], [])
    assert path_of(sparse, "expected").count("M") == 1
    missing = np.where(measured, 1.0, np.nan)
    assert path_of(plot(axis, [Trace("expected", times, missing)], []), "expected").count("M") == 2


def test_bad_values_marks_and_conditions_have_their_places() -> None:
    axis, times = axis_of(1001)
    bad = np.zeros(len(times), np.bool_)
    bad[250:260] = True
    marks = [Mark("<raised>", int(times[500])), Mark("long ago", START_NS - SECOND_NS)]
    html = plot(axis, [Trace("measured", times, np.zeros(1001))], marks, bad=(times, bad), named=True)
    assert re.findall(r'<rect class="bad" x="(\d+)"', html) == ["250"]
    assert "left:50.000%" in html
    assert "&lt;raised&gt;" in html
    assert "long ago" not in html
    kinds = (np.arange(1001) >= 800).astype(np.int64)
    assert 'class="late" style="left:80.00%;width:20.00%"' in strip(axis, times, kinds, ["early", "late"])


def test_nothing_at_all_is_a_plot_too() -> None:
    nothing = np.zeros(0)
    html = plot(Axis(START_NS, START_NS), [Trace("measured", nothing.astype(np.int64), nothing)], [])
    assert "<svg" in html
    assert 'class="measured"' not in html
