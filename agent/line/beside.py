"""Two models on the same rows: the champion, which people are told of, and a challenger that judges beside it."""

from __future__ import annotations

from agent.line.alert import (
    Alert,
    Command,
    EndHold,
    GiveLabel,
    Rebaseline,
    ReturnToService,
    SeeChange,
    TakeOutOfService,
    series_of,
)
from agent.line.event import Entry
from agent.line.lifecycle import is_open
from agent.line.line import Line, Snapshot
from agent.line.memory import Memory
from connectors.frame import Frame


class BesideLine:
    """A line of an asset with a challenger beside its champion; all that the former does is raise alerts in shadow."""

    def __init__(self, champion: Line, challenger: Line) -> None:
        """Begin with the line that people are told of, and one in shadow whose alerts are numbered apart."""
        self.asset, self.tags = champion.asset, champion.tags
        self._champion, self._challenger = champion, challenger

    @property
    def snapshot(self) -> Snapshot:
        """What everyone may see: the champion's."""
        return self._champion.snapshot

    @property
    def memory(self) -> Memory | None:
        """What is to be kept of the asset over a restart: what the champion remembers."""
        return self._champion.memory

    def state(self) -> bytes:
        """Return how the champion stands: the alerts that people were told of can be replayed from it."""
        return self._champion.state()

    def submit(self, command: Command) -> bool:
        """Queue a command for the next step.

        The challenger is told, too, what withholds the asset's alerts or was changed, and of labels of its own open
        alert.
        """
        if not self._champion.submit(command):
            return False
        match command:
            case TakeOutOfService() | ReturnToService() | SeeChange() | EndHold() | Rebaseline():
                self._challenger.submit(command)
            case GiveLabel(alert=Alert() as alert) if is_open(alert) and series_of(alert) == self._challenger.series:
                self._challenger.submit(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Entry]:
        """Let both take a frame in; return what the champion says, and the alerts that the challenger would raise."""
        entries = self._champion.step(frame, now_ns)
        beside = [entry for entry in self._challenger.step(frame, now_ns) if isinstance(entry, Alert)]
        # Of the events of the asset one account is enough, and of an alert that of the line whose it is.
        own = {alert.id for alert in beside}
        return [entry for entry in entries if entry.id not in own] + beside

    def publish(self) -> None:
        """Show what the last step has led to."""
        self._champion.publish()
        self._challenger.publish()
