"""`forewarn replay`: recorded steps through fresh lines; the same steps give the same entries, to the byte."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.line.event import Entry
from agent.store import export, reading, sealed, segments
from agent.store.blocks import Layout, Start, Started, Step
from agent.store.journal import StoreError
from agent.view import Line

log = logging.getLogger(__name__)

TELEMETRY = "telemetry"


def replay(events: Iterable[Step | Started], make_line: Callable[[str, Start], Line]) -> Iterator[Entry]:
    """Give each revision of an alert, and each event, as lines make it of the steps; where the agent was started, they
    begin anew.
    """
    lines: dict[str, Line] = {}
    for event in events:
        if isinstance(event, Started):
            lines |= {asset: make_line(asset, start) for asset, start in event.starts.items()}
            continue
        if event.recovered:
            continue
        if event.asset not in lines:  # the beginning is not in the recording
            lines[event.asset] = make_line(event.asset, Start())
        line = lines[event.asset]
        for command in event.commands:
            line.submit(command)
        entries = line.step(event.frame, event.now_ns)
        line.publish()
        yield from entries


def recorded(
    source: Path, layout: Layout, since_ns: int = 0, until_ns: int = reading.EVER_NS
) -> Iterator[Step | Started]:
    """Give the steps in a state directory, a telemetry folder or a Parquet file, for the assets of `layout`.

    Of a folder what has nothing of since <= time < until may be left out. A Parquet file holds one asset: the one whose
    tags are all columns. Raise StoreError where none fits.
    """
    if source.is_dir():
        folder = telemetry_of(source)
        if not segments.segments(folder) and not sealed.folders(folder):
            raise StoreError(
                f"{source}: holds no telemetry; name a state_dir, its folder telemetry, or a Parquet file"
            )
        return reading.events(folder, layout, tell_damage, since_ns=since_ns, until_ns=until_ns)
    asset = _asset_of(export.column_names(source), layout, source)
    return export.read_parquet(source, asset, [name for name, _ in layout[asset]])


def telemetry_of(source: Path) -> Path:
    """Return the folder of the telemetry of a state directory, or the folder itself."""
    return source / TELEMETRY if (source / TELEMETRY).is_dir() else source


def tell_damage(path: Path, lost: int) -> None:
    """Say that some of a recording is not there."""
    log.warning("damaged telemetry is passed over", extra={"path": str(path), "bytes": lost})


def _asset_of(columns: Iterable[str], layout: Layout, source: Path) -> str:
    there = set(columns)
    missing = {asset: [name for name, _ in tags if name not in there] for asset, tags in layout.items()}
    whole = [asset for asset, names in missing.items() if not names]
    if len(whole) > 1:
        raise StoreError(
            f"{source}: has the tags of {' and '.join(whole)}; a file must fit one asset of the configuration"
        )
    if not whole:
        nearest = min(missing, key=lambda asset: len(missing[asset]))
        raise StoreError(
            f"{source}: no column {', '.join(missing[nearest])} for asset {nearest}; "
            f"it has: {', '.join(sorted(there))}; record it with every tag of the asset"
        )
    return whole[0]
