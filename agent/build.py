"""From the configuration to a running agent's parts: bundles, lines, links, stores."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agent import wiring
from agent.archive import Archive
from agent.clock import Clock
from agent.config.advisories import rules_of
from agent.config.assets import AssetConfig
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.config.opcua import OpcuaConfig
from agent.daemon import STALL_NS, Agent
from agent.flash import FlashWear
from agent.line import rebaselining
from agent.line.advisory import Rule
from agent.line.assess import Detector
from agent.line.grouping import Belonging, Grouping
from agent.line.lifecycle import Patience
from agent.line.likeness import PROTOTYPES_MAX, Prototype, prototype
from agent.line.line import Line, LineSettings
from agent.line.withholding import KINDS, SuppressedWhen, withheld_by
from agent.notify import Notifier
from agent.reader import Reader
from agent.replay import TELEMETRY
from agent.store.blocks import Layout, Start, Started
from agent.store.holes import Asked
from agent.store.journal import Journal, StoreError
from agent.store.loads import FILE as LOADS
from agent.store.loads import Loads
from agent.store.memories import Memories
from agent.store.telemetry import Retention, TelemetryLog
from agent.trust import Trust
from agent.view import AssetInfo
from agent.worker import Worker
from connectors.link import Link
from connectors.opcua.gaps import NOTHING_RECORDED, Recorded, Span
from models import bundle as bundles
from models.bundle import BundleError

log = logging.getLogger(__name__)

JOURNAL = "journal.sqlite3"
MEMORIES = "memories"
LOCK = "lock"
SEARCHED_H_MAX = 720
"""How much of the record is searched for gaps: the start waits for it, 10 ms for an hour of 500 tags."""


def load_detectors(config: Config) -> dict[str, Detector]:
    """Load each asset's bundle, once for all that share it; raise ConfigError with everything that does not fit."""
    from models.runtime import Detector as LoadedDetector  # onnxruntime, which most commands need not wait for

    problems: list[str] = []
    detectors: dict[str, Detector] = {}
    loaded: dict[str, Detector] = {}  # by hash: a detector knows nothing of the assets, which are judged in turn
    trust = _trust(config)
    for name, asset in config.assets.items():
        try:
            bundle = bundles.load(asset.bundle)
            if refusal := trust.refusal(bundle):
                problems.append(f"assets.{name}.bundle: {asset.bundle}: {refusal}")
                continue
            detector = loaded.get(bundle.hash) or LoadedDetector(bundle)
            loaded[bundle.hash] = detector
        except BundleError as error:
            problems.append(f"assets.{name}.bundle: {error}")
            continue
        problems += [f"assets.{name}.{problem}" for problem in _misfits(asset, detector)]
        detectors[name] = detector
    if problems:
        raise ConfigError(tuple(problems))
    return detectors


def origins(config: Config) -> dict[str, str]:
    """Return who vouches for each asset's bundle, as far as it can be loaded."""
    trust, said = _trust(config), {}
    for name, asset in config.assets.items():
        with suppress(BundleError):
            said[name] = trust.origin(bundles.load(asset.bundle))
    return said


def _trust(config: Config) -> Trust:
    try:
        return Trust.of(config.agent)
    except BundleError as error:
        raise ConfigError((f"agent.state_dir: {error}",)) from error


def make_line(config: Config, asset: str, detector: Detector, start: Start, rules: tuple[Rule, ...]) -> Line:
    """Return an asset's line, going on from where its alerts stood; `rules` say what to check first."""
    said = config.assets[asset]
    when = said.suppressed_when
    settings = LineSettings(
        said.alerts_per_s, said.on_delay_s, said.off_delay_s, periods_of(config, asset),
        tuple(math.inf if tag.max_rate is None else tag.max_rate for tag in said.columns),
        context=tuple((tag.name, tag.unit) for tag in said.columns if tag.use == "context"),
        suppressed_when=None if when is None else SuppressedWhen(when.tag, when.equals),
        consequence=said.consequence,
        symptoms=tuple(tag.name for tag in said.tags if tag.symptom),
        hold_ns=_after_ns(said.hold_after_change_h) or 0,
        rules=rules,
        patience=Patience(_after_ns(said.escalate_after_h), _after_ns(said.realarm_after_h)),
    )
    return Line(
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
    )


