"""`python -m agent.shadow.child`: what takes minutes, in a process of lowest priority: learning, and looking back.

A question of JSON on standard input, an answer on standard output; the daemon records what comes of it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from agent.backtest.trial import BacktestError
from agent.export_command import write_table
from agent.history import Reading, read_history
from agent.learning.bundle import learn_bundle
from agent.line import state
from agent.line.alert import Alert, ReturnToService, TakeOutOfService
from agent.line.line import Line, LineSettings
from agent.line.spans import Span, union
from agent.replay import recorded, replay
from agent.shadow.versions import FOLDER, past_series, version
from agent.store import codec
from agent.store.blocks import Started, Step
from agent.store.journal import StoreError
from agent.trust import KEY, signing_key
from connectors.frame import Frame, Int64s
from models import bundle as bundles
from models.bundle import BundleError
from models.learn import LearnError

NICE: Final = 19
STEPS_AT_ONCE: Final = 64
"""A line judges many rows at once in less time."""


LearntTags = Sequence[tuple[str, str, int, float | None]]
"""Tags as (name, unit, period in ms, how fast they can move in their unit per second)."""


def learning(
    state_dir: Path, asset: str, tags: LearntTags, period_ms: int, until_ns: int, without: Sequence[Span]
) -> dict[str, Any]:
    """Ask for a model to be learnt of what was recorded of an asset before `until_ns`, `without` some times, UTC.

    These are by the gateway's clock, as `agent.line.spans.union` returns them.
    """
    return {
        "task": "learn", "state_dir": str(state_dir), "asset": asset, "tags": tags, "period_ms": period_ms,
        "until_ns": until_ns, "without": without,
    }  # fmt: skip


def looking_back(
    state_dir: Path, asset: str, bundle: Path, settings: LineSettings, tags: Sequence[tuple[str, str]], until_ns: int
) -> dict[str, Any]:
    """Ask what a model would have raised of an asset by what was recorded before `until_ns` (UTC)."""
    return {
        "task": "look back", "state_dir": str(state_dir), "asset": asset, "bundle": str(bundle), "tags": tags,
        "settings": state.whole(settings), "until_ns": until_ns,
    }  # fmt: skip


def learn(asked: dict[str, Any]) -> dict[str, Any]:
    """Learn a model, and keep it signed beside the others of its asset; return its hash, or why there is none."""
    state_dir, asset = Path(asked["state_dir"]), asked["asset"]
    names, units, periods_ms, max_rates = zip(*asked["tags"], strict=True)
    folder = state_dir / FOLDER / asset
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    layout = {asset: tuple(zip(names, units, strict=True))}
    with tempfile.TemporaryDirectory(prefix=".learning-", dir=folder) as place:
        table = Path(place) / "record.parquet"
        try:
            frames = _frames(recorded(state_dir, layout, 0, asked["until_ns"]))
            whole = _by_source(frames, [(0, asked["until_ns"])])
            write_table(state_dir, asset, table, names, 0, whole[-1][1] if whole else 0)
            found = read_history(table, Reading(
                time="time" if "time" not in names else "_time",
                tags=names,
                period_ms=asked["period_ms"],
                units=dict(zip(names, units, strict=True)),
                tags_option=f"assets.{asset}.tags",
                period_option=f"assets.{asset}.period_ms",
                periods_ms=dict(zip(names, periods_ms, strict=True)),
                max_rates={name: rate for name, rate in zip(names, max_rates, strict=True) if rate is not None},
                without=_by_source(frames, asked["without"]),
            ))
            bundle = learn_bundle(found, asset, "what was recorded here", Console(stderr=True))
        except (StoreError, BacktestError, LearnError) as error:
            return {"refused": str(error)}
        new = Path(place) / "bundle"
        bundle.signed(signing_key(state_dir / KEY)).save(new)
        kept = folder / version(bundle.hash)
        if not kept.exists():
            new.rename(kept)
    manifest = bundle.manifest
    return {
        "model": bundle.hash, "rows": manifest.learnt_rows, "rows_without": found.rows_without,
        "regimes": len(manifest.regimes),
    }  # fmt: skip


def _frames(events: Iterator[Step | Started]) -> Int64s:
    """Return of each frame when it was read and its earliest and latest source time, i64[N, 3], UTC."""
    found = [
        (event.now_ns, int(event.frame.source_time_ns.min()), int(event.frame.source_time_ns.max()))
        for event in events
        if isinstance(event, Step) and not event.recovered and event.frame.rows
    ]
    return np.array(found, np.int64).reshape(-1, 3)


def _by_source(frames: Int64s, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return spans of the gateway's time as times of the source, by the frames that were read in them."""
    read = [frames[(frames[:, 0] >= begin_ns) & (frames[:, 0] < end_ns)] for begin_ns, end_ns in spans]
    return tuple(union((int(of[:, 1].min()), int(of[:, 2].max()) + 1) for of in read if len(of)))


def look_back(asked: dict[str, Any]) -> dict[str, Any]:
    """Judge the record with a model; return the alerts it would have raised, as they stood at the end."""
    from models.runtime import Detector

    asset, settings = asked["asset"], state.value_of(asked["settings"])
    detector = Detector(bundles.load(Path(asked["bundle"])))
    layout = {asset: tuple((name, unit) for name, unit in asked["tags"])}
    until_ns = asked["until_ns"]
    steps = _joined(recorded(Path(asked["state_dir"]), layout, 0, until_ns), until_ns)
    raised: list[Alert] = []
    for entry in replay(steps, lambda name, _start: Line(name, detector, settings, shadow=True)):
        if isinstance(entry, Alert):
            if entry.revision == 1:
                raised.append(entry)
            raised[-1] = replace(entry, id=f"{past_series(asset, detector.hash)}-{len(raised)}", revision=1)
    return {"alerts": [codec.encode(alert).decode() for alert in raised]}


def _joined(events: Iterator[Step | Started], until_ns: int) -> Iterator[Step | Started]:
    """Give steps with the rows of many, and of what people said only when the machine was out of service."""
    waiting: list[Step] = []
    for event in events:
        if isinstance(event, Started):
            yield from _one(waiting)
            waiting = []
            yield event
        elif not event.recovered and event.now_ns < until_ns:
            said = tuple(one for one in event.commands if isinstance(one, TakeOutOfService | ReturnToService))
            if said:  # it holds from its own time on
                yield from _one(waiting)
                waiting = []
            waiting.append(replace(event, commands=said))
            if len(waiting) == STEPS_AT_ONCE:
                yield from _one(waiting)
                waiting = []
    yield from _one(waiting)


def _one(steps: Sequence[Step]) -> Iterator[Step]:
    if not steps:
        return
    frames = [step.frame for step in steps]
    whole = Frame(
        np.concatenate([frame.source_time_ns for frame in frames]),
        np.concatenate([frame.values for frame in frames]),
        np.concatenate([frame.status for frame in frames]),
    )
    yield Step(steps[0].asset, steps[-1].now_ns, whole, steps[0].commands)


def main() -> None:
    """Answer the question on standard input."""
    os.nice(NICE)
    asked = json.load(sys.stdin)
    try:
        answer = learn(asked) if asked["task"] == "learn" else look_back(asked)
    except (StoreError, BundleError, OSError) as error:
        sys.exit(str(error))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
