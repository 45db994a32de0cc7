"""The fire drill: faults put into a site's own record, and how often and how soon the agent would see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from agent.line.advise import Delays
from agent.line.vigil import Vigil
from agent.line.wording import lasting
from agent.rehearsal.faults import FAULTS, SIZES, Case, made, normal_value
from agent.rehearsal.finding import Drill, Finding, Tried
from agent.rehearsal.record import NS_PER_S, Record
from agent.rehearsal.walk import Draws, Moment, Walk
from agent.store.journal import StoreError

USUAL: Final = ("bias", "ramp", "stuck")
"""What is tried where nothing is said."""
MOMENTS_MIN: Final = 5
"""Fewer than this say nothing worth a sentence."""
LENGTH_MIN: Final = 2.0
"""A record is that many times as long as what follows a moment, or longer."""
MISSES: Final = 2
"""After so many sizes in a row that were not seen, the smaller ones are not tried: they count as not seen."""


def drill(
    record: Record,
    span_ns: tuple[int, int],
    held_ns: int,
    *,
    tags: Sequence[str] = (),
    faults: Sequence[str] = USUAL,
    repeats: int,
    within_s: float,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _share: None,
) -> Drill:
    """Try each fault on each tag (none named: all that are judged) at random healthy moments; raise StoreError."""
    columns = _columns(record, tags)
    kinds = [(column, fault) for column in columns for fault in faults]
    first_ns, last_ns = span_ns
    within_ns = int(within_s * NS_PER_S)
    if last_ns - first_ns < LENGTH_MIN * within_ns:
        raise StoreError(
            f"{record.source}: holds {lasting((last_ns - first_ns) / NS_PER_S)} of {record.asset}, and "
            f"{lasting(LENGTH_MIN * within_s)} are needed to look {lasting(within_s)} ahead from different moments; "
            "let the agent watch for longer, or take a shorter --within"
        )
    said = record.said
    wait = Delays.of(said.on_delay_s, said.off_delay_s, record.period_ns / NS_PER_S, said.cause_delay_s)
    vigil = Vigil(
        record.detector, said.alerts_per_s, wait, withheld=record.withheld, labelled=record.labelled,
        symptoms=said.symptoms,
    )
    draws = Draws(first_ns, last_ns - within_ns, repeats, np.random.default_rng(seed))
    walk = Walk(record.parts(), [vigil], record.period_ns, within_ns, draws)
    seen: dict[tuple[int, str], list[dict[float, float | None]]] = {kind: [] for kind in kinds}
    moments = 0
    for moment in walk.moments():
        for number, (column, fault) in enumerate(kinds):
            progress((moments + number / len(kinds)) / repeats)
            rng = np.random.default_rng([seed, moments, column, list(FAULTS).index(fault)])
            seen[column, fault].append(dict(_sizes(record, moment, vigil, column, fault, rng)))
        moments += 1
    if moments < MOMENTS_MIN:
        raise StoreError(
            f"{record.source}: at {moments} of {repeats} moments {record.asset} ran, all was well, stayed so for "
            f"{lasting(within_s)}, and alerts were not withheld then; {MOMENTS_MIN} are needed: let the agent watch "
            "for some days more, or take more --repeats, or a shorter --within"
        )
    findings = [_finding(record, column, fault, moments, tries) for (column, fault), tries in seen.items()]
    return Drill(
        record.asset, held_ns, first_ns, last_ns, record.said.budget, record.detector.hash, within_s, seed, repeats,
        moments, tuple(findings),
    )  # fmt: skip


def _columns(record: Record, tags: Sequence[str]) -> list[int]:
    """Return the columns of the tags to try; raise StoreError for one that there is not, or that never moved."""
    schema = record.detector.manifest.tags
    if not tags:
        commands = record.detector.statistics.modes.commands  # what people set is no measurement
        judged = [column for column, tag in enumerate(schema) if tag.role in ("scored", "drifting")]
        return [column for column in judged if column not in commands]
    names = [tag.name for tag in schema]
    if unknown := [tag for tag in tags if tag not in names]:
        raise StoreError(f"--tags: {record.asset} has no {', '.join(unknown)}; it has: {', '.join(names)}")
    columns = [names.index(tag) for tag in tags]
    still = [names[column] for column in columns if normal_value(record.detector.statistics, column) is None]
    if still:
        raise StoreError(f"--tags: {', '.join(still)} never moved in the history, so the model does not look at it")
    return columns


def _sizes(
    record: Record, moment: Moment, vigil: Vigil, column: int, fault: str, rng: np.random.Generator
) -> Iterator[tuple[float, float | None]]:
    """Give sizes, the largest first, and after how many seconds each is seen; those that are too small are left out."""
    kind, misses = FAULTS[fault], 0
    normal = normal_value(record.detector.statistics, column)
    assert normal is not None
    own, past = moment.column(column), moment.past[:, column].astype(np.float64)
    drawn = rng.bit_generator.state
    for size in reversed(SIZES[kind.of]):
        rng.bit_generator.state = drawn  # the same fault, but for its size
        exact = {"percent": size / 100 * normal, "swing": size / 100}.get(kind.of, size)
        after_s = moment.alarm_s(vigil, column, made(kind, Case(own, past, exact, rng), record.said.columns[column]))
        yield size, after_s
        misses = misses + 1 if after_s is None else 0
        if misses == MISSES:
            return


def _finding(
    record: Record, column: int, fault: str, moments: int, tries: Sequence[dict[float, float | None]]
) -> Finding:
    of, tag = FAULTS[fault].of, record.detector.manifest.tags[column]
    normal = normal_value(record.detector.statistics, column)
    assert normal is not None
    sizes = []
    for size in SIZES[of]:
        seen_s = [after_s for one in tries if (after_s := one.get(size)) is not None]
        percent = size if of in ("percent", "swing") else None
        in_s = size * record.period_ns / NS_PER_S
        value = {"percent": size / 100 * normal, "rows": in_s}.get(of)
        sizes.append(Tried(percent, value, tuple(seen_s), moments, sum(size in one for one in tries)))
    return Finding(tag.name, tag.unit, fault, normal, tuple(sizes))
