"""Faults of the wire as data, and what they make of frames."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_OUT_OF_RANGE,
    GOOD,
    Dtype,
    Frame,
    is_bad,
)
from connectors.modbus.decode import EXCEPTION_STATUS as READERS_STATUS
from simulators import wire
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from simulators.wire import Symptom, WireFault, WireKind

SECOND = 1_000_000_000
PLANT = Plant("pump", 1)
ROWS = PLANT.rows(0, 60)
TIMES = EPOCH_NS + SECOND * np.arange(60, dtype=np.int64)
FLOATS = np.array([tag.dtype is Dtype.FLOAT32 for tag in PLANT.tags])


def apply(kind: WireKind, argument: int = 0, *, opcua: bool = False) -> Frame:
    """Apply one fault to the rows 20 to 39."""
    tags = PLANT.opcua_tags if opcua else PLANT.tags
    fault = wire.made(kind, EPOCH_NS + 20 * SECOND, 20, argument)
    frame = wire.apply([fault], TIMES, ROWS, tags)
    outside = np.r_[0:20, 40:60]
    assert np.array_equal(frame.values[outside], ROWS[outside])
    assert np.all(frame.status[outside] == GOOD)
    assert np.array_equal(frame.source_time_ns[outside], TIMES[outside])
    return Frame(frame.source_time_ns[20:40], frame.values[20:40], frame.status[20:40])


def test_a_healthy_wire_changes_nothing() -> None:
    frame = wire.apply([], TIMES, ROWS, PLANT.tags)
    assert np.array_equal(frame.values, ROWS)
    assert np.all(frame.status == GOOD)
    assert frame.values is not ROWS


@pytest.mark.parametrize("kind", [WireKind.TIMEOUT, WireKind.PARTITION])
@pytest.mark.parametrize("opcua", [False, True])
def test_silence_is_no_communication(kind: WireKind, opcua: bool) -> None:
    frame = apply(kind, opcua=opcua)
    assert np.all(frame.status == BAD_NO_COMMUNICATION)
    assert np.isnan(frame.values).all()
    assert np.array_equal(frame.source_time_ns, TIMES[20:40])


def test_an_exception_becomes_the_status_that_a_reader_gives_it() -> None:
    assert READERS_STATUS == wire.EXCEPTION_STATUS
    assert np.all(apply(WireKind.EXCEPTION).status == BAD_DEVICE_FAILURE)
    for code, status in READERS_STATUS.items():
        assert np.all(apply(WireKind.EXCEPTION, code).status == status)


def test_a_wrong_unit_is_lost_on_modbus_and_nothing_on_opcua() -> None:
    assert np.all(apply(WireKind.WRONG_UNIT).status == BAD_NO_COMMUNICATION)
    assert np.array_equal(apply(WireKind.WRONG_UNIT, opcua=True).values, ROWS[20:40])


def test_stale_values_stand_still_and_look_good() -> None:
    frame = apply(WireKind.STALE)
    assert np.array_equal(frame.values, np.repeat(ROWS[19:20], 20, axis=0))
    assert np.all(frame.status == GOOD)


def test_swapped_words_are_what_the_bytes_say() -> None:
    swapped = wire.swap_words(ROWS, PLANT.tags)
    assert np.array_equal(swapped[:, ~FLOATS], ROWS[:, ~FLOATS])
    ours = np.ascontiguousarray(ROWS[:, FLOATS]).astype(">f4").view(">u2").reshape(60, -1, 2)[:, :, ::-1]
    theirs = np.ascontiguousarray(ours).view(">f4")[:, :, 0]
    with np.errstate(invalid="ignore"):
        normal = np.isfinite(theirs) & (np.abs(theirs) >= np.finfo(np.float32).smallest_normal)
    assert np.array_equal(swapped[:, FLOATS][normal], theirs[normal])
    assert normal.any()
    frame = apply(WireKind.SWAPPED_WORDS)
    assert np.all(frame.status[:, ~FLOATS] == GOOD), "16 bits have no words to swap"
    assert is_bad(frame.status[:, FLOATS]).mean() > 0.5, "the rest are small numbers, which a sensor may show"
    assert set(np.unique(frame.status)) <= {GOOD, BAD_OUT_OF_RANGE, BAD_DECODING_ERROR}
    kept = ~is_bad(frame.status)
    for column, tag in enumerate(PLANT.tags):
        good = frame.values[kept[:, column], column]
        assert np.all((good >= tag.low) & (good <= tag.high))
    assert np.array_equal(apply(WireKind.SWAPPED_WORDS, opcua=True).values, ROWS[20:40])


def test_a_subnormal_is_bad_even_where_no_limits_are_known() -> None:
    tags = [replace(PLANT.tags[5], low=-np.inf, high=np.inf)]
    values = np.array(
        [[np.float32(1.0)], [np.uint32(0x4000_7F80).view(np.float32)], [np.float32(0.0)]], np.float32
    )
    fault = wire.made(WireKind.SWAPPED_WORDS, 0, 10)
    frame = wire.apply([fault], np.arange(3, dtype=np.int64), values, tags)
    assert frame.status[:, 0].tolist() == [BAD_OUT_OF_RANGE, BAD_DECODING_ERROR, GOOD], (
        "1.0, an infinity, zero"
    )


def test_a_reboot_refuses_and_then_shows_zeros() -> None:
    frame = apply(WireKind.REBOOT)
    assert np.all(frame.status[:15] == BAD_NO_COMMUNICATION)
    assert np.all(frame.values[15:] == 0)
    assert np.all(frame.status[15:] == GOOD)
    fault = WireFault(WireKind.REBOOT, 0, 20)
    assert [fault.symptom(s * SECOND) for s in (-1, 0, 14, 15, 19, 20)] == [
        None,
        Symptom.REFUSED,
        Symptom.REFUSED,
        Symptom.ZEROS,
        Symptom.ZEROS,
        None,
    ]


def test_a_clock_step_moves_the_times_that_the_plc_gives() -> None:
    assert np.array_equal(
        apply(WireKind.CLOCK_STEP, -90, opcua=True).source_time_ns, TIMES[20:40] - 90 * SECOND
    )
    assert np.array_equal(apply(WireKind.CLOCK_STEP, -90).source_time_ns, TIMES[20:40]), (
        "Modbus carries no time"
    )


def test_where_faults_overlap_the_first_counts() -> None:
    faults = [
        WireFault(WireKind.STALE, EPOCH_NS + 10 * SECOND, 10),
        WireFault(WireKind.TIMEOUT, EPOCH_NS, 15),
    ]
    frame = wire.apply(faults, TIMES, ROWS, PLANT.tags)
    assert np.all(is_bad(frame.status[:10]))
    assert np.all(frame.status[10:] == GOOD)
    assert wire.active(faults, EPOCH_NS + 12 * SECOND) == (Symptom.STALE, 0)
    assert wire.active(faults, EPOCH_NS + 30 * SECOND) == (None, 0)


def test_missing_values_are_bad_and_stay_so() -> None:
    rows = ROWS.copy()
    rows[3, 5] = np.nan
    assert wire.apply([], TIMES, rows, PLANT.tags).status[3, 5] == BAD_DECODING_ERROR


def test_a_schedule_is_seeded_ordered_and_has_every_kind() -> None:
    week = 7 * 86_400
    faults = wire.schedule(3, EPOCH_NS, week)
    assert faults == wire.schedule(3, EPOCH_NS, week)
    assert faults != wire.schedule(4, EPOCH_NS, week)
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(faults))
    assert faults[0].start_ns >= EPOCH_NS
    assert faults[-1].end_ns <= EPOCH_NS + week * SECOND
    many = [fault for seed in range(5) for fault in wire.schedule(seed, 0, week)]
    assert {fault.kind for fault in many} == set(WireKind)
    assert all(fault.argument in wire.EXCEPTION_STATUS for fault in many if fault.kind is WireKind.EXCEPTION)
    assert all(fault.argument for fault in many if fault.kind is WireKind.CLOCK_STEP)
    assert wire.schedule(1, 0, week, kinds=[WireKind.TIMEOUT])[0].kind is WireKind.TIMEOUT


def test_a_wire_fault_is_read_from_text() -> None:
    assert wire.parse("timeout@600:30", EPOCH_NS) == WireFault(WireKind.TIMEOUT, EPOCH_NS + 600 * SECOND, 30)
    assert wire.parse("exception=6@1:2", 0).argument == 6
    assert wire.parse("exception@1:2", 0).argument == 4
    assert wire.parse("clock_step=-5@0:2", 0).argument == -5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cut@0:1", "no wire fault 'cut'; there are: timeout, exception, wrong_unit"),
        ("timeout", "kind@start_s:duration_s"),
        ("timeout@1", "kind@start_s:duration_s"),
        ("timeout@x:1", "kind@start_s:duration_s"),
        ("timeout@0:0", "duration above 0"),
        ("timeout@-1:5", "start of 0 s or more"),
        ("timeout@nan:5", "start of 0 s or more"),
        ("exception=99@0:1", "no exception code 99; it has: 1, 2, 3"),
        ("stale=3@0:1", "takes no argument"),
    ],
)
def test_an_impossible_wire_fault_is_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wire.parse(text, 0)
