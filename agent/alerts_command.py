"""`forewarn alerts`: what is open, and what was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agent.ask import API_URL, ask, nobody
from agent.cells import to_the_letter
from agent.console import explained, wide
from agent.line.alert import AlarmState, Alert, Priority
from agent.line.wording import NO_ESTIMATE, remaining_life
from agent.listing import ELSE_DO, LIMIT, Api, AsJson, Limit, OfAsset, StateDir, print_json
from agent.shadow.loading import JOURNAL
from agent.store import codec
from agent.store.journal import AlertFilter, JournalReader
from agent.told import on_one_line, second, standing

_INDENT: Final = 4
_STYLES: Final = {Priority.HIGH: "bold red", Priority.MEDIUM: "bold yellow", Priority.LOW: "bold"}


def add_alerts(app: typer.Typer) -> None:
    """Give `app` the command `alerts`."""

    @app.command("alerts", epilog="Example: forewarn alerts --open --asset pump")
    def alerts(
        api: Api = API_URL,
        state_dir: StateDir = None,
        asset: OfAsset = None,
        is_open: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
        limit: Limit = LIMIT,
        as_json: AsJson = False,
    ) -> None:
        """List alerts, the newest first."""
        with explained():
            if state_dir is None:
                found = _asked(api, {"asset": asset, "open": "true" if is_open else None, "limit": str(limit)})
            else:
                with closing(JournalReader.open(state_dir / JOURNAL)) as journal:
                    found = journal.alerts(AlertFilter(asset=asset, open=is_open or None), limit=limit).alerts
        if as_json:
            print_json(found)
            return
        show(found, wide())


def show(alerts: Sequence[Alert], console: Console) -> None:
    """Print a few lines for each alert."""
    for alert in alerts:
        head, *rest = _lines(alert)
        console.print(head)
        for line in rest:
            console.print(Padding(line, (0, 0, 0, _INDENT), expand=False))
    if not alerts:
        console.print("no alerts")


def _lines(alert: Alert) -> Iterator[Text]:
    """Give which alert it is and how it stands, what it says, and how bad it is."""
    style = "" if alert.state is AlarmState.NORMAL else _STYLES[alert.priority]
    yield to_the_letter(f"{alert.id}  {alert.priority}  {second(alert.raised_time_ns)}  {standing(alert)}", style)
    yield to_the_letter(on_one_line(alert.message))
    life = remaining_life(alert.verdict)
    left = "no estimate of the time left" if life == NO_ESTIMATE else f"when raised {life}"
    yield to_the_letter(f"evidence {alert.peak_evidence:.2f} at most; {left}", "dim")


def _asked(url: str, query: dict[str, str | None]) -> tuple[Alert, ...]:
    """Get a page of alerts from a running agent; raise StoreError saying what to do where that fails."""
    try:
        items = json.loads(ask(url, "/alerts", query, else_do=ELSE_DO))["items"]
        return tuple(codec.decode(json.dumps(item)) for item in items)
    except (ValueError, KeyError, TypeError, codec.CodecError) as error:
        raise nobody(url, str(error), ELSE_DO) from error
