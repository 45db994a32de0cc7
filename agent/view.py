"""What the API and the daemon ask of a line: Protocols declared here, by those who use them.

The API sees immutable snapshots, the journal and the telemetry log, and may put a command into a bounded
queue; that is the only road from a person to the state of an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agent.archive import ArchiveHealth
from agent.flash import Wear
from agent.ledger.account import Account
from agent.line.alert import Alert, Command, Withheld
from agent.line.event import Entry
from agent.line.memory import Memory
from agent.line.quality import Quality
from agent.line.rebaselining import Progress
from agent.line.stage import Stage
from agent.line.verdict import Verdict
from agent.line.watched import Watched
from agent.rehearsal.achieved import Achieved
from agent.rehearsal.finding import Drill
from agent.shadow.comparison import Comparison
from agent.shadow.standing import Collected, Standing
from agent.shadow.versions import Version
from agent.store.journal import AlertFilter, EventFilter, EventPage, Page
from agent.store.series import Series
from agent.store.telemetry import TelemetryHealth
from connectors.frame import Frame, Tag
from connectors.link import LinkHealth
from connectors.load import Load


class TagReading(Protocol):
    """The newest value of one tag."""

    @property
    def tag(self) -> str:
        """Its name."""

    @property
    def unit(self) -> str:
        """Its unit."""

    @property
    def value(self) -> float:
        """The value in its unit, NaN where the status is Bad."""

    @property
    def status(self) -> int:
        """The OPC UA status code."""

    @property
    def time_ns(self) -> int:
        """When it was measured, UTC."""


class Snapshot(Protocol):
    """One asset as it stood after a step; never changes."""

    @property
    def stage(self) -> Stage:
        """How far the asset is on the way to alerts that people see."""

    @property
    def time_ns(self) -> int:
        """When it was made, UTC."""

    @property
    def verdict(self) -> Verdict | None:
        """The newest verdict, None before the first."""

    @property
    def alert(self) -> Alert | None:
        """The open alert that people are shown."""

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """What keeps the asset's alerts from people, now or at a time to come."""

    @property
    def readings(self) -> Sequence[TagReading]:
        """The newest value of each tag."""

    @property
    def rows(self) -> int:
        """How many rows were judged."""

    @property
    def rows_late(self) -> int:
        """How many rows came too late for their place on the grid."""

    @property
    def clock_steps(self) -> int:
        """How often a clock was seen to step."""

    @property
    def quality(self) -> Quality:
        """What is known of its tags' samples."""

    @property
    def rebaselining(self) -> Progress | None:
        """How far it is where the level of some tags is being learnt anew, None where none is."""

    @property
    def levels(self) -> tuple[str, ...]:
        """The tags that have a level of their own in the model that judges it, none without one."""

    @property
    def switches(self) -> tuple[str, ...]:
        """The tags that switch between a few values in that model."""

    @property
    def watched(self) -> Watched | None:
        """For how long its model has judged it, None without one."""

    @property
    def trial(self) -> tuple[Watched, Watched] | None:
        """For how long champion and challenger have judged it since there are both, None without a challenger."""


class Line(Protocol):
    """The sole owner of one asset."""

    @property
    def asset(self) -> str:
        """The asset's name."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of its tags, in the order of the columns."""

    @property
    def snapshot(self) -> Snapshot:
        """What everyone may see."""

    @property
    def memory(self) -> Memory | None:
        """What is to be kept of the asset over a restart, None before its first row."""

    def state(self) -> bytes:
        """Return all that its next alerts come from, beside frames and commands; empty where that cannot be kept."""

    def submit(self, command: Command) -> bool:
        """Take a command for the next step; False where the queue is full."""

    def step(self, frame: Frame, now_ns: int) -> list[Entry]:
        """Take new rows; return the new revisions of alerts and events, in order."""

    def publish(self) -> None:
        """Show what the steps so far have led to; called once their alerts are on disk."""


