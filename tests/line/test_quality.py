"""How far tags are to be trusted: what is counted, what is forgotten, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.line.quality import SAMPLES, SILENT, SPIKES, Quality, QualityTracker, Trust, trust
from connectors.frame import BAD_DATA_LOST, BAD_NO_DATA, BAD_OUT_OF_RANGE, BAD_TIMEOUT, GOOD, Frame

SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS
NAN = float("nan")


def played(values: list[float], status: list[int] | None = None, period_s: int = 1) -> tuple[Quality, int]:
    """One tag, a sample each period; returns what is known then, and the time."""
    tracker, now_ns = QualityTracker(1), START_NS
    for row, value in enumerate(values):
        now_ns = START_NS + row * period_s * SECOND_NS
        code = status[row] if status else BAD_TIMEOUT if np.isnan(value) else GOOD
        tracker.note(Frame.of(now_ns, [value], np.array([code], np.uint32)), now_ns)
    return tracker.quality(), now_ns


def trusted(quality: Quality, now_ns: int) -> Trust:
    return trust(quality, 0, SECOND_NS, now_ns)


def noise(rows: int) -> list[float]:
    return np.random.default_rng(2).normal(10, 0.1, rows).tolist()


def test_a_tag_that_gives_all_its_values_is_trusted() -> None:
    assert trusted(*played(noise(4000))) == Trust(100, stale=False, reasons=())


def test_a_tag_is_stale_after_two_of_its_periods_and_a_second() -> None:
    quality, now_ns = played(noise(50))
    assert not trusted(quality, now_ns + 3 * SECOND_NS).stale
    told = trusted(quality, now_ns + 3 * SECOND_NS + 1)
    assert (told.score, told.stale, told.reasons) == (0, True, ("no good value for 3 s",))
    assert not trust(quality, 0, 10 * SECOND_NS, now_ns + 21 * SECOND_NS).stale, "by the tag's own period"


def test_nothing_that_ever_came_is_no_trust() -> None:
    nothing = Trust(0, stale=True, reasons=("no good value has come yet",))
    assert trusted(QualityTracker(1).quality(), START_NS) == nothing


def test_reads_without_an_answer_are_told_and_forgotten_after_an_hour_and_a_day() -> None:
    values = noise(1000)
    values[100:300] = [NAN] * 200
    quality, now_ns = played(values)
    told = trusted(quality, now_ns)
    assert told.reasons == ("20% of reads had no answer in the last hour",)
    assert told.score == round(100 * 0.8 * 0.9)
    quality, now_ns = played([*values, *noise(4000)])
    assert trusted(quality, now_ns).reasons == ("4% of reads had no answer in the last day",)
    quality, now_ns = played([NAN] * 10 + noise(1500), period_s=60)
    assert trusted(quality, now_ns).reasons == ()


def test_values_out_of_range_are_told_by_that_name() -> None:
    values = noise(200)
    status = [GOOD] * 200
    for row in range(0, 100, 10):
        values[row], status[row] = NAN, BAD_OUT_OF_RANGE
    assert trusted(*played(values, status)).reasons == ("5% of values were out of range in the last hour",)


def test_a_counter_that_was_set_back_is_told() -> None:
    values, status = noise(1000), [GOOD] * 1000
    for row in (300, 600):
        values[row], status[row] = NAN, BAD_DATA_LOST
    quality, now_ns = played(values, status)
    told = trusted(quality, now_ns)
    assert (told.score, told.reasons) == (96, ("2 times the counter was set back in the last hour",))


def test_single_samples_that_go_away_and_come_back_are_spikes() -> None:
    values = noise(1000)
    values[500], values[700] = 25.0, -5.0
    quality, now_ns = played(values)
    assert quality.hour[SPIKES, 0] == 2
    assert trusted(quality, now_ns) == Trust(96, stale=False, reasons=("2 spikes in the last hour",))


@pytest.mark.parametrize("kind", ["step", "switch", "ramp", "constant", "gap"])
def test_what_does_not_come_back_at_once_is_no_spike(kind: str) -> None:
    values = np.array(noise(1000))
    match kind:
        case "step":
            values[500:] += 20
        case "switch":
            values = (np.arange(1000) % 100 == 0).astype(float)
        case "ramp":
            values += np.arange(1000) * 0.5
        case "constant":
            values[:] = 3.0
        case "gap":
            values[500:510] = NAN
            values[510:] += 5
    assert played(values.tolist())[0].hour[SPIKES, 0] == 0


def test_a_frozen_tag_is_trusted_half_and_says_since_when() -> None:
    tracker = QualityTracker(1)
    for row, value in enumerate(noise(100)):
        tracker.note(Frame.of(START_NS, [value], [GOOD]), START_NS + row * SECOND_NS)
    tracker.frozen(np.array([10_800.0]))
    assert trusted(tracker.quality(), START_NS + 99 * SECOND_NS) == Trust(50, stale=False, reasons=("frozen for 3 h",))


def test_a_row_in_which_a_tag_was_not_due_is_no_sample_of_it() -> None:
    tracker = QualityTracker(2)
    for row in range(100):
        status = np.array([GOOD, GOOD if row % 10 == 0 else BAD_NO_DATA], np.uint32)
        tracker.note(Frame.of(START_NS, [1.0, 2.0 if row % 10 == 0 else NAN], status), START_NS + row * SECOND_NS)
    assert tracker.quality().hour[SAMPLES].tolist() == [100, 10]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-7200, 30_000), st.booleans()), min_size=1, max_size=60))
def test_the_windows_hold_what_came_in_them_and_nothing_else(steps: list[tuple[int, bool]]) -> None:
    """Also where the agent's clock is set back: what came then counts as now."""
    tracker, now_ns, latest_ns, came = QualityTracker(1), START_NS, 0, []
    for step_s, answered in steps:
        now_ns += step_s * SECOND_NS
        latest_ns = max(latest_ns, now_ns)
        status = np.array([GOOD if answered else BAD_TIMEOUT], np.uint32)
        tracker.note(Frame.of(now_ns, [1.0 if answered else NAN], status), now_ns)
        came.append((latest_ns, answered))
    quality = tracker.quality()
    for counts, slot_ns, slots in ((quality.hour, 300 * SECOND_NS, 12), (quality.day, 3600 * SECOND_NS, 24)):
        recent = [answered for at, answered in came if at // slot_ns > latest_ns // slot_ns - slots]
        assert counts[SAMPLES, 0] == len(recent)
        assert counts[SILENT, 0] == recent.count(False)
        assert (counts >= 0).all()


def test_rows_of_many_tags_count_the_same_in_any_portions() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((4200, 4)).astype(np.float32)
    values[rng.random(values.shape) < 0.03] *= 100
    values[:, 3] = np.where(rng.random(4200) < 0.3, values[:, 3], 1.0)  # it rests, and most of its moves are far
    status = np.where(rng.random(values.shape) < 0.1, np.uint32(BAD_TIMEOUT), np.uint32(GOOD))
    times_ns = START_NS + np.arange(len(values), dtype=np.int64) * SECOND_NS
    frame = Frame.clean(times_ns, values, status)
    counted = []
    for portion in (1, 7, 4200):
        tracker = QualityTracker(4)
        for row in range(0, len(values), portion):
            rows = slice(row, row + portion)
            part = Frame(frame.source_time_ns[rows], frame.values[rows], frame.status[rows])
            tracker.note(part, START_NS + 4200 * SECOND_NS)
        counted.append(tracker.quality().hour)
    assert counted[0][SPIKES].sum() > 10
    assert all(np.array_equal(counted[0], each) for each in counted[1:])
