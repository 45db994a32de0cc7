"""Evidence of an alert: the pack alone gives the alert again to the byte, and no byte of it can be changed unseen."""

from __future__ import annotations

import asyncio
import base64
import html.parser
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.build import JOURNAL
from agent.evidence import pack
from agent.evidence.pack import PackError
from agent.line import lifecycle
from agent.line.advisory import Advisory, Check
from agent.line.alert import AlarmEvent, AlarmState, Answer, GiveLabel, Label, Priority, Rebaseline
from agent.line.event import EventKind
from agent.line.verdict import Cause
from agent.store import codec, seal, sealed, segments
from agent.store.blocks import Block, blocks
from agent.store.journal import Journal, JournalReader
from connectors.frame import BAD_TIMEOUT, GOOD
from models import bundle as bundles
from models.bundle import Bundle
from models.learn import learn
from tests.agent.commands import forewarn
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows
from tests.agent.watched import SAID, Watch, failing_frames, to_the_end, watched, watching

FRAMES = 900
FAULTS = ((480, 560), (700, 760))
TAG = "temperature</script><b>"
"""A tag's name that a page must not believe."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose agent ran twice: it was started anew while the first alert was open."""
    folder = tmp_path_factory.mktemp("gateway")
    learn([quiet_rows(800)], [("pressure", "bar"), (TAG, "degC")], 1000, name="pump").save(folder / "pump")
    (folder / "agent.toml").write_text(f"""
[agent]
state_dir = "state"
[connections.plc]
protocol = "modbus-tcp"
host = "127.0.0.1"
[assets.pump]
bundle = "pump"
period_ms = 1000
[[assets.pump.tags]]
name = "pressure"
unit = "bar"
connection = "plc"
unit_id = 1
table = "input_register"
register = 12
dtype = "float32"
[[assets.pump.tags]]
name = "{TAG}"
unit = "degC"
connection = "plc"
unit_id = 1
table = "input_register"
register = 14
dtype = "float32"
""")
    frames = failing_frames(FRAMES, *FAULTS)
    watched(folder / "agent.toml", frames[:520])
    watched(folder / "agent.toml", frames[520:])
    return folder / "agent.toml"


