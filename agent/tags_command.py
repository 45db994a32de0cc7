"""`forewarn tags`: what each tag of a running agent gives, and how far it is to be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.api.models import AssetList
from agent.api.trust_models import TagTrustList, TagTrustModel
from agent.ask import API_URL, ask_for
from agent.cells import cells, to_the_letter
from agent.console import FAILED, explained, wide
from agent.line.wording import lasting

MIN_TRUST = 50
WHOLE = 100
ROOMY_COLUMNS = 100
"""From this width on the reasons stand in the table; below it, under it."""


def add_tags(app: typer.Typer) -> None:
    """Give `app` the command `tags`."""

    @app.command("tags", epilog="Example: forewarn tags pump --min-trust 80. Exit codes: 0 every tag is trusted that "
                                "far, 1 one is not, 2 usage, or no agent answers.")
    def tags(
        asset: Annotated[str | None, typer.Argument(metavar="ASSET", help="One asset. [default: all]")] = None,
        api: Annotated[str, typer.Option(metavar="URL", help="Ask the agent at this address.")] = API_URL,
        min_trust: Annotated[
            int, typer.Option(min=0, max=WHOLE, help="Fail where a tag is trusted less than this.")
        ] = MIN_TRUST,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Show each tag's value, how old it is, and how far it is to be trusted, as the running agent sees it."""
        with explained():
            names = [asset] if asset else [one.asset for one in ask_for(AssetList, api, "/assets").items]
            found = {name: ask_for(TagTrustList, api, f"/assets/{name}/tags").items for name in names}
        doubted = [f"{name}.{tag.tag}" for name, tags in found.items() for tag in tags if tag.trust < min_trust]
        if as_json:
            typer.echo(json.dumps(_json(found, doubted), indent=1))
        else:
            show(found, doubted, min_trust, wide())
        if doubted:
            raise typer.Exit(FAILED)


def _json(found: Mapping[str, Sequence[TagTrustModel]], doubted: Sequence[str]) -> dict[str, object]:
    shown = [{"asset": name, **tag.model_dump(mode="json")} for name, tags in found.items() for tag in tags]
    return {"good": not doubted, "doubted": list(doubted), "tags": shown}


def show(
    found: Mapping[str, Sequence[TagTrustModel]], doubted: Sequence[str], min_trust: int, console: Console
) -> None:
    """Print the tags of each asset in a table, and below it which are trusted less than `min_trust`."""
    roomy = console.width >= ROOMY_COLUMNS
    why = ["why"] if roomy else []
    table = Table("tag", "value", "unit", "status", "age", "trust", *why, box=None, pad_edge=False)
    table.columns[0].overflow = table.columns[-1].overflow = "fold"
    for column in (1, 4, 5):
        table.columns[column].justify = "right"
    for column in range(1, 6):
        table.columns[column].no_wrap = True
    for asset, tags in found.items():
        table.add_row(to_the_letter(asset, "bold"))
        for tag in tags:
            row = cells(
                f"  {tag.tag}",
                "-" if tag.value is None else f"{tag.value:.6g}",
                tag.unit,
                tag.status,
                "-" if tag.age_s is None else lasting(round(tag.age_s)),
                str(tag.trust),
                *(["; ".join(tag.reasons)] if roomy else []),
            )
            style = "red" if tag.trust < min_trust else "yellow" if tag.trust < WHOLE else None
            table.add_row(*row, style=style)
    console.print(table)
    for name, tag in [(f"{asset}.{tag.tag}", tag) for asset, tags in found.items() for tag in tags]:
        if tag.reasons and not roomy:
            console.print(to_the_letter(f"{name}: {'; '.join(tag.reasons)}"), soft_wrap=True)
    count = sum(map(len, found.values()))
    told = f"; not {', '.join(doubted)}" if doubted else ""
    line = f"{count - len(doubted)} of {count} tags are trusted with {min_trust} or more{told}"
    console.print(to_the_letter(line), soft_wrap=True)
