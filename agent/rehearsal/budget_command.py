"""`forewarn budget`: the alarm budget against what was achieved, and what another one would have cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.cells import cells, to_the_letter
from agent.config.assets import parse_budget
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.console import UNUSABLE, complain, explained, share_bar, step_back, wide
from agent.line.assess import Detector
from agent.line.deliberation import LOOKS
from agent.line.wording import lasting, plain
from agent.options import names, time_ns
from agent.rehearsal.achieved import WEEK_S, Achieved, watched
from agent.rehearsal.budget import BUDGETS, RAMP_PERCENT, RAMPS, WITHIN_S, Cost, Rehearsal, rehearse
from agent.rehearsal.rates import rate_interval
from agent.rehearsal.record import Record, labels_of, past_of, span, unknown_of
from agent.shadow.loading import detector_of, load_detectors
from agent.store import reading
from agent.store.codec import format_time
from agent.store.journal import StoreError

_BAR_COLUMNS = 16


def add_budget(app: typer.Typer) -> None:
    """Give `app` the command `budget`."""

    @app.command(epilog="Example: forewarn budget /etc/forewarn/agent.toml pump --since 2026-11-01T00:00Z")
    def budget(
        config: Annotated[
            Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")
        ] = Path("agent.toml"),
        asset: Annotated[str | None, typer.Argument(metavar="ASSET", help="One asset. [default: all]")] = None,
        record: Annotated[
            Path | None,
            typer.Option(metavar="DIR_OR_PARQUET", help="What was recorded. [default: state_dir of CONFIG]"),
        ] = None,
        since: Annotated[str | None, typer.Option(metavar="TIME", help="From this time on, RFC 3339.")] = None,
        until: Annotated[str | None, typer.Option(metavar="TIME", help="To just before this time.")] = None,
        budgets: Annotated[
            str, typer.Option(metavar="A,B,...", help="Budgets to try beside the asset's own.")
        ] = ",".join(BUDGETS),
        ramps: Annotated[int, typer.Option(min=0, max=1000, help="Slow faults to try at random moments.")] = RAMPS,
        seed: Annotated[int, typer.Option(min=0, help="Of the moments and directions of these.")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Compare the alarm budget with the alerts raised, and with what other budgets would have raised and missed."""
        step_back()
        with explained():
            read = load(config)
            tried = _budgets(budgets)
            chosen = chosen_assets(read, asset)
            detectors = load_detectors(read)
            source = record or read.agent.state_dir
            since_ns, until_ns = time_ns("--since", since, 0), time_ns("--until", until, reading.EVER_NS)
            refused, found = [], []
            for name in chosen:
                try:
                    found.append(_rehearsed(read, name, detectors, source, (since_ns, until_ns), tried, ramps, seed))
                except StoreError as error:  # of this asset; the others can be told of
                    refused.append(str(error))
        if as_json:
            typer.echo(json.dumps([_json(achieved, one) for achieved, one in found], indent=1))
        else:
            for number, (achieved, one) in enumerate(found):
                if number:
                    wide().print()
                show(achieved, one, wide(), unknown_of(source))
        if refused:
            complain(*refused)
            raise typer.Exit(UNUSABLE)


def chosen_assets(config: Config, asset: str | None) -> tuple[str, ...]:
    """Return the asset that was named, else all; raise ConfigError where there is none of that name."""
    if asset is not None and asset not in config.assets:
        raise ConfigError((f"ASSET {asset}: is not configured; name one of: {', '.join(config.assets)}",))
    return tuple(config.assets) if asset is None else (asset,)


def _budgets(text: str) -> tuple[str, ...]:
    tried = names(text) or ()
    try:
        for one in tried:
            parse_budget(one)
    except ValueError as error:
        raise ConfigError((f"--budgets: {error}",)) from error
    return tried


def _rehearsed(
    config: Config,
    asset: str,
    detectors: Mapping[str, Detector],
    source: Path,
    bounds_ns: tuple[int, int],
    budgets: Sequence[str],
    ramps: int,
    seed: int,
) -> tuple[Achieved | None, Rehearsal]:
    """Return what was achieved, None where the record does not tell what was raised, and what would have been."""
    detector = detector_of(detectors, asset)
    first_ns, last_ns = span(source, asset)
    first_ns, last_ns = max(first_ns, bounds_ns[0]), min(last_ns, bounds_ns[1])
    said = config.assets[asset]
    past = past_of(source, asset, said.period_ms)
    withheld, labelled = tuple(past.unwatched(last_ns)), labels_of(source, detectors, asset)
    record = Record(source, asset, said, detector, *bounds_ns, withheld, labelled)
    with share_bar(f"judging {asset}") as progress:
        one = rehearse(
            record, (first_ns, last_ns), past.raised, budgets=budgets, ramps=ramps, seed=seed, progress=progress
        )
    if unknown_of(source) is not None:
        return None, one
    counted = len(one.known) - len(_not_counted(one))
    return Achieved.of(said.alerts_per_s, counted, one.weeks_judged * WEEK_S), one


def _not_counted(one: Rehearsal) -> list[str]:
    """Return the alerts of which people say that something was wrong: the budget is not for these."""
    return [known.alert_id for known in one.known if known.is_true]


