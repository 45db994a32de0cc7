"""Average precision and VUS-PR against numbers of independent packages, the definition, and edges."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.backtest.ranking import average_precision, events_of, vus_pr

Series = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]


def series(rows: int, events: list[tuple[int, int]], lift: float, digits: int = 12) -> Series:
    """A labelled score that any language can reproduce: two sines, lifted inside the events."""
    faulty = np.zeros(rows, np.bool_)
    for first, last in events:
        faulty[first : last + 1] = True
    at = np.arange(rows)
    return faulty, np.round(np.sin(0.37 * at) + np.sin(0.0113 * at**1.5) + lift * faulty, digits)


# name: (series, buffer, VUS-PR of vus 0.0.6 [RangeAUC_volume_opt, 250 thresholds],
#        average precision of scikit-learn 1.9.1)
GOLDEN = {
    "one event": (series(400, [(150, 219)], 1.0), 100, 0.529749943835, 0.458070206388),
    "three events, two of them near": (
        series(1000, [(100, 140), (160, 199), (700, 800)], 0.7),
        100,
        0.460525784511,
        0.357447965306,
    ),
    "events at both ends and one of a single row": (
        series(300, [(0, 4), (100, 119), (125, 125), (290, 299)], 1.0),
        100,
        0.757528840702,
        0.564280592937,
    ),
    "many ties": (series(600, [(200, 260), (400, 405)], 0.8, digits=1), 100, 0.494302902483, 0.353606822532),
    "fewer rows than thresholds": (series(120, [(30, 50)], 0.5), 100, 0.762737562781, 0.374167372494),
    "odd, short buffer": (
        series(500, [(50, 60), (64, 90), (400, 420)], 0.6),
        7,
        0.294265840893,
        0.309743353002,
    ),
    "no buffer": (series(500, [(50, 60), (300, 390)], 0.6), 0, 0.294860559765, 0.354523321718),
    "a score worse than chance": (series(700, [(100, 300)], -0.9), 40, 0.209371116416, 0.195853143171),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_figures_are_those_of_independent_packages(name: str) -> None:
    (faulty, score), buffer_rows, volume, precision = GOLDEN[name]
    assert vus_pr(faulty, score, buffer_rows) == pytest.approx(volume, abs=1e-9)
    assert average_precision(faulty, score) == pytest.approx(precision, abs=1e-9)


def slow_average_precision(faulty: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    total, recall_before = 0.0, 0.0
    for limit in sorted(set(score.tolist()), reverse=True):
        over = score >= limit
        recall = (over & faulty).sum() / faulty.sum()
        total += (recall - recall_before) * (over & faulty).sum() / over.sum()
        recall_before = recall
    return float(total)


def slow_vus_pr(faulty: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], buffer_rows: int) -> float:
    """Range-AUC-PR as the paper defines it, row by row, averaged over the buffers."""
    starts, ends = events_of(faulty)
    ranked = np.sort(score)[::-1]
    volume = 0.0
    for buffer in range(buffer_rows + 1):
        reach = buffer // 2
        soft = faulty.astype(float)
        touched: list[set[int]] = []
        last_before = -1
        for first, last in zip(starts, ends, strict=True):
            near = range(max(first - reach, 0), min(last + reach, len(score) - 1) + 1)
            for row in near:
                if (distance := max(first - row, row - last)) > 0:
                    soft[row] += math.sqrt(1 - distance / buffer)
            if touched and first - reach <= last_before + reach:
                touched[-1] |= set(near)
            else:
                touched.append(set(near))
            last_before = last
        soft = np.minimum(soft, 1)
        before = 0.0
        for rank in np.linspace(0, len(score) - 1, 250).astype(int):
            over = score >= ranked[rank]
            true = float(soft[over].sum())
            positives = faulty.sum() + soft[over & ~faulty].sum() / 2
            share = sum(any(over[row] for row in rows) for rows in touched) / len(touched)
            recall = min(true / positives, 1) * share
            volume += (recall - before) * true / over.sum()
            before = recall
    return volume / (buffer_rows + 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-6, 6)), min_size=2, max_size=60), st.integers(0, 9))
def test_figures_are_those_of_the_definition(rows: list[tuple[bool, int]], buffer_rows: int) -> None:
    faulty = np.array([each[0] for each in rows])
    score = np.array([float(each[1]) for each in rows])
    if faulty.all() or not faulty.any():
        assert math.isnan(vus_pr(faulty, score))
        assert math.isnan(average_precision(faulty, score))
        return
    assert average_precision(faulty, score) == pytest.approx(slow_average_precision(faulty, score), abs=1e-12)
    assert vus_pr(faulty, score, buffer_rows) == pytest.approx(
        slow_vus_pr(faulty, score, buffer_rows), abs=1e-9
    )


def test_a_perfect_score_is_worth_one_without_a_buffer() -> None:
    faulty, _ = series(500, [(200, 299)], 1.0)
    score = faulty.astype(np.float64)
    assert average_precision(faulty, score) == 1.0
    assert vus_pr(faulty, score, buffer_rows=0) == pytest.approx(1.0)


def test_blind_rows_rank_last() -> None:
    faulty = np.array([True, False, True, False, False])
    score = np.array([-np.inf, 0.1, 0.9, 0.2, -np.inf])
    assert average_precision(faulty, score) == pytest.approx(0.5 * 1 + 0.5 * 2 / 5)
    assert 0 < vus_pr(faulty, score) < 1
