"""What was recorded of one asset, on the grid as its line saw it: part by part, and as often as wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from agent.config.assets import AssetConfig
from agent.ledger.history import History, history_of
from agent.line.advise import Change
from agent.line.alert import Alert, Rebaseline
from agent.line.assess import WINDOW_ROWS, Assessment, Detector
from agent.line.likeness import PROTOTYPES_MAX
from agent.line.memory import Remembered
from agent.line.rate_of_change import RateOfChange
from agent.line.source_clock import Redated
from agent.line.spans import Span, union
from agent.line.vigil import Vigil
from agent.line.window import Grid, Window
from agent.rehearsal.standing import Standing, standing
from agent.replay import TELEMETRY, recorded, telemetry_of
from agent.shadow.loading import JOURNAL
from agent.store import export, reading
from agent.store.blocks import Layout, Started
from agent.store.journal import StoreError, opened

PART_ROWS = 512
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the grid, one at least; `fresh` where the agent had just been started, with the `wander` it remembered.

    A line begins anew there. Where the tags `rebaselined` stand is learnt anew from these rows on.
    """

    grid: Grid
    fresh: bool = False
    wander: Remembered | None = None
    rebaselined: tuple[str, ...] = ()

    @property
    def first_ns(self) -> int:
        """The time of the first row, UTC."""
        return int(self.grid.time_ns[0])

    @property
    def last_ns(self) -> int:
        """The time of the last row, UTC."""
        return int(self.grid.time_ns[-1])

    def split(self, row: int) -> tuple[Part, Part]:
        """Return the rows before `row`, and those from it on; there must be some on either side."""
        time_ns, values, good = self.grid.time_ns, self.grid.values, self.grid.good
        after = Grid(time_ns[row:], values[row:], good[row:])
        return replace(self, grid=Grid(time_ns[:row], values[:row], good[:row])), Part(after)


@dataclass(frozen=True, slots=True)
class Record:
    """What `source` holds of an asset with since <= time < until, as `forewarn replay` takes it.

    `source` is a state directory, its telemetry, or a Parquet file; in the spans `withheld` nobody was to be told of
    alerts, and `labelled` are the alerts that its line was taught by, as `labels_of` returns them. `parts` raises
    StoreError where it holds none.
    """

    source: Path
    asset: str
    said: AssetConfig
    detector: Detector
    since_ns: int
    until_ns: int
    withheld: tuple[Span, ...] = ()
    labelled: tuple[Alert, ...] = ()

    @property
    def period_ns(self) -> int:
        """How far apart the rows of the grid are."""
        return self.detector.manifest.period_ms * 1_000_000

    def parts(self) -> Iterator[Part]:
        """Give the rows in the order they were taken, up to PART_ROWS or a few more at once.

        Where the clock of their source is wrong they are dated by the gateway's.
        """
        tags = self.detector.manifest.tags
        layout = {self.asset: tuple((tag.name, tag.unit) for tag in tags)}
        own_ns = [(tag.period_ms or self.said.period_ms) * 1_000_000 for tag in self.said.columns[: len(tags)]]
        rates = [math.inf if tag.max_rate is None else tag.max_rate for tag in self.said.columns[: len(tags)]]
        window, screen = Window(len(tags), self.period_ns, WINDOW_ROWS, own_ns), RateOfChange(rates, own_ns)
        redated = Redated()
        gathered, begun = _Gathered(self._standing(layout), fresh=True), False
        for event in recorded(self.source, layout, self.since_ns, self.until_ns):
            if isinstance(event, Started):
                if begun and (start := event.starts.get(self.asset)) is not None:
                    yield from gathered.part()
                    window, screen = Window(len(tags), self.period_ns, WINDOW_ROWS, own_ns), RateOfChange(rates, own_ns)
                    gathered = _Gathered(Standing.of(start), fresh=True)
                continue
            if event.recovered or not self.since_ns <= event.now_ns < self.until_ns:
                continue
            for command in event.commands:
                if isinstance(command, Rebaseline) and command.asset == self.asset:
                    yield from gathered.part()
                    gathered.rebaseline(command.tags)
            begun = True
            if event.frame.rows:
                redated.follow(int(event.frame.source_time_ns[-1]), event.now_ns)
            grid = window.push(screen.screen(event.frame)[0], event.now_ns)
            if grid.rows:
                gathered.add(Grid(redated.dated(grid.time_ns, event.now_ns), grid.values, grid.good))
            if gathered.rows >= PART_ROWS:
                yield from gathered.part()
        yield from gathered.part()

    def _standing(self, layout: Layout) -> Standing:
        """Return how the asset stood where the record begins; a Parquet file does not tell."""
        if not self.source.is_dir():
            return Standing()
        return standing(telemetry_of(self.source), self.asset, self.detector, layout, self.since_ns)


