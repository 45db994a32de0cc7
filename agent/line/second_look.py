"""A second look at the cause while an alert stands: the longer a deviation lasts, the clearer it often is."""

from __future__ import annotations

from typing import Final

from agent.line.verdict import Cause, Verdict

CLEAR_MIN: Final = 0.8
"""A cause less probable than this is no reason to contradict what people were told."""
HELD_NS: Final = 600_000_000_000
"""For so long verdicts must agree on another cause before it is told."""


class SecondLook:
    """Watches the verdicts while an alert stands, and says when they have told another cause for long enough."""

    def __init__(self) -> None:
        self._cause: Cause | None = None
        self._since_ns = 0

    def forget(self) -> None:
        """Begin anew, for another alert."""
        self._cause = None

    def differs(self, told: Cause | None, verdict: Verdict) -> bool:
        """Take a verdict in; return whether another cause than that which was `told` has been clear for HELD_NS.

        A verdict that names no cause, or the communication, which is told by what is missing at the moment and no
        longer than that, changes nothing.
        """
        if verdict.cause in (None, Cause.COMMUNICATION):
            return False
        if verdict.cause is told or (verdict.cause_probability or 0.0) < CLEAR_MIN:
            self._cause = None
            return False
        if verdict.cause is not self._cause:
            self._cause, self._since_ns = verdict.cause, verdict.time_ns
        if verdict.time_ns - self._since_ns < HELD_NS:
            return False
        self._cause = None
        return True
