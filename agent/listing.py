"""What `forewarn alerts` and `forewarn events` share: of what they list, from where, how much, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from agent.cells import json_letters
from agent.line.event import Entry
from agent.store import codec

Api = Annotated[str, typer.Option(metavar="URL", help="Ask the agent at this address.")]
StateDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Read the journal there instead.")]
OfAsset = Annotated[str | None, typer.Option(help="Only of this asset.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="How many at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each.")]
LIMIT: Final = 50
ELSE_DO: Final = "read its journal with --state-dir"
"""What else there is to do where no agent answers."""


def print_json(entries: Iterable[Entry]) -> None:
    """Print alerts or events, a line of JSON each."""
    for entry in entries:
        typer.echo(json_letters(codec.encode(entry).decode()))
