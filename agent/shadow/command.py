"""`forewarn commissioning`: how far an asset is on the way to alerts that people see, and what is to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.api.commissioning_models import CommissioningModel
from agent.ask import API_URL, ask_for
from agent.cells import cells
from agent.console import explained, wide
from agent.line.stage import Stage
from agent.line.wording import lasting
from agent.store import codec


def add_commissioning(app: typer.Typer) -> None:
    """Give `app` the command `commissioning`."""

    @app.command("commissioning", epilog="Example: forewarn commissioning pump")
    def commissioning(
        asset: Annotated[str, typer.Argument(metavar="ASSET", help="The asset's name in the configuration.")],
        api: Annotated[str, typer.Option(metavar="URL", help="Ask the agent at this address.")] = API_URL,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Show the stage of an asset, how much of it is recorded, and what it would have raised in shadow."""
        with explained():
            found = ask_for(CommissioningModel, api, f"/assets/{asset}/commissioning")
        if as_json:
            typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
        else:
            show(found, wide())


def show(found: CommissioningModel, console: Console) -> None:
    """Print the stage, what came of looking back, the alerts in shadow, and what is to do next."""
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    table = Table("alert in shadow", "raised", "lasted", "message", box=None, pad_edge=False)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for alert in (*found.raised, *found.before):
        begin_ns = codec.parse_time(alert.raised_time)
        over = alert.returned_time and lasting((codec.parse_time(alert.returned_time) - begin_ns) / 1e9)
        table.add_row(*cells(alert.id, f"{alert.raised_time[:19]}Z", over or "-", alert.message))
    if table.row_count:
        console.print(table)


def _lines(found: CommissioningModel) -> Iterator[str]:
    since = f" since {found.since[:19]}Z" if found.since else ""
    yield f"{found.asset}: {found.stage}{since}, " + (f"model {found.model}" if found.model else "no model yet")
    told = found.collected
    if found.model is None:
        yield f"recorded: {told.recorded_h:.3g} of {told.needed_h:.3g} hours from which a model is learnt"
    if told.missing:
        yield f"no good value in the last day: {', '.join(told.missing)}; see forewarn tags {found.asset}"
    if told.refused and found.stage is Stage.COLLECTING:
        yield f"no model could be learnt: {told.refused}"
    if found.looked_back:
        yield f"looked back: {found.looked_back}"
    if found.stage is Stage.SHADOW:
        yield f"next: look at these alerts, and then forewarn go-live {found.asset} --by NAME"
