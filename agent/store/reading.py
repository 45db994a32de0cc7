"""Telemetry in whatever form it has by now: segments of the log and what was sealed, as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.store import sealed, segments
from agent.store.blocks import Layout, Started, Step
from agent.store.segments import OnDamage
from agent.store.series import Rows

_SECOND_NS = 1_000_000_000
EVER_NS = 2**62
"""After all times."""


def events(
    directory: Path, layout: Layout, on_damage: OnDamage, since_ns: int = 0, until_ns: int = EVER_NS
) -> Iterator[Started | Step]:
    """Give what the lines were given, for the assets of `layout` and in its columns, in the order it was taken.

    What has nothing of since <= time < until may be left out, a segment or a block at a time. It may be called while
    the agent runs: what is sealed or dropped meanwhile is read as what it became, or not at all.
    """
    parts = {folder.number: folder for folder in sealed.folders(directory)}
    paths = {segments.number_of(path): path for path in segments.segments(directory)}
    for number in sorted(parts.keys() | paths.keys()):
        if number not in parts:
            try:
                yield from _segment(paths[number], layout, on_damage, since_ns, until_ns)
                continue
            except FileNotFoundError:  # a start may then be told twice, which changes nothing
                parts |= {folder.number: folder for folder in sealed.folders(directory)}
        if number in parts and parts[number].touches(since_ns, until_ns):
            yield from sealed.read(parts[number], layout, on_damage)


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


def watched(directory: Path, asset: str) -> tuple[int, int, int]:
    """Return the first and the last time of what was recorded of an asset, UTC, and how long that was, all in ns.

    Three zeros where nothing was. By names and heads alone, so to a second, quickly, and for all assets alike in what
    is not sealed yet; the past that a device's own history filled is in it.
    """
    spans = [
        (folder.first_s * _SECOND_NS, folder.last_s * _SECOND_NS)
        for folder in sealed.folders(directory)
        if (folder.path / sealed.file_name(asset)).exists()
    ]
    for path in segments.segments(directory):
        with suppress(FileNotFoundError):  # sealed or dropped meanwhile
            if (span := segments.glance(path)) is not None:
                spans.append(span)
    watched_ns = until_ns = 0
    for begin, end in sorted(spans):
        watched_ns += max(end - max(begin, until_ns), 0)
        until_ns = max(until_ns, end)
    return min((begin for begin, _ in spans), default=0), until_ns, watched_ns


def _segment(
    path: Path, layout: Layout, on_damage: OnDamage, since_ns: int, until_ns: int
) -> Iterator[Started | Step]:
    opening = segments.opening(path)
    if opening is not None and opening[1] is not None:
        yield Started({asset: start for asset, start in opening[1].starts.items() if asset in layout})
    yield from segments.read(path, since_ns=since_ns, until_ns=until_ns, layout=layout, on_damage=on_damage)