@pytest.fixture
def copy(gateway: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    shutil.copytree(gateway.parent, tmp_path / "copy")
    return tmp_path / "copy" / gateway.name


@pytest.fixture(scope="module")
def evidence(gateway: Path) -> Path:
    """The pack of the first alert."""
    out = gateway.parent / "first.html"
    result = forewarn("evidence", "pump-1", gateway, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def journalled(config: Path, alert_id: str) -> list[bytes]:
    journal = JournalReader.open(config.parent / "state" / JOURNAL)
    found = journal.revisions(alert_id)
    journal.close()
    return list(found)


def test_the_pack_alone_gives_the_alert_again_to_the_byte(gateway: Path, evidence: Path, tmp_path: Path) -> None:
    live = journalled(gateway, "pump-1")
    assert len(live) == 3
    assert json.loads(live[-1])["acknowledgement"]["comment"] == SAID
    elsewhere = shutil.copy(evidence, tmp_path / "mail.html")
    result = forewarn("replay", elsewhere)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.splitlines() == live
    assert "pump-1, signed by ed25519:" in result.stderr
    assert "all 3 revisions are the same as recorded, byte for byte" in result.stderr
    assert "rows the same to the bit" in result.stderr


def test_the_record_gives_the_alert_again_over_a_restart(gateway: Path) -> None:
    result = forewarn("replay", "pump-2", gateway)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.splitlines() == journalled(gateway, "pump-2")
    assert "the same as recorded, byte for byte" in result.stderr


def test_verify_says_who_signed(evidence: Path, gateway: Path, tmp_path: Path) -> None:
    key = (gateway.parent / "state" / "signing.pub").read_text().strip()
    result = forewarn("evidence", "--verify", evidence, gateway)
    assert result.exit_code == 0
    assert f"signed by {key}, this gateway\n" in result.stdout
    assert "whole, " in result.stdout
    assert "alert pump-1, made 2" in result.stdout
    alone = forewarn("evidence", "--verify", evidence)
    assert (alone.exit_code, f"signed by {key}; compare it" in alone.stdout) == (0, True)
    strange = tmp_path / "strange.html"
    forewarn("evidence", "pump-1", gateway, "--out", strange, "--key", tmp_path / "strange.key")
    assert forewarn("evidence", "--verify", strange).exit_code == 0
    result = forewarn("evidence", "--verify", strange, gateway)
    assert (result.exit_code, "an unknown key" in result.stdout) == (1, True)


def test_the_page_says_how_to_read_what_is_drawn_and_its_tables_fit_a_phone(evidence: Path) -> None:
    text = evidence.read_text(encoding="utf-8")
    assert 'How to read "expected"' in Page(text).said
    assert text.index("How to read") < text.index("<figcaption><b><bdi>")
    assert "<table>" not in text, "all of them are made narrow for a narrow screen"


def test_the_tables_hold_what_was_measured_and_expected(gateway: Path, evidence: Path) -> None:
    files = pack.unseal(evidence.read_bytes()).files
    raw, course = (pl.read_parquet(io.BytesIO(files[name])) for name in ("raw.parquet", "course.parquet"))
    values = np.array([frame.values[0, 1] for frame in failing_frames(FRAMES, *FAULTS)], np.float32)
    assert np.array_equal(raw[TAG].to_numpy(), values[: len(raw)])
    assert raw["pressure"].null_count() == len(range(20, len(raw), 50))
    alert = codec.decode(files["alert.jsonl"].splitlines()[0])
    row = course.filter(pl.col("_time").to_physical() == alert.raised_time_ns)
    assert f"{row['_evidence'][0]:.6g}" == f"{alert.verdict.evidence:.6g}"
    assert row["_condition"][0] == "deviating"
    part = alert.verdict.contributions[0]
    recent = course.filter(pl.col("_time").to_physical() <= alert.raised_time_ns).tail(32)
    recent = recent.filter(pl.col("_evidence").is_not_null() & pl.col("_evidence").is_not_nan())  # rows that count
    assert recent[f"{part.tag}.expected"].cast(pl.Float64).mean() == pytest.approx(part.expected, rel=1e-5)
    facts = json.loads(files["facts.json"])
    assert facts["Model"].endswith(alert.verdict.model_hash)
    assert facts["same"] is True


class Page(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def test_what_people_and_devices_write_is_text_on_the_page(evidence: Path) -> None:
    page = Page(evidence.read_text())
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [script["type"] for script in scripts] == ["application/json"] * 2
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "link", "form", "object")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [value for _, attributes in page.tags for value in attributes.values() if value and "//" in value[:8]]
    policy = next(attributes for tag, attributes in page.tags if "content-security-policy" in str(attributes).lower())
    assert policy["content"].startswith("default-src 'none'")
    assert SAID in page.said
    assert TAG in page.said
    for mark in ("onset", "raised", "acknowledged", "returned"):
        assert mark in page.said
    assert "All 3 revisions" in page.said or "all 3 revisions" in page.said


def places(text: str) -> dict[str, range]:
    """Where what lies in a pack."""
    found = {}
    for name in pack.SLOTS:
        begin = text.index(f'id="forewarn-{name}"')
        begin = text.index("base64,", begin) + 7 if name == "data" else text.index(">", begin) + 1
        found[name] = range(begin, text.index('"' if name == "data" else "</script>", begin))
    return found | {"page": range(found["data"].start - 200)}


def flipped(content: bytes, at: int, bit: int = 1) -> bytes:
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


@pytest.mark.parametrize(("where", "named"), [
    ("manifest", ("manifest",)), ("signature", ("signature",)), ("page", ("page", "UTF-8", "it has no data")),
    ("data", (" was altered", "data were altered", " was added")),
])
def test_a_flipped_bit_is_found_and_named(where: str, named: tuple[str, ...], evidence: Path) -> None:
    content = evidence.read_bytes()
    seed = 11
    random = np.random.default_rng(seed)
    inside = places(content.decode("latin-1"))[where]
    few = inside if len(inside) < 100 else random.choice(np.array(inside), 100, replace=False)
    for at in map(int, few):
        for bit in (1, 0x80, int(random.choice([2, 4, 8, 16, 32, 64]))):
            with pytest.raises(PackError) as caught:
                pack.unseal(flipped(content, at, bit))
            told = str(caught.value)
            assert any(name in told for name in (*named, "UTF-8")), f"seed {seed}, byte {at}, bit {bit}: {told}"


def test_the_altered_file_in_the_data_is_named(evidence: Path) -> None:
    content = evidence.read_bytes()
    files = dict(pack.unseal(content).files)
    files["alert.jsonl"] = files["alert.jsonl"].replace(b"unacknowledged", b"acknowledged", 1)
    files["extra.txt"] = b"1"
    del files["asset.json"]
    inside = places(content.decode("latin-1"))["data"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one)
    forged = content[: inside.start] + base64.b64encode(packed.getvalue()) + content[inside.stop :]
    with pytest.raises(PackError) as caught:
        pack.unseal(forged)
    assert set(caught.value.problems) == {"alert.jsonl was altered", "asset.json was altered", "extra.txt was added"}


def test_a_damaged_pack_is_refused_by_the_commands(evidence: Path, tmp_path: Path) -> None:
    content = evidence.read_bytes()
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_bytes(content.replace(b"seen &lt;", b"seem &lt;", 1))
    for arguments in (("evidence", "--verify", spoilt), ("replay", spoilt)):
        result = forewarn(*arguments)
        assert result.exit_code == 1
        assert f"forewarn: {spoilt}: the page was altered" in result.stderr
    spoilt.write_bytes(content[: len(content) // 2])
    assert "it has no " in forewarn("evidence", "--verify", spoilt).stderr
    missing = forewarn("evidence", "--verify", tmp_path / "nothing.html")
    assert (missing.exit_code, "cannot be read: No such file" in missing.stderr) == (2, True)


def test_sealed_telemetry_gives_the_same(copy: Path, tmp_path: Path) -> None:
    folder = copy.parent / "state" / "telemetry"
    for path in segments.segments(folder):
        seal.seal(path)
    assert len(sealed.folders(folder)) > 5
    result = forewarn("evidence", "pump-1", copy, "--out", tmp_path / "a.html")
    assert "all 3 revisions are the same as recorded, byte for byte" in result.stdout, result.output


def test_the_evidence_of_an_open_alert_while_the_agent_runs(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy.parent / "state")
    out = tmp_path / "open.html"
    with watching(copy) as watch:
        asyncio.run(to_the_end(watch, failing_frames(FRAMES, *FAULTS)[:500]))
        result = forewarn("evidence", "pump-1", copy, "--out", out)
    assert result.exit_code == 0
    assert "all 2 revisions are the same as recorded, byte for byte" in result.stdout
    assert forewarn("replay", out).exit_code == 0


def test_an_alert_that_is_too_old_for_the_record_is_said_to_be_so(copy: Path, tmp_path: Path) -> None:
    folder = copy.parent / "state" / "telemetry"
    kept = segments.segments(folder)[-2:]
    for path in segments.segments(folder):
        if path not in kept:
            path.unlink()
    out = tmp_path / "old.html"
    result = forewarn("evidence", "pump-1", copy, "--out", out)
    assert result.exit_code == 0
    assert "It cannot be replayed: the record holds no state of the asset's line from before the alert" in result.stdout
    assert "what is left of it begins at" in result.stdout
    files = pack.unseal(out.read_bytes()).files
    assert "course.parquet" not in files
    assert not [name for name in files if name.startswith("replay/")]
    assert "It cannot be replayed" in Page(out.read_text()).said
    again = forewarn("replay", out)
    assert (again.exit_code, "it holds no steps to replay" in again.stderr) == (1, True)
    again = forewarn("replay", "pump-1", copy)
    assert (again.exit_code, "It cannot be replayed" in again.stderr, again.stdout) == (1, True, "")


def test_the_start_of_the_agent_need_not_be_in_the_record_any_more(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy.parent / "state")
    watched(copy, failing_frames(2500, (2420, 2500)), state_steps=150)
    folder = copy.parent / "state" / "telemetry"
    for path in segments.segments(folder)[:3]:
        path.unlink()
    out = tmp_path / "a.html"
    result = forewarn("evidence", "pump-1", copy, "--out", out)
    assert "are the same as recorded, byte for byte" in result.stdout, result.output
    facts = json.loads(pack.unseal(out.read_bytes()).files["facts.json"])
    begin_ns, origin_ns = (codec.parse_time(facts[name]) for name in ("begin_time", "origin_time"))
    assert START_NS + 300 * SECOND_NS < origin_ns <= begin_ns < origin_ns + 150 * SECOND_NS
    assert forewarn("replay", out).exit_code == 0


def test_a_label_that_comes_much_later_makes_the_evidence_no_longer(copy: Path, tmp_path: Path) -> None:
    journal = Journal(copy.parent / "state" / JOURNAL, START_NS)
    past = journal.history("pump-1")[-1]
    assert past.state is AlarmState.NORMAL
    before = forewarn("evidence", "pump-1", copy, "--out", tmp_path / "before.html")
    later_ns = past.updated_time_ns + 10**15
    label = Label(Answer.REAL, "seal <b>leak</b>", "Ana", later_ns)
    said = replace(past, revision=past.revision + 1, event=AlarmEvent.LABEL, updated_time_ns=later_ns, label=label)
    journal.record(said)
    journal.close()
    after = forewarn("evidence", "pump-1", copy, "--out", tmp_path / "after.html")
    assert (before.exit_code, after.exit_code) == (0, 0), after.output
    packs = [pack.unseal((tmp_path / name).read_bytes()) for name in ("before.html", "after.html")]
    ends = [json.loads(one.files["facts.json"])["end_time"] for one in packs]
    assert ends[0] == ends[1]
    assert "seal &lt;b&gt;leak&lt;/b&gt;" in (tmp_path / "after.html").read_text(encoding="utf-8")


def test_the_page_says_first_what_people_found_and_what_it_saw_when_it_was_raised(copy: Path, tmp_path: Path) -> None:
    journal = Journal(copy.parent / "state" / JOURNAL, START_NS)
    first, past = journal.history("pump-1")[0], journal.history("pump-1")[-1]
    at_ns = past.updated_time_ns + SECOND_NS
    later = replace(past.verdict, time_ns=at_ns, evidence=77.25, cause=Cause.SENSOR)
    label = Label(Answer.SENSOR, None, "Ana", at_ns, "a <corroded> terminal")
    off = Advisory("generic", "ITR, instrument reading", "4.3 wiring", (Check("Tighten the terminals.", "Often."),))
    journal.record(lifecycle.reassessed(past, later, Priority.LOW, "a sensor is off", off, at_ns))
    said = lifecycle.obey(journal.history("pump-1")[-1], GiveLabel("pump-1", label), at_ns)
    assert said is not None
    journal.record(said)
    journal.close()
    out = tmp_path / "a.html"
    assert forewarn("evidence", "pump-1", copy, "--out", out).exit_code == 0
    shown = Page(out.read_text(encoding="utf-8")).said
    top = shown[: shown.index("What it saw")]
    assert "What it was: a sensor or its wiring. a <corroded> terminal Ana" in top
    raised, later_seen, _ = re.split("What it saw when|What it said to check", shown[len(top):])[1:]
    assert raised.startswith(" it was raised")
    assert f"Evidence{first.verdict.evidence:g} when raised, {past.peak_evidence:g} at most" in raised
    assert later_seen.startswith(f" another cause became clear, {codec.format_time(at_ns)[:19].replace('T', ' ')} UTC")
    assert "Evidence77.25 then" in later_seen
    assert first.advisory is not None
    checks = shown[shown.index("What it said to check first"):]
    assert checks.index(first.advisory.checks[0].do) < checks.index("The record")
    assert "Tighten the terminals." not in checks, "nobody was told that"


def test_a_rebaselining_is_in_the_timeline_and_marked_where_what_is_expected_jumps(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy.parent / "state")
    frames = failing_frames(FRAMES, (480, 560))

    async def scenario(watch: Watch) -> None:
        running = asyncio.create_task(watch.worker.run())
        await watch.read(frames[:100])
        watch.worker.submit("pump", Rebaseline("pump", ("pressure",), "Bo", START_NS, "new <gauge>"))
        await watch.read(frames[100:])
        watch.worker.finish()
        await running

    with watching(copy) as watch:
        asyncio.run(scenario(watch))
        begun, done = watch.journal.events_of("pump", (EventKind.REBASELINE_BEGUN, EventKind.REBASELINED))
    out = tmp_path / "a.html"
    result = forewarn("evidence", "pump-1", copy, "--out", out)
    assert "are the same as recorded, byte for byte" in result.stdout, result.output
    page = Page(out.read_text(encoding="utf-8"))
    times = [codec.format_time(event.time_ns)[11:19] for event in (begun, done)]
    plotted = page.said[: page.said.index("Timeline")]
    for mark, time in zip(("re-baselining", "re-baselined"), times, strict=True):
        assert f"{mark} {time}" in plotted
    lines = page.said[page.said.index("Timeline"):]
    begins = "event: rebaseline begunabout: pressureby: Bocomment: new <gauge>"
    told = [begins, "state: unacknowledged", f"comment: {done.comment}"]
    assert sorted(told, key=lines.index) == told
    assert "Nobody has said yet what it was" in page.said


def test_the_page_says_why_it_was_blind(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy.parent / "state")
    frames = failing_frames(FRAMES, (480, 560))
    for frame in frames[600:640]:
        frame.values[:], frame.status[:] = np.nan, BAD_TIMEOUT
    for frame in frames[700:820]:
        frame.values[:], frame.status[:] = frames[699].values, GOOD
    watched(copy, frames)
    out = tmp_path / "a.html"
    assert forewarn("evidence", "pump-1", copy, "--out", out).exit_code == 0
    page = Page(out.read_text(encoding="utf-8")).said
    assert "Blind were " in page
    assert re.search(r"\d\d rows, because no value came", page)
    assert "most tags stood still from the same row on" in page


def test_a_gap_in_the_record_is_no_replay_that_pretends(copy: Path, tmp_path: Path) -> None:
    folder = copy.parent / "state" / "telemetry"
    raised_ns = codec.decode(journalled(copy, "pump-1")[0]).updated_time_ns
    lost = next(
        path for path in segments.segments(folder) if any(step.now_ns == raised_ns for step in segments.read(path))
    )
    found = [block for block in blocks(lost.read_bytes()) if isinstance(block, Block)]
    at = next(block.end for block in found if block.last_ns >= raised_ns)
    lost.write_bytes(flipped(lost.read_bytes(), at - 1))
    out = tmp_path / "gap.html"
    result = forewarn("evidence", "pump-1", copy, "--out", out)
    assert result.exit_code == 0
    assert "some of the record may be missing" in result.stdout
    assert "bytes of the record are damaged and were left out" in Page(out.read_text()).said
    assert forewarn("replay", out).exit_code == 1


def test_a_model_that_is_no_longer_there_is_said_to_be_so(copy: Path, tmp_path: Path, bundle: Bundle) -> None:
    other = learn([quiet_rows(700)], [("pressure", "bar"), (TAG, "degC")], 1000, name="pump")
    judged_by = bundles.load(copy.parent / "pump").hash
    other.save(copy.parent / "pump")
    result = forewarn("evidence", "pump-1", copy, "--out", tmp_path / "a.html")
    assert result.exit_code == 0
    assert f"the model that judged it ({judged_by[:12]}) is no longer at" in result.stdout


def test_settings_that_were_changed_since_do_not_change_what_was(copy: Path, tmp_path: Path) -> None:
    changed = 'period_ms = 1000\nbudget = "1/year"\non_delay_s = 9\n'
    copy.write_text(copy.read_text().replace("period_ms = 1000\n", changed, 1))
    result = forewarn("evidence", "pump-1", copy, "--out", tmp_path / "a.html")
    assert "all 3 revisions are the same as recorded, byte for byte" in result.stdout, result.output


def test_what_is_unknown_is_said_with_what_there_is(gateway: Path, tmp_path: Path) -> None:
    for command in ("evidence", "replay"):
        result = forewarn(command, "pump-9", gateway)
        assert result.exit_code == 2
        assert "there is no alert 'pump-9'; the newest are: pump-2, pump-1" in result.stderr
    result = forewarn("replay", tmp_path / "nothing.parquet", gateway)
    assert (result.exit_code, "there is no such file or folder" in result.stderr) == (2, True)
    result = forewarn("evidence", "pump-1", gateway, "--out", tmp_path / "no" / "where.html")
    assert (result.exit_code, "name another file with --out" in result.stderr) == (2, True)


def test_where_it_cannot_be_written_nothing_is_replayed_first(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy.parent / "state")
    for out, why in ((tmp_path / "no" / "a.html", "there is no folder"), (tmp_path, "it is a folder")):
        result = forewarn("evidence", "pump-1", copy, "--out", out)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"forewarn: --out {out}: cannot be written: {why}")


CONTEXT = """
[[assets.pump.tags]]
name = "cleaning"
unit = "1"
connection = "plc"
unit_id = 1
table = "coil"
register = 3
use = "context"
"""


def test_a_tag_that_no_model_scores_is_replayed_with_the_others(gateway: Path, tmp_path: Path) -> None:
    shutil.copytree(gateway.parent / "pump", tmp_path / "pump")
    file = tmp_path / "agent.toml"
    suppressed = 'period_ms = 1000\nsuppressed_when = { tag = "cleaning", equals = [1] }\n'
    file.write_text((gateway.read_text() + CONTEXT).replace("period_ms = 1000\n", suppressed))
    frames = [frame.spread(np.arange(2), 3) for frame in failing_frames(FRAMES, *FAULTS)]
    for i, frame in enumerate(frames):
        frame.values[:, 2], frame.status[:, 2] = float(600 <= i < 650), 0
    watched(file, frames)
    out = tmp_path / "pump-1.html"
    assert forewarn("evidence", "pump-1", file, "--out", out).exit_code == 0
    assert "the same as recorded" in forewarn("replay", "pump-1", file).output
    assert "the same as recorded" in forewarn("replay", out).output
    raw = pl.read_parquet(io.BytesIO(pack.unseal(out.read_bytes()).files["raw.parquet"]))
    assert set(raw["cleaning"].drop_nulls().unique()) == {0.0, 1.0}


def test_a_tag_that_came_after_the_alert_does_not_keep_it_from_being_replayed(copy: Path) -> None:
    copy.write_text(copy.read_text() + CONTEXT)
    assert "the same as recorded" in forewarn("replay", "pump-1", copy).output
