"""docs/benchmarks.md from the results: the text of page.md with a table for each benchmark. Pure until `write`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.machine import Provenance
from benchmarks.methods import METHODS, OURS
from benchmarks.result import Result
from benchmarks.store import RESULTS, Measured, read

TEMPLATE: Final = Path(__file__).resolve().parent / "page.md"
PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PLACE: Final = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
COLUMNS_MAX: Final = 8
"""More figures than these make a table for each case."""
CASES_MAX: Final = 8
"""A figure of more cases than these gets a table of its own, a row for each case; so do figures of one method."""
THOUSANDS: Final = 10_000
"""From here on figures are written whole."""
PEERS_MAX: Final = 5
"""How many peers stand in such a table."""
UNFINISHED: Final = "did not finish"

Column = tuple[str, str]
"""A case and a metric."""


def all_measured(folder: Path = RESULTS) -> dict[str, Measured]:
    """Read all results that there are, by name."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def write(results: Mapping[str, Measured], page: Path = PAGE) -> None:
    """Render the page and write it."""
    page.write_text(render(results, TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")


def render(results: Mapping[str, Measured], template: str) -> str:
    """Put the tables of each benchmark where `{{name}}` stands; those without a place come last."""
    placed = PLACE.findall(template)
    text = PLACE.sub(lambda match: _section(results.get(match[1])), template).rstrip("\n")
    rest = [f"## {name}\n\n{_section(measured)}" for name, measured in results.items() if name not in placed]
    return "\n\n".join([text, *rest]) + "\n"


def _section(measured: Measured | None) -> str:
    if measured is None or not measured.results:
        return "Not measured yet."
    parts = [*_targets(measured), *_comparisons(measured), *_unfinished(measured), *_sources(measured)]
    return "\n\n".join(parts)


def _targets(measured: Measured) -> Iterator[str]:
    """Yield the table of our figures against their targets, where there are any."""
    rows = [
        (result.case, result.metric, with_unit(result), sought(result), "met" if result.met else "**missed**")
        for result in measured.results if result.target is not None
    ]
    if rows:
        yield _table(("case", "figure", OURS, "target", ""), rows)


def _comparisons(measured: Measured) -> Iterator[str]:
    """Yield tables of all methods; figures that the same methods have stand together."""
    together: dict[tuple[str, ...], list[Column]] = {}
    for column in dict.fromkeys((each.case, each.metric) for each in measured.results if each.metric != UNFINISHED):
        having = {each.method for each in measured.results if (each.case, each.metric) == column}
        together.setdefault(tuple(_in_order(having)), []).append(column)
    for methods, columns in together.items():
        if len(methods) == 1 and len({case for case, _ in columns}) > CASES_MAX:
            yield _by_metric(measured, methods[0], columns)
            continue
        for part in _split(columns):
            yield _by_case(measured, methods, part) if _is_long(part) else _by_method(measured, methods, part)


def _split(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """Yield the columns of each table: a metric of many cases apart, the others by case where they are many."""
    cases: dict[str, list[str]] = {}
    for case, metric in columns:
        cases.setdefault(metric, []).append(case)
    alone = {case: [metric for each, metric in columns if each == case] for case, _ in columns}
    long = [column for column in columns if len(cases[column[1]]) > CASES_MAX and len(alone[column[0]]) == 1]
    short = [column for column in columns if column not in long]
    if len(short) <= COLUMNS_MAX:
        yield from [short] if short else []
    else:
        for case in dict.fromkeys(case for case, _ in short):
            yield [column for column in short if column[0] == case]
    for metric in dict.fromkeys(metric for _, metric in long):
        yield [column for column in long if column[1] == metric]


def _is_long(columns: Sequence[Column]) -> bool:
    return len(columns) > COLUMNS_MAX and len({metric for _, metric in columns}) == 1


def _by_method(measured: Measured, methods: Sequence[str], columns: Sequence[Column]) -> str:
    found = _found(measured)
    same = {case for case, _ in columns}
    heads = [metric if len(same) == 1 else f"{case}: {metric}" for case, metric in columns]
    rows = [(method, *(_cell(found.get((method, *column))) for column in columns)) for method in methods]
    bold = [tuple(f"**{cell}**" for cell in row) if row[0] == OURS else row for row in rows]
    return _table((columns[0][0] if len(same) == 1 else "method", *heads), bold)


def _by_case(measured: Measured, methods: Sequence[str], columns: Sequence[Column]) -> str:
    """Return a table with a row for each case, of ours and the peers with the highest means."""
    found = _found(measured)

    def mean(method: str) -> float:
        return sum(found[method, *column].value or 0.0 for column in columns) / len(columns)

    peers = sorted((method for method in methods if method != OURS), key=mean, reverse=True)[:PEERS_MAX]
    shown = [method for method in methods if method == OURS or method in peers]
    rows = [(case, *(_cell(found.get((method, case, metric))) for method in shown)) for case, metric in columns]
    whose = f" ({OURS} and the {len(peers)} peers with the highest mean)" if len(peers) < len(methods) - 1 else ""
    return f"By case, {columns[0][1]}{whose}:\n\n{_table(('case', *shown), rows)}"


def _by_metric(measured: Measured, method: str, columns: Sequence[Column]) -> str:
    """Return a table of what only one method has, a row for each case and a column for each metric."""
    found = _found(measured)
    cases, metrics = (list(dict.fromkeys(names)) for names in zip(*columns, strict=True))
    rows = [(case, *(_cell(found.get((method, case, metric))) for metric in metrics)) for case in cases]
    return f"By case, {method}:\n\n{_table(('case', *metrics), rows)}"


def _found(measured: Measured) -> dict[tuple[str, str, str], Result]:
    return {(each.method, each.case, each.metric): each for each in measured.results}


def _unfinished(measured: Measured) -> Iterator[str]:
    """Yield the line that names the methods that took too long."""
    names = [f"{each.method} ({each.case})" for each in measured.results if each.metric == UNFINISHED]
    if names:
        yield f"Did not finish in bounded time: {', '.join(names)}."


def _sources(measured: Measured) -> Iterator[str]:
    """Yield where and with what it was measured, methods and parts measured alike in one line."""
    alike: dict[str, list[str]] = {}
    methods = _in_order(set(measured.methods))
    for name in [*methods, *(name for name in measured.provenance if name not in methods)]:
        alike.setdefault(_source(measured.provenance[name]), []).append(name)
    lines = []
    for source, methods in alike.items():
        whose = f": {', '.join(methods)}" if len(alike) > 1 else ""
        lines.append(f"- Measured {source}{whose}.")
    yield "\n".join(lines)


def _source(source: Provenance) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in source.packages.items())
    return f"{source.date} at `{source.commit}` on {source.cpu} ({source.cores} cores) with {versions}"


def _in_order(methods: set[str]) -> list[str]:
    """Return ours first, then the peers as they are registered, then those that only this benchmark has."""
    known = [name for name in METHODS if name in methods]
    return known + sorted(methods.difference(known))


def _cell(result: Result | None) -> str:
    return "–" if result is None else with_unit(result)  # noqa: RUF001 - a dash, not a minus


def with_unit(result: Result) -> str:
    """Write a figure with four significant digits, a large one whole, and its unit; a dash where there is none."""
    if result.value is None:
        return "–"  # noqa: RUF001
    value = f"{result.value:,.0f}" if abs(result.value) >= THOUSANDS else f"{result.value:.4g}"
    return f"{value} {result.unit}".rstrip()


def sought(result: Result) -> str:
    """Write the target with its direction, which follows from whether it is met."""
    if result.target is None or result.value is None or result.value == result.target:
        return "" if result.target is None else f"{result.target:g}"
    at_least = (result.value > result.target) == result.met
    return f"{'≥' if at_least else '≤'} {result.target:g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
