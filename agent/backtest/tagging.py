"""Which columns are tags: those that are named, or all numbers but the ones that cannot be measurements."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.backtest.table import Ints, Table
from agent.backtest.trial import BacktestError
from connectors.frame import Int64s

CLASSES_MAX: Final = 16


def choose_tags(
    table: Table,
    named: Sequence[str] | None,
    roles: Sequence[str],
    conditions: Sequence[str],
    stretches: Sequence[Ints],
    notes: list[str],
    option: str = "--tags",
) -> tuple[str, ...]:
    """Return the tags: those `named` (a name may hold * and ?), otherwise all numeric columns of no other
    use.

    `roles` are the columns of time, run and label, `conditions` those in a condition on rows. Without names,
    row counters over the `stretches` (rows of one run, in order) are left out as well, and whole-numbered
    columns of few values are pointed out, because many are labels in disguise; `notes` gets to hear of it.
    `option` is what named the tags.
    """
    if named is not None:
        return _named(table, named, roles, option)
    free = [name for name in table.numeric() if name not in roles]
    if asked := [name for name in free if name in conditions]:
        notes.append(f"{', '.join(asked)}: in a condition, and so no tag unless named with --tags")
    free = [name for name in free if name not in conditions]
    counters = [name for name in table.integers(free) if is_counter(table.integer_values(name), stretches)]
    if counters:
        notes.append(
            f"{', '.join(counters)}: moves by the same step in each row, so it counts rows and is no tag"
        )
    tags = [name for name in free if name not in counters]
    if not tags:
        raise BacktestError(
            f"{table.path} has no numeric column left for a tag; name some with --tags A,B; "
            f"it has: {', '.join(table.columns)}"
        )
    classes = [name for name in table.integers(tags) if table.distinct(name) <= CLASSES_MAX]
    if classes:
        notes.append(
            f"{', '.join(classes)}: whole numbers of few values, taken as tags; if they are labels, they "
            "give the answer away: leave them out with --tags"
        )
    return tuple(tags)


def is_counter(values: Int64s | None, stretches: Sequence[Ints]) -> bool:
    """Say whether i64[N] moves by a constant step within each stretch (of more than two rows)."""
    if values is None:
        return False
    steps = [np.diff(values[rows]) for rows in stretches if len(rows) > 2]
    return bool(steps) and all(step[0] != 0 and bool((step == step[0]).all()) for step in steps)


def _named(table: Table, named: Sequence[str], roles: Sequence[str], option: str) -> tuple[str, ...]:
    columns = table.columns
    tags: list[str] = []
    for name in named:
        pattern = name not in columns and any(letter in name for letter in "*?")
        matching = [each for each in columns if each not in roles and fnmatch.fnmatchcase(each, name)]
        found = matching if pattern else [name]
        if not found:
            raise BacktestError(
                f"{option} {name}: no column of {table.path} is named so; it has: {', '.join(columns)}"
            )
        tags += found
    table.require(option, tags)
    if both := [tag for tag in tags if tag in roles]:
        raise BacktestError(
            f"{option} {', '.join(both)}: it is the time, the run or the label, and so no tag"
        )
    return tuple(dict.fromkeys(tags))
