"""`forewarn backtest`: from options to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from agent.backtest.backtest import Outcome, Terms, backtest
from agent.backtest.recording import Layout, Recording, load
from agent.backtest.report import as_json, learnt, show
from agent.backtest.split import Split
from agent.backtest.trial import BacktestError, Learn
from agent.backtest.trivial import TRIVIAL
from agent.clock import Clock
from agent.config.assets import parse_budget
from agent.options import duration_s, names, period_s

OURS: Final = "forewarn"
UNUSABLE: Final = 2
WIDTH_MIN: Final = 150
"""Characters of a line where the output is no terminal: the tables are wider than rich's 80."""


def add_backtest(app: typer.Typer, learn: Learn, clock: Clock) -> None:
    """Give `app` the command `backtest`, which tries the models that `learn` makes."""

    @app.command("backtest", help="Try the agent on a recording: what it would have said, and how early.")
    def command(
        data: Annotated[Path, typer.Argument(metavar="DATA.parquet", help="The recording.")],
        time: Annotated[str | None, typer.Option(help="Column of time: dates, or seconds.")] = None,
        run: Annotated[
            str | None, typer.Option(help="Column(s) A,B that tell one recording from another.")
        ] = None,
        label: Annotated[
            str | None, typer.Option(help="Column that is above 0 where there is a fault.")
        ] = None,
        tags: Annotated[
            str | None,
            typer.Option(help="Columns A,B,... to judge; * and ? stand for others (default: all numeric)."),
        ] = None,
        period: Annotated[
            str | None, typer.Option(help="Time between rows, such as 1s (default: as recorded).")
        ] = None,
        budget: Annotated[str, typer.Option(help="Alarms that are allowed.")] = "1/week",
        merge_gap: Annotated[str, typer.Option(help="Alarms no further apart are one episode.")] = "10m",
        learn_where: Annotated[
            str | None, typer.Option("--learn", help="Learn from the rows that fulfil this SQL condition.")
        ] = None,
        learn_rows: Annotated[
            int | None, typer.Option(help="Learn from the first N rows of each run.")
        ] = None,
        learn_until_label: Annotated[
            bool,
            typer.Option("--learn-until-label", help="Learn from healthy rows at the start of each run."),
        ] = False,
        learn_share: Annotated[float, typer.Option(help="The share of those to learn from.")] = 0.6,
        per_run: Annotated[
            bool, typer.Option("--per-run", help="Learn one model per run, not one for all.")
        ] = False,
        test: Annotated[
            str | None,
            typer.Option(help="Try the rows that fulfil this SQL condition (default: all others)."),
        ] = None,
        as_object: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        try:
            layout = Layout(time, names(run) or (), label, names(tags), _seconds("--period", period, period_s))
            split = Split(learn_where, learn_rows, learn_until_label, learn_share, test, per_run)
            terms = Terms(_alerts_per_s(budget), _seconds("--merge-gap", merge_gap, duration_s) or 0.0)
            _run(data, layout, split, terms, learn, clock, as_object=as_object)
        except BacktestError as error:
            Console(stderr=True).print(
                f"forewarn backtest: {error}", highlight=False, markup=False, soft_wrap=True
            )
            raise typer.Exit(UNUSABLE) from error


def _run(
    data: Path, layout: Layout, split: Split, terms: Terms, learn: Learn, clock: Clock, *, as_object: bool
) -> None:
    errors = Console(stderr=True)
    with errors.status(f"reading {data.name}"):
        recording = load(data, layout, split)
    outcome = _with_bar(errors, recording, {OURS: learn, **TRIVIAL}, terms, clock)
    if as_object:
        for line in learnt(recording, outcome):
            errors.print(line, highlight=False, markup=False, soft_wrap=True)
        typer.echo(as_json(outcome, OURS))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDTH_MIN))
    show(console, recording, outcome, OURS)


def _with_bar(
    console: Console, recording: Recording, rules: Mapping[str, Learn], terms: Terms, clock: Clock
) -> Outcome:
    """Try the rules with a progress bar that vanishes at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def progress(doing: str, share: float) -> None:
            bar.update(task, description=doing, completed=share)

        return backtest(recording, rules, terms, clock, progress)


def _seconds(option: str, text: str | None, parse: Callable[[str], float]) -> float | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise BacktestError(f"{option} {text}: {error}") from error


def _alerts_per_s(budget: str) -> float:
    try:
        return parse_budget(budget)
    except ValueError as error:
        raise BacktestError(f"--budget {budget}: {error}") from error
