"""Telemetry in whatever form it has by now: segments of the log and what was sealed, as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.line.spans import Span, joined
from agent.store import sealed, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.covered import GAP_NS
from agent.store.segments import OnDamage
from agent.store.series import Rows

EVER_NS = 2**62
"""After all times."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a replay of an asset may begin: with the first step taken at `now_ns` (UTC) in part `number`."""

    number: int
    now_ns: int


def events(
    directory: Path,
    layout: Layout,
    on_damage: OnDamage,
    *,
    first: int = 0,
    since_ns: int = 0,
    until_ns: int = EVER_NS,
) -> Iterator[Started | Step]:
    """Give what the lines were given, for the assets of `layout` and in its columns, in the order it was taken.

    Parts (a segment, or what was sealed of it) with a number below `first` are left out. What has nothing of
    since <= time < until may be left out, a segment or a block at a time. It may be called while the agent runs: what
    is sealed or dropped meanwhile is read as what it became, or not at all.
    """
    parts = parts_of(directory)
    for number in sorted(number for number in parts if number >= first):
        part: sealed.Folder | Path | None = parts[number]
        if isinstance(part, Path):
            try:
                yield from _segment(part, layout, on_damage, since_ns, until_ns)
                continue
            except FileNotFoundError:  # a start may then be told twice, which changes nothing
                part = {folder.number: folder for folder in sealed.folders(directory)}.get(number)
        if part is not None and part.touches(since_ns, until_ns):
            yield from sealed.read(part, layout, on_damage)


def origin(directory: Path, asset: str, wanted_ns: int, latest_ns: int) -> Origin | None:
    """Return the last place up to `wanted_ns` where it is recorded how an asset's line stood.

    Or else the first one after it and up to `latest_ns`; None where there is none.
    """
    found = None
    parts = parts_of(directory)
    for number in sorted(parts, reverse=True):
        part = parts[number]
        if isinstance(part, sealed.Folder) and part.first_s * 1_000_000_000 > latest_ns:
            continue
        for now_ns in reversed(_states(part, asset)):
            if now_ns <= latest_ns:
                found = Origin(number, now_ns)
            if now_ns <= wanted_ns:
                return found
    return found


def number_since(directory: Path, since_ns: int) -> int:
    """Return a number from which on all parts are that hold something taken at `since_ns` (UTC) or later."""
    return max((folder.number for folder in sealed.folders(directory) if folder.last_s * 1e9 < since_ns), default=0) + 1


def parts_of(directory: Path) -> dict[int, sealed.Folder | Path]:
    """Return the parts of a record by their numbers: a segment of the log, or what was sealed of it."""
    parts: dict[int, sealed.Folder | Path] = {segments.number_of(path): path for path in segments.segments(directory)}
    return parts | {folder.number: folder for folder in sealed.folders(directory)}


def _states(part: sealed.Folder | Path, asset: str) -> list[int]:
    """Return when the line's state was recorded in a part, in the order of its steps; what is damaged has none."""
    if isinstance(part, sealed.Folder):
        with suppress(sealed.DamagedError):
            rest = sealed.read_rest(part)
            return [now_ns for _, (of, now_ns, _) in sorted(rest.states.items()) if of == asset]
        return []
    return [step.now_ns for step in segments.read(part) if step.asset == asset and step.state]


def layout(directory: Path) -> Layout:
    """Return the columns of each asset as they were recorded last."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for folder in sealed.folders(directory):
        with suppress(sealed.DamagedError):
            found |= sealed.read_rest(folder).layout
    for path in segments.segments(directory):
        if (opening := segments.opening(path)) is not None:
            found |= opening[0]
    return found


def rows(
    directory: Path, asset: str, tags: sealed.Tags, since_ns: int, until_ns: int, on_damage: OnDamage
) -> Iterator[Rows]:
    """Give the rows of some tags (name, unit) of an asset with since <= source time < until, sealed or not."""
    yield from sealed_rows(directory, asset, tags, since_ns, until_ns, on_damage)
    for path in segments.segments(directory):
        steps = segments.read(
            path, since_ns=since_ns, until_ns=until_ns, layout={asset: tuple(tags)}, on_damage=on_damage
        )
        for step in steps:
            inside = (step.frame.source_time_ns >= since_ns) & (step.frame.source_time_ns < until_ns)
            yield Rows(step.frame.source_time_ns[inside], step.frame.values[inside])


def sealed_rows(
    directory: Path, asset: str, tags: sealed.Tags, since_ns: int, until_ns: int, on_damage: OnDamage
) -> Iterator[Rows]:
    """Give of such rows those that are sealed."""
    for folder in sealed.folders(directory):
        if folder.touches(since_ns, until_ns):
            yield from sealed.rows(folder, asset, tags, since_ns, until_ns, on_damage)


def spans(directory: Path, asset: str, period_ms: int = 0) -> list[Span]:
    """Return when an asset with a row every `period_ms` was recorded, first and last of each stretch, UTC ns, in order.

    That is by the agent's clock, whatever that of its source says; the past that a device's own history filled is in
    it, by that device's clock. By names and heads alone, so quickly, and to the hour in what is sealed.
    """
    found: list[Span] = []
    for folder in sealed.folders(directory):
        found += sealed.covered_by(folder, asset)
    for path in segments.segments(directory):
        with suppress(FileNotFoundError):  # sealed or dropped meanwhile
            found += segments.covered_by(path).get(asset, ())
    return joined(found, GAP_NS + 2 * period_ms * 1_000_000)


def _segment(
    path: Path, layout: Layout, on_damage: OnDamage, since_ns: int, until_ns: int
) -> Iterator[Started | Step]:
    opening = segments.opening(path)
    if opening is not None and opening[1] is not None:
        yield Started({asset: start for asset, start in opening[1].starts.items() if asset in layout})
    yield from segments.read(path, since_ns=since_ns, until_ns=until_ns, layout=layout, on_damage=on_damage)
