"""`forewarn drill`: put faults into what was recorded, and say how often and how soon they would be seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from agent.api.rehearsal_models import DrillModel
from agent.cells import to_the_letter
from agent.clock import Clock
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.console import UNUSABLE, complain, explained, share_bar, step_back, wide
from agent.line.assess import Detector
from agent.line.wording import lasting
from agent.options import duration_s, names, time_ns
from agent.rehearsal import drills
from agent.rehearsal.budget_command import chosen_assets
from agent.rehearsal.drill import USUAL, drill
from agent.rehearsal.faults import FAULTS
from agent.rehearsal.finding import FOUND_MIN, Drill
from agent.rehearsal.record import NS_PER_S, Record, labels_of, past_of, span, unknown_of
from agent.replay import telemetry_of
from agent.shadow.loading import detector_of, load_detectors
from agent.store import reading
from agent.store.codec import format_time
from agent.store.journal import StoreError

ALL: Final = "all"
_OF_A_DRILL: Final = ("faults", "tags", "repeats", "within", "seed", "record", "since", "until")
WEEKS: Final = 4
"""So much of the record is used where nothing is said."""


def add_drill(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the command `drill`."""

    @app.command("drill", epilog="Example: forewarn drill agent.toml pump --faults bias,noise --tags flow")
    def drill_command(
        context: typer.Context,
        config: Annotated[
            Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")
        ] = Path("agent.toml"),
        asset: Annotated[str | None, typer.Argument(metavar="ASSET", help="One asset. [default: all]")] = None,
        faults: Annotated[str, typer.Option(metavar="A,B,...|all", help="What to try.")] = ",".join(USUAL),
        tags: Annotated[str | None, typer.Option(metavar="A,B,...", help="[default: all judged]")] = None,
        repeats: Annotated[int, typer.Option(min=5, max=1000, help="At so many moments.")] = 20,
        within: Annotated[str, typer.Option(metavar="TIME", help="How long to wait for an alert.")] = "24h",
        seed: Annotated[int, typer.Option(min=0, help="Of what is left to chance.")] = 0,
        record: Annotated[
            Path | None,
            typer.Option(metavar="DIR_OR_PARQUET", help="What was recorded. [default: state_dir of CONFIG]"),
        ] = None,
        since: Annotated[
            str | None, typer.Option(metavar="TIME", help="From this time on. [default: the last four weeks]")
        ] = None,
        until: Annotated[str | None, typer.Option(metavar="TIME", help="To just before this time.")] = None,
        show_last: Annotated[bool, typer.Option("--last", help="Show the last drill; hold none.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every size.")] = False,
    ) -> None:
        """Put faults into what was recorded, and say how often and how soon they would be seen. Asks no PLC."""
        with explained():
            read = load(config)
            chosen = chosen_assets(read, asset)
            state = read.agent.state_dir
            refused: list[str] = []
            own = record is None or telemetry_of(record).resolve() == telemetry_of(state).resolve()
            if show_last:
                _refuse_beside_last(context)
                found = [_last(state, name) for name in chosen]
            else:
                step_back()
                bounds_ns = (time_ns("--since", since, -1), time_ns("--until", until, reading.EVER_NS))
                wanted = _Wanted(_kinds(faults), names(tags) or (), repeats, _within_s(within), seed)
                found, refused = _hold(read, chosen, record or state, bounds_ns, wanted, clock)
                if own:
                    for held in found:
                        drills.keep(state, held)
        if as_json:
            typer.echo(json.dumps([DrillModel.of(held).model_dump(mode="json") for held in found], indent=1))
        else:
            for number, held in enumerate(found):
                if number:
                    wide().print()
                show(held, wide())
        if record is not None and not own and found:
            complain(f"{record}: is not what this agent records in {state}, so it is not kept for --last")
            complain(*filter(None, [unknown_of(record)]))
        if refused:
            complain(*refused)
            raise typer.Exit(UNUSABLE)


