"""Telemetry in whatever form it has by now: segments of the log and what was sealed, as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.store import sealed, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.segments import OnDamage
from agent.store.series import Rows


def events(directory: Path, layout: Layout, on_damage: OnDamage) -> Iterator[Started | Step]:
    """Give what the lines were given, for the assets of `layout` and in its columns, in the order it was taken."""
    parts = {folder.number: folder for folder in sealed.folders(directory)}
    paths = {segments.number_of(path): path for path in segments.segments(directory)}
    for number in sorted(parts.keys() | paths.keys()):
        if number in parts:
            yield from sealed.read(parts[number], layout, on_damage)
        else:
            yield from _segment(paths[number], layout, on_damage)


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


def _segment(path: Path, layout: Layout, on_damage: OnDamage) -> Iterator[Started | Step]:
    opening = segments.opening(path)
    if opening is not None and opening[1] is not None:
        yield Started({asset: start for asset, start in opening[1].starts.items() if asset in layout})
    yield from segments.read(path, layout=layout, on_damage=on_damage)
