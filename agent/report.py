"""`forewarn report`: pages to hand on, of the week and of what the agent costs each PLC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agent.cells import cells
from agent.clock import Clock
from agent.config.file import load
from agent.console import Commands, explained, wide
from agent.ledger.command import add_weekly
from agent.store.journal import StoreError
from agent.store.loads import FILE, read_loads, together
from agent.wiring import endpoint
from connectors.load import Load


def add_report(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the reports."""
    reports = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="Print pages to hand on.")
    app.add_typer(reports, name="report")

    @reports.callback()
    def _reports() -> None:
        """Take what comes before the name of a report."""

    add_weekly(reports, clock)

    @reports.command("plc-load", epilog="Example: forewarn report plc-load agent.toml --json")
    def plc_load(
        config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")],
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, day by day.")] = False,
    ) -> None:
        """Say what the agent has cost each PLC: requests, bytes, and the share of its time. Asks no PLC."""
        with explained():
            read = load(config)
            path = read.agent.state_dir / FILE
            found = {name: days for name, days in read_loads(path).items() if name in read.connections}
            if not found:
                raise StoreError(f"{path}: nothing is known yet; the agent writes it every ten minutes, and at its end")
            devices = {name: str(endpoint(read, name)) for name in found}
        if as_json:
            typer.echo(json.dumps({name: _json(devices[name], days) for name, days in found.items()}, indent=1))
            return
        wide().print(_table({name: together(days) for name, days in found.items()}))
        typer.echo()
        for name, days in found.items():
            typer.echo(sentence(name, devices[name], days))


def sentence(name: str, device: str, days: Mapping[str, Load]) -> str:
    """Return what the owner of a PLC wants to know of it."""
    whole = together(days)
    return (
        f"{name} ({device}), since {min(days)}: this agent cost your PLC {whole.busy_share:.2%} of its communication "
        f"time, {whole.requests_per_s:.2f} requests a second, never more than {whole.requests_max_per_s} in one; "
        "it only reads"
    )


def _json(device: str, days: Mapping[str, Load]) -> dict[str, object]:
    return {
        "device": device,
        "since": min(days),
        "total": _figures(together(days)),
        "days": {day: _figures(one) for day, one in days.items()},
    }


def _figures(load: Load) -> dict[str, int | float]:
    return {**asdict(load), "busy_share": load.busy_share, "requests_per_s": load.requests_per_s}


def _table(loads: Mapping[str, Load]) -> Table:
    table = Table("connection", "watched", "requests", "mean", "most", "values", "sent", "received", "busy",
                  "connections", "unanswered", "slow-downs", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in loads.items():
        table.add_row(*cells(
            name,
            f"{one.watched_ns / 3.6e12:.1f} h",
            f"{one.requests:,}",
            f"{one.requests_per_s:.2f}/s",
            f"{one.requests_max_per_s}/s",
            f"{one.values:,}",
            f"{one.bytes_sent / 1e6:.2f} MB" if one.bytes_sent else "-",
            f"{one.bytes_received / 1e6:.2f} MB" if one.bytes_received else "-",
            f"{one.busy_share:.2%}",
            f"{one.connections:,}",
            f"{one.errors:,}",
            f"{one.slow_downs:,}",
        ))
    return table
