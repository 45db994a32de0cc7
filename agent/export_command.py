"""`forewarn export`: recorded telemetry as a table that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from agent.console import explained
from agent.options import check_place, names, time_ns
from agent.replay import telemetry_of, tell_damage
from agent.store import reading
from agent.store.journal import StoreError
from agent.store.series import Rows
from connectors.frame import Float32s, Int64s

CELLS_MAX: Final = 100_000_000
"""What fits in the memory of a small machine, a few times over."""
_ROWS_TO_TELL: Final = 3
"""From so many rows on it is known how far apart they usually are."""


def add_export(app: typer.Typer) -> None:
    """Give `app` the command `export`."""

    @app.command(epilog="Example: forewarn export /var/lib/forewarn --asset pump --since 2026-11-27T00:00Z --out a.csv")
    def export(
        source: Annotated[Path, typer.Argument(metavar="DIR", help="A state_dir, or its folder telemetry.")],
        asset: Annotated[str, typer.Option(help="Of this asset.")],
        out: Annotated[Path, typer.Option(metavar="FILE", help="Where to: FILE.parquet or FILE.csv.")],
        tags: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these tags (default: all).")] = None,
        since: Annotated[str | None, typer.Option(metavar="TIME", help="From this time on, RFC 3339.")] = None,
        until: Annotated[str | None, typer.Option(metavar="TIME", help="To just before this time.")] = None,
    ) -> None:
        """Write recorded values as a table: a column of time (UTC), and one for each tag; nothing where it was Bad."""
        with explained():
            check_place(out)
            since_ns, until_ns = time_ns("--since", since, 0), time_ns("--until", until, reading.EVER_NS)
            rows = write_table(source, asset, out, names(tags), since_ns, until_ns)
            typer.echo(f"{out}: {rows} rows")


def write_table(
    source: Path, asset: str, out: Path, wanted: tuple[str, ...] | None, since_ns: int, until_ns: int
) -> int:
    """Write the rows of some tags (None: of all) with since <= time < until; return how many. Raise StoreError."""
    if out.suffix not in (".parquet", ".csv"):
        raise StoreError(f"--out {out}: must end in .parquet or .csv")
    folder = telemetry_of(source)
    layout = reading.layout(folder)
    if asset not in layout:
        raise StoreError(f"{source}: has no telemetry of {asset!r}; it has: {', '.join(sorted(layout)) or 'none'}")
    units = dict(layout[asset])
    if unknown := [name for name in wanted or () if name not in units]:
        raise StoreError(f"--tags: {asset} has no {', '.join(unknown)}; it has: {', '.join(units)}")
    tags = [(name, units[name]) for name in wanted or units]
    parts: list[Rows] = []
    cells = 0
    for part in reading.rows(folder, asset, tags, since_ns, until_ns, tell_damage):
        parts.append(part)
        cells += part.values.size
        if cells > CELLS_MAX:
            raise StoreError(f"more than {CELLS_MAX} values: narrow --since and --until, or --tags")
    return _write(parts, [name for name, _ in tags], out)


def _write(parts: list[Rows], tags: list[str], out: Path) -> int:
    import polars as pl

    times = np.concatenate([np.zeros(0, np.int64), *(part.time_ns for part in parts)])
    values = np.concatenate([np.zeros((0, len(tags)), np.float32), *(part.values for part in parts)])
    times, values = _in_order(times, values)
    time = "time" if "time" not in tags else "_time"
    columns = {time: pl.Series(times).cast(pl.Datetime("ns", "UTC"))}
    columns |= {tag: pl.Series(values[:, column], nan_to_null=True) for column, tag in enumerate(tags)}
    table = pl.DataFrame(columns)
    try:
        if out.suffix == ".csv":
            table.write_csv(out)
        else:
            table.write_parquet(out)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{out}: cannot be written: {error}; name a file in a folder that there is") from error
    return len(table)


def _in_order(times: Int64s, values: Float32s) -> tuple[Int64s, Float32s]:
    """Put rows in the order of their times: what came late, or fills an outage, into its place.

    A row without any value says that something is missing; between two rows with values that are no further apart than
    usual nothing is.
    """
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    valued = np.isfinite(values).any(1)
    good = times[valued]
    if valued.all() or len(good) < _ROWS_TO_TELL:
        return times, values
    after = np.searchsorted(good, times)
    between = (after > 0) & (after < len(good))
    apart = good[np.minimum(after, len(good) - 1)] - good[np.maximum(after - 1, 0)]
    kept = valued | ~between | (apart > 2 * np.median(np.diff(good)))
    return times[kept], values[kept]