class Link(Protocol):
    """One supervised connection; `read` never raises for a fault of the wire."""

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags it reads, in the order of its columns."""

    @property
    def health(self) -> LinkHealth:
        """How it is."""

    def take_load(self) -> Load:
        """Return what was asked of the device since the last call, or since the start."""

    async def read(self) -> Frame:
        """Read what is new; Bad rows where nothing can be read."""

    async def recover(self) -> Frame:
        """Read rows of a past outage, from the device's own history; none where there are no more."""

    async def close(self) -> None:
        """Let go of the wire."""


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """What is configured for one asset; `tags` are (name, unit) in the order of the columns.

    `periods_ms` are those of the tags; empty where all have that of the asset. `failure_modes` are those of ISO 14224
    that its advisories name ("VIB, vibration").
    """

    name: str
    tags: tuple[tuple[str, str], ...]
    period_ms: int
    budget: str
    bundle: str | None
    periods_ms: tuple[int, ...] = ()
    failure_modes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One connection: what it is, how it is, and what was lost of it.

    `ticks_missed` counts reads that were due while another still ran, `frames_dropped` frames that found the
    queue to the lines full.
    """

    name: str
    protocol: str
    device: str
    tags: int
    period_ms: int
    health: LinkHealth
    ticks_missed: int
    frames_dropped: int


@dataclass(frozen=True, slots=True)
class HistorianInfo:
    """How the telemetry is kept: the log, what is sealed, how much at most, and what is written to the card."""

    telemetry: TelemetryHealth
    archive: ArchiveHealth
    bytes_max: int
    age_max_s: float
    wear: Wear


class Submitted(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    QUEUE_FULL = "queue_full"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the agent watches and can keep what it sees; `reasons` say why not."""

    reasons: tuple[str, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """True where there is no reason against it."""
        return not self.reasons


class AgentView(Protocol):
    """The agent as the API sees it.

    Each method may be called from any thread and waits for disk at most; `evidence` waits in the event loop, for long.
    """

    @property
    def assets(self) -> Sequence[AssetInfo]:
        """What is configured, in the order of the file."""

    def now_ns(self) -> int:
        """Return the time, UTC."""

    def snapshot(self, asset: str) -> Snapshot:
        """Return the newest snapshot of a configured asset."""

    def connections(self) -> Sequence[ConnectionInfo]:
        """Return how the connections are."""

    def readiness(self) -> Readiness:
        """Return whether the agent does its work."""

    def submit(self, asset: str, command: Command) -> Submitted:
        """Queue a command for the next step of an asset's line."""

    def commands_dropped(self, asset: str) -> int:
        """Return how many commands for a configured asset found the queue full."""

    def alerts(self, where: AlertFilter, *, limit: int, before: int | None) -> Page:
        """List alerts, the newest first; raise StoreError."""

    def alert(self, alert_id: str) -> Alert | None:
        """Return the latest revision of an alert; raise StoreError."""

    def history(self, alert_id: str) -> Sequence[Alert]:
        """Return all revisions of an alert; raise StoreError."""

    def labelled(self, asset: str, limit: int) -> Sequence[Alert]:
        """Return the alerts of an asset that people have labelled, the one labelled last first; raise StoreError."""

    def account(self, asset: str, since_ns: int | None, until_ns: int) -> Account:
        """Return what came of a configured asset's alerts for since <= time < until (None: ever); raise StoreError."""

    def last_drill(self, asset: str) -> Drill | None:
        """Return the last fire drill of a configured asset, None where there was none; raise StoreError."""

    def standing(self, asset: str) -> Standing:
        """Return the stage of a configured asset and the model that judges it; raise StoreError."""

    def versions(self, asset: str) -> Sequence[Version]:
        """Return the models of a configured asset; raise StoreError."""

    def unusable(self, asset: str, model: str) -> str | None:
        """Return why a model of a configured asset could not judge it as it is configured, None where it could."""

    def trial(self, asset: str) -> tuple[Comparison | None, Achieved | None]:
        """Return how the challenger of a configured asset does, and how its promoted model does; raise StoreError."""

    def collected(self, asset: str) -> Collected:
        """Return how much of a configured asset is recorded, and how much is needed; raise StoreError."""

    def events(self, where: EventFilter, *, limit: int, before: int | None) -> EventPage:
        """List events of assets, the newest first; raise StoreError."""

    def series(
        self, asset: str, tags: Sequence[str], since_ns: int, until_ns: int, points_max: int
    ) -> Series:
        """Summarise recorded telemetry; raise StoreError."""

    async def evidence(self, alert_id: str) -> bytes:
        """Return the evidence of an alert as one signed file; raise EvidenceError, StoreError."""

    def telemetry_health(self) -> TelemetryHealth:
        """Return what was written and lost of the telemetry."""

    def historian(self) -> HistorianInfo:
        """Return how the telemetry is kept, and what that costs the card."""

    def queue(self) -> tuple[int, int]:
        """Return how many frames wait to be judged, and how many can."""
