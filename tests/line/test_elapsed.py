"""A clock may be set; time passes once all the same."""

from __future__ import annotations

import numpy as np
import pytest

from agent.line.elapsed import BELIEVED_ROWS, FAR_NS, Elapsed
from tests.line.scripted import SECOND_NS, START_NS

YEARS_S = 50 * 365 * 86_400


def age(moved_s: list[int], newest_ns: int | None = None, chunk_rows: int = 1) -> tuple[int, int]:
    """Let rows come a second apart, their clock off by so much; return how many periods passed and the present."""
    elapsed = Elapsed(SECOND_NS, newest_ns)
    times_ns = START_NS + (np.arange(len(moved_s)) + np.array(moved_s)) * SECOND_NS
    parts = np.split(times_ns, range(chunk_rows, len(times_ns), chunk_rows))
    passed = sum(int(elapsed.update(part).sum()) for part in parts)
    assert elapsed.newest_ns is not None
    return passed, (elapsed.newest_ns - START_NS) // SECOND_NS


@pytest.mark.parametrize("chunk_rows", [1, 7, 5000])
@pytest.mark.parametrize(
    ("moved_s", "passed"),
    [
        pytest.param([0] * 100, 100, id="a clock that is right"),
        pytest.param([0] * 50 + [500] * 50, 600, id="a gap"),
        pytest.param([0] * 1000 + [-900] * 1000 + [0] * 100, 2100, id="set back and set right"),
        pytest.param([0] * 1000 + [-900] * 1000 + [60] * 100, 2160, id="set back, then a gap"),
        pytest.param([0] * 100 + [YEARS_S] * 20 + [0] * 100, 220, id="a wrong year for a while"),
        pytest.param([-YEARS_S] * 100 + [0] * 100, 200, id="began in the seventies"),
    ],
)
def test_time_passes_once(moved_s: list[int], passed: int, chunk_rows: int) -> None:
    found, present_s = age(moved_s, chunk_rows=chunk_rows)
    assert found == passed
    assert present_s == len(moved_s) - 1 + moved_s[-1]


def test_what_passes_while_nobody_looks_counts() -> None:
    assert age([0], newest_ns=START_NS - 5000 * SECOND_NS)[0] == 5000


def test_a_far_clock_is_believed_when_it_stays() -> None:
    moved_s = [0] * 10 + [YEARS_S] * BELIEVED_ROWS
    assert age(moved_s[:-1])[1] < FAR_NS // SECOND_NS
    assert age([*moved_s, YEARS_S + 500])[0] == len(moved_s) + 501
