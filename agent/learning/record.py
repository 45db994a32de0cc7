"""From the agent's own record to a history that may be learnt from: judged anew, and taken through the quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.build import MEMORIES
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.history import History
from agent.learning import quarantine
from agent.learning.quarantine import LEARNABLE, REASONS, Int8s, Reason, Seen, Span, Standing
from agent.line.advise import Change, Delays
from agent.line.alert import AlarmEvent
from agent.line.event import AssetEvent
from agent.line.vigil import Vigil
from agent.rehearsal.record import Part, Record, span
from agent.shadow.loading import JOURNAL, detector_of, load_detectors
from agent.store.journal import JournalReader
from agent.store.memories import Memories
from connectors.frame import Bools, Float32s
from models.learn import LearnError

HOLE_ROWS_MAX: Final = 1000
"""More rows together that are left out end a stretch; fewer are missing values in it."""
_SETTLING: Final = REASONS.index(Reason.SETTLING)


@dataclass(frozen=True, slots=True)
class Judged:
    """N rows of the record: `seen`, `values` f32[N, C] (NaN missing), `regime` i16[N], `fresh` bool[N].

    The agent was started before a fresh row.
    """

    seen: Seen
    values: Float32s
    regime: npt.NDArray[np.int16]
    fresh: Bools
    alarms: tuple[Standing, ...]


def learnable(record: Record, *, thin: bool = False, progress: Callable[[float], None] = lambda _: None) -> History:
    """Return what of a record may be learnt from; its notes tell how much was left out, and why.

    Raise StoreError where nothing is recorded or the journal cannot be read, LearnError where too little is left. A
    `thin` history is taken all the same, and what it lacks is one of the notes.
    """
    alarms, events = _said(record)
    judged = _judge(record, events, progress)
    manifest = record.detector.manifest
    normal = quarantine.declared_normal(events)
    normal += [span for alarm in alarms if (span := alarm.declared_normal) is not None]
    reason = quarantine.reasons(judged.seen, _spans(judged, alarms, events), normal)
    may = reason == LEARNABLE
    of_regimes = np.bincount(judged.regime[may], minlength=len(manifest.regimes))
    days = int(may.sum()) * record.period_ns / quarantine.DAY_NS
    lacking = quarantine.lacking(
        days,
        weekend=quarantine.has_weekend(judged.seen.time_ns),
        rows_of_regimes={card.id: int(rows) for card, rows in zip(manifest.regimes, of_regimes, strict=True)},
    )
    told = told_of(reason, record.period_ns)
    if lacking:
        sentence = f"the record of {record.asset} is thin: {'; '.join(lacking)}"
        if not thin or not may.any():
            raise LearnError(
                f"{sentence} ({told}); let the agent watch for longer, say what of it is normal (forewarn normal "
                "--help), or learn all the same with --thin"
            )
        told = f"{told}; {sentence}"
    stretches = tuple(_stretches(judged, reason, record.period_ns))
    return History(
        tuple(values for values, _ in stretches),
        tuple((tag.name, tag.unit) for tag in manifest.tags),
        manifest.period_ms,
        int(may.sum()),
        (told,),
        settling=tuple(settling for _, settling in stretches),
    )


def record_of(state_dir: Path, config: Config, asset: str | None) -> Record:
    """Return the record of one asset in a state directory; raise ConfigError, StoreError where there is none."""
    names = tuple(config.assets)
    if asset is None and len(names) == 1:
        (asset,) = names
    if asset not in config.assets:
        said = "name the asset" if asset is None else f"{asset} is not configured; name one of"
        raise ConfigError((f"--asset: {said}: {', '.join(names)}",))
    first_ns, last_ns = span(state_dir, asset)
    detector = detector_of(load_detectors(config), asset)
    return Record(state_dir, asset, config.assets[asset], detector, first_ns, last_ns + 1_000_000_000)


def told_of(reason: Int8s, period_ns: int) -> str:
    """Return how much of a record may be learnt from and how much is left out, and why, in one sentence."""
    def days(rows: int) -> str:
        return f"{rows * period_ns / quarantine.DAY_NS:.1f}"

    parts = [
        f"{days(rows)} {why.value}" for place, why in enumerate(REASONS) if (rows := int((reason == place).sum()))
    ]
    left_out = f"; left out: {', '.join(parts)}" if parts else ""
    return f"{days(int((reason == LEARNABLE).sum()))} of {days(len(reason))} days may be learnt from{left_out}"


def _said(record: Record) -> tuple[list[Standing], list[AssetEvent]]:
    """Return the asset's alarms, also those in shadow, and its events, the oldest first."""
    with closing(JournalReader.open(record.source / JOURNAL)) as journal:
        alerts = journal.series(record.asset, 0)
        alarms = [one for alert in alerts for one in quarantine.standings(journal.history(alert.id))]
        return alarms, journal.all_events(record.asset)


