"""The heart without people: rows in, and when its alarm comes and goes; for looking back, where nobody acknowledges."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from agent.line.advise import Change, Delays, Watch
from agent.line.alert import AlarmEvent
from agent.line.assess import Assessment, Assessor, Detector
from agent.line.memory import Remembered
from agent.line.spans import Span, covers
from agent.line.window import Grid
from connectors.frame import Bools, Int64s


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
    ) -> None:
        """Begin with the learnt reference; without `adapt` benign wander counts as evidence, too.

        In the spans `withheld` (as agent.line.spans.union returns them) the asset's alerts were kept from people: no
        alarm is raised.
        """
        self._detector, self._alerts_per_s, self._delays, self._adapt = detector, alerts_per_s, delays, adapt
        self._withheld_spans = withheld
        self.raised = False
        """Whether the alarm stands."""
        self._seen = False
        self._begin(None, ())

    def take(self, grid: Grid) -> tuple[Assessment, list[Change]]:
        """Judge new rows, at least one; return what they are and how the alarm has changed."""
        self._seen = True
        assessment = self._assessor.update(grid)
        withheld = self.withheld(grid.time_ns)
        changes = self._watch.changes(assessment, withheld if withheld.any() else None)
        if changes:
            self.raised = changes[-1].event is not AlarmEvent.RETURN
        return assessment, changes

    def withheld(self, times_ns: Int64s) -> Bools:
        """Return at which times i64[N] alerts were withheld, bool[N]: such a row was judged, and nobody watched."""
        return covers(self._withheld_spans, times_ns)

    def restart(self, wander: Remembered | None = None) -> None:
        """Go on as a line does after the agent was started: it remembers its alarm, how that has come and gone, and how
        far the asset has drifted.

        One that has seen nothing yet knows the latter from a `wander` that was remembered.
        """
        self._begin(self._assessor.wander if self._seen else wander, self._watch.chatter)

    def fork(self) -> Vigil:
        """Return another one that goes on from here by itself."""
        return copy.deepcopy(self, {id(self._detector): self._detector})

    def _begin(self, wander: Remembered | None, chatter: Sequence[float]) -> None:
        self._assessor = Assessor(self._detector, self._alerts_per_s, adapt=self._adapt, diagnosable=False)
        if wander is not None:
            self._assessor.restore(wander)
        self._watch = Watch(self._delays, raised=self.raised, chatter=chatter)
