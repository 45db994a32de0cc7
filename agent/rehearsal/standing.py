"""Where a record begins in the middle: how far the asset had drifted by then, and where its tags stood."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.line.alert import Rebaseline
from agent.line.assess import Detector
from agent.line.line import Line
from agent.line.memory import Remembered
from agent.line.state import StateError
from agent.replay import tell_damage
from agent.store import reading
from agent.store.blocks import Layout, Start, Started, Step

LATER_NS: Final = 86_400_000_000_000
"""Where nothing tells of the time before, what is told first may be so much later."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was remembered of an asset, None for nothing, and the tags whose level was being learnt anew."""

    wander: Remembered | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, start: Start) -> Standing:
        """Return how an asset stood when the agent was started."""
        about = None if start.rebaselining is None else start.rebaselining.about
        wander = None if start.memory is None else start.memory.wander
        return cls(wander, tuple(about.split(", ")) if about else ())


def standing(telemetry: Path, asset: str, detector: Detector, layout: Layout, since_ns: int) -> Standing:
    """Return how an asset stood at a time, or when its record begins after that, by what is recorded of its line.

    Nothing is known of another model, nor of a record without the states of a line. An attempt to learn tags anew that
    ran then, or was over since the last state, begins again with the record.
    """
    origin = reading.origin(telemetry, asset, since_ns, since_ns) if since_ns > 0 else None
    if origin is None:
        events = reading.events(telemetry, layout, tell_damage, since_ns=since_ns)
        return _first(events, asset, detector, since_ns)
    found = Standing()
    for event in reading.events(telemetry, layout, tell_damage, first=origin.number, since_ns=origin.now_ns):
        if isinstance(event, Started):
            found = Standing.of(event.starts[asset]) if asset in event.starts else found
        elif event.recovered or event.now_ns < origin.now_ns:
            continue
        elif event.now_ns == origin.now_ns and event.state:
            found = _stood(event, detector)
        elif event.now_ns >= since_ns:
            break
        if isinstance(event, Step):
            found = _told(found, event)
    return found


def _first(events: Iterable[Started | Step], asset: str, detector: Detector, since_ns: int) -> Standing:
    """Return how an asset stood when the agent was started last before a time, else what is told first after it."""
    begun: Start | None = None
    first_ns: int | None = None
    for event in events:
        if isinstance(event, Started):
            if first_ns is None:
                begun = event.starts.get(asset, begun)
        elif event.now_ns >= since_ns and not event.recovered:
            first_ns = event.now_ns if first_ns is None else first_ns
            if begun is not None:
                return Standing.of(begun)
            if event.state:
                return Standing(_stood(event, detector).wander)
            if event.now_ns > first_ns + LATER_NS:
                break
    return Standing()


def _told(stood: Standing, step: Step) -> Standing:
    for command in step.commands:
        if isinstance(command, Rebaseline) and command.asset == step.asset:
            stood = Standing(stood.wander, command.tags)
    return stood


def _stood(step: Step, detector: Detector) -> Standing:
    with suppress(StateError):
        line = Line.resume(step.asset, detector, step.state)
        memory, progress = line.memory, line.rebaselining
        return Standing(None if memory is None else memory.wander, () if progress is None else progress.tags)
    return Standing()
