"""`forewarn events`: what happened to assets apart from any alert."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from agent.api.event_models import EventPage
from agent.ask import API_URL, ask_for
from agent.cells import to_the_letter
from agent.console import explained, wide
from agent.line.event import AssetEvent, EventKind
from agent.listing import ELSE_DO, LIMIT, Api, AsJson, Limit, OfAsset, StateDir, print_json
from agent.options import time_ns
from agent.shadow.loading import JOURNAL
from agent.store import codec
from agent.store.journal import EventFilter, JournalReader
from agent.told import happened, second


def add_events(app: typer.Typer) -> None:
    """Give `app` the command `events`."""

    @app.command("events", epilog="Example: forewarn events --asset pump --since 2026-12-01T06:00Z")
    def events(
        api: Api = API_URL,
        state_dir: StateDir = None,
        asset: OfAsset = None,
        kind: Annotated[
            EventKind | None, typer.Option(metavar="KIND", help="Only of this kind, such as change_seen.")
        ] = None,
        since: Annotated[str | None, typer.Option(metavar="TIME", help="Told at or after this time, RFC 3339.")] = None,
        limit: Limit = LIMIT,
        as_json: AsJson = False,
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
            print_json(found)
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
    page = ask_for(EventPage, url, "/events", query, else_do=ELSE_DO)
    return tuple(codec.decode_event(item.model_dump_json()) for item in page.items)


def _line(event: AssetEvent) -> str:
    return f"{second(event.time_ns)}  {event.asset}  {happened(event)}"
