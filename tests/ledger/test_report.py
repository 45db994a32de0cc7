"""The report of a week: of what an agent recorded, over the command line, and what it says of little and of nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build import JOURNAL
from agent.config.file import Config
from agent.evidence.plot import BINS, WIDTH, Axis
from agent.ledger.account import CONFIRMED_MIN, account
from agent.ledger.chart import Bar, lane, rates
from agent.ledger.course import course
from agent.ledger.history import History
from agent.ledger.page import page
from agent.ledger.report import Asset, Report, loads_of, percent
from agent.line.alert import Answer, Label, OutcomeKind, RecordOutcome
from agent.line.event import EventKind, EventLog
from agent.line.verdict import Condition
from agent.rehearsal.achieved import WEEK_S, Achieved
from agent.rehearsal.record import past_of
from agent.store.codec import format_time
from agent.store.journal import Journal
from agent.store.loads import FILE, Loads
from connectors.load import Load
from tests.agent.commands import in_a_child
from tests.agent.samples import CONFIG, START_NS, quiet_rows
from tests.agent.samples import SECOND_NS as NS
from tests.agent.test_evidence import Page
from tests.ledger.test_account import DAY, PER_S, event, history, raised
from tests.rehearsal.recordings import record_of, watched

STRANGE = '</td><script>alert("\u202e1")</script>'
ROWS = 1200
SINCE, UNTIL = format_time(START_NS), format_time(START_NS + ROWS * NS)


@pytest.fixture
def lived(file: Path) -> Config:
    """Twenty minutes, with restarts: two faults, 60 rows without a pressure, and 100 without any value."""
    values = quiet_rows(ROWS)
    values[480:510, 1] += 6.0
    values[800:830, 1] += 6.0
    values[600:660, 0] = np.nan
    values[1050:1150] = np.nan
    return watched(file, values)


def weekly(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return in_a_child("report", "weekly", *arguments)


def weekly_at(now_ns: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it at another time; as a child, for it lowers the priority of its process for good."""
    program = ("import sys, typer; from agent.report import add_report; from tests.clock import ManualClock; "
               "app = typer.Typer(); add_report(app, ManualClock(int(sys.argv.pop(1)))); app()")
    told = [sys.executable, "-c", program, str(now_ns), "report", "weekly", *map(str, arguments)]
    return subprocess.run(told, capture_output=True, text=True, check=False)


def people_speak(config: Config) -> None:
    """Label the first alert, record a failure and a repair, and announce that work was planned."""
    first, second, *_ = past_of(config.agent.state_dir, "pump", 1000).raised
    journal = Journal(config.agent.state_dir / JOURNAL, START_NS)
    stands = journal.alert(first.alert_id)
    assert stands is not None
    label = Label(Answer.REAL, STRANGE, "Ana", START_NS)
    journal.record(replace(stands, revision=stands.revision + 1, label=label))
    log, now_ns = EventLog("pump"), START_NS + ROWS * NS
    planned = {"since_ns": START_NS + 200 * NS, "until_ns": START_NS + 300 * NS}
    journal.record(log.event(EventKind.OUT_OF_SERVICE, START_NS, **planned))
    for kind, at_ns, alert_id, downtime_s, comment in (
        (OutcomeKind.FAILURE, first.raised_ns + 60 * NS, first.alert_id, 7200.0, STRANGE),
        (OutcomeKind.REPAIR, second.raised_ns + NS, second.alert_id, 3600.0, "seal"),
    ):
        said = RecordOutcome("pump", kind, "Bo", now_ns, at_ns, alert_id, downtime_s, comment)
        journal.record(log.outcome(said, now_ns))
    journal.close()
    loads = Loads(config.agent.state_dir / FILE)
    loads.note("line3_plc", Load(watched_ns=ROWS * NS, requests=1200, errors=100, connections=3), START_NS)
    loads.note("line3_plc", Load(watched_ns=ROWS * NS, requests=9, errors=9), START_NS - 30 * DAY)
    loads.keep()


