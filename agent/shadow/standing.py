"""How an asset stands: its stage, and by which model it is judged. A fold of the decisions in the journal; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from agent.line.event import AssetEvent, EventKind
from agent.line.stage import Stage

KINDS: Final = (
    EventKind.LEARNING, EventKind.NOT_LEARNT, EventKind.LEARNT, EventKind.LIVE,
    EventKind.CHALLENGED, EventKind.DISMISSED, EventKind.PROMOTED, EventKind.ROLLED_BACK, EventKind.IN_FORCE,
)  # fmt: skip
"""The events that are decided of an asset's stage and models."""
IN_FORCE_KINDS: Final = (EventKind.IN_FORCE, EventKind.LEARNT, EventKind.PROMOTED, EventKind.ROLLED_BACK)
"""Those from which on the model that they are about judges the asset."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The stage of an asset since `since_ns` (UTC; 0: always), and the hash of the model that judges it, None for none.

    A `challenger` judges beside it since `challenged_ns`. It was promoted at `promoted_ns` in place of `previous`, None
    where nothing was promoted, or that was taken back.
    """

    stage: Stage
    since_ns: int
    model: str | None
    challenger: str | None = None
    challenged_ns: int = 0
    previous: str | None = None
    promoted_ns: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """How much of an asset is recorded to learn from, and of how much a model is learnt, in hours.

    `refused` says why it was not yet.
    """

    recorded_h: float
    needed_h: float
    refused: str | None


def standing(events: Iterable[AssetEvent], configured: str | None, first: Stage) -> Standing:
    """Return how an asset stands after its events, the oldest first.

    `configured` is the hash of the bundle that its configuration names, which judges it from stage `first` on: what was
    learnt without one counts only where there is none.
    """
    now = Standing(Stage.COLLECTING if configured is None else first, 0, configured)
    for event in events:
        now = _after(now, event, configured)
    return now


def in_force_until(events: Iterable[AssetEvent], model: str) -> int | None:
    """Return when (UTC) a model last gave its place to another one, 0 where it still has it, None where it never had.

    The events are those of IN_FORCE_KINDS, the oldest first.
    """
    until_ns = None
    for event in events:
        if event.about == model:
            until_ns = 0
        elif until_ns == 0:
            until_ns = event.time_ns
    return until_ns


def _after(now: Standing, event: AssetEvent, configured: str | None) -> Standing:
    match event.kind:
        case EventKind.LIVE:
            return replace(now, stage=Stage.LIVE, since_ns=event.time_ns)
        case EventKind.LEARNT if configured is None:
            return Standing(Stage.SHADOW, event.time_ns, event.about)
        case EventKind.LEARNING if now.model is None:
            return replace(now, stage=Stage.LEARNING, since_ns=event.time_ns)
        case EventKind.NOT_LEARNT if now.model is None:
            return replace(now, stage=Stage.COLLECTING, since_ns=event.time_ns)
        case EventKind.CHALLENGED:
            return replace(now, challenger=event.about, challenged_ns=event.time_ns)
        case EventKind.DISMISSED if event.about == now.challenger:
            return replace(now, challenger=None)
        case EventKind.PROMOTED if event.about == now.challenger:
            return replace(
                now, model=event.about, challenger=None, previous=now.model, promoted_ns=event.time_ns
            )
        case EventKind.ROLLED_BACK:
            return replace(now, model=event.about, previous=None)
    return now