def show(achieved: Achieved | None, one: Rehearsal, console: Console, unknown: str | None = None) -> None:
    """Print a table of what each budget would have cost, between what was achieved and what others would change.

    Where nothing was, `unknown` says why.
    """
    console.print(to_the_letter(f"{one.asset}: budget {one.budget}; {_told(achieved, one) or unknown}"), soft_wrap=True)
    console.print(
        to_the_letter(
            f"judged anew from {format_time(one.since_ns)[:16]}Z to {format_time(one.until_ns)[:16]}Z, "
            f"{watched(one.weeks_judged)} of them, as if each alert had been acknowledged:"
        ),
        soft_wrap=True,
    )
    table = Table(
        "budget", "alerts", "a week", "", "of those raised", "when", "slow faults seen", "after", box=None
    )
    for column in (1, 2, 4, 5, 6, 7):
        table.columns[column].justify = "right"
    most = max(cost.per_week for cost in one.costs)
    for cost in one.costs:
        table.add_row(*_row(cost, one, most), style="bold" if cost.budget == one.budget else None)
    console.print(table)
    if one.costs[0].ramps:
        slow = f"a slow fault: a tag drifts by {RAMP_PERCENT:g} % of its normal value in {lasting(WITHIN_S)}"
        console.print(to_the_letter(f"{slow}; begun at {one.costs[0].ramps} random healthy moments"), soft_wrap=True)
    for sentence in sentences(one):
        console.print(to_the_letter(sentence), soft_wrap=True)


def _told(achieved: Achieved | None, one: Rehearsal) -> str | None:
    if achieved is None:
        return None
    true = len(_not_counted(one))
    besides = f"; not counted: {true} that people say {'was' if true == 1 else 'were'} real, or a sensor's fault"
    return f"{achieved.sentence()}{besides if true else ''}"


def _row(cost: Cost, one: Rehearsal, most: float) -> list[Text]:
    return cells(
        cost.budget + (" *" if cost.budget == one.budget else ""),
        str(cost.alerts),
        plain(cost.per_week),
        "█" * round(_BAR_COLUMNS * cost.per_week / most) if most else "",
        f"{len(cost.later_s)} of {len(one.known)}" if one.known else "-",
        _when(cost) or "-",
        f"{len(cost.seen_s)} of {cost.ramps}" if cost.ramps else "-",
        "-" if cost.median_seen_s is None else lasting(cost.median_seen_s),
    )


def sentences(one: Rehearsal) -> list[str]:
    """Return what the next tighter and the next looser budget would have changed, in words."""
    place = next(i for i, cost in enumerate(one.costs) if cost.budget == one.budget)
    own, told = one.costs[place], []
    for way, at in (("tighter", place + 1), ("looser", place - 1)):
        if not 0 <= at < len(one.costs):
            continue
        if changed := _changed(own, one.costs[at], one):
            told.append(f"{way}, {one.costs[at].budget}: {'; '.join(changed)}")
    if one.cause_delay_s and one.hurries:
        every = lasting(one.cause_delay_s / LOOKS)
        told.append(
            "a tighter budget may be sooner, where a look falls better: an alert waits for its cause (cause_delay_s), "
            f"which is looked at every {every} from the moment on at which it reaches the limit"
        )
    return told


def _changed(own: Cost, other: Cost, one: Rehearsal) -> list[str]:
    """Return what another budget would have changed, as it is printed; what would have been the same is left out."""
    changed = [] if other.alerts == own.alerts else [f"alerts: {other.alerts} instead of {own.alerts}"]
    when = _when(other)
    if one.known and (other.later_s.keys() != own.later_s.keys() or when != _when(own)):
        would = f"{len(other.later_s)} of the {len(one.known)} that were raised would have come"
        changed.append(would + ("" if when is None else f", {when}"))
    seen, before = other.median_seen_s, own.median_seen_s
    counts = "" if len(other.seen_s) == len(own.seen_s) else f": {len(other.seen_s)} instead of {len(own.seen_s)}"
    times = "" if seen is None or before is None or lasting(seen) == lasting(before) else (
        f"{',' if counts else ''} after {lasting(seen)} instead of {lasting(before)}"
    )
    return changed + ([f"slow faults seen{counts}{times}"] if counts or times else [])


def _when(cost: Cost) -> str | None:
    return None if cost.median_later_s is None else _later(cost.median_later_s)


def _later(seconds: float) -> str:
    if abs(seconds) < 1.0:
        return "as soon"
    return f"{lasting(abs(seconds))} {'later' if seconds > 0 else 'sooner'}"


def _json(achieved: Achieved | None, one: Rehearsal) -> dict[str, object]:
    return {
        "asset": one.asset,
        "budget": one.budget,
        "achieved": None if achieved is None else achieved.as_json(),
        "since": format_time(one.since_ns),
        "until": format_time(one.until_ns),
        "weeks_judged": one.weeks_judged,
        "alerts": [known.alert_id for known in one.known],
        "not_counted": _not_counted(one),
        "slow_fault": {"percent": RAMP_PERCENT, "within_s": WITHIN_S},
        "budgets": [
            {
                "budget": cost.budget,
                "alerts": cost.alerts,
                "per_week": cost.per_week,
                "interval": [bound / cost.weeks for bound in rate_interval(cost.alerts)],
                "later_s": cost.later_s,
                "slow_faults": cost.ramps,
                "slow_faults_seen": len(cost.seen_s),
                "median_seen_s": cost.median_seen_s,
            }
            for cost in one.costs
        ],
    }
