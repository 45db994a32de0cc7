"""From the configuration to a running agent's parts: bundles, lines, links, stores."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent import view, wiring
from agent.archive import Archive
from agent.clock import Clock
from agent.config.advisories import rules_of
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.config.opcua import OpcuaConfig
from agent.daemon import STALL_NS, Agent
from agent.flash import FlashWear
from agent.line import rebaselining
from agent.line.advisory import Rule
from agent.line.assess import Detector
from agent.line.beside import BesideLine, memory_of_challenger
from agent.line.collecting import CollectingLine
from agent.line.grouping import Belonging, Grouping
from agent.line.lifecycle import Patience
from agent.line.likeness import PROTOTYPES_MAX, Prototype, prototype
from agent.line.line import Line, LineSettings
from agent.line.stage import Stage
from agent.line.verdict import Cause
from agent.line.withholding import KINDS, SuppressedWhen, withheld_by
from agent.notify import Notifier
from agent.reader import Reader
from agent.replay import TELEMETRY
from agent.shadow import versions
from agent.shadow.commissioning import Commissioning, Models
from agent.shadow.loading import JOURNAL, load_detectors, loaded_from, origins, usable
from agent.store.blocks import Beside, Layout, Start, Started
from agent.store.holes import Asked
from agent.store.journal import Journal, StoreError
from agent.store.loads import FILE as LOADS
from agent.store.loads import Loads
from agent.store.memories import Memories
from agent.store.telemetry import Retention, TelemetryLog
from agent.view import AssetInfo
from agent.worker import Renewal, Worker
from connectors.link import Link
from connectors.opcua.gaps import NOTHING_RECORDED, Recorded, Span
from models.bundle import BundleError

log = logging.getLogger(__name__)

MEMORIES = "memories"
LOCK = "lock"
SEARCHED_H_MAX = 720
"""How much of the record is searched for gaps: the start waits for it, 10 ms for an hour of 500 tags."""


AnyLine = Line | BesideLine | CollectingLine


def make_line(
    config: Config,
    asset: str,
    detector: Detector | None,
    start: Start,
    rules: tuple[Rule, ...] = (),
    challenger: Detector | None = None,
) -> AnyLine:
    """Return an asset's line, going on from where its alerts stood; without a detector it only collects.

    `rules` say what to check first. With a challenger, as `start` has it, that judges beside it.
    """
    settings = line_settings(config, asset, rules)
    if detector is None:
        return CollectingLine(
            asset, layout_of(config)[asset], settings, stage=start.stage, withheld=start.withheld,
            next_event=start.next_event,
        )  # fmt: skip
    champion = Line(
        asset,
        detector,
        settings,
        open_alert=start.open_alert,
        next_number=start.next_number,
        memory=start.memory,
        withheld=start.withheld,
        next_event=start.next_event,
        rebaselining=start.rebaselining,
        prototypes=start.prototypes,
        shadow=start.stage is Stage.SHADOW,
    )
    if challenger is None or start.challenger is None:
        return champion
    return BesideLine(champion, Line(
        asset,
        challenger,
        settings,
        open_alert=start.challenger.open_alert,
        next_number=start.challenger.next_number,
        memory=memory_of_challenger(start.memory, champion.watched.model_hash, challenger.hash),
        withheld=start.withheld,
        prototypes=start.prototypes,
        shadow=True,
        series=versions.series(asset, challenger.hash),
    ), start.memory)  # fmt: skip


def line_maker(config: Config) -> Callable[[str, Start], AnyLine]:
    """Return what makes lines for a replay; raise ConfigError, StoreError.

    Each is of the model that it had then, where that is still there, else of the one that the asset has now; without
    the challenger it had, where that is not there any more.
    """
    now, rules = load_detectors(config), rules_of(config)
    found: dict[str, Detector | None] = {detector.hash: detector for detector in now.values()}

    def detector(asset: str, model: str) -> Detector | None:
        if model not in found:
            path = versions.path_of(config, asset, model)
            found[model] = None if path is None else loaded_from(path)
        return found[model]

    def make(asset: str, start: Start) -> AnyLine:
        if start.stage in (Stage.COLLECTING, Stage.LEARNING):
            return make_line(config, asset, None, start, rules[asset])
        champion = detector(asset, start.model) if start.model else None
        beside = None if start.challenger is None else detector(asset, start.challenger.model)
        return make_line(config, asset, champion or now[asset], start, rules[asset], beside)

    return make


def line_settings(config: Config, asset: str, rules: tuple[Rule, ...]) -> LineSettings:
    """Return what an asset's line is told; `rules` say what to check first."""
    said = config.assets[asset]
    when = said.suppressed_when
    return LineSettings(
        said.alerts_per_s, said.on_delay_s, said.off_delay_s, periods_of(config, asset),
        tuple(math.inf if tag.max_rate is None else tag.max_rate for tag in said.columns),
        context=tuple((tag.name, tag.unit) for tag in said.columns if tag.use == "context"),
        suppressed_when=None if when is None else SuppressedWhen(when.tag, when.equals),
        consequence=said.consequence,
        symptoms=said.symptoms,
        cause_delay_s=said.cause_delay_s,
        hold_ns=_after_ns(said.hold_after_change_h) or 0,
        rules=rules,
        patience=Patience(_after_ns(said.escalate_after_h), _after_ns(said.realarm_after_h)),
    )