def test_a_report_tells_what_was_recorded_and_said(lived: Config, file: Path, tmp_path: Path) -> None:
    people_speak(lived)
    out = tmp_path / "week.html"
    done = weekly(file, "--since", SINCE, "--until", UNTIL, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (pump,) = said["assets"]
    span = pump["span"]
    known = past_of(lived.agent.state_dir, "pump", 1000).raised
    assert span["alerts"] == len(known) >= 2
    assert (span["answers"]["real"], span["failures"], span["repairs"], span["missed"]) == (1, 1, 1, 0)
    assert [one["alert_id"] for one in span["outcomes"]] == [known[0].alert_id, known[1].alert_id]
    assert [one["lead_s"] for one in span["outcomes"]] == [60.0, 1.0]
    assert (span["downtime_s"], span["avoided_s"], span["median_lead_s"]) == (7200.0, 3600.0, None)
    assert span["withheld_s"]["out_of_service"] == pytest.approx(100, abs=1)
    record = pump["record"]
    assert record["rows"] == ROWS
    assert sum(record["conditions_s"].values()) == ROWS
    assert record["silent_s"] == 100
    assert record["good"] == {"pressure": pytest.approx(1 - 160 / ROWS), "temperature": pytest.approx(1 - 100 / ROWS)}
    assert record["conditions_s"]["blind"] >= 60
    assert said["connections"] == {
        "line3_plc": {"watched_s": ROWS, "requests": 1200, "unanswered": 100, "connections": 3}
    }
    shown = Page(out.read_text(encoding="utf-8"))
    for sentence in (*said["sentences"], STRANGE, "Fewest good values", "pressure 87 %"):
        assert sentence in shown.said
    assert not [tag for tag, _ in shown.tags if tag in ("script", "img", "iframe", "link", "form", "object")]
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert not [value for _, attributes in shown.tags for value in attributes.values() if value and "//" in value[:8]]


def test_a_report_is_printed_with_the_sentences_first(lived: Config, file: Path) -> None:
    done = weekly(file, "--since", SINCE, "--until", UNTIL, "--quick")
    assert done.returncode == 0, done.stderr
    first, second, third, _, head, row = [line.strip() for line in done.stdout.splitlines()[:6]]
    assert re.fullmatch(r"From 21 September 2026.* . alerts were raised on 1 of 1 machine: . not labelled yet.", first)
    assert second.startswith("No failures and no repairs were recorded; in all, alerts have told of 0 failures and")
    watched = re.fullmatch(r"The machines were watched (\S+) % .*; against the alarm budget: 1 above it.", third)
    assert watched is not None
    assert float(watched[1]) > 99
    assert head.startswith("machine")
    assert "known normal" in head
    assert row.startswith("pump")


def test_a_report_of_a_time_without_a_record_says_so(lived: Config, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "week.html"
    done = weekly(file, "--until", format_time(START_NS - DAY), "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    (pump,) = json.loads(done.stdout)["assets"]
    assert (pump["span"]["alerts"], pump["span"]["recorded_s"], pump["record"]["rows"]) == (0, 0, 0)
    assert pump["record"]["availability"] is None
    assert "no alert was raised on the 1 machine." in Page(out.read_text(encoding="utf-8")).said


def test_a_report_before_the_end_of_a_record_made_faster_than_life_says_so(lived: Config, file: Path) -> None:
    now_ns = START_NS - 30 * DAY
    before = weekly_at(now_ns, file, "--quick")
    assert before.returncode == 0, before.stderr
    assert "From 15 August 2026, 14:13 UTC, to 22 August 2026, 14:13 UTC: no alert was raised" in before.stdout
    ahead = re.search(r"of 15 August 2026.* until (\S+), ahead of .* give --until (\S+)\n", before.stderr)
    assert ahead is not None, before.stderr
    assert ahead[1] == format_time(START_NS + (ROWS - 1) * NS)[:19] + "Z"
    whole = weekly_at(now_ns, file, "--quick", "--until", ahead[2], "--json")
    assert (whole.returncode, whole.stderr) == (0, "")
    (pump,) = json.loads(whole.stdout)["assets"]
    assert pump["span"]["alerts"] == len(past_of(lived.agent.state_dir, "pump", 1000).raised)
    live = weekly_at(START_NS + (ROWS - 60) * NS, file, "--quick")
    assert (live.returncode, live.stderr) == (0, ""), "clocks differ a little"


def test_an_asset_that_has_no_model_yet_is_told_of_as_far_as_it_can_be(lived: Config, file: Path) -> None:
    file.write_text(CONFIG.replace('bundle = "bundles/pump"\n', ""))
    done = weekly(file, "--since", SINCE, "--until", UNTIL, "--json")
    assert done.returncode == 0, done.stderr
    (pump,) = json.loads(done.stdout)["assets"]
    assert pump["record"] is None
    assert pump["span"]["recorded_s"] > ROWS - 10
    assert "pump: has no model yet, so nothing can be judged" in done.stderr


@pytest.mark.parametrize(("arguments", "said"), [
    (("--since", UNTIL, "--until", SINCE), "--since: must be before --until, and in the past"),
    (("--since", "9998-01-01T00:00Z", "--until", "9999-01-01T00:00Z"), "in the past"),
    (("--since", "monday"), "--since monday: "),
    (("--asset", "fan"), "ASSET fan: is not configured; name one of: pump"),
    (("--until", UNTIL, "--quick", "--out", "no/where.html"), "name another file with --out"),
    (("--asset", "fan", "--out", "no/where.html"), "--out no/where.html: cannot be written: there is no folder no;"),
])
def test_what_cannot_be_is_told_with_the_reason(
    lived: Config, file: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = weekly(file, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_course_has_the_evidence_at_its_place_and_what_was_withheld_raises_nothing(lived: Config) -> None:
    until_ns = START_NS + ROWS * NS
    found = course(record_of(lived), START_NS, until_ns)
    assert len(found.time_ns) == len(found.evidence) == len(found.condition) == BINS
    high = found.time_ns[np.nan_to_num(found.evidence) >= 1.0]
    faults = [(480, 560), (800, 880)]
    assert len(high)
    assert all(any(begin * NS <= at - START_NS <= end * NS for begin, end in faults) for at in high)
    assert found.conditions[Condition.DEVIATING] > 0
    later = course(record_of(lived), until_ns, until_ns + 60 * NS)
    assert (later.rows, later.availability, set(later.condition.tolist())) == (0, None, {-1})


def report_of(one: History, course_of: None = None) -> Report:
    span, ever = (account(one, PER_S, begin, 100 * DAY) for begin in (93 * DAY, 0))
    return Report(93 * DAY, 100 * DAY, (Asset("pump", "1/week", one, span, ever, course_of),), {})


def told(count: int) -> History:
    alerts = tuple(raised(n, n * DAY, over=n * DAY + DAY // 2, answer=Answer.REAL) for n in range(count))
    return history(alerts, tuple(event(n, EventKind.REPAIR, n * DAY + DAY // 4) for n in range(count)))


def test_the_sentences_claim_a_lead_from_the_fifth_on() -> None:
    few, enough = (report_of(told(count)).sentences()[1] for count in (CONFIRMED_MIN - 1, CONFIRMED_MIN))
    assert "in all, alerts have told of 4 failures and repairs: too few to claim a lead (5 are needed)" in few
    assert "in all, alerts have told of 5 failures and repairs, of half of them 6 h or more before" in enough


def test_nothing_at_all_is_a_report_too() -> None:
    report = report_of(history(recorded=()))
    alerts, failures, watched = report.sentences()
    assert alerts == "From 4 April 1970 to 11 April 1970: no alert was raised on the 1 machine."
    assert failures.startswith("No failures and no repairs were recorded; ")
    assert watched.startswith("The machines were watched 0 % of the time; against the alarm budget: 1 too early")
    shown = Page(page(report, "made now")).said
    assert "Its record was not judged." in shown
    assert "made now" in shown


def test_deviations_that_are_known_as_normal_are_counted_for_each_machine() -> None:
    known = tuple(event(day, EventKind.KNOWN_PATTERN, day * DAY) for day in (92, 93, 95, 99))
    report = report_of(history((), known))
    assert (report.assets[0].span.known_patterns, report.assets[0].ever.known_patterns) == (3, 4)
    assert '<td class="number">3</td>' in page(report, "")


def test_a_missed_failure_is_said_before_all_plots() -> None:
    missed = report_of(history((), (event(1, EventKind.FAILURE, 95 * DAY, downtime_s=60.0),)))
    assert missed.sentences()[1].startswith("1 failure and no repairs were recorded; no alert had told of 1 of the")
    assert "missed" in Page(page(missed, "")).said


@given(st.lists(st.tuples(st.integers(-50, 150), st.integers(0, 100)), max_size=6))
def test_alerts_are_drawn_inside_of_their_lane_and_none_is_too_short_to_see(bars: list[tuple[int, int]]) -> None:
    drawn = lane("pump", Axis(0, 100), [], [Bar("real", begin, begin + length) for begin, length in bars], [])
    found = re.findall(r'<rect class="real" x="([-\d.]+)" y="22" width="([\d.]+)"', drawn)
    assert len(found) == len(bars)
    for x, width in found:
        assert float(x) >= 0
        assert float(width) >= 4
        assert float(x) + float(width) <= WIDTH + 0.2


def test_rates_are_on_one_scale_that_shows_budget_and_rate() -> None:
    shown = rates([(name, Achieved.of(PER_S * budget, alerts, weeks * WEEK_S))
                   for name, budget, alerts, weeks in (("a", 1, 0, 0), ("b", 2, 6, 2), ("c", 0.2, 0, 50))])
    assert shown.count('class="budget"') == 3
    assert shown.count('class="rate"') == 2, "of the one that was never watched there is none"
    scale = [float(level) for level in re.findall(r'class="x" style="left:[\d.]+%">([\d.]+)<', shown)]
    assert scale[0] == 0
    assert 3 < max(scale) <= 6


def test_the_load_of_the_days_of_a_time_is_theirs() -> None:
    days = {"1970-01-01": Load(requests=1), "1970-01-02": Load(requests=10), "1970-01-03": Load(requests=100)}
    for span, requests in (((0, DAY), 1), ((0, DAY + 1_000_000), 11), ((DAY - 1, 3 * DAY), 111), ((DAY, 2 * DAY), 10)):
        assert loads_of({"plc": days}, *span)["plc"].requests == requests


@pytest.mark.parametrize(("share", "said"), [
    (0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.994, "99.4 %"), (1.0, "100 %"),
])
def test_a_share_near_all_or_nothing_has_a_digit_more(share: float, said: str) -> None:
    assert percent(share) == said
