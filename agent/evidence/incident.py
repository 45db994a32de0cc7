"""What is left of an alert: its revisions in the journal, and of the telemetry the steps that it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.line.alert import AlarmEvent, AlarmState, Alert
from agent.line.assess import BLIND, COVERAGE_MIN, WINDOW_ROWS, Assessment, Detector
from agent.line.event import AssetEvent
from agent.line.line import Line, LineSettings
from agent.line.state import StateError
from agent.store import codec, reading
from agent.store.blocks import Layout, Started, Step
from agent.store.sealed import Tags
from agent.store.segments import OnDamage
from connectors.frame import Float32s, Int64s

BEFORE_ROWS: Final = 1800
"""So many periods before the onset are shown, and as many as AFTER_ROWS after the last that happened to the alert."""
AFTER_ROWS: Final = 600
STEPS_MAX, CELLS_MAX = 20_000, 400_000
"""What is shown of an alert that stays open ends so many steps, or values, after it was raised: a mail must hold it."""
BLINDNESS: Final = (
    "no value came",
    "the row had too few good values",
    "most tags stood still from the same row on, as where a source goes on giving old values",
    f"fewer than {COVERAGE_MIN:.0%} of the values of the last {WINDOW_ROWS} rows were good",
)
"""Why an asset is blind."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert and the stretch of the record that is shown of it, from `begin_ns` to `end_ns` (agent, UTC).

    `revisions` are the journal's rows, to the byte, `tags` the columns of the steps as (name, unit). `steps` are those
    of the asset alone and begin, where `origin_ns` is known, with the first that has a state: a line is made of each
    state, and goes on from it. Where it is None, `lost` says why the alert cannot be replayed. `cut` where more was
    recorded than is shown; `damaged` counts the bytes of the record that could not be read. `events` are what happened
    to the asset meanwhile, apart from the alert, the oldest first.
    """

    alert: Alert
    revisions: tuple[bytes, ...]
    tags: Tags
    begin_ns: int
    end_ns: int
    steps: tuple[Step, ...]
    origin_ns: int | None
    lost: str
    cut: bool
    damaged: int
    events: tuple[AssetEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """N rows of the asset's grid over C tags, as the replay saw them.

    `time_ns` i64[N] UTC, `values` f32[N, C] (NaN where not good), `expected` f32[N, C] in the tag's unit and `residual`
    f32[N, C] in standard deviations (both NaN where the tag is not scored or not good), `evidence` f64[N] (1 is the
    limit, NaN where it was not judged), `coverage` f64[N], `condition` and `regime` i64[N], indices into CONDITIONS and
    the manifest's regimes. `blindness` i64[N] says why a row is blind, an index into BLINDNESS, -1 where it is not.
    """

    time_ns: Int64s
    values: Float32s
    expected: Float32s
    residual: Float32s
    evidence: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float64]
    condition: Int64s
    regime: Int64s
    blindness: Int64s


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay gave: the alert's revisions, to the byte, and the course of the rows that are shown.

    `settings` are those that the line had at the end; `stopped` says why it ended before the record did, empty where it
    did not.
    """

    revisions: tuple[bytes, ...]
    course: Course
    settings: LineSettings
    stopped: str

    def difference(self, recorded: Sequence[bytes]) -> str:
        """Say what is not as it was recorded, of as many revisions as were replayed; empty where all is."""
        if not self.revisions:
            return "the replay raises no such alert"
        for live, again in zip(recorded, self.revisions, strict=False):
            if live != again:
                mine, theirs = json.loads(live), json.loads(again)
                number = mine["revision"]
                if theirs["revision"] != number:
                    return f"the replay does not give revision {number}"
                return f"revision {number} differs in {', '.join(_differing(mine, theirs))}"
        if len(self.revisions) > len(recorded):
            return f"the replay has {len(self.revisions)} revisions, the journal {len(recorded)}"
        return ""