def _refuse_beside_last(context: typer.Context) -> None:
    """Raise ConfigError where options were given that say how to hold a drill."""
    sources = {name: context.get_parameter_source(name) for name in _OF_A_DRILL}
    given = [f"--{name}" for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise ConfigError(
            (f"--last: shows the last drill as it was held; leave {', '.join(given)} out, or --last to hold one",)
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    faults: tuple[str, ...]
    tags: tuple[str, ...]
    repeats: int
    within_s: float
    seed: int


def _hold(
    config: Config,
    assets: Sequence[str],
    source: Path,
    bounds_ns: tuple[int, int],
    wanted: _Wanted,
    clock: Clock,
) -> tuple[list[Drill], list[str]]:
    """Hold a drill of each asset; return them, and of the others why not: none waits a month for another."""
    detectors = load_detectors(config)
    found, refused = [], []
    for asset in assets:
        try:
            record = _record(config, asset, detectors, source, bounds_ns)
            with share_bar(f"{asset}: drill") as progress:
                held = drill(
                    record, span_of(record), clock.time_ns(), tags=wanted.tags, faults=wanted.faults,
                    repeats=wanted.repeats, within_s=wanted.within_s, seed=wanted.seed, progress=progress,
                )  # fmt: skip
        except StoreError as error:
            refused.append(str(error))
            continue
        found.append(held)
    return found, refused


def _last(state: Path, asset: str) -> Drill:
    held = drills.last(state, asset)
    if held is None:
        raise StoreError(f"{state / drills.FOLDER}: no drill of {asset} was held; leave --last out to hold one")
    return held


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(FAULTS) if text == ALL else names(text) or ()
    if unknown := [kind for kind in kinds if kind not in FAULTS]:
        raise ConfigError((f"--faults: there is no {', '.join(unknown)}; there are: {', '.join(FAULTS)}, {ALL}",))
    return kinds


def _within_s(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise ConfigError((f"--within {text}: {error}",)) from error


def _record(
    config: Config, asset: str, detectors: Mapping[str, Detector], source: Path, bounds_ns: tuple[int, int]
) -> Record:
    detector, (since_ns, until_ns) = detector_of(detectors, asset), bounds_ns
    if since_ns < 0:
        last_ns = min(span(source, asset)[1], until_ns)
        since_ns = last_ns - WEEKS * 7 * 86_400 * NS_PER_S
    said = config.assets[asset]
    withheld = past_of(source, asset, said.period_ms).unwatched(span(source, asset)[1])
    labelled = labels_of(source, detectors, asset)
    return Record(source, asset, said, detector, since_ns, until_ns, tuple(withheld), labelled)


def span_of(record: Record) -> tuple[int, int]:
    """Return the first and the last time of a record, UTC ns."""
    first_ns, last_ns = span(record.source, record.asset)
    return max(first_ns, record.since_ns), min(last_ns, record.until_ns)


def show(held: Drill, console: Console) -> None:
    """Print a sentence for each fault and tag, what is seen soonest first within a fault."""
    console.print(
        to_the_letter(
            f"{held.asset}: drill of {format_time(held.held_ns)[:16]}Z at {held.moments} healthy moments from "
            f"{format_time(held.since_ns)[:16]}Z to {format_time(held.until_ns)[:16]}Z, budget {held.budget}; "
            f"the smallest size that is seen {100 * FOUND_MIN:.0f} % of the times within {lasting(held.within_s)}:"
        ),
        soft_wrap=True,
    )
    if held.moments < held.wanted:
        why = (
            f"elsewhere an alert stood or came by itself within {lasting(held.within_s)}, alerts were withheld, or too "
            "little was recorded"
        )
        console.print(to_the_letter(f"{held.moments} of {held.wanted} moments suited: {why}"), soft_wrap=True)
    for fault in dict.fromkeys(one.fault for one in held.findings):
        console.print()
        for one in held.findings:
            if one.fault == fault:
                console.print(to_the_letter(f"  {one.sentence(held.within_s)}"), soft_wrap=True)
