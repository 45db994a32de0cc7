"""What counts as found, as false and as early: each rule on a run small enough to check by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.backtest.metrics import Event, JudgedRun, events_in, false_episodes, limits_at_1pct, measure
from agent.backtest.trial import UNLABELLED

NAN = float("nan")
SECOND = 1_000_000_000


def run(
    labels: str,
    alarms: str,
    score: list[float] | None = None,
    *,
    name: str = "a",
    model: int = 0,
    times_s: list[int] | None = None,
) -> JudgedRun:
    """One row a second. Labels: # a fault, . healthy, ? not known. Alarms: ! on, . off."""
    assert len(labels) == len(alarms)
    label = np.array([{"#": 1, ".": 0, "?": UNLABELLED}[each] for each in labels], np.int8)
    alarmed = np.array([each == "!" for each in alarms])
    times_ns = np.array(times_s if times_s is not None else range(len(labels)), np.int64) * SECOND
    values = alarmed.astype(np.float64) if score is None else np.array(score, np.float64)
    return JudgedRun.of(name, model, SECOND, times_ns, label, values, alarmed)


MISSED = "missed"
EVENTS = {
    "raised inside": ("..####..", "...!!...", [(1.0, 3.0)]),
    "raised on the first row": ("..####..", "..!.....", [(0.0, 4.0)]),
    "raised on the last row": ("..####..", ".....!..", [(3.0, 1.0)]),
    "the first of several counts": ("..####..", "...!.!..", [(1.0, 3.0)]),
    "never raised": ("..####..", "........", [MISSED]),
    "raised before and gone": ("..####..", "!.......", [MISSED]),
    "raised after": ("..####..", "......!!", [MISSED]),
    "on before and to the end: found, at no gain": ("..####..", ".!!!!!..", [(0.0, 4.0)]),
    "on before and fading inside: a tail is no find": ("..####..", ".!!.....", [MISSED]),
    "on before, gone, back inside": ("..####..", ".!!.!!..", [(2.0, 2.0)]),
    "on from the first row of the run": ("####..", "!!!!!!", [(0.0, 4.0)]),
    "two events, one found": (".##..##.", "......!.", [MISSED, (1.0, 1.0)]),
    "one alarm over two events: news for the first only": (".##..##.", ".!!!!!!.", [(0.0, 2.0), (0.0, 2.0)]),
    "to the end of the run": ("...###", "....!!", [(1.0, 2.0)]),
    "no event": ("......", "..!...", []),
    "rows not known do not end an event": ("..#??#..", ".....!..", [(3.0, 1.0)]),
    "raised on a row not known, inside": ("..#??#..", "...!!!..", [(3.0, 1.0)]),
    "raised on a row not known, before": (".?##", ".!!!", [(0.0, 2.0)]),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events(name: str) -> None:
    labels, alarms, expected = EVENTS[name]
    found = [
        (event.delay_s, event.lead_s) if event.found else MISSED for event in events_in(run(labels, alarms))
    ]
    assert found == expected


EPISODES = {
    "none": ("....", "....", 0, 0),
    "one": ("....", ".!!.", 0, 1),
    "on from the first row": ("....", "!!!!", 0, 1),
    "two apart": ("........", "!....!..", 3, 2),
    "two within the gap are one": ("........", "!....!..", 4, 1),
    "a chain of gaps is one": ("........", "!.!.!.!.", 1, 1),
    "inside an event is not false": ("..##..", "..!!..", 0, 0),
    "from an event into health is not false": ("..##..", "...!!!", 0, 0),
    "back after an event, within the gap": ("..##....", "..!!.!..", 1, 0),
    "back after an event, beyond the gap": ("..##....", "..!!..!.", 1, 1),
    "before an event and into it": ("..##..", ".!!!..", 0, 1),
    "before an event, again in it, within the gap": ("...##..", "!..!...", 2, 1),
    "on rows not known": ("..??..", "..!!..", 0, 0),
}


@pytest.mark.parametrize("name", EPISODES)
def test_false_episodes(name: str) -> None:
    labels, alarms, gap_s, expected = EPISODES[name]
    assert false_episodes(run(labels, alarms), gap_s) == expected


def test_an_alarm_across_a_hole_in_time_is_one_episode() -> None:
    assert false_episodes(run("....", "!!!!", times_s=[0, 1, 5000, 5001]), 0) == 1


def test_an_alarm_raised_again_after_a_hole_is_another_episode() -> None:
    assert false_episodes(run(".....", "!!.!!", times_s=[0, 1, 2, 5000, 5001]), 600) == 2


def figures(runs: list[JudgedRun], merge_gap_s: float = 0) -> dict[str, float]:
    measured = measure(runs, limits_at_1pct(runs), merge_gap_s, rows_per_s=7.0)
    return {name: getattr(measured, name) for name in measured.__slots__}


def test_totals_pool_events_and_time_over_runs() -> None:
    total = figures(
        [
            run("....####", "!...!...", name="a"),
            run("....####", "......!.", name="b"),
            run("########", "........", name="c"),
            run("........", "..!.....", name="clean"),
        ]
    )
    assert (total["events"], total["events_found"]) == (3, 2)
    assert total["median_delay_s"] == 1.0  # of 0 and 2; the missed one is in events_found
    assert total["p90_delay_s"] == pytest.approx(1.8)
    assert total["median_lead_s"] == 3.0
    assert total["false_episodes_per_week"] == pytest.approx(2 / 16 * 604_800)
    assert total["healthy_alarm_fraction"] == pytest.approx(2 / 16)
    assert total["rows_per_s"] == 7.0


def test_rows_not_known_count_neither_as_time_nor_as_alarm() -> None:
    total = figures([run("..??", "..!!")])
    assert (total["healthy_alarm_fraction"], total["false_episodes_per_week"]) == (0.0, 0.0)


def test_without_faults_and_without_health_there_is_nothing_to_tell() -> None:
    healthy, faulty = figures([run("....", "....")]), figures([run("####", "!...")])
    lacking = {
        "median_delay_s",
        "p90_delay_s",
        "median_lead_s",
        "detection_at_1pct",
        "average_precision",
        "vus_pr",
    }
    assert {name for name, value in healthy.items() if math.isnan(value)} == lacking
    assert {name for name, value in faulty.items() if math.isnan(value)} == {
        "false_episodes_per_week",
        "healthy_alarm_fraction",
        "detection_at_1pct",
        "average_precision",
        "vus_pr",
    }


def test_the_limit_at_1pct_is_taken_from_the_clean_runs_where_there_are_any() -> None:
    mixed = run("..##", "....", [50.0, 50.0, 60.0, 99.5], name="mixed")
    clean = run("." * 101, "." * 101, [float(each) for each in range(101)], name="clean")
    assert limits_at_1pct([mixed, clean]) == {0: 99.0}
    assert figures([mixed, clean])["detection_at_1pct"] == 0.5
    assert limits_at_1pct([mixed]) == {0: 50.0}
    assert figures([mixed])["detection_at_1pct"] == 1.0


def test_detection_is_the_mean_over_runs_and_not_over_rows() -> None:
    long = run(".########", ".........", [1.0] + [2.0] * 8, name="long")
    short = run(".##", "...", [1.0, 0.0, 0.0], name="short")
    assert figures([long, short])["detection_at_1pct"] == 0.5


def test_scores_of_different_models_are_not_compared() -> None:
    """Each model ranks its own run perfectly, on scales a thousand apart."""
    small = run("..##", "....", [0.1, 0.2, 0.8, 0.9], name="a", model=0)
    large = run("..##", "....", [100.0, 200.0, 800.0, 900.0], name="b", model=1)
    total = figures([small, large])
    assert (total["average_precision"], total["detection_at_1pct"]) == (1.0, 1.0)
    same = run("..##", "....", [100.0, 200.0, 800.0, 900.0], name="b", model=0)
    assert figures([small, same])["average_precision"] < 1.0


def test_a_fault_that_was_not_seen_is_missed_and_blind_health_sets_no_limit() -> None:
    blind = run("...##", ".....", [NAN, 1.0, 1.0, NAN, 3.0])
    assert limits_at_1pct([blind]) == {0: 1.0}
    assert figures([blind])["detection_at_1pct"] == 0.5


def test_where_all_health_was_blind_there_is_no_limit_and_no_detection() -> None:
    blind = run("..##", "....", [NAN, NAN, 1.0, 2.0])
    assert math.isnan(limits_at_1pct([blind])[0])
    assert math.isnan(figures([blind])["detection_at_1pct"])


def test_an_event_says_what_became_of_it() -> None:
    assert events_in(run(".##.", "..!.")) == [Event(found=True, delay_s=1.0, lead_s=1.0)]