def incident(revisions: tuple[bytes, ...], telemetry: Path, tags: Tags, period_ns: int) -> Incident:
    """Gather what is left of an alert with these revisions, of an asset with these tags and this period.

    Raise FileNotFoundError where telemetry was sealed or dropped meanwhile.
    """
    first, last = codec.decode(revisions[0]), codec.decode(revisions[-1])
    raised_ns = first.updated_time_ns
    begin_ns = raised_ns - (first.raised_time_ns - first.onset_time_ns) - BEFORE_ROWS * period_ns
    over = last.state is AlarmState.NORMAL
    end_ns = _lasted_ns(revisions) + AFTER_ROWS * period_ns if over else reading.EVER_NS
    origin = reading.origin(telemetry, last.asset, begin_ns, raised_ns)
    damaged: list[int] = []
    steps: list[Step] = []
    cut = False
    layout = {last.asset: tuple(tags)}
    wanted = _steps(telemetry, layout, origin, begin_ns, end_ns, lambda _path, lost: damaged.append(lost))
    left = min(STEPS_MAX, CELLS_MAX // len(tags))
    for step in wanted:
        left -= step.now_ns > raised_ns
        if cut := left < 0:
            break
        steps.append(step)
    end_ns = steps[-1].now_ns if steps else begin_ns
    if origin is None:
        begin = codec.format_time(steps[0].now_ns)[:19] + "Z" if steps else None
        lost = (
            "the record holds no state of the asset's line from before the alert: "
            + (f"what is left of it begins at {begin}" if begin else "nothing of that time is left")
            + ", or an earlier version wrote it"
        )
    elif not steps or steps[-1].now_ns < raised_ns:
        lost = "the record ends before the alert was raised"
    else:
        lost = ""
    origin_ns = None if origin is None or lost else origin.now_ns
    begin_ns = max(begin_ns, origin_ns or 0)
    return Incident(last, revisions, tuple(tags), begin_ns, end_ns, tuple(steps), origin_ns, lost, cut, sum(damaged))


def _lasted_ns(revisions: Sequence[bytes]) -> int:
    """Return until when something happened to an alert; what people said weeks later is not of that time."""
    told = (codec.decode(one) for one in reversed(revisions))
    return next(one.updated_time_ns for one in told if one.event is not AlarmEvent.LABEL)


def _steps(
    telemetry: Path, layout: Layout, origin: reading.Origin | None, begin_ns: int, end_ns: int, on_damage: OnDamage
) -> Iterator[Step]:
    """Give the asset's steps to before `end_ns`, with a state where a line begins; without an origin those shown."""
    begun, fresh = False, True
    first = reading.number_since(telemetry, begin_ns) if origin is None else origin.number
    for event in reading.events(telemetry, layout, on_damage, first=first):
        if isinstance(event, Started):
            fresh = fresh or bool(event.starts)
            continue
        if event.recovered:
            continue
        if origin is None:
            begun = event.now_ns >= begin_ns
        elif not begun:
            begun = bool(event.state) and event.now_ns == origin.now_ns
        if begun and (event.now_ns >= end_ns or (origin is not None and fresh and not event.state)):
            return  # an earlier version, which keeps no states, has gone on from there
        if begun:
            yield event if fresh else replace(event, state=b"")
            fresh = False


def replayed(
    steps: Iterable[Step],
    tags: Tags,
    alert: Alert,
    detector: Detector,
    begin_ns: int,
    told: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Step lines through what was recorded of `tags`, `told` how many steps are done.

    A line takes those that it had then: context tags may have come or gone since. Raise StateError where the first
    state is none of this model and version.
    """
    rows = [_nothing(len(detector.manifest.tags))]
    revisions: list[bytes] = []
    line: Line | None = None
    columns = np.zeros(0, np.intp)
    shown, stopped = False, ""

    def note(seen: Assessment) -> None:
        new = slice(seen.grid.rows - seen.rows, None)
        good = seen.grid.good[new]
        if shown:
            rows.append(Course(
                seen.grid.time_ns[new],
                seen.grid.values[new],
                np.where(good, seen.scores.expected[new], np.float32(np.nan)),
                np.where(good, seen.scores.residual[new], np.float32(np.nan)),
                seen.evidence,
                seen.coverage,
                seen.condition.astype(np.int64),
                seen.scores.regime[new],
                _blindness(seen),
            ))

    for number, step in enumerate(steps):
        shown = step.now_ns >= begin_ns
        if step.state:
            try:
                line = Line.resume(alert.asset, detector, step.state, note)
                columns = _columns(line, tags)
            except StateError as error:
                if line is None:
                    raise
                stopped = f"at {codec.format_time(step.now_ns)[:19]}Z the agent was started anew, with a state: {error}"
                break
        assert line is not None, "the first step has a state"
        for command in step.commands:
            line.submit(command)
        said = line.step(step.frame.select(columns), step.now_ns)
        revisions += [codec.encode(one) for one in said if one.id == alert.id]
        told(number + 1)
    assert line is not None, "there is a step"
    return Replayed(tuple(revisions), _together(rows), line.settings, stopped)


def _columns(line: Line, tags: Tags) -> npt.NDArray[np.intp]:
    """Return where a line's tags are among those recorded; raise StateError where one is not."""
    names = [name for name, _ in tags]
    if missing := [name for name in line.tags if name not in names]:
        raise StateError(f"it had the tag {', '.join(missing)}, which is not configured any more")
    return np.array([names.index(name) for name in line.tags], np.intp)


def _blindness(seen: Assessment) -> Int64s:
    """Return why each new row is blind: what is neither missing nor lacks good values is stale."""
    new = slice(seen.grid.rows - seen.rows, None)
    silent, scoreless = ~seen.grid.good[new].any(1), np.isnan(seen.scores.score[new])
    why = np.select([silent, scoreless, seen.coverage >= COVERAGE_MIN], [0, 1, 2], 3)
    return np.where(seen.condition == BLIND, why, -1).astype(np.int64)


def _nothing(columns: int) -> Course:
    whole, real, cells = np.zeros(0, np.int64), np.zeros(0), np.zeros((0, columns), np.float32)
    return Course(whole, cells, cells, cells, real, real, whole, whole, whole)


def _together(rows: Sequence[Course]) -> Course:
    return Course(*(np.concatenate([getattr(some, name) for some in rows]) for name in Course.__slots__))


def _differing(one: object, other: object) -> Iterator[str]:
    """Give the names of what differs between two revisions, dotted where it lies deeper."""
    mine, theirs = dict(_flat(one, "")), dict(_flat(other, ""))
    yield from sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def _flat(body: object, name: str) -> Iterator[tuple[str, object]]:
    if not isinstance(body, dict):
        yield name, body
        return
    for key, value in body.items():
        yield from _flat(value, f"{name}.{key}" if name else key)
