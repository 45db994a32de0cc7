"""`python -m agent.store.holes`: where recorded telemetry has no value, found in a process of its own.

The question is JSON on stdin, the answer JSON on stdout. The record is all that is asked: what was filled meanwhile is
no hole any more, and what was not is one still, however often the agent was started.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.store import reading, sealed, segments
from agent.store.blocks import Layout, Step
from agent.store.sealed import Folder, Tags
from agent.store.segments import OnDamage
from connectors.frame import Bools, Int64s, is_bad


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which tags (name, unit) of each asset, since when (source time), and how long a hole is at least."""

    tags: Mapping[str, Tags]
    since_ns: int
    longer_than_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """Up to when there are values, by source time (None: there are none), and the holes before that, the oldest first.

    At both ends of a hole there is a value.
    """

    until_ns: int | None
    holes: tuple[tuple[int, int], ...]


class Good(NamedTuple):
    """Source times of rows of an asset in which some tag is good, i64[T], in the order taken; which were read live."""

    time_ns: Int64s
    live: Bools


def find(directory: Path, asked: Asked, on_damage: OnDamage) -> Found:
    """Return the holes of a record since a time; nothing is missing before its first value.

    Values end with the last row that was read live: a later time is that of a clock which was ahead for a moment. A
    record of these tags from before `since_ns` had values, for all that is known: a hole may begin there.
    """
    runs: list[Int64s] = []
    until_ns: int | None = None
    reaches_back = False
    parts = reading.parts_of(directory)
    for part in (parts[number] for number in sorted(parts, reverse=True)):
        if (last_ns := _last_ns(part)) is None:
            continue
        layout = _layout(part) if last_ns < asked.since_ns else {}
        if layout:
            reaches_back |= any(tag in layout.get(asset, ()) for asset, tags in asked.tags.items() for tag in tags)
        good = list(_good(part, asked.tags, on_damage))
        runs += [_runs(rows.time_ns[rows.time_ns >= asked.since_ns], asked.longer_than_ns) for rows in good]
        reaches_back |= any((rows.time_ns < asked.since_ns).any() for rows in good)
        if until_ns is None:
            until_ns = max((int(rows.time_ns[rows.live][-1]) for rows in good if rows.live.any()), default=None)
        if layout:
            break  # what was recorded before is older still
    if reaches_back:
        runs.append(np.full((1, 2), asked.since_ns))
        until_ns = asked.since_ns if until_ns is None else until_ns
    return Found(until_ns, () if until_ns is None else _between(np.concatenate(runs), until_ns, asked.longer_than_ns))


def question(directory: Path, asked: Mapping[str, Asked]) -> bytes:
    """Return what to write to its stdin: what is asked, each by a name."""
    questions = {name: asdict(one) for name, one in asked.items()}
    return json.dumps({"directory": str(directory), "asked": questions}).encode()


def answer(said: bytes) -> bytes:
    """Return what it writes to its stdout."""
    body = json.loads(said)
    damaged: dict[str, int] = {}

    def on_damage(path: Path, lost: int) -> None:
        damaged[str(path)] = lost

    found = {}
    for name, one in body["asked"].items():
        tags = {asset: [(tag, unit) for tag, unit in tags] for asset, tags in one["tags"].items()}
        asked = Asked(tags, one["since_ns"], one["longer_than_ns"])
        found[name] = asdict(find(Path(body["directory"]), asked, on_damage))
    return json.dumps({"damaged": damaged, "found": found}).encode()


def read_answer(said: bytes) -> tuple[dict[str, Found], dict[Path, int]]:
    """Return what was found, by the name of its question, and the damaged files with the bytes lost."""
    body = json.loads(said)
    found = {
        name: Found(one["until_ns"], tuple((since_ns, until_ns) for since_ns, until_ns in one["holes"]))
        for name, one in body["found"].items()
    }
    return found, {Path(path): lost for path, lost in body["damaged"].items()}


def _last_ns(part: Folder | Path) -> int | None:
    """Return the last time in it, None where it holds none."""
    if isinstance(part, Folder):
        return part.last_s * 1_000_000_000 or None
    return None if (span := segments.span(part)) is None else span[1]


def _layout(part: Folder | Path) -> Layout:
    """Return the columns of what is recorded there, none where they are damaged."""
    if isinstance(part, Path):
        return {} if (opening := segments.opening(part)) is None else opening[0]
    try:
        return sealed.read_rest(part).layout
    except sealed.DamagedError:
        return {}


def _good(part: Folder | Path, tags: Mapping[str, Tags], on_damage: OnDamage) -> Iterator[Good]:
    if isinstance(part, Folder):
        for time_ns, recovered in sealed.good(part, tags, on_damage):
            yield Good(time_ns, ~recovered)
        return
    steps: dict[str, list[Step]] = {}
    for step in segments.read(part, layout={asset: tuple(some) for asset, some in tags.items()}, on_damage=on_damage):
        steps.setdefault(step.asset, []).append(step)
    for mine in steps.values():
        good = ~np.concatenate([is_bad(step.frame.status) for step in mine]).all(1)
        live = np.repeat([not step.recovered for step in mine], [step.frame.rows for step in mine])
        yield Good(np.concatenate([step.frame.source_time_ns for step in mine])[good], live[good])


def _runs(time_ns: Int64s, longer_than_ns: int) -> Int64s:
    """Return the first and last time, i64[N, 2], of each run without a hole."""
    if not len(time_ns):
        return np.zeros((0, 2), np.int64)
    ordered = np.sort(time_ns)
    new = np.flatnonzero(np.diff(ordered) > longer_than_ns) + 1
    return np.stack([ordered[np.append(0, new)], ordered[np.append(new, len(ordered)) - 1]], 1)


def _between(runs: Int64s, until_ns: int, longer_than_ns: int) -> tuple[tuple[int, int], ...]:
    """Return what is between runs, i64[N, 2] in any order, that began by `until_ns`."""
    runs = runs[runs[:, 0] <= until_ns]
    runs = runs[np.argsort(runs[:, 0])]
    ends, begins = np.maximum.accumulate(runs[:, 1])[:-1], runs[1:, 0]
    holes = begins - ends > longer_than_ns
    return tuple(zip(ends[holes].tolist(), begins[holes].tolist(), strict=True))


if __name__ == "__main__":
    os.environ["POLARS_MAX_THREADS"] = "1"
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))
