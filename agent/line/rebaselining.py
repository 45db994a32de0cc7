"""Learning anew where some tags of an asset stand, because a person says that they, and nothing else, have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.line.assess import Detector
from agent.line.event import AssetEvent, EventKind, EventLog
from models.baseline import ROWS, Baseline

TIME_NS_MAX: Final = 7 * 86_400_000_000_000
"""After so long without enough judged rows it is given up: a tag must not stay unwatched."""
BEGUN, ENDED = EventKind.REBASELINE_BEGUN, (EventKind.REBASELINED, EventKind.REBASELINE_FAILED)
KINDS: Final = (BEGUN, *ENDED)


@dataclass(frozen=True, slots=True)
class Progress:
    """The tags whose level is being learnt anew, and how many of the judged rows that it takes have come."""

    tags: tuple[str, ...]
    rows: int
    rows_needed: int = ROWS


class Rebaselining:
    """The tags of one asset whose level is being learnt, and the events of that; one attempt at a time."""

    def __init__(self, detector: Detector, baseline: Baseline, log: EventLog) -> None:
        self._detector, self._baseline, self._log = detector, baseline, log
        self.levels, self.switches = _levels(detector), _switches(detector)
        """The tags that have a level of their own in the model, and those that switch between a few values instead."""
        self._tags: tuple[str, ...] = ()
        self._since_ns = 0

    @property
    def progress(self) -> Progress | None:
        """How far it is, None where none runs."""
        return Progress(self._tags, self._baseline.rows) if self._tags else None

    @property
    def until_ns(self) -> int | None:
        """When it is given up, None where none runs."""
        return self._since_ns + TIME_NS_MAX if self._tags else None

    def resume(self, begun: AssetEvent) -> None:
        """Begin again after a restart: what an attempt had learnt by then is lost."""
        self._take(tuple((begun.about or "").split(", ")), begun.time_ns)

    def begin(self, tags: Sequence[str], by: str, comment: str, now_ns: int) -> list[AssetEvent]:
        """Begin, in place of an attempt that runs; nothing comes of tags that have no level, or where no other has one.
        """
        if not self._take(tuple(tags), now_ns):
            return []
        return [self._log.event(BEGUN, now_ns, by=by, comment=comment, about=", ".join(tags))]

    def follow(self, now_ns: int) -> list[AssetEvent]:
        """Return what has come of it after new rows, if anything."""
        baseline = self._baseline
        if not self._tags:
            return []
        about, tags = ", ".join(self._tags), self._tags
        if not baseline.learning.any():
            self._tags = ()
            said = "; ".join(map(self._moved, tags))
            return [self._log.event(EventKind.REBASELINED, now_ns, comment=f"{said}, by {ROWS} rows", about=about)]
        if now_ns < self._since_ns + TIME_NS_MAX:
            return []
        self._tags = ()
        rows = baseline.rows
        baseline.end()
        why = f"in a week {rows} of {ROWS} rows could be judged: judged by the learnt level again"
        return [self._log.event(EventKind.REBASELINE_FAILED, now_ns, comment=why, about=about)]

    def _take(self, tags: tuple[str, ...], now_ns: int) -> bool:
        if not tags or not set(tags) < set(self.levels):
            return False
        known = [tag.name for tag in self._detector.manifest.tags]
        self._baseline.begin([known.index(tag) for tag in tags], len(known))
        self._tags, self._since_ns = tags, now_ns
        return True

    def _moved(self, tag: str) -> str:
        """Say where a tag stands now: "temperature is 2.94 degC above its learnt level"."""
        known, scored = self._detector.manifest.tags, self._detector.statistics.scored
        channel = next(place for place, column in enumerate(scored) if known[column].name == tag)
        above, stretch = self._baseline.state.reshape(2, -1)[:, channel].tolist()
        unit = known[scored[channel]].unit
        spread = "" if not stretch else f", and its spread is {1.0 / (1.0 + stretch):.2g} times the learnt one"
        distance = f"{abs(above):.4g} {unit}".removesuffix(" 1").rstrip()
        return f"{tag} is {distance} {'above' if above >= 0 else 'below'} its learnt level{spread}"


def _levels(detector: Detector) -> tuple[str, ...]:
    known, columns = detector.manifest.tags, detector.statistics.scored.tolist()
    return tuple(known[column].name for column in columns if column not in detector.statistics.modes.switches)


def _switches(detector: Detector) -> tuple[str, ...]:
    """Return the tags that switch: where one shows other values the machine is in no known mode, and never judged."""
    return tuple(detector.manifest.tags[column].name for column in detector.statistics.modes.switches)


def running(last: AssetEvent | None) -> AssetEvent | None:
    """Return the event that a re-baselining began with where that is the last of its kinds, None where none runs."""
    return last if last is not None and last.kind is BEGUN else None
