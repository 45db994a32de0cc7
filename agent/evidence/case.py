"""An alert looked into: what is left of it, replayed, and in how far that is what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.config.assets import AssetConfig
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.evidence.incident import Incident, Replayed, incident, replayed
from agent.evidence.timeline import SHOWN
from agent.line.alert import Alert
from agent.line.event import AssetEvent
from agent.line.state import StateError
from agent.replay import TELEMETRY
from agent.shadow import versions
from agent.shadow.loading import JOURNAL, models_in_force
from agent.store import codec
from agent.store.journal import JournalReader, StoreError
from models import bundle as bundles
from models.bundle import Bundle, BundleError

_TRIES: Final = 3
"""A segment that is sealed while it is read is found as such at the next try."""


@dataclass(frozen=True, slots=True)
class Case:
    """An alert that was looked into, its asset as it is configured now, and the asset's model.

    `again` is None where it cannot be replayed, and `lost` says why.
    """

    incident: Incident
    said: AssetConfig
    bundle: Bundle
    again: Replayed | None
    lost: str

    @property
    def same(self) -> bool:
        """Whether every revision was replayed, to the byte."""
        return self.again is not None and self.again.revisions == self.incident.revisions

    def sentence(self) -> str:
        """Say how far the replay and the record agree."""
        if self.again is None:
            return f"It cannot be replayed: {self.lost}."
        assert self.incident.origin_ns is not None
        begin = codec.format_time(self.incident.origin_ns)[:19].replace("T", " ")
        steps = f"{len(self.incident.steps):,} steps"
        return f"Replayed from {begin} UTC on, {steps}: {agreement(self.again, self.incident.revisions)}."


def agreement(again: Replayed, recorded: tuple[bytes, ...]) -> str:
    """Say in how far a replay's revisions are those recorded."""
    why = f" ({again.stopped})" if again.stopped else ""
    if difference := again.difference(recorded):
        return (
            f"{difference}; some of the record may be missing, or another build of the agent or of its libraries, or "
            f"another kind of processor, judged it{why}"
        )
    count, of = len(again.revisions), len(recorded)
    same = "the same as recorded, byte for byte"
    if count < of:
        return f"the first {count} of {of} revisions are {same}; the steps end before the others{why}"
    return f"all {of} revisions are {same}" if of > 1 else f"its one revision is {same}"


def investigate(alert_id: str, config: Config, told: Callable[[str], None]) -> Case:
    """Gather what is left of an alert and replay it, `told` what is being done.

    Raise StoreError, BundleError, ConfigError.
    """
    told("reading the record")
    with closing(JournalReader.open(config.agent.state_dir / JOURNAL)) as journal:
        alert = journal.known(alert_id)
        if alert.asset not in config.assets:
            raise ConfigError((f"assets: there is no {alert.asset}, whose alert this is; name a file that has it",))
        said = config.assets[alert.asset]
        judged_by = journal.history(alert_id)[0].verdict.model_hash
        place = versions.path_of(config, alert.asset, judged_by) or models_in_force(config).get(alert.asset)
        if place is None:
            raise BundleError(f"{alert.asset} has no model any more: name the bundle in the configuration")
        bundle = bundles.load(place)
        found = _found(journal, config.agent.state_dir / TELEMETRY, alert, said)
    if judged_by != bundle.hash:
        lost = f"the model that judged it ({judged_by[:12]}) is no longer at {place}, where {bundle.hash[:12]} is"
        return Case(found, said, bundle, None, lost)
    if found.lost:
        return Case(found, said, bundle, None, found.lost)
    from models.runtime import Detector

    steps = len(found.steps)
    try:
        again = replayed(
            found.steps, found.tags, found.alert, Detector(bundle), found.begin_ns,
            lambda done: told(f"replaying: {done:,} of {steps:,} steps") if done % 500 == 0 else None,
        )
    except StateError as error:
        return Case(found, said, bundle, None, f"how the line stood before it does not fit this version: {error}")
    return Case(found, said, bundle, again, "")


def _found(journal: JournalReader, telemetry: Path, alert: Alert, said: AssetConfig) -> Incident:
    tags = tuple((tag.name, tag.unit) for tag in said.columns)
    for _ in range(_TRIES):
        try:
            found = incident(journal.revisions(alert.id), telemetry, tags, said.period_ms * 1_000_000)
        except FileNotFoundError:
            continue
        return replace(found, events=_events(journal, found))
    raise StoreError(f"{telemetry}: telemetry is being sealed or dropped; ask again")


def _events(journal: JournalReader, found: Incident) -> tuple[AssetEvent, ...]:
    """Return what happened to the asset in the time that is shown, or was said to be about the alert."""
    events = journal.events_of(found.alert.asset, SHOWN)
    return tuple(
        one for one in events if found.begin_ns <= one.time_ns <= found.end_ns or one.about == found.alert.id
    )
