"""docs/backtest.md names every option, every figure and every rule."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from agent.backtest.command import add_backtest
from agent.backtest.metrics import Figures
from agent.backtest.trivial import TRIVIAL
from agent.clock import SystemClock
from tests.backtest.judges import learn_mahalanobis

PAGE = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text(encoding="utf-8")


def options() -> list[str]:
    app = typer.Typer(add_completion=False)
    add_backtest(app, learn_mahalanobis, SystemClock())
    return [name for option in get_command(app).params for name in option.opts if name.startswith("--")]


@pytest.mark.parametrize("option", options())
def test_the_page_explains_the_option(option: str) -> None:
    assert f"| `{option}` |" in PAGE


@pytest.mark.parametrize("figure", [field.name for field in fields(Figures)])
def test_the_page_explains_the_figure(figure: str) -> None:
    assert f"`{figure}`" in PAGE


@pytest.mark.parametrize("rule", TRIVIAL)
def test_the_page_explains_the_rule(rule: str) -> None:
    escaped = rule.replace("|", "\\|")
    assert f"| `{escaped}` |" in PAGE