def _spans(judged: Judged, alarms: Sequence[Standing], events: Sequence[AssetEvent]) -> list[Span]:
    """Return what is left out for what happened: alarms then and as the record is judged now, and withheld times."""
    withheld = list(quarantine.of_events(events))
    spans = [*withheld, *quarantine.of_rebaselining(events), quarantine.waiting(int(judged.seen.time_ns[-1]))]
    false = [alarm for alarm in alarms if alarm.looked_at_ns is not None]
    for alarm in (*alarms, *judged.alarms):
        if any(one.is_same(alarm) for one in false):
            continue
        during = any(span.begin_ns <= alarm.raised_ns < span.end_ns for span in withheld)
        spans += quarantine.of_alarm(alarm, withheld=during)
    return spans


def _judge(record: Record, events: Sequence[AssetEvent], progress: Callable[[float], None]) -> Judged:
    period_ns = record.period_ns
    vigil, since_ns = _vigil(record), max((span.end_ns for span in quarantine.of_rebaselining(events)), default=None)
    parts: list[tuple[Part, Int8s, npt.NDArray[np.float32], npt.NDArray[np.int16]]] = []
    alarms: list[Standing] = []
    for part in record.parts():
        if part.fresh:
            vigil.restart(part.wander)
        if since_ns is not None and part.first_ns >= since_ns:  # from here on the tags stand where they stand now
            vigil, since_ns = _vigil(record), None
            if alarms and alarms[-1].over_ns is None:
                alarms[-1] = replace(alarms[-1], over_ns=part.first_ns)
            memory = Memories(record.source / MEMORIES).load(record.asset)
            vigil.restart(None if memory is None else memory.wander)
        assessment, changes = vigil.take(part.grid)
        new = slice(assessment.grid.rows - assessment.rows, None)
        drift = np.abs(assessment.drift).max(1, initial=0.0).astype(np.float32)
        parts.append((part, assessment.condition, drift, assessment.scores.regime[new].astype(np.int16)))
        for change in changes:
            alarms = _with(alarms, change, part, period_ns)
        progress((part.last_ns - record.since_ns) / max(record.until_ns - record.since_ns, 1))
    if not parts:
        raise LearnError(f"{record.source}: nothing of {record.asset} is recorded")
    fresh = np.concatenate([np.arange(part.grid.rows) < part.fresh for part, *_ in parts])
    seen = Seen(
        np.concatenate([part.grid.time_ns for part, *_ in parts]),
        np.concatenate([condition for _, condition, _, _ in parts]),
        np.concatenate([drift for *_, drift, _ in parts]),
    )
    values = np.concatenate([part.grid.values for part, *_ in parts])
    return Judged(seen, values, np.concatenate([regime for *_, regime in parts]), fresh, tuple(alarms))


def _vigil(record: Record) -> Vigil:
    said = record.said
    delays = Delays.of(said.on_delay_s, said.off_delay_s, record.period_ns / 1e9)
    return Vigil(record.detector, said.alerts_per_s, delays)


def _with(alarms: list[Standing], change: Change, part: Part, period_ns: int) -> list[Standing]:
    at_ns = int(part.grid.time_ns[change.row])
    if change.event is AlarmEvent.RAISE:
        return [*alarms, Standing(at_ns - change.since_rows * period_ns, at_ns)]
    return [*alarms[:-1], replace(alarms[-1], over_ns=at_ns)]


def _stretches(judged: Judged, reason: Int8s, period_ns: int) -> Iterator[tuple[Float32s, Bools]]:
    """Give stretches f32[T, C] in which what is left out is missing, and which rows the machine settles in, bool[T]."""
    shown = (reason == LEARNABLE) | (reason == _SETTLING)
    rows = np.flatnonzero(shown)
    if not len(rows):
        return
    began = judged.fresh | (np.diff(judged.seen.time_ns, prepend=judged.seen.time_ns[0]) > 1.5 * period_ns)
    began |= np.diff(judged.seen.time_ns, prepend=judged.seen.time_ns[0]) < 0
    pieces = np.cumsum(began)
    ends = np.flatnonzero((np.diff(rows) > HOLE_ROWS_MAX) | (np.diff(pieces[rows]) > 0)) + 1
    for piece in np.split(rows, ends):
        if (reason[piece] == _SETTLING).all():
            continue
        whole = slice(int(piece[0]), int(piece[-1]) + 1)
        values = np.where(shown[whole, None], judged.values[whole], np.float32(np.nan))
        yield values, reason[whole] == _SETTLING
