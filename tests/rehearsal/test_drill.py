"""The fire drill: what it says is what happens, it leaves no trace, and it is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from agent.build import JOURNAL
from agent.config.file import Config
from agent.line.advise import Delays
from agent.line.alert import AlarmEvent, Answer, Label
from agent.line.vigil import Vigil
from agent.line.window import Grid
from agent.rehearsal import drills
from agent.rehearsal.drill import drill
from agent.rehearsal.faults import normal_value
from agent.rehearsal.finding import Drill, Finding, Tried
from agent.rehearsal.rates import share_interval
from agent.rehearsal.record import Part, Record, span
from agent.rehearsal.walk import Draws, Walk
from agent.store.journal import JournalReader, StoreError
from simulators.faults import degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from tests.agent.commands import forewarn, in_a_child
from tests.agent.samples import CONFIG, START_NS
from tests.agent.samples import SECOND_NS as NS
from tests.rehearsal.recordings import BEGIN_S, PERIOD_S, record_of, waiting

TWO_H_S = 7200.0
HELD_NS = 1_790_000_000_000_000_000


def held_on(
    record: Record, *, seed: int = 0, faults: tuple[str, ...] = ("bias", "stuck"), within_s: float = TWO_H_S,
    tags: tuple[str, ...] = ("flow", "vibration"), repeats: int = 8,
) -> Drill:  # fmt: skip
    when = span(record.source, "pump")
    return drill(
        record, when, HELD_NS, tags=tags, faults=faults, repeats=repeats, within_s=within_s, seed=seed
    )


@pytest.fixture(scope="session")
def held(pump: Config) -> Drill:
    return held_on(record_of(pump))


def drill_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return in_a_child("drill", *arguments)


def test_large_faults_are_seen_and_small_ones_are_not(held: Drill) -> None:
    assert (held.asset, held.held_ns, held.wanted, held.within_s) == ("pump", HELD_NS, 8, TWO_H_S)
    assert 5 <= held.moments <= 8
    assert [(one.tag, one.fault) for one in held.findings] == [
        ("flow", "bias"), ("flow", "stuck"), ("vibration", "bias"), ("vibration", "stuck"),
    ]  # fmt: skip
    for one in held.findings:
        assert one.sizes[-1].seen == held.moments, one
        assert all(size.of == held.moments >= size.tried >= size.seen for size in one.sizes)
        assert all(0 < after_s <= TWO_H_S for size in one.sizes for after_s in size.seen_s)
    (flow, *_) = held.findings
    assert flow.sizes[0].seen < flow.sizes[-1].seen, "half a per cent of flow is lost in its noise"
    assert flow.smallest is not None
    assert flow.smallest.percent is not None
    assert flow.smallest.percent < 50
    slowest, quickest = flow.smallest.median_s, flow.sizes[-1].median_s
    assert slowest is not None
    assert quickest is not None
    assert quickest < slowest


def test_the_same_seed_holds_the_same_drill(pump: Config, held: Drill) -> None:
    assert held_on(record_of(pump)) == held
    assert held_on(record_of(pump), seed=1) != held


def test_every_fault_can_be_tried(pump: Config) -> None:
    kinds = ("gain", "noise", "delay", "decoupling", "oscillation", "ramp")
    found = held_on(record_of(pump), faults=kinds, tags=("flow",), within_s=1800.0, repeats=6)
    assert [one.fault for one in found.findings] == list(kinds)
    noise, sway = found.findings[1], found.findings[4]
    assert noise.sizes[-1].seen == sway.sizes[-1].seen == found.moments
    for one in found.findings:
        assert one.sentence(1800.0).startswith(("flow ", "noise of ")), one.sentence(1800.0)


def test_what_is_tried_leaves_no_trace(pump: Config) -> None:
    """After trials at a moment the vigil goes on as if there had been none."""
    record = record_of(pump)
    first_ns, last_ns = span(record.source, "pump")

    def walked(trials: bool) -> list[bytes]:
        vigil = Vigil(record.detector, record.said.alerts_per_s, Delays.of(30, 300, PERIOD_S))
        draws = Draws(first_ns, first_ns + 6 * 3600 * NS, 4, np.random.default_rng(3))
        parts = (part for part in record.parts() if part.last_ns < first_ns + 8 * 3600 * NS)
        walk = Walk(parts, [vigil], record.period_ns, 1800 * NS, draws)
        for moment in walk.moments():
            if trials:
                column = 8
                assert moment.alarm_s(vigil, column, moment.column(column) + 1e3) is not None
        evidence = vigil.take(next(iter(record.parts())).grid)[0].evidence
        return [evidence.tobytes(), repr(walk.alarms).encode()]

    assert walked(trials=True) == walked(trials=False)
    assert last_ns > first_ns


def parts_of(plant: Plant, end_s: int) -> Iterator[Part]:
    values = plant.rows(BEGIN_S, (end_s - BEGIN_S) // PERIOD_S, PERIOD_S)
    times_ns = EPOCH_NS + (BEGIN_S + PERIOD_S * np.arange(len(values), dtype=np.int64)) * NS
    for begin in range(0, len(values), 512):
        some = slice(begin, begin + 512)
        yield Part(Grid(times_ns[some], values[some], np.isfinite(values[some])), begin == 0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["ramp", "stuck"])
def test_it_agrees_with_what_happens_on_other_machines(kind: str, pump: Config) -> None:
    """The simulator has these two faults of sensors too, in its own code, on machines that the drill has not seen."""
    record = record_of(pump)
    names = [tag.name for tag in record.detector.manifest.tags]
    normal = normal_value(record.detector.statistics, names.index("flow"))
    assert normal is not None
    found = held_on(record, faults=(kind,), tags=("flow",))
    percent = 5.0 if kind == "ramp" else None
    (drilled,) = [size for size in found.findings[0].sizes if size.percent == percent]
    (channel,) = [c for c in Plant("pump", 1).machine.channels if c.tag.name == "flow"]
    really = []
    for seed in range(5001, 5009):
        onset_s = BEGIN_S + 9 * 3600 + (seed - 5000) * 600
        grows_s = TWO_H_S * channel.drift / (0.05 * normal)
        name, grows_s = ("sensor_drift", grows_s) if kind == "ramp" else ("stuck_sensor", TWO_H_S)
        failing = degradation("pump", name, float(onset_s), grows_s, tag="flow")
        vigil = Vigil(record.detector, record.said.alerts_per_s, Delays.of(30, 300, PERIOD_S))
        raised_s = [
            (int(part.grid.time_ns[change.row]) - EPOCH_NS) / NS - onset_s
            for part in parts_of(Plant("pump", seed, [failing]), onset_s + int(TWO_H_S))
            for change in vigil.take(part.grid)[1]
            if change.event is AlarmEvent.RAISE
        ]
        assert not [after_s for after_s in raised_s if after_s < 0], f"seed {seed} was healthy before"
        really.append(raised_s[0] if raised_s else None)
    seen_s = [after_s for after_s in really if after_s is not None]
    drill_says, machines_say = drilled.interval, share_interval(len(seen_s), len(really))
    assert drill_says[0] <= machines_say[1], (drilled, really)
    assert machines_say[0] <= drill_says[1], (drilled, really)
    assert drilled.median_s is not None
    # The medians of eight times each, which lie between 160 and 625 s for a stuck sensor.
    assert 0.4 <= median(seen_s) / drilled.median_s <= 2.5, (drilled, really)


def test_it_is_told_in_sentences() -> None:
    sizes = (
        Tried(5.0, 2.5, (), 20, 20),
        Tried(10.0, 5.0, (11_520.0,) * 19, 20, 20),
        Tried(20.0, 10.0, (60.0,) * 20, 20, 20),
    )
    finding = Finding("flow", "m3/h", "bias", 50.0, sizes)
    assert finding.sentence(86_400.0) == "flow off by 10 % (5 m3/h) would be seen in 3.2 h, 19 of 20 times (76 to 99 %)"
    partly = replace(finding, sizes=(sizes[0], replace(sizes[1], seen_s=(40.0,) * 3)))
    assert partly.smallest is None
    assert partly.sentence(86_400.0) == "flow off by 10 % (5 m3/h) would be seen in 40 s, 3 of 20 times (5 to 36 %)"
    never = Finding("flow", "m3/h", "stuck", 50.0, (Tried(None, None, (), 20, 20),))
    assert never.sentence(86_400.0) == "flow stuck would not be seen within 24 h, 0 of 20 times"
    late = Finding("flow", "1", "delay", 50.0, (Tried(None, 100.0, (90.0,) * 20, 20, 20),))
    assert late.sentence(86_400.0).startswith("flow late by 1.7 min would be seen in 1.5 min, 20 of 20 times")


def test_drills_are_kept_the_newest_first_and_not_for_ever(held: Drill, tmp_path: Path) -> None:
    assert drills.last(tmp_path, "pump") is None
    for month in range(drills.KEPT + 3):
        drills.keep(tmp_path, replace(held, held_ns=HELD_NS + month * 30 * 86_400 * NS, seed=month))
    other = drills.keep(tmp_path, replace(held, asset="pump.2", held_ns=HELD_NS * 2))
    files = sorted((tmp_path / drills.FOLDER).glob("pump.2*.json"))
    assert len(files) == drills.KEPT + 1
    newest = drills.last(tmp_path, "pump")
    assert newest == replace(held, held_ns=newest.held_ns if newest else 0, seed=drills.KEPT + 2)
    assert other.exists()


def test_a_damaged_drill_is_passed_over_and_told(
    held: Drill, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = drills.keep(tmp_path, held)
    newer = drills.keep(tmp_path, replace(held, held_ns=HELD_NS + NS))
    newer.write_bytes(older.read_bytes()[:100])
    assert drills.last(tmp_path, "pump") == held
    assert "a drill is damaged and passed over" in caplog.text
    newer.write_bytes(b'{"findings": [{"sizes": [{}]}]}')
    assert drills.last(tmp_path, "pump") == held


def test_too_short_or_too_troubled_a_record_is_refused_with_what_is_missing(pump: Config) -> None:
    record = record_of(pump)
    first_ns, last_ns = span(record.source, "pump")
    short = (first_ns, first_ns + 3 * 3600 * NS)
    with pytest.raises(StoreError, match=r"holds 3 h of pump, and 4 h are needed to look 2 h ahead"):
        drill(record, short, HELD_NS, repeats=5, within_s=TWO_H_S)
    # Nothing is recorded in the days before.
    long_ago = (first_ns - 200 * 3600 * NS, first_ns + 2 * 3600 * NS)
    with pytest.raises(StoreError, match=r"at 0 of 5 moments pump ran, all was well, .*; 5 are needed: let the agent"):
        drill(record, long_ago, HELD_NS, tags=("flow",), repeats=5, within_s=TWO_H_S)
    assert last_ns > first_ns


def held_beside_planned_work(pump: Config, work_min: int) -> Drill:
    """Hold it on a record of work that was planned for so long every two and a quarter hours."""
    minute, every_min = 60 * NS, 135
    first_ns, last_ns = span(pump.agent.state_dir, "pump")
    ends_ns = [at_ns + every_min * minute for at_ns in range(first_ns, last_ns, every_min * minute)]
    withheld = tuple((end_ns - work_min * minute, end_ns) for end_ns in ends_ns)
    return held_on(replace(record_of(pump), withheld=withheld), faults=("stuck",), tags=("flow",))


def test_a_fault_is_tried_where_people_would_have_been_told_of_it_for_most_of_the_time_ahead(pump: Config) -> None:
    found = held_beside_planned_work(pump, work_min=30)
    assert found.findings[0].sizes[-1].seen > found.moments // 2


def test_no_fault_is_tried_where_nobody_would_have_been_told_of_it_for_most_of_the_time_ahead(pump: Config) -> None:
    with pytest.raises(StoreError, match=r"at 0 of 8 moments pump ran"):
        held_beside_planned_work(pump, work_min=80)


def test_damage_to_a_record_costs_moments(pump: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(pump.agent.state_dir, tmp_path / "state")
    for path in sorted((tmp_path / "state" / "telemetry").glob("*/pump.parquet"))[20:44]:
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    record = record_of(pump, tmp_path / "state")
    found = held_on(record, faults=("stuck",), tags=("flow",), repeats=10)
    assert 5 <= found.moments < 10
    assert found.findings[0].sizes[0].seen == found.moments
    assert "damaged telemetry is passed over" in caplog.text


def test_the_command_holds_a_drill_and_shows_the_last(
    pump: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pump.agent.state_dir.parent
    shutil.copytree(folder, tmp_path / "site")
    config = tmp_path / "site" / "agent.toml"
    none = drill_command(config, "--last")
    assert none.returncode == 2
    assert "no drill of pump was held; leave --last out to hold one" in none.stderr
    asked = ("--tags", "flow", "--faults", "bias", "--within", "30m", "--repeats", "6")
    done = drill_command(config, "pump", *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert "healthy moments" in done.stdout
    assert "  flow off by " in done.stdout
    last = drill_command(config, "--last")
    assert last.stdout == done.stdout == f"{done.stdout.rstrip()}\n", "no empty line comes last"
    monkeypatch.chdir(config.parent)
    assert forewarn("drill", "--last").stdout == last.stdout, "agent.toml is taken"
    (shown,) = json.loads(drill_command(config, "--last", "--json").stdout)
    assert shown["findings"][0]["sentence"] in done.stdout
    assert [size["percent"] for size in shown["findings"][0]["sizes"]] == [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]


def test_a_drill_on_another_record_is_not_kept(pump: Config, tmp_path: Path) -> None:
    config = pump.agent.state_dir.parent / "agent.toml"
    asked = ("pump", "--tags", "flow", "--faults", "bias", "--within", "30m", "--repeats", "6", "--seed", "3")
    folder = pump.agent.state_dir / drills.FOLDER
    kept = list(folder.glob("*"))
    elsewhere = shutil.copytree(pump.agent.state_dir / "telemetry", tmp_path / "telemetry")
    done = drill_command(config, *asked, "--record", elsewhere)
    assert (done.returncode, "healthy moments" in done.stdout) == (0, True)
    why = f"is not what this agent records in {pump.agent.state_dir}, so it is not kept for --last"
    unknown = "what was raised then, labelled and withheld is not known"
    assert done.stderr == f"forewarn: {elsewhere}: {why}\nforewarn: {elsewhere} has no journal beside it: {unknown}\n"
    assert list(folder.glob("*")) == kept
    done = drill_command(config, *asked, "--record", pump.agent.state_dir / "telemetry")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(folder.glob("*"))) == len(kept) + 1, "that is its own"


@pytest.mark.usefixtures("recurring")
def test_the_command_counts_with_the_delay_for_the_cause(file: Path) -> None:
    asked = ("--tags", "temperature", "--faults", "bias", "--within", "60s", "--repeats", "40", "--json")
    seen_s = []
    for text in (CONFIG, waiting(32)):
        file.write_text(text)
        done = drill_command(file, "pump", *asked)
        assert done.returncode == 0, done.stderr
        (finding,) = json.loads(done.stdout)[0]["findings"]
        seen_s.append([size["median_s"] for size in finding["sizes"][2:]])
        assert all(size["seen"] == size["of"] for size in finding["sizes"][2:]), "else it is of those seen early"
    at_once, later = seen_s
    assert all(one <= other for one, other in zip(at_once, later, strict=True))
    assert sum(later) > sum(at_once)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("press",), "ASSET press: is not configured; name one of: pump"),
        (("--faults", "rust"), "--faults: there is no rust; there are: bias, ramp"),
        (("--tags", "colour"), "--tags: pump has no colour; it has: "),
        (("--within", "soon"), "--within soon: must be a number with a unit"),
        (("--record", "nowhere"), "nowhere: there is no such file or folder"),
        (("--last", "--record", "other.parquet"), "--last: shows the last drill as it was held; leave --record out"),
        (("--last", "--seed", "0", "--tags", "flow"), "leave --tags, --seed out, or --last to hold one"),
        (("--within", "60d"), "holds 2.5 days of pump, and 120 days are needed"),
    ],
)
def test_what_cannot_be_asked_is_explained(pump: Config, arguments: tuple[str, ...], said: str) -> None:
    done = drill_command(pump.agent.state_dir.parent / "agent.toml", *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_labelled_normal_is_not_seen_unless_it_is_larger(recurring: Config) -> None:
    record = record_of(recurring)
    when = START_NS, span(record.source, "pump")[1]
    with closing(JournalReader.open(recurring.agent.state_dir / JOURNAL)) as journal:
        pattern = journal.known("pump-1")
    labelled = replace(pattern, label=Label(Answer.NORMAL, None, "Ana", START_NS))
    before, after = (
        drill(one, when, HELD_NS, tags=("temperature",), faults=("ramp",), repeats=24, within_s=100.0).findings[0].sizes
        for one in (record, replace(record, labelled=(labelled,)))
    )
    assert before[-1].seen == before[-1].of
    assert after[-1].seen == after[-1].of, "half of its value is more than anybody has called normal"
    two_percent, known = (next(size for size in sizes if size.percent == 2.0) for sizes in (before, after))
    assert known.seen < two_percent.seen