def _after_ns(hours: float) -> int | None:
    return int(hours * 3600e9) if hours else None


def periods_of(config: Config, asset: str) -> tuple[int, ...]:
    """Return how often each of an asset's tags is sampled, in ms, in the order of its columns."""
    said = config.assets[asset]
    return tuple(tag.period_ms or said.period_ms for tag in said.columns)


def layout_of(config: Config) -> Layout:
    """Return each asset's columns as (name, unit): those of its model in its order, and then the context tags."""
    return {name: tuple((tag.name, tag.unit) for tag in said.columns) for name, said in config.assets.items()}


def build(config: Config, clock: Clock, notifier: Notifier, *, speed: float = 1.0) -> Agent:
    """Return the agent that a configuration describes, not connected yet; raise ConfigError, StoreError."""
    wiring.only_simulators(config, speed)
    layout = layout_of(config)
    state = config.agent.state_dir
    journal = Journal(state / JOURNAL, clock.time_ns())  # first: it migrates and mends what says which models judge
    memories = Memories(state / MEMORIES)
    try:
        detectors, rules = load_detectors(config), rules_of(config)
        for name, origin in origins(config).items():
            log.info("model loaded", extra={"asset": name, "model": detectors[name].hash, "origin": origin})
        kin = _kin(config, detectors)
        starts = {name: _start(config, journal, memories, name, kin[name]) for name in config.assets}
        challengers = _challengers(config, starts)
        telemetry = TelemetryLog(
            state / TELEMETRY,
            layout,
            sync_interval_ns=int(config.agent.telemetry_sync_s * 1e9),
            keep=Retention(config.agent.telemetry_max_mb * 1_000_000, config.agent.telemetry_max_days * 86_400.0),
            started=Started(starts),
        )
    except (ConfigError, StoreError):
        journal.close()
        raise
    lines: dict[str, view.Line] = {
        name: make_line(config, name, detectors.get(name), start, rules[name], challengers.get(name))
        for name, start in starts.items()
    }
    worker = Worker(lines, journal, telemetry, clock, memories=memories, grouping=_grouping(config, starts), kin=kin)
    columns = {name: line.tags for name, line in lines.items()}
    archive = Archive(telemetry, clock)
    recorded = _recorded(config, archive, clock.time_ns(), speed)
    readers = [
        Reader(
            name,
            _link(config, name, clock, speed, recorded.get(name, NOTHING_RECORDED)),
            wiring.routes(config, name, columns),
            wiring.period_ns(config, name),
            worker,
            clock,
        )
        for name in config.connections
    ]
    return Agent(
        assets=[_info(config, name, rules[name]) for name in config.assets],
        lines=lines,
        readers=readers,
        devices={
            name: (said.protocol, str(wiring.endpoint(config, name)))
            for name, said in config.connections.items()
        },
        worker=worker,
        journal=journal,
        telemetry=telemetry,
        archive=archive,
        commissioning=Commissioning(
            config, journal, worker, clock, {name: line_settings(config, name, rules[name]) for name in config.assets},
            lambda asset, models: _renewal(config, journal, memories, asset, models, rules[asset]),
            {name: Models(start.model, None if start.challenger is None else start.challenger.model)
             for name, start in starts.items() if name in detectors},
        ),
        wear=FlashWear(clock, card_bytes=config.agent.flash_gb * 1e9, cycles=config.agent.flash_cycles),
        loads=Loads(state / LOADS),
        config_file=config.file,
        clock=clock,
        notifier=notifier,
        stall_ns=int(STALL_NS * max(speed, 1.0)),
    )


def _info(config: Config, asset: str, rules: tuple[Rule, ...]) -> AssetInfo:
    said = config.assets[asset]
    bundle = None if said.bundle is None else str(said.bundle)
    tags = tuple((tag.name, tag.unit) for tag in said.columns)
    modes = tuple(dict.fromkeys(rule.advisory.failure_mode for rule in rules if rule.cause is Cause.MACHINE))
    return AssetInfo(asset, tags, said.period_ms, said.budget, bundle, periods_of(config, asset), modes)


