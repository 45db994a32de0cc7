"""`python -m benchmarks NAME`: runs a benchmark, prints what it found and keeps it in benchmarks/results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent.backtest.trial import BacktestError
from agent.cells import cells
from agent.options import names
from benchmarks import alerts, page, plots, registry, simulated, store
from benchmarks.machine import Provenance
from benchmarks.options import SEEDS, Options
from benchmarks.registry import BENCHMARKS
from benchmarks.result import BenchmarkError, Result
from benchmarks.store import RESULTS

UNUSABLE: Final = 2
WIDTH_MIN: Final = 120
"""Characters of a line where the output is no terminal."""
DOCS: Final = "docs"

app = typer.Typer(add_completion=False)


@app.command(help=f"Run one of: {', '.join(BENCHMARKS)}; or `{DOCS}`: render docs/benchmarks.md from the results.")
def main(
    name: Annotated[str, typer.Argument(help="The benchmark.")],
    data: Annotated[
        Path | None, typer.Option(envvar="FOREWARN_DATA", help="Folder of the recordings.", show_envvar=True)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Runs of every method with a random part, {SEEDS}; simulated: machines, {simulated.SEEDS};"
            f" alerts: plants, {alerts.SEEDS}."
        ),
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods: A,B,...")] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="Only these: FD001,... (cmapss), pump,... (simulated, alerts), fuzz,... (acquisition).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N runs: a quick look, which is not kept.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="acquisition: hostile servers, or broken replies; alerts: days of the year.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="alerts: folder where each machine's year is kept; a later run plays only what is missing.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder where results are kept.")] = RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Run a benchmark, print its results and keep them."""
    errors = Console(stderr=True)
    try:
        if name == DOCS:
            _render()
            return
        runs = seeds or registry.SEEDS.get(name, SEEDS)
        options = Options(data, runs, names(methods) or (), limit, count, names(subset) or (), keep)
        found = list(_shown(name, options, errors, as_json=as_json))
        if limit is None and (subset is None or name in registry.PARTED) and found:
            store.save(name, found, Provenance.here(), results, parts=subset is not None)
    except (BenchmarkError, BacktestError) as error:
        errors.print(f"benchmarks: {error}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(UNUSABLE) from error
    if not as_json:
        _print_table(name, found)


def _render() -> None:
    """Write the page and the plots anew."""
    results = page.all_measured()
    plots.draw(results)
    page.write(results)


def _shown(name: str, options: Options, console: Console, *, as_json: bool) -> Iterator[Result]:
    """Yield the results, each printed as soon as it is there if `as_json`, under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=1.0)

        def progress(doing: str, share: float) -> None:
            bar.update(task, description=f"{name}: {doing}", completed=share)

        for result in _benchmark(name)(replace(options, progress=progress)):
            if as_json:
                typer.echo(result.as_json())
            yield result


def _benchmark(name: str) -> Callable[[Options], Iterable[Result]]:
    if name not in BENCHMARKS:
        raise BenchmarkError(f"no benchmark {name}; there are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def _print_table(name: str, results: Sequence[Result]) -> None:
    """Print a row for each case and metric and a column for each method, with the target of ours."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDTH_MIN))
    table = Table("case", "metric", "method", "value", "unit", "seeds", "target", title=name, title_justify="left")
    for result in results:
        target = "" if result.target is None else f"{result.target:g} {'met' if result.met else 'missed'}"
        style = "bold" if result.target is not None else None
        table.add_row(
            *cells(
                result.case, result.metric, result.method, number(result.value), result.unit,
                str(result.seeds), target,
            ),
            style=style,
        )
    console.print(table)


def number(value: float | None) -> str:
    """Write a figure with four significant digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"
