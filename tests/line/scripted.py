"""A line whose evidence a test dictates, and a small language to say what must come of it.

    Scenario(on_s=10, off_s=30).at(60).evidence(1.5).between(69, 200).wants(UNACKNOWLEDGED).holds()

Times are seconds, and rows: the period is one second. Commands at a time are given with the row of that time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.line import lifecycle
from agent.line.alert import Acknowledge, AlarmState, Alert, Command, Shelve, Unshelve
from agent.line.line import Line, LineSettings
from agent.line.memory import Memory
from connectors.frame import BAD_TIMEOUT, GOOD, Bools, Float32s, Frame
from models.bundle import Manifest, RegimeCard, Statistics, TagSchema
from models.calibrate import Calibration
from models.degradations import FAULTS
from models.experts import Experts
from models.features import GLOBALS, MOVING, POWERS, STATISTICS
from models.features import Reference as HeadReference
from models.frozen import NEVER
from models.modes import Modes
from models.regimes import Regimes
from models.remaining import RemainingModel
from models.scored_rows import Scores
from models.scores import MEMORIES, Reference
from models.scores import STATISTICS as BANK

START_NS = 1_790_000_000_123_456_789
SECOND_NS = 1_000_000_000


class ScriptedDetector:
    """A detector over one tag whose value is the evidence of its row; a missing value gives a row without score."""

    def __init__(self, remaining: RemainingModel | None = None) -> None:
        self.hash = "scripted"
        self.remaining = remaining
        self.manifest = Manifest(
            name="scripted",
            tags=(TagSchema("evidence", "1", "scored"),),
            period_ms=1000,
            faults=FAULTS,
            regimes=(RegimeCard("R1", "the only one", 1.0),),
            learnt_rows=0,
            learnt_from="",
            files={},
        )
        one = np.ones(1)
        # The logarithm of the score is the evidence; the other statistics are not used.
        every, used = np.ones(len(BANK)), np.arange(len(BANK)) == 0
        calibration = Calibration(every, np.e * every, 0 * every, every, every, used.astype(np.float64), np.ones(()))
        self.statistics = Statistics(
            np.zeros(1, np.int64),
            0 * one,
            one,
            Experts(Regimes(0 * one, 0 * one[None], one[None, None]), np.empty(0), np.empty(0)),
            Reference(np.ones((len(MEMORIES), 1, 1)), 0 * one),
            HeadReference(
                np.ones((POWERS, 1)),
                np.zeros((1, MOVING)),
                np.ones((1, MOVING)),
                np.zeros(STATISTICS),
                np.ones(STATISTICS),
            ),
            calibration,
            Modes((), (), ()),
            np.array([NEVER]),
        )

    def score(self, x: Float32s, mask: Bools, held: Bools | None = None) -> Scores:
        zeros = np.zeros(x.shape, np.float32)
        score = np.where(mask, np.exp(x.astype(np.float64)), np.nan)[:, 0]
        regime, coverage = np.zeros(len(x), np.int64), mask[:, 0].astype(np.float32)
        return Scores(score, regime, zeros, zeros, zeros, zeros, zeros, coverage)

    def judge(self, features: Float32s, whole: Float32s) -> tuple[Float32s, Float32s]:
        assert whole.shape == (len(features), GLOBALS)
        return np.zeros((len(features), 3), np.float32), np.zeros((*features.shape[:2], len(FAULTS)), np.float32)


def scripted_line(
    on_s: float = 10,
    off_s: float = 30,
    *,
    open_alert: Alert | None = None,
    number: int = 1,
    remaining: RemainingModel | None = None,
    memory: Memory | None = None,
) -> Line:
    settings = LineSettings(1e-6, on_s, off_s)
    detector = ScriptedDetector(remaining)
    return Line("pump", detector, settings, open_alert=open_alert, next_number=number, memory=memory)


def rows(values: Sequence[float], start_s: int = 0) -> Frame:
    """One frame with a row a second; NaN is a time-out."""
    column = np.array(values, np.float32)[:, None]
    time_ns = START_NS + (start_s + np.arange(len(values), dtype=np.int64)) * SECOND_NS
    return Frame.clean(time_ns, column, np.where(np.isnan(column), BAD_TIMEOUT, GOOD).astype(np.uint32))


def state_of(line: Line) -> AlarmState:
    return AlarmState.NORMAL if line.snapshot.alert is None else line.snapshot.alert.state


def is_shelved(line: Line) -> bool:
    return line.snapshot.alert is not None and lifecycle.shelf_of(line.snapshot.alert) is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """In each row from `first_s` to `last_s`, both included, `seen` of the line must be `wanted`."""

    first_s: int
    last_s: int
    seen: Callable[[Line], object]
    wanted: object


class Scenario:
    """What happens to a line, second by second, and what must come of it; between happenings all stays as it was."""

    def __init__(self, on_s: int = 10, off_s: int = 30) -> None:
        self._on_s, self._off_s = on_s, off_s
        self._evidence: dict[int, float] = {0: 0.5}
        self._commands: dict[int, list[Command]] = {}
        self._wishes: list[Wish] = []

    def at(self, time_s: int) -> At:
        return At(self, time_s, time_s)

    def between(self, first_s: int, last_s: int) -> At:
        return At(self, first_s, last_s)

    def run(self, chunk_rows: int = 1) -> list[Alert]:
        """Play it in frames of at most so many rows; check the wishes after each; return all revisions."""
        line = scripted_line(self._on_s, self._off_s)
        values = self._values()
        revisions: list[Alert] = []
        row = 0
        while row < len(values):
            for command in self._commands.get(row, ()):
                assert line.submit(command)
            end = min([row + chunk_rows, len(values), *(time for time in self._commands if time > row)])
            revisions += line.step(rows(values[row:end], row), START_NS + end * SECOND_NS)
            line.publish()
            row = end
            for wish in self._wishes:
                if wish.first_s <= end - 1 <= wish.last_s:
                    assert wish.seen(line) == wish.wanted, f"at {end - 1} s"
        return revisions

    def holds(self) -> list[Alert]:
        """Play it row by row and in larger frames; the same must come of it. Return all revisions."""
        revisions = self.run()
        for chunk_rows in (3, 7, 1000):
            assert timeless(self.run(chunk_rows)) == timeless(revisions)
        return revisions

    def _values(self) -> list[float]:
        last = max([wish.last_s for wish in self._wishes] + [*self._commands, *self._evidence])
        value, values = 0.0, []
        for time in range(last + 1):
            value = self._evidence.get(time, value)
            values.append(value)
        return values


@dataclass(frozen=True, slots=True)
class At:
    """A time of a scenario, about to be told what happens then or what must be so."""

    scenario: Scenario
    first_s: int
    last_s: int

    def evidence(self, value: float) -> Scenario:
        self.scenario._evidence[self.first_s] = value
        return self.scenario

    def blind(self) -> Scenario:
        self.scenario._evidence[self.first_s] = float("nan")
        return self.scenario

    def acknowledged(self, alert_id: str = "pump-1", by: str = "ada") -> Scenario:
        return self._told(Acknowledge(alert_id, by, self._time_ns(), "seen"))

    def shelved(self, until_s: int, alert_id: str = "pump-1") -> Scenario:
        until_ns = START_NS + until_s * SECOND_NS
        return self._told(Shelve(alert_id, "ada", self._time_ns(), until_ns, "spare part"))

    def unshelved(self, alert_id: str = "pump-1") -> Scenario:
        return self._told(Unshelve(alert_id, "ada", self._time_ns()))

    def wants(self, state: AlarmState) -> Scenario:
        return self._wish(state_of, state)

    def wants_shelf(self, there: bool) -> Scenario:
        return self._wish(is_shelved, there)

    def _wish(self, seen: Callable[[Line], object], wanted: object) -> Scenario:
        self.scenario._wishes.append(Wish(self.first_s, self.last_s, seen, wanted))
        return self.scenario

    def _told(self, command: Command) -> Scenario:
        self.scenario._commands.setdefault(self.first_s, []).append(command)
        return self.scenario

    def _time_ns(self) -> int:
        return START_NS + self.first_s * SECOND_NS


def timeless(revisions: Sequence[Alert]) -> list[tuple[object, ...]]:
    """What must not depend on how rows come: all but the time at which a revision was made."""
    return [
        (
            alert.id, alert.revision, alert.state, alert.priority, alert.message, alert.onset_time_ns,
            alert.raised_time_ns, alert.returned_time_ns, alert.peak_evidence, alert.acknowledgement, alert.withheld,
            alert.event, alert.by, alert.verdict,
        )
        for alert in revisions
    ]
