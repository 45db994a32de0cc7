"""Deliberation: a slight deviation whose cause is not clear yet waits for it, since an alert opens with the cause.

Where evidence is only just above its limit, a sensor that is a little off and a machine that begins to fail look alike.
Hours later the one has moved no other tag and the other has. What grows large in the meantime does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import numpy as np

from agent.line.assess import Assessment, Detector
from agent.line.cause import Opinion
from agent.line.diagnose import opinion_of
from agent.line.verdict import Cause

CLEAR_MIN: Final = 0.9
"""A cause is clear from this probability on."""
LOOKS: Final = 16
"""So often the cause is looked at within the delay."""
AGREED: Final = 3
"""So many looks, one after another, must name the same cause clearly."""
GRAVE: Final = 5.2
"""What has this evidence for the on delay is an alert at once."""


OpinionOf = Callable[[int], Opinion | None]
"""Tells the cause of a new row of an assessment, None where it does not deviate."""


class Opinions:
    """What is thought of the cause of rows that deviate."""

    def __init__(self, detector: Detector, symptoms: Collection[str]) -> None:
        """Begin with the model that judges the rows, and the names of the tags that are measured to see faults."""
        self._detector = detector
        self.symptoms = np.array([tag.name in symptoms for tag in detector.manifest.tags], np.bool_)
        """The same tags, bool[C]."""

    def of(self, assessment: Assessment) -> OpinionOf:
        """Return what tells the causes of an assessment's rows, one by one: each costs something."""
        return partial(opinion_of, assessment, detector=self._detector, symptoms=self.symptoms)


class Deliberation:
    """Waits for the cause of one deviation, for `delay_rows` at most; 0 for not at all.

    CLEAR_MIN and AGREED were chosen on simulated machines that fail within 12 to 72 hours: with a delay of six hours 55
    causes of 57 were right, and 46 without one (seeds 300 and 301). GRAVE was chosen on others (30000 to 45020): with
    5.0 the pressure at a seal that leaks was told while it was alone, an hour before the flow fell.
    """

    def __init__(self, delay_rows: int, on_rows: int) -> None:
        self._delay_rows, self._on_rows = delay_rows, on_rows
        self._every = max(delay_rows // LOOKS, 1)
        self.waits = False
        self.rows = 0
        """For so many rows, judged or not, the deviation has stood."""
        self._due = self._next_look = self._deviating_rows = self._grave_rows = self._agreed = 0
        self._cause: Cause | None = None

    def begin(self, since_rows: int) -> bool:
        """Note a deviation that has stood for so many rows; return whether it waits."""
        self.waits, self.rows = self._delay_rows > 0 and not self._is_grave, since_rows
        self._due, self._next_look, self._agreed = since_rows + self._delay_rows, since_rows, 0
        return self.waits

    def see(self, evidence: float) -> None:
        """Take a judged row in, of a deviation that waits or of what may become one."""
        self._grave_rows = self._grave_rows + 1 if evidence >= GRAVE else 0
        self._deviating_rows = self._deviating_rows + 1 if evidence >= 1.0 else 0

    def lose_sight(self) -> None:
        """Note that what is seen from now on does not follow on the rows before."""
        self._grave_rows = self._deviating_rows = 0

    def over(self) -> None:
        """Note that the deviation is an alert, or is no more."""
        self.waits = False

    def is_due(self, opinion: Callable[[], Opinion | None]) -> bool:
        """Return whether people are to be told in the row that was seen last. `opinion` tells its cause.

        What was well or out of sight in between has to deviate for the on delay again: the first rows of a deviation
        say little of it.
        """
        if self._deviating_rows < self._on_rows:
            return False
        if self.rows >= self._due or self._is_grave:
            return True
        if self.rows < self._next_look:
            return False
        self._next_look = self.rows + self._every
        return self._agrees(opinion())

    @property
    def _is_grave(self) -> bool:
        return self._grave_rows >= self._on_rows

    def _agrees(self, opinion: Opinion | None) -> bool:
        """Return whether the looks up to this one agree on a cause; one that a rule tells without odds is clear.

        One symptom alone is not: hours later either its sensor is far off, or the machine has moved something else.
        """
        if opinion is None or (opinion.probability is not None and opinion.probability - opinion.alone < CLEAR_MIN):
            self._agreed = 0
            return False
        self._agreed = self._agreed + 1 if self._agreed and opinion.cause is self._cause else 1
        self._cause = opinion.cause
        return self._agreed >= AGREED
