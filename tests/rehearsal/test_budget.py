"""What other budgets would have cost: by the agent's own heart, on what it recorded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.build import JOURNAL, layout_of, load_detectors
from agent.config.file import Config
from agent.ledger.account import account
from agent.ledger.history import Raised
from agent.line.advise import Delays
from agent.line.alert import AlarmState, Answer, Label
from agent.line.event import EventKind, EventLog
from agent.line.vigil import Vigil
from agent.rehearsal.achieved import WEEK_S
from agent.rehearsal.budget import Cost, Rehearsal, rehearse
from agent.rehearsal.budget_command import sentences
from agent.rehearsal.record import labels_of, past_of, span
from agent.rehearsal.walk import Draws, Walk
from agent.store import export, reading
from agent.store.blocks import Step
from agent.store.journal import Journal, StoreError
from models.runtime import Detector
from tests.agent.commands import command, in_a_child
from tests.agent.samples import SECOND_NS as NS
from tests.agent.samples import START_NS, alert, revised
from tests.agent.test_replay import faulty_frames, live_run
from tests.rehearsal.recordings import record_of, waiting

DAY_NS = 86_400 * NS
AFTERWARDS_NS = 90 * NS
"""By then the evidence has forgotten a fault."""


def budget_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return in_a_child("budget", *arguments)


@pytest.fixture
def lived(file: Path) -> Config:
    """The plant of two tags with three faults, watched by the agent, restarts included."""
    config = Config.parse(file.read_text(), file)
    live_run(config, load_detectors(config), faulty_frames())
    return config


def known_of(config: Config) -> list[Raised]:
    return list(past_of(config.agent.state_dir, "pump", 1000).raised)


def test_the_asset_s_own_budget_gives_the_alerts_that_were_raised_when_they_were(lived: Config) -> None:
    known = known_of(lived)
    assert len(known) >= 3
    one = rehearse(record_of(lived), span(lived.agent.state_dir, "pump"), known, budgets=(), ramps=0)
    (own,) = one.costs
    assert own.budget == one.budget == "1/week"
    assert own.alerts == len(known)
    assert own.later_s == {each.alert_id: 0.0 for each in known}
    assert own.ramps == 0
    assert own.median_seen_s is None


def test_a_source_with_a_wrong_clock_is_judged_by_the_gateway_s(lived: Config, file: Path, tmp_path: Path) -> None:
    """It is 300 days behind, and is set right in the end."""
    text = file.read_text()
    (tmp_path / "wrong.toml").write_text(text.replace('state_dir = "state"', 'state_dir = "wrong"'))
    config = Config.parse((tmp_path / "wrong.toml").read_text(), tmp_path / "wrong.toml")
    frames = [
        frame if row >= 1100 else replace(frame, source_time_ns=frame.source_time_ns - 300 * DAY_NS)
        for row, frame in enumerate(faulty_frames())
    ]
    live_run(config, load_detectors(config), frames)
    right, known = known_of(lived), known_of(config)
    assert len(known) == len(right)
    for one, other in zip(known, right, strict=True):
        assert abs(one.raised_ns - other.raised_ns) < NS
        assert one.over_ns is not None
        assert other.over_ns is not None
        assert abs(one.over_ns - other.over_ns) < 2 * NS
    times = span(config.agent.state_dir, "pump")
    (own,) = rehearse(record_of(config), times, known, budgets=(), ramps=0).costs
    assert own.alerts == len(known)
    assert max(map(abs, own.later_s.values())) < 1.0
    assert own.later_s.keys() == {one.alert_id for one in known}
    found = account(past_of(config.agent.state_dir, "pump", 1000), 1e-6, None, START_NS + 3600 * NS)
    assert (found.alerts, found.achieved.alerts) == (len(known), len(known))
    assert found.recorded_s == pytest.approx(1199, abs=2)


def test_a_tighter_budget_raises_fewer_and_later_a_looser_one_sooner(lived: Config) -> None:
    budgets = ("100/day", "1/year", "2/year")
    one = rehearse(record_of(lived), span(lived.agent.state_dir, "pump"), known_of(lived), budgets=budgets, ramps=0)
    assert [cost.budget for cost in one.costs] == ["100/day", "1/week", "2/year", "1/year"]
    for looser, tighter in zip(one.costs, one.costs[1:], strict=False):
        assert looser.alerts >= tighter.alerts
        assert len(looser.later_s) >= len(tighter.later_s)
        for alert_id, later_s in tighter.later_s.items():
            assert later_s >= looser.later_s[alert_id]
    assert one.costs[0].alerts > one.costs[-1].alerts
    assert min(one.costs[0].later_s.values()) <= 0.0 <= max(one.costs[-1].later_s.values())


def test_the_same_seed_gives_the_same_and_slow_faults_are_seen(pump: Config) -> None:
    record, when = record_of(pump), span(pump.agent.state_dir, "pump")
    one, again, other = (
        rehearse(record, when, [], budgets=("2/week", "1/year"), ramps=3, seed=seed) for seed in (5, 5, 6)
    )
    assert one == again != other
    assert one.weeks_judged == pytest.approx(60 / 168, rel=0.1)
    loosest, *_, tightest = one.costs
    assert 1 <= len(loosest.seen_s) <= loosest.ramps == 3
    assert len(tightest.seen_s) <= len(loosest.seen_s)
    assert all(0 < after_s <= 86_400 for after_s in loosest.seen_s)


def test_moments_are_where_all_is_well_and_stays_so(lived: Config) -> None:
    """A short time ahead, so that there are many; the faults are at 480, 800 and 990, the restarts at 500 and 1000."""
    record = record_of(lived)
    last_ns = span(lived.agent.state_dir, "pump")[1]
    begin_ns = next(record.parts()).first_ns
    vigil = Vigil(record.detector, record.said.alerts_per_s, Delays.of(0, 0, 1.0))
    within_ns = 60 * NS
    draws = Draws(begin_ns, last_ns - within_ns, 150, np.random.default_rng(2))
    walk = Walk(record.parts(), [vigil], record.period_ns, within_ns, draws)
    found = [round((moment.time_ns - begin_ns) / NS) for moment in walk.moments()]
    assert len(found) > 40
    assert found == sorted(set(found))
    alarms = [round((alarm.raised_ns - begin_ns) / NS) for alarm in walk.alarms[0]]
    assert len(alarms) >= 3
    for alarm in alarms:
        assert not [at for at in found if alarm - 60 < at <= alarm + 5], "no alarm stands or comes at a moment"
    assert not {0, 500, 1000} & set(found), "nor has the agent just begun"


def test_what_would_have_come_while_alerts_were_withheld_counts_for_nothing(lived: Config) -> None:
    known, times = known_of(lived), span(lived.agent.state_dir, "pump")
    whole = rehearse(record_of(lived), times, known, budgets=(), ramps=0)
    second = known[1]
    assert second.over_ns is not None
    withheld = ((second.onset_ns - 5 * NS, second.over_ns + AFTERWARDS_NS),)
    record = replace(record_of(lived), withheld=withheld)
    one = rehearse(record, times, known, budgets=(), ramps=0)
    assert whole.costs[0].later_s.keys() - one.costs[0].later_s.keys() == {second.alert_id}
    left_out_s = (whole.weeks_judged - one.weeks_judged) * WEEK_S
    assert 0 < left_out_s <= (withheld[0][1] - withheld[0][0]) / NS + 1
    vigil = Vigil(record.detector, record.said.alerts_per_s, Delays.of(0, 0, 1.0), withheld=withheld)
    draws = Draws(times[0], times[1] - 60 * NS, 150, np.random.default_rng(2))
    moments = [one.time_ns for one in Walk(record.parts(), [vigil], record.period_ns, 60 * NS, draws).moments()]
    assert moments
    assert not [at for at in moments if withheld[0][0] + NS < at <= withheld[0][1]]


def test_labels_and_planned_work_count_as_the_ledger_counts_them(lived: Config, file: Path) -> None:
    first, second, *_ = known_of(lived)
    assert second.over_ns is not None
    journal = Journal(lived.agent.state_dir / JOURNAL, second.raised_ns)
    stood = journal.alert(first.alert_id)
    assert stood is not None
    label = Label(Answer.REAL, "a leak", "Ana", second.raised_ns)
    journal.record(replace(stood, revision=stood.revision + 1, label=label))
    planned = {"since_ns": second.onset_ns - 5 * NS, "until_ns": second.over_ns + AFTERWARDS_NS}
    journal.record(EventLog("pump").event(EventKind.OUT_OF_SERVICE, first.raised_ns, **planned))
    journal.close()
    found = budget_command(file, "--ramps", "0", "--budgets", "1/week", "--json")
    assert found.returncode == 0, found.stderr
    (said,) = json.loads(found.stdout)
    assert said["achieved"]["alerts"] == len(said["alerts"]) - 1, "people say that it was real"
    assert said["not_counted"] == [first.alert_id]
    head = budget_command(file, "--ramps", "0", "--budgets", "1/week").stdout.splitlines()[0]
    assert head.endswith("; not counted: 1 that people say was real, or a sensor's fault")
    assert second.alert_id not in said["budgets"][0]["later_s"], "it would not have been raised in planned work"


def say(config: Config, alert_id: str, answer: Answer, time_ns: int) -> None:
    journal = Journal(config.agent.state_dir / JOURNAL, time_ns)
    stood = journal.alert(alert_id)
    assert stood is not None
    journal.record(replace(stood, revision=stood.revision + 1, label=Label(answer, None, "Ana", time_ns)))
    journal.close()


def own_alerts(file: Path) -> dict[str, float]:
    """Return what was raised in the span and would be with the asset's own budget, and how much later."""
    found = budget_command(file, "--ramps", "0", "--budgets", "1/week", "--json")
    assert found.returncode == 0, found.stderr
    (own,) = json.loads(found.stdout)[0]["budgets"]
    assert own["alerts"] >= len(own["later_s"])
    return dict(own["later_s"])