def _scored(detector: Detector) -> tuple[str, ...]:
    return tuple(detector.manifest.tags[int(column)].name for column in detector.statistics.scored)


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
    detectors, rules = load_detectors(config), rules_of(config)
    for name, origin in origins(config).items():
        log.info("model loaded", extra={"asset": name, "model": detectors[name].hash, "origin": origin})
    layout = layout_of(config)
    state = config.agent.state_dir
    journal = Journal(state / JOURNAL, clock.time_ns())
    memories = Memories(state / MEMORIES)
    try:
        kin = _kin(detectors)
        starts = {name: _start(journal, memories, name, kin[name]) for name in detectors}
        telemetry = TelemetryLog(
            state / TELEMETRY,
            layout,
            sync_interval_ns=int(config.agent.telemetry_sync_s * 1e9),
            keep=Retention(config.agent.telemetry_max_mb * 1_000_000, config.agent.telemetry_max_days * 86_400.0),
            started=Started(starts),
        )
    except StoreError:
        journal.close()
        raise
    lines = {name: make_line(config, name, detectors[name], starts[name], rules[name]) for name in detectors}
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
        assets=[
            AssetInfo(
                name, layout[name], asset.period_ms, asset.budget, str(asset.bundle), periods_of(config, name),
                _scored(detectors[name]),
            )
            for name, asset in config.assets.items()
        ],
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
        wear=FlashWear(clock, card_bytes=config.agent.flash_gb * 1e9, cycles=config.agent.flash_cycles),
        loads=Loads(state / LOADS),
        clock=clock,
        notifier=notifier,
        stall_ns=int(STALL_NS * max(speed, 1.0)),
    )


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


def _kin(detectors: Mapping[str, Detector]) -> dict[str, tuple[str, ...]]:
    """Return for each asset those of the same bundle, itself included: they share what people labelled."""
    return {
        name: tuple(other for other, its in detectors.items() if its.hash == detector.hash)
        for name, detector in detectors.items()
    }


def _start(journal: Journal, memories: Memories, asset: str, kin: Sequence[str]) -> Start:
    """Return how an asset stands: of each kind of event that withholds its alerts, or ends that, the last counts."""
    last = [journal.last_event(asset, kinds) for kinds in KINDS.values()]
    withheld = tuple(way for event in last if event is not None and (way := withheld_by(event)) is not None)
    return Start(
        journal.next_number(asset),
        journal.open_alert(asset),
        memories.load(asset),
        withheld,
        journal.next_event(asset),
        rebaselining.running(journal.last_event(asset, rebaselining.KINDS)),
        _prototypes(journal, kin),
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
        [start.open_alert for start in starts.values() if start.open_alert is not None],
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


def _misfits(asset: AssetConfig, detector: Detector) -> Iterator[str]:
    """Tell where an asset's tags or period are not those its model was learnt on."""
    manifest = detector.manifest
    learnt = {tag.name: tag.unit for tag in manifest.tags}
    said = {tag.name: tag.unit for tag in asset.tags if tag.use == "model"}
    if unused := [tag.name for tag in asset.tags if tag.use == "context" and tag.name in learnt]:
        yield f'tags: the bundle was learnt with {", ".join(unused)}; remove use = "context", or learn one without'
        return
    if missing := [name for name in learnt if name not in said]:
        yield f"tags: the bundle was learnt with {', '.join(missing)}, not configured here; add them"
    if extra := [name for name in said if name not in learnt]:
        yield (
            f"tags: the bundle knows no {', '.join(extra)}; remove them, learn a bundle with them, "
            'or write use = "context" for what is only to be kept'
        )
    if not missing and not extra and list(said) != list(learnt):
        place, here, there = next((i, a, b) for i, (a, b) in enumerate(zip(said, learnt, strict=True)) if a != b)
        yield (
            f"tags[{place}]: is {here}, and the bundle was learnt with {there} in this place; "
            f"put the tags in its order: {', '.join(learnt)}"
        )
    for name in sorted(said.keys() & learnt.keys()):
        if said[name] != learnt[name]:
            yield (
                f'tags ({name}).unit: is "{said[name]}" and the bundle was learnt in "{learnt[name]}"; '
                "change the unit (with scale and offset), or learn it anew"
            )
    if asset.period_ms != manifest.period_ms:
        yield (
            f"period_ms: is {asset.period_ms} and the bundle was learnt at {manifest.period_ms}; "
            f"set it to {manifest.period_ms}, or learn it anew"
        )
