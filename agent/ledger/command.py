"""`forewarn report weekly`: what came of the alerts, as sentences, as a page to hand on, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from agent.api.ledger_models import AccountModel
from agent.api.present import package_version
from agent.cells import cells, to_the_letter
from agent.clock import Clock
from agent.config.file import Config, load
from agent.console import complain, explained, share_bar, step_back, wide
from agent.ledger.account import account
from agent.ledger.course import EARLIER_NS, Course, course
from agent.ledger.history import History
from agent.ledger.page import page, rate, said
from agent.ledger.report import Asset, Report, loads_of, percent, precision
from agent.line.assess import Detector
from agent.line.stage import Stage
from agent.options import check_place, time_ns
from agent.rehearsal.budget_command import chosen_assets
from agent.rehearsal.record import Record, past_of
from agent.replay import telemetry_of
from agent.shadow.loading import detector_of, load_detectors, stage_of
from agent.store import reading
from agent.store.codec import format_time
from agent.store.journal import StoreError
from agent.store.loads import FILE, read_loads

S_NS: Final = 1_000_000_000
WEEK_NS: Final = 7 * 86_400 * S_NS
SKEW_NS: Final = 600 * S_NS
"""A record that is no further ahead than that was dated by the clock of a machine that goes wrong a little."""
AHEAD: Final = (
    "this report is of {}; the record reaches until {}Z, ahead of this machine's clock, as after a run with --speed: "
    "to have all of it in the report give --until {}Z"
)


def add_weekly(reports: typer.Typer, clock: Clock) -> None:
    """Give `reports` the command `weekly`."""

    @reports.command("weekly", epilog="Example: forewarn report weekly agent.toml --asset pump --out week.html")
    def weekly(
        config: Annotated[
            Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")
        ] = Path("agent.toml"),
        asset: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this asset.")] = None,
        since: Annotated[
            str | None, typer.Option(metavar="TIME", help="From this time on. [default: a week before the end]")
        ] = None,
        until: Annotated[
            str | None, typer.Option(metavar="TIME", help="To just before this time. [default: now]")
        ] = None,
        out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page there, as HTML.")] = None,
        quick: Annotated[
            bool, typer.Option("--quick", help="Judge no record anew: without evidence and good values.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Say what came of the alerts of a week: labels, failures, leads, the budget, and how machines were watched."""
        step_back()
        with explained():
            if out is not None:
                check_place(out)
            read = load(config)
            now_ns = clock.time_ns()
            until_ns = time_ns("--until", until, now_ns)
            since_ns = time_ns("--since", since, until_ns - WEEK_NS)
            chosen = chosen_assets(read, asset)
            reaches_ns = _reaches_ns(read, chosen)
            if not since_ns < min(until_ns, max(now_ns, reaches_ns)):
                raise StoreError("--since: must be before --until, and in the past; name an earlier time")
            report, refused = made(read, chosen, since_ns, until_ns, quick=quick)
            if out is not None:
                _write(out, page(report, f"Made {format_time(now_ns)[:16]}Z by forewarn {package_version()}."))
        if as_json:
            typer.echo(json.dumps(_json(report), indent=1))
        else:
            show(report, wide())
        complain(*refused)
        if until is None and reaches_ns > now_ns + SKEW_NS:
            complain(AHEAD.format(report.dates(), format_time(reaches_ns)[:19], format_time(reaches_ns + S_NS)[:19]))
        if out is not None:
            typer.echo(f"{out}: {out.stat().st_size / 1e3:.0f} kB; open it in any browser, or print it", err=as_json)


def _reaches_ns(config: Config, assets: tuple[str, ...]) -> int:
    """Return until when there is a record of any of these assets, UTC; 0 where there is none."""
    telemetry = telemetry_of(config.agent.state_dir)
    return max((end for asset in assets for _, end in reading.spans(telemetry, asset)), default=0)


def made(
    config: Config, assets: tuple[str, ...], since_ns: int, until_ns: int, *, quick: bool = False
) -> tuple[Report, list[str]]:
    """Return the report of some assets, and of which and why the record could not be judged; raise StoreError."""
    detectors = {} if quick else load_detectors(config)
    state = config.agent.state_dir
    found, refused = [], []
    for name in assets:
        settings = config.assets[name]
        past = past_of(state, name, settings.period_ms, live=stage_of(config, name) is Stage.LIVE)
        run = None
        if not quick:
            try:
                run = _course(config, name, detector_of(detectors, name), past, since_ns, until_ns)
            except StoreError as error:  # of this asset; the rest of the report can be made
                refused.append(str(error))
        span, ever = (account(past, settings.alerts_per_s, begin_ns, until_ns) for begin_ns in (since_ns, None))
        found.append(Asset(name, settings.budget, past, span, ever, run))
    loads = loads_of(read_loads(state / FILE), since_ns, until_ns)
    used = {name: load for name, load in loads.items() if name in config.connections and load.watched_ns}
    return Report(since_ns, until_ns, tuple(found), used), refused


def _course(
    config: Config, name: str, detector: Detector, past: History, since_ns: int, until_ns: int
) -> Course:
    withheld = tuple(past.unwatched(until_ns))
    earlier_ns = since_ns - EARLIER_NS
    record = Record(config.agent.state_dir, name, config.assets[name], detector, earlier_ns, until_ns, withheld)
    with share_bar(f"judging {name}") as progress:
        return course(record, since_ns, until_ns, progress)


def _write(out: Path, shown: str) -> None:
    try:
        out.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}; name another file with --out") from error


def show(report: Report, console: Console) -> None:
    """Print the sentences, and a table of the assets."""
    for sentence in report.sentences():
        console.print(to_the_letter(sentence), soft_wrap=True)
    table = Table("machine", "alerts", "what people say", "known normal", "failures", "missed", "counted", "watched",
                  "good values", "blind", "ever", "right", box=None)
    for column in (1, 3, 4, 5, 7, 8, 9, 10):
        table.columns[column].justify = "right"
    for one in report.assets:
        span, run = one.span, one.course
        good = None if run is None else run.availability
        table.add_row(*cells(
            one.name,
            str(span.alerts),
            said(span),
            str(span.known_patterns),
            str(span.failures),
            str(span.missed),
            rate(span.achieved),
            percent(one.watched),
            "-" if good is None else percent(good),
            "-" if run is None or good is None else percent(run.blind_s / span.span_s),
            str(one.ever.alerts),
            precision(one.ever),
        ))
    console.print()
    console.print(table)


def _json(report: Report) -> dict[str, object]:
    return {
        "since": format_time(report.since_ns),
        "until": format_time(report.until_ns),
        "sentences": list(report.sentences()),
        "assets": [
            {
                "asset": one.name,
                "budget": one.budget,
                "span": AccountModel.of(one.span).model_dump(mode="json"),
                "ever": AccountModel.of(one.ever).model_dump(mode="json"),
                "record": None if one.course is None else _course_json(one.course),
            }
            for one in report.assets
        ],
        "connections": {
            name: {"watched_s": load.watched_ns / 1e9, "requests": load.requests, "unanswered": load.errors,
                   "connections": load.connections}
            for name, load in report.loads.items()
        },
    }


def _course_json(one: Course) -> dict[str, object]:
    return {
        "rows": one.rows,
        "period_s": one.period_s,
        "conditions_s": {condition.value: rows * one.period_s for condition, rows in one.conditions.items()},
        "silent_s": one.silent_s,
        "availability": one.availability,
        "good": one.good,
    }