class _Gathered:
    """Rows that become the next part."""

    def __init__(self, stood: Standing, *, fresh: bool) -> None:
        self.rows = 0
        self._grids: list[Grid] = []
        self._fresh, self._wander, self._rebaselined = fresh, stood.wander, stood.tags

    def rebaseline(self, tags: tuple[str, ...]) -> None:
        """Let the tags be learnt anew from the next rows on."""
        self._rebaselined = tags

    def add(self, grid: Grid) -> None:
        if grid.rows:
            self._grids.append(grid)
            self.rows += grid.rows

    def part(self) -> Iterator[Part]:
        """Give what was gathered, if anything, and begin anew."""
        if not self.rows:
            return
        time_ns = np.concatenate([grid.time_ns for grid in self._grids])
        values = np.concatenate([grid.values for grid in self._grids])
        good = np.concatenate([grid.good for grid in self._grids])
        part = Part(Grid(time_ns, values, good), self._fresh, self._wander, self._rebaselined)
        self._grids, self.rows = [], 0
        self._fresh, self._wander, self._rebaselined = False, None, ()
        yield part


def judged(vigil: Vigil, part: Part) -> Iterator[tuple[Part, Assessment, list[Change]]]:
    """Let a vigil judge a part as its line would have; give what each piece of it is, and how the alarm has changed."""
    if part.fresh:
        vigil.restart(part.wander)
    if part.rebaselined:
        vigil.rebaseline(part.rebaselined, part.first_ns)
    rest = part
    while (rows := vigil.rows_at_once(rest.grid)) < rest.grid.rows:
        piece, rest = rest.split(rows)
        yield piece, *vigil.take(piece.grid)
    yield rest, *vigil.take(rest.grid)


def span(source: Path, asset: str) -> tuple[int, int]:
    """Return the first and the last time in a source, UTC ns; raise StoreError where it holds nothing of an asset."""
    spans = reading.spans(telemetry_of(source), asset) if source.is_dir() else union([export.span(source)])
    if not spans:
        raise StoreError(f"{source}: nothing of {asset} is recorded; name a state_dir or a Parquet file that has it")
    return spans[0][0], spans[-1][1]


def unknown_of(source: Path) -> str | None:
    """Return in one sentence what a record does not tell where it has no journal, None where it has one."""
    if _journal_of(source).is_file():
        return None
    said = "" if source.is_dir() else ", and nothing in it of what was re-baselined"
    return f"{source} has no journal beside it{said}: what was raised then, labelled and withheld is not known"


def past_of(source: Path, asset: str, period_ms: int, *, live: bool = True) -> History:
    """Return the history of an asset from what a state directory, its telemetry or a Parquet file has beside it."""
    with opened(_journal_of(source)) as journal:
        return history_of(journal, telemetry_of(source), asset, period_ms, live=live)


def labels_of(source: Path, detectors: Mapping[str, Detector], asset: str) -> tuple[Alert, ...]:
    """Return the labelled alerts beside a record of all assets with the model of one, as they stood when labelled."""
    kin = [name for name, detector in detectors.items() if detector.hash == detectors[asset].hash]
    with opened(_journal_of(source)) as journal:
        if journal is None:
            return ()
        labelled = [one for name in kin for one in journal.labelled(name, limit=PROTOTYPES_MAX)]
        lives = [journal.history(one.id) for one in labelled]
    return tuple(
        alert
        for life in lives
        for before, alert in pairwise((None, *life))
        if alert is not None and alert.label not in (None, before and before.label)
    )


def _journal_of(source: Path) -> Path:
    return (source.parent if source.name == TELEMETRY else source) / JOURNAL