def test_a_pattern_is_no_alarm_from_when_it_was_labelled_normal_and_a_larger_one_is(
    recurring: Config, file: Path
) -> None:
    record, times, known = record_of(recurring), span(recurring.agent.state_dir, "pump"), known_of(recurring)
    (whole,) = rehearse(record, times, known, budgets=(), ramps=0).costs
    assert whole.alerts == len(known) == 4
    first, second, third, last = known
    assert second.over_ns is not None
    detectors = load_detectors(recurring)
    assert labels_of(record.source, detectors, "pump") == ()
    say(recurring, first.alert_id, Answer.NORMAL, second.over_ns)
    assert list(own_alerts(file)) == [first.alert_id, second.alert_id, last.alert_id]
    record = replace(record, labelled=labels_of(record.source, detectors, "pump"))
    (one,) = rehearse(record, times, known, budgets=(), ramps=0).costs
    assert one.alerts == 3
    assert [one.later_s.get(each.alert_id) for each in known[:3]] == [0.0, 0.0, None]
    grown_s = (last.raised_ns - START_NS) / NS + one.later_s[last.alert_id]
    assert 2050 < grown_s < 2150, "while it grew"
    assert third.over_ns is not None
    say(recurring, first.alert_id, Answer.REAL, third.over_ns)
    said = labels_of(record.source, detectors, "pump")
    assert [one.label and one.label.answer for one in said] == [Answer.NORMAL, Answer.REAL]
    (corrected,) = rehearse(replace(record, labelled=said), times, known, budgets=(), ramps=0).costs
    assert corrected.later_s == {one.alert_id: 0.0 for one in (first, second, last)}, "the third had come before"