@contextmanager
def sole_owner(state_dir: Path) -> Iterator[None]:
    """Hold a state directory for this process; raise StoreError where another agent has it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"{state_dir}: cannot be used: {error.strerror}; "
            "name a folder that can be written as agent.state_dir"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(
            f"{state_dir}: another forewarn runs with this state_dir; stop it, or give each its own"
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def is_owned(state_dir: Path) -> bool:
    """Whether an agent holds a state directory, as far as may be seen; touches nothing."""
    try:
        handle = os.open(state_dir / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _renewal(
    config: Config, journal: Journal, memories: Memories, asset: str, models: Models, rules: tuple[Rule, ...]
) -> Renewal:
    """Return how an asset's line is made anew of its models; raise BundleError."""
    champion = usable(config, asset, models.champion)
    challenger = None if models.challenger is None else usable(config, asset, models.challenger)

    def make() -> tuple[Start, AnyLine]:
        start = _start(config, journal, memories, asset, (asset,))
        if challenger is None:
            start = replace(start, challenger=None)
        return start, make_line(config, asset, champion, start, rules, challenger)

    return make


def _challengers(config: Config, starts: dict[str, Start]) -> dict[str, Detector]:
    """Return the detectors of the challengers; an asset whose challenger cannot be used starts without it."""
    found: dict[str, Detector] = {}
    for name, start in starts.items():
        if start.challenger is None:
            continue
        try:
            found[name] = usable(config, name, start.challenger.model)
        except BundleError:  # commissioning finds it missing, and tells why
            starts[name] = replace(start, challenger=None)
    return found


def _kin(config: Config, detectors: Mapping[str, Detector]) -> dict[str, tuple[str, ...]]:
    """Return for each asset those of the same bundle, itself included: they share what people labelled."""
    hashes = {name: detector.hash for name, detector in detectors.items()}
    return {
        name: tuple(other for other in hashes if hashes[other] == hashes[name]) if name in hashes else (name,)
        for name in config.assets
    }


def _start(config: Config, journal: Journal, memories: Memories, asset: str, kin: Sequence[str]) -> Start:
    """Return how an asset stands: of each kind of event that withholds its alerts, or ends that, the last counts."""
    last = [journal.last_event(asset, kinds) for kinds in KINDS.values()]
    withheld = tuple(way for event in last if event is not None and (way := withheld_by(event)) is not None)
    now = versions.standing(config, asset, journal)
    beside = None
    if now.model is not None and now.challenger is not None:
        series = versions.series(asset, now.challenger)
        beside = Beside(now.challenger, journal.next_number(series), journal.open_alert(series))
    return Start(
        journal.next_number(asset),
        journal.open_alert(asset),
        memories.load(asset),
        withheld,
        journal.next_event(asset),
        rebaselining.running(journal.last_event(asset, rebaselining.KINDS)),
        _prototypes(journal, kin),
        now.stage,
        now.model or "",
        beside,
    )


def _prototypes(journal: Journal, assets: Sequence[str]) -> tuple[Prototype, ...]:
    """Return what people labelled of these assets, the newest label last."""
    labelled = [alert for asset in assets for alert in journal.labelled(asset, limit=PROTOTYPES_MAX)]
    labelled.sort(key=lambda alert: (alert.label.time_ns if alert.label else 0, alert.id))
    return tuple(one for alert in labelled if (one := prototype(alert)) is not None)[-PROTOTYPES_MAX:]


def _grouping(config: Config, starts: Mapping[str, Start]) -> Grouping:
    return Grouping(
        {name: Belonging(said.group, said.connections) for name, said in config.assets.items()},
        int(config.agent.group_window_s * 1e9),
        [one for start in starts.values() if (one := start.open_alert) is not None and not one.shadow],
    )


def _recorded(config: Config, archive: Archive, now_ns: int, speed: float) -> dict[str, Recorded]:
    """Return what was recorded of the connections whose outages are to be filled, by their source times."""
    asked = {}
    for name, said in config.connections.items():
        if not isinstance(said, OpcuaConfig) or said.history == "off":
            continue
        tags: dict[str, list[tuple[str, str]]] = {}
        for asset, tag in wiring.tags_of(config, name):
            tags.setdefault(asset, []).append((tag.name, tag.unit))
        since_ns = now_ns - int(min(said.history_max_h, SEARCHED_H_MAX) * 3.6e12)
        asked[name] = Asked(tags, since_ns, wiring.longest_silence_ns(config, name, speed))
    try:
        found = archive.holes(asked) if asked else {}
    except StoreError as error:
        log.warning("what was missed before this start is not filled", extra={"error": str(error)})
        return {}
    return {name: Recorded(one.until_ns, tuple(Span(*hole) for hole in one.holes)) for name, one in found.items()}


def _link(config: Config, connection: str, clock: Clock, speed: float, recorded: Recorded) -> Link:
    where = wiring.endpoint(config, connection, speed=speed)
    tags = [tag for _, tag in wiring.tags_of(config, connection)]
    return wiring.link(where, tags, clock, f"{socket.gethostname()} {connection}", recorded)


