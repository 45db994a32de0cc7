"""Which rows are learnt from and which are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.backtest.table import Ints, Table
from agent.backtest.trial import FAULTY, BacktestError, Int8s
from connectors.frame import Bools


@dataclass(frozen=True, slots=True)
class Split:
    """What is learnt from, in one of three ways, and what is tried (by default all other rows).

    `learn` and `test` are polars SQL conditions; `learn_rows` takes the first rows of each run;
    `learn_until_label` takes the first `learn_share` of the rows before the first fault of each run.
    `per_run` learns one model per run.
    """

    learn: str | None = None
    learn_rows: int | None = None
    learn_until_label: bool = False
    learn_share: float = 0.6
    test: str | None = None
    per_run: bool = False

    def __post_init__(self) -> None:
        given = [
            name
            for name, value in (
                ("--learn", self.learn),
                ("--learn-rows", self.learn_rows),
                ("--learn-until-label", self.learn_until_label or None),
            )
            if value is not None
        ]
        if not given:
            raise BacktestError(
                'say what to learn from: --learn "CONDITION", --learn-rows N or --learn-until-label'
            )
        if len(given) > 1:
            raise BacktestError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.learn_rows is not None and self.learn_rows < 1:
            raise BacktestError(f"--learn-rows {self.learn_rows}: must be at least 1")
        if not 0 < self.learn_share <= 1:
            raise BacktestError(f"--learn-share {self.learn_share:g}: must be above 0 and at most 1")

    def __str__(self) -> str:
        if self.learn is not None:
            return f"where {self.learn}"
        if self.learn_rows is not None:
            return f"the first {self.learn_rows:,} of each run"
        return f"the first {self.learn_share:.0%} of the rows before each run's first fault"


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows to learn from and to try, bool[N], never both; `named` are the columns of the conditions."""

    learn: Bools
    test: Bools
    named: tuple[str, ...]


def split_rows(
    table: Table, runs: Sequence[tuple[str, Ints]], label: Int8s | None, split: Split, notes: list[str]
) -> Parts:
    """Return which rows are learnt from and which are tried; add what is odd to `notes`."""
    learn, learn_named = _learnt(table, runs, label, split)
    test, named = (~learn, []) if split.test is None else table.where("--test", split.test)
    if split.test is not None:
        if not test.any():
            raise BacktestError(_nothing(table, "--test", split.test, named))
        if (both := int((learn & test).sum())) and split.learn is not None:
            notes.append(
                f"{both:,} rows match both what is learnt from and --test: they are learnt from and not tried"
            )
        test &= ~learn
    if not test.any():
        raise BacktestError(
            f"every row of {table.path} that could be tried is learnt from ({split}; {int(learn.sum()):,} "
            f"of {table.rows:,} rows); learn from fewer"
        )
    if label is not None and (faulty := int((label[learn] == FAULTY).sum())):
        notes.append(
            f"{faulty:,} of the {int(learn.sum()):,} rows learnt from are labelled as faults; "
            "what is learnt as normal contains them"
        )
    return Parts(learn, test, (*learn_named, *named))


def _learnt(
    table: Table, runs: Sequence[tuple[str, Ints]], label: Int8s | None, split: Split
) -> tuple[Bools, list[str]]:
    if split.learn is not None:
        learn, named = table.where("--learn", split.learn)
        if not learn.any():
            raise BacktestError(_nothing(table, "--learn", split.learn, named))
        return learn, named
    learn = np.zeros(table.rows, np.bool_)
    for _, rows in runs:
        learn[rows[: _prefix(rows, label, split)]] = True
    if not learn.any():
        raise BacktestError(
            f"--learn-until-label: no run of {table.path} has healthy rows before its first fault"
        )
    return learn, []


def _prefix(rows: Ints, label: Int8s | None, split: Split) -> int:
    """Return how many rows of a run are learnt from, counted from its first."""
    if split.learn_rows is not None:
        return split.learn_rows
    if label is None:
        raise BacktestError("--learn-until-label needs --label COLUMN")
    faults = np.flatnonzero(label[rows] == FAULTY)
    return int((faults[0] if len(faults) else len(rows)) * split.learn_share)


def _nothing(table: Table, option: str, condition: str, named: Sequence[str]) -> str:
    held = f"; {table.contents(named)}" if named else ""
    return f'{option} "{condition}": no row of {table.path} ({table.rows:,} rows) fulfils it{held}'
