"""Two models on the same rows: the champion, which people are told of, and a challenger that judges beside it."""

from __future__ import annotations

from dataclasses import replace

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
from agent.line.memory import Memory, Remembered
from agent.line.watched import Watched
from connectors.frame import Frame


class BesideLine:
    """A line of an asset with a challenger beside its champion; all that the former does is raise alerts in shadow."""

    def __init__(self, champion: Line, challenger: Line, memory: Memory | None = None) -> None:
        """Begin with the line that people are told of, and one in shadow whose alerts are numbered apart.

        A `memory` says whether the trial goes on from before a restart.
        """
        self.asset, self.tags = champion.asset, champion.tags
        self._champion, self._challenger = champion, challenger
        kept = _kept(memory, champion.watched.model_hash, challenger.watched.model_hash)
        self._champion_before_s = kept[0] if kept else champion.watched.judged_s
        """For how long the champion had judged when the trial began."""
        self.snapshot = self._shown()

    @property
    def memory(self) -> Memory | None:
        """What is to be kept of the asset over a restart: what the champion remembers, and how far the trial is."""
        kept, beside = self._champion.memory, self._challenger.memory
        if kept is None or beside is None or beside.watch is None:
            return kept
        return replace(kept, trial=replace(beside.watch, state=(self._champion_before_s, *beside.watch.state)))

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
        """Show what the last step has led to: the champion's, and for how long both have judged in the trial."""
        self._champion.publish()
        self._challenger.publish()
        self.snapshot = self._shown()

    def _shown(self) -> Snapshot:
        champion, challenger = self._champion.watched, self._challenger.watched
        in_trial = Watched(champion.model_hash, challenger.since_ns, champion.judged_s - self._champion_before_s)
        return replace(self._champion.snapshot, trial=(in_trial, challenger))


def memory_of_challenger(memory: Memory | None, champion: str, challenger: str) -> Memory | None:
    """Return what a challenger, named by its hash, goes on from after a restart: its trial beside the same champion.

    A memory without one says that the asset is not new.
    """
    if memory is None:
        return None
    state = _kept(memory, champion, challenger)
    return Memory(memory.time_ns, None, None, Remembered(challenger, state[1:]) if state else None)


def _kept(memory: Memory | None, champion: str, challenger: str) -> tuple[float, ...]:
    """Return the trial of two models, nothing where it was beside another champion: it begins anew."""
    if memory is None or memory.trial is None or memory.watch is None or memory.watch.model_hash != champion:
        return ()
    return memory.trial.of(challenger)