@pytest.mark.usefixtures("recurring")
def test_the_command_counts_with_the_delay_for_the_cause(file: Path) -> None:
    at_once = own_alerts(file)
    assert set(at_once.values()) == {0.0}
    file.write_text(waiting(64))
    later = own_alerts(file)
    assert later
    assert max(later.values()) > 0.0


def test_an_alert_that_stands_is_not_over_when_it_was_last_revised() -> None:
    stands = alert(3)
    assert Raised.of(stands, stands).over_ns is None
    over = replace(revised(stands, AlarmState.NORMAL), returned_time_ns=stands.raised_time_ns + 5)
    assert Raised.of(stands, over).over_ns == stands.raised_time_ns + 5


def test_too_short_a_record_is_refused_with_what_is_missing(pump: Config) -> None:
    first_ns, _ = span(pump.agent.state_dir, "pump")
    record = record_of(pump, until_ns=first_ns + 1800 * NS)
    with pytest.raises(StoreError, match=r"rows of pump can be judged, 1000 are needed; .* 1\.4 hours at least"):
        rehearse(record, (first_ns, first_ns + 1800 * NS), [], ramps=0)


def test_the_command_shows_a_table_and_json(lived: Config, file: Path) -> None:
    done = budget_command(file, "--ramps", "0")
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *table = done.stdout.splitlines()
    count = len(known_of(lived))
    assert f"pump: budget 1/week; {count} alerts in 20 min, 1,5" in head
    assert head.endswith("more than the budget")
    assert any(line.split()[:2] == ["1/week", "*"] and f"{count} of {count}" in line for line in table)
    asked = json.loads(budget_command(file, "pump", "--ramps", "0", "--budgets", "1/year", "--json").stdout)
    (one,) = asked
    assert [cost["budget"] for cost in one["budgets"]] == ["1/week", "1/year"]
    assert (one["achieved"]["alerts"], one["achieved"]["standing"]) == (count, "above")
    assert one["alerts"] == [f"pump-{number + 1}" for number in range(count)]


