"""Slow change since the model was learnt: counted for good, never adapted to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.drift import CLIP, DriftMonitor

HOUR_MS = 3_600_000


def test_a_lasting_offset_is_a_drift_after_a_day_and_noise_is_none() -> None:
    rng = np.random.default_rng(1)
    deviation = rng.standard_normal((4 * 24 * 60, 2)) + np.array([2.0, 0.0])
    drift = DriftMonitor(2, 60_000).update(deviation)[-1]
    assert drift[0] == pytest.approx(2.0, abs=0.15)
    assert abs(drift[1]) < 0.15


def test_a_cycle_of_a_day_cancels() -> None:
    hours = np.arange(20 * 24)
    drift = DriftMonitor(1, HOUR_MS).update(np.sin(2 * np.pi * hours / 24)[:, None])[-1]
    assert abs(drift[0]) < 0.2


def test_a_short_violent_fault_is_no_drift() -> None:
    deviation = np.zeros((24, 1))
    deviation[:2] = 1e6
    assert abs(DriftMonitor(1, HOUR_MS).update(deviation)[-1, 0]) < 2 * CLIP / 24


def test_missing_values_change_nothing() -> None:
    monitor = DriftMonitor(2, HOUR_MS)
    before = monitor.update(np.ones((30, 2)))[-1]
    after = monitor.update(np.column_stack([np.full(50, np.nan), np.ones(50)]))[-1]
    assert after[0] == before[0]
    assert after[1] > before[1]


def test_drift_that_has_not_lasted_is_not_claimed() -> None:
    assert DriftMonitor(1, HOUR_MS).update(np.full((1, 1), 5.0))[-1, 0] < 0.25


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.sampled_from([-1.0, 0.5, 3.0, float("nan")]), max_size=40),
    cut=st.integers(0, 40),
)
def test_the_monitor_does_not_care_how_rows_are_cut(values: list[float], cut: int) -> None:
    x = np.array(values)[:, None]
    whole, parts = DriftMonitor(1, HOUR_MS), DriftMonitor(1, HOUR_MS)
    one_by_one = np.concatenate([parts.update(x[:cut]), parts.update(x[cut:])])
    assert one_by_one == pytest.approx(whole.update(x))
