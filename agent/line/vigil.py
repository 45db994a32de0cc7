"""The heart without people: rows in, and when its alarm comes and goes; for looking back, where nobody acknowledges."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import numpy as np

from agent.line.advise import Change, Delays, Watch
from agent.line.alert import AlarmEvent, Alert
from agent.line.assess import Assessment, Assessor, Detector
from agent.line.deliberation import Opinions
from agent.line.event import AssetEvent, EventLog
from agent.line.likeness import Familiar, Labels, Signatures
from agent.line.memory import Remembered
from agent.line.rebaselining import Rebaselining
from agent.line.spans import Span, covers
from agent.line.window import Grid
from connectors.frame import Bools, Int64s
from models.baseline import ROWS


class Vigil:
    """Judges the rows of one asset within an alarm budget, as its line does; says nothing of what is wrong."""

    def __init__(
        self,
        detector: Detector,
        alerts_per_s: float,
        delays: Delays,
        *,
        adapt: bool = True,
        withheld: Sequence[Span] = (),
        labelled: Sequence[Alert] = (),
        symptoms: Collection[str] = (),
    ) -> None:
        """Begin with the learnt reference; without `adapt` benign wander counts as evidence, too.

        In the spans `withheld` (as agent.line.spans.union returns them) the asset's alerts were kept from people: no
        alarm is raised. Nor is one for what was `labelled` normal, from then on and while it is no larger; these are
        alerts as they stood when they were labelled. The tags `symptoms` tell the cause, where alarms wait for it.
        """
        self._detector, self._alerts_per_s, self._delays, self._adapt = detector, alerts_per_s, delays, adapt
        self._withheld_spans = withheld
        self._opinions = Opinions(detector, symptoms)
        self._labels, self._signatures = Labels(labelled), Signatures(detector)
        self.raised = False
        """Whether the alarm stands."""
        self._seen = False
        self._begun: AssetEvent | None = None
        self._begin(None, ())

    def take(self, grid: Grid) -> tuple[Assessment, list[Change]]:
        """Judge new rows, at least one; return what they are and how the alarm has changed."""
        self._seen = True
        assessment = self._assessor.update(grid)
        if self._rebaselining.follow(int(grid.time_ns[-1])):
            self._begun = None
        withheld = self.withheld(grid.time_ns)
        changes = self._alarms(assessment, grid.time_ns, withheld if withheld.any() else None)
        if changes:
            self.raised = changes[-1].event is not AlarmEvent.RETURN
        return assessment, changes

    @property
    def rebaselines(self) -> bool:
        """Whether the level of some tags is being learnt anew, so that these are not judged."""
        return self._begun is not None

    def rebaseline(self, tags: Sequence[str], now_ns: int) -> None:
        """Learn anew where some tags stand, from the rows to come, as a line does that is told to."""
        if begun := self._rebaselining.begin(tags, "", "", now_ns):
            (self._begun,) = begun

    def rows_at_once(self, grid: Grid) -> int:
        """Return how many new rows may be taken together: what is learnt from them is used for the next ones."""
        baseline, until_ns = self._assessor.baseline, self._rebaselining.until_ns
        if until_ns is None:
            return grid.rows
        usable = np.flatnonzero(grid.good[:, baseline.learning].all(1))[ROWS - baseline.rows - 1 :]
        over = np.flatnonzero(grid.time_ns >= until_ns)
        return min([int(rows[0]) + 1 for rows in (usable, over) if len(rows)], default=grid.rows)

    @property
    def deviates(self) -> bool:
        """Whether a deviation stands: an alarm, one that waits for its cause, or a pattern that was labelled normal."""
        return self._watch.deviates

    def withheld(self, times_ns: Int64s) -> Bools:
        """Return at which times i64[N] alerts were withheld, bool[N]: such a row was judged, and nobody watched."""
        return covers(self._withheld_spans, times_ns)

    def restart(self, wander: Remembered | None = None) -> None:
        """Go on as a line does after the agent was started: it remembers its alarm, how that has come and gone, how
        far the asset has drifted, and where its tags stand; what was being learnt anew is begun again.

        One that has seen nothing yet knows how far, and where, from a `wander` that was remembered.
        """
        self._begin(self._assessor.wander if self._seen else wander, self._watch.chatter)

    def fork(self) -> Vigil:
        """Return another one that goes on from here by itself."""
        shared = self._detector, self._opinions, self._labels, self._signatures
        return copy.deepcopy(self, {id(one): one for one in shared})

    def _alarms(self, assessment: Assessment, times_ns: Int64s, withheld: Bools | None) -> list[Change]:
        """Return how the alarm changes in new rows, but for patterns labelled normal that are no larger than then."""
        found, begin = [], 0
        for change in self._watch.changes(assessment, withheld, self._opinions.of(assessment)):
            found += self._outgrown(assessment, begin, change.row + 1, times_ns, withheld)
            begin = change.row + 1
            if self._familiar.stands:
                if change.event is AlarmEvent.RETURN:
                    self._familiar.over()
            elif change.event is AlarmEvent.RAISE and self._is_normal(assessment, change.row, times_ns):
                self._familiar.begin()
            else:
                found.append(change)
        return found + self._outgrown(assessment, begin, assessment.rows, times_ns, withheld)

    def _outgrown(
        self, assessment: Assessment, begin: int, end: int, times_ns: Int64s, withheld: Bools | None
    ) -> list[Change]:
        """Return the alarm that a pattern labelled normal has become in some rows, by the labels of the first of them.
        """
        if begin == end or not self._familiar.stands:
            return []
        known = self._labels.at(int(times_ns[begin]))
        row = self._familiar.outgrown(assessment, begin, end, withheld, self._signatures, known)
        return [] if row is None else [Change(row, AlarmEvent.RAISE, self._familiar.on_rows - 1)]

    def _is_normal(self, assessment: Assessment, row: int, times_ns: Int64s) -> bool:
        known, signature = self._labels.at(int(times_ns[row])), self._signatures.at(assessment, row)
        return known.normal(signature, self._signatures.model_hash) is not None

    def _begin(self, wander: Remembered | None, chatter: Sequence[float]) -> None:
        self._assessor = Assessor(
            self._detector, self._alerts_per_s, adapt=self._adapt, diagnosable=self._delays.cause_rows > 0
        )
        if wander is not None:
            self._assessor.restore(wander)
        self._watch = Watch(self._delays, raised=self.raised, chatter=chatter)
        self._familiar = Familiar(self._delays.on_rows)
        self._rebaselining = Rebaselining(self._detector, self._assessor.baseline, EventLog(""))
        if self._begun is not None:
            self._rebaselining.resume(self._begun)