def test_of_a_record_without_a_journal_nothing_is_said_of_what_was_raised(lived: Config, tmp_path: Path) -> None:
    file, table = lived.agent.state_dir.parent / "agent.toml", tmp_path / "other.parquet"
    layout = layout_of(lived)
    export.write_parquet(
        (one for one in reading.events(lived.agent.state_dir / "telemetry", layout, lambda *_: None)
         if isinstance(one, Step) and not one.recovered),
        [name for name, _ in layout["pump"]], table,
    )  # fmt: skip
    telemetry = shutil.copytree(lived.agent.state_dir / "telemetry", tmp_path / "copy" / "telemetry")
    for record, what in ((table, ", and nothing in it of what was re-baselined"), (telemetry.parent, "")):
        head, judged, *rest = budget_command(file, "--ramps", "0", "--record", record).stdout.splitlines()
        unknown = "what was raised then, labelled and withheld is not known"
        assert head == f"pump: budget 1/week; {record} has no journal beside it{what}: {unknown}"
        assert judged.startswith("judged anew from ")
        assert int(next(line.split()[2] for line in rest if line.startswith(" 1/week *"))) >= 3
        (said,) = json.loads(budget_command(file, "--ramps", "0", "--record", record, "--json").stdout)
        assert (said["achieved"], said["alerts"], said["not_counted"]) == (None, [], [])
    assert "3 alerts in" in budget_command(file, "--ramps", "0", "--record", lived.agent.state_dir).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("press",), "ASSET press: is not configured; name one of: pump"),
        (("--budgets", "often"), "--budgets: got 'often'; allowed: a number above 0"),
        (("--record", "nowhere"), "nowhere: there is no such file or folder"),
        (("--since", "yesterday"), "--since yesterday: "),
    ],
)
def test_what_cannot_be_asked_is_explained(lived: Config, file: Path, arguments: tuple[str, ...], said: str) -> None:
    done = budget_command(file, *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_numbers_are_for_people_and_equals_are_not_compared(lived: Config, file: Path) -> None:
    count = len(known_of(lived))
    done = subprocess.run(
        command("budget", "--ramps", "0"), capture_output=True, text=True, cwd=file.parent, check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stderr == ""
    assert re.search(r"\de[+-]\d", done.stdout) is None
    assert done.stdout.splitlines()[-1].strip(), "no empty line comes last"
    assert " weeks" not in done.stdout
    found = budget_command(file, "--ramps", "0", "--budgets", "6/week").stdout
    assert f"{count} of {count}" in found
    assert "instead of" not in found, "no alert more, and no later"


def costs(*each: tuple[int, float, tuple[float, ...]]) -> Rehearsal:
    """Return a rehearsal by alerts, how much later the known one, and after how long slow faults were seen."""
    budgets = ("2/week", "1/week", "1/month")
    found = [Cost(budget, alerts, 2.0, {"pump-1": later_s}, 4, seen_s)
             for budget, (alerts, later_s, seen_s) in zip(budgets, each, strict=True)]
    known = Raised("pump-1", 0, 1, 2)
    return Rehearsal("pump", "1/week", 0, 1, 2.0, (known,), tuple(found))


def test_where_a_tighter_budget_is_sooner_it_is_said_that_an_alert_waits_for_its_cause() -> None:
    own, sooner, later = (3, 0.0, ()), (3, -20.0, ()), (3, 20.0, ())
    why = "a tighter budget may be sooner, where a look falls better: an alert waits for its cause"
    for one, waits_s, told in (
        (costs(own, own, sooner), 64.0, True), (costs(own, sooner, later), 64.0, True),
        (costs(sooner, own, later), 64.0, False), (costs(own, own, sooner), 0.0, False),
    ):
        said = "; ".join(sentences(replace(one, cause_delay_s=waits_s)))
        assert (why in said) is ("looked at every 4 s" in said) is told


def test_a_sentence_tells_what_changes_and_nothing_else() -> None:
    own = (3, 0.0, (60.0, 60.0, 120.0))
    assert sentences(costs(own, own, own)) == []
    sooner = "1 of the 1 that were raised would have come, 1.5 min sooner"
    assert sentences(costs((4, -90.0, (60.0, 60.0, 120.0, 240.0)), own, (3, 0.2, (60.0, 90.0, 120.0)))) == [
        "tighter, 1/month: slow faults seen after 1.5 min instead of 1 min",
        f"looser, 2/week: alerts: 4 instead of 3; {sooner}; slow faults seen: 4 instead of 3",
    ]


def test_the_own_budget_need_not_be_among_those_tried_as_it_is_written(lived: Config) -> None:
    said = lived.assets["pump"].model_copy(update={"budget": "7/week"})
    record = replace(record_of(lived), said=said)
    one = rehearse(record, span(lived.agent.state_dir, "pump"), [], budgets=("1/day", "1/week"), ramps=0)
    assert [cost.budget for cost in one.costs] == ["7/week", "1/week"]
    assert isinstance(record.detector, Detector)
