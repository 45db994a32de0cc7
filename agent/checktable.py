"""What `forewarn check` shows: connections and their tags in a table, what to do below it; the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.cells import cells, to_the_letter
from agent.check import ConnectionCheck, TagCheck, failures
from connectors.frame import status_name

Json = dict[str, str | float | bool | list[str] | None]
ROOMY_COLUMNS = 120
"""From this width on the address stands in the table's line; below it, in a line of its own."""


def as_json(found: Sequence[ConnectionCheck], problems: Sequence[str], warnings: Sequence[str],
            bundles: Mapping[str, str]) -> dict[str, object]:
    """Return all that `show` shows."""
    return {
        "good": not problems and not failures(found),
        "problems": list(problems),
        "warnings": list(warnings),
        "bundles": dict(bundles),
        "connections": [_connection_json(one) for one in found],
        "tags": [_tag_json(tag, one) for one in found for tag in one.tags],
    }


def _connection_json(found: ConnectionCheck) -> Json:
    return {"connection": found.name, "device": found.device, "reached": found.reached, "security": found.security,
            "server": found.server, "latency_ms": found.latency_ms, "remedy": found.remedy, "notes": list(found.notes)}


def _tag_json(tag: TagCheck, connection: ConnectionCheck) -> Json:
    return {
        "asset": tag.asset,
        "tag": tag.tag,
        "unit": tag.unit,
        "connection": connection.name,
        "address": tag.address,
        "raw": tag.raw,
        "value": tag.value,
        "status": status_name(tag.status),
        "doubtful": tag.doubtful,
        "latency_ms": connection.latency_ms,
        "good": tag.good,
        "remedy": tag.remedy,
    }


def show(found: Sequence[ConnectionCheck], problems: Sequence[str], bundles: Mapping[str, str],
         console: Console) -> None:
    """Print a table for each connection, then what to do, then how many tags were read."""
    for connection in found:
        console.print(*_headline(connection), sep="\n", soft_wrap=True)
        console.print(_table(connection, roomy=console.width >= ROOMY_COLUMNS))
        console.print()
    tags = [tag for connection in found for tag in connection.tags]
    bad = failures(found)
    lines = list(problems)
    lines += [f"{_called(list(ones), found)}: {remedy}"
              for remedy, ones in groupby(sorted(bad, key=lambda one: one.remedy), lambda one: one.remedy)]
    lines += [f"bundle of {asset}: {origin}" for asset, origin in bundles.items()]
    also = f"; {len(problems)} problem{'s' if len(problems) > 1 else ''} with bundles" if problems else ""
    doubtful = sum(tag.doubtful for tag in tags)
    doubts = f", {doubtful} of them doubtful" if doubtful else ""
    lines.append(f"{len(tags) - len(bad) + doubtful} of {len(tags)} tags were read{doubts}{also}")
    for line in lines:
        console.print(to_the_letter(line), soft_wrap=True)


def _headline(found: ConnectionCheck) -> list[Text]:
    reached = f"reached, read in {found.latency_ms:.1f} ms" if found.latency_ms is not None else (
        "reached, not read" if found.reached else "not read")
    style = "bold" if found.latency_ms is not None else "bold red"
    about = [part for part in (found.server, found.security) if part]
    return [to_the_letter(f"{found.name}: {found.device}; {reached}", style),
            *([to_the_letter(f"  {'; '.join(about)}", "dim")] if about else []),
            *(to_the_letter(f"  {note}", "yellow") for note in found.notes)]


def _table(found: ConnectionCheck, *, roomy: bool) -> Table:
    table = Table("tag", "value", "unit", "status", "raw", *(["address"] if roomy else []), box=None, pad_edge=False)
    table.columns[0].overflow = table.columns[4].overflow = "fold"
    table.columns[1].justify = "right"
    table.columns[1].no_wrap = table.columns[2].no_wrap = True
    in_order = sorted(found.tags, key=lambda tag: found.assets.index(tag.asset))
    for asset, tags in groupby(in_order, lambda tag: tag.asset):
        table.add_row(to_the_letter(asset, "bold"))
        for tag in tags:
            row = cells(f"  {tag.tag}", "-" if tag.value is None else f"{tag.value:.6g}", tag.unit,
                        status_name(tag.status) + (", doubtful" if tag.doubtful else ""), tag.raw or "-",
                        *([tag.address] if roomy else []))
            table.add_row(*row, style=None if tag.good else "red")
    return table


def _called(bad: Sequence[TagCheck], found: Sequence[ConnectionCheck]) -> str:
    """Name tags: by their connection where nothing on it could be read."""
    for connection in found:
        if len(bad) == len(connection.tags) > 1 and set(bad) == set(connection.tags):
            return f"connection {connection.name} ({len(bad)} tags)"
    return ", ".join(f"{one.asset}.{one.tag}" for one in bad)
