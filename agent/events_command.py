"""`forewarn events`: what happened to assets apart from any alert."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from agent.api.event_models import EventPage
from agent.ask import API_URL, ask_for
from agent.cells import json_letters, to_the_letter
from agent.console import explained, wide
from agent.line.event import AssetEvent, EventKind
from agent.options import time_ns
from agent.shadow.loading import JOURNAL
from agent.store import codec
from agent.store.journal import EventFilter, JournalReader
from agent.told import happened, second


def add_events(app: typer.Typer) -> None:
    """Give `app` the command `events`."""

    @app.command("events", epilog="Example: forewarn events --asset pump --since 2026-12-01T06:00Z")
    def events(
        api: Annotated[str, typer.Option(metavar="URL", help="Ask the agent at this address.")] = API_URL,
        state_dir: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Read the journal there instead.")
        ] = None,
        asset: Annotated[str | None, typer.Option(help="Only of this asset.")] = None,
        kind: Annotated[
            EventKind | None, typer.Option(metavar="KIND", help="Only of this kind, such as change_seen.")
        ] = None,
        since: Annotated[str | None, typer.Option(metavar="TIME", help="Told at or after this time, RFC 3339.")] = None,
        limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 50,
        as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each.")] = False,
    ) -> None:
        """List what happened to assets: changes, service, what was learnt, what people decided; the newest first."""
        with explained():
            where = EventFilter(asset, kind, None if since is None else time_ns("--since", since, 0))
            if state_dir is None:
                found = _asked(api, where, limit)
            else:
                with closing(JournalReader.open(state_dir / JOURNAL)) as journal:
                    found = journal.events(where, limit=limit).events
        if as_json:
            for event in found:
                typer.echo(json_letters(codec.encode(event).decode()))
            return
        wide().print(to_the_letter("\n".join(map(_line, found)) or "no events"), soft_wrap=True)


def _asked(url: str, where: EventFilter, limit: int) -> tuple[AssetEvent, ...]:
    """Get a page of events from a running agent; raise StoreError saying what to do where that fails."""
    query = {
        "asset": where.asset,
        "kind": where.kind,
        "since": None if where.since_ns is None else codec.format_time(where.since_ns),
        "limit": str(limit),
    }
    page = ask_for(EventPage, url, "/events", query, else_do="read its journal with --state-dir")
    return tuple(codec.decode_event(item.model_dump_json()) for item in page.items)


def _line(event: AssetEvent) -> str:
    return f"{second(event.time_ns)}  {event.asset}  {happened(event)}"
