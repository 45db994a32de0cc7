"""What every command of `forewarn` shares: exit codes, errors that a person can mend, and a console for tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.status import Status
from typer.core import TyperGroup

from agent.backtest.trial import BacktestError
from agent.cells import letters
from agent.config.base import ConfigError
from agent.server import ServerError
from agent.store.journal import StoreError
from connectors import ConnectorError
from models.bundle import BundleError
from models.learn import LearnError

NICE = 19
SENTENCE_MAX: Final = 200
FAILED, UNUSABLE = 1, 2
"""Exit codes: a check or the agent failed; usage or configuration. 0 is well."""
SECTIONS: Final = {
    "Set up": ("discover", "import", "check", "trust", "simulate", "learn", "backtest"),
    "Run, and look": ("run", "alerts", "events", "tags", "commissioning", "report"),
    "Say what an alert was": ("acknowledge", "label", "label-link", "shelve", "unshelve"),
    "Say what is done to a machine": (
        "go-live", "out-of-service", "in-service", "rebaseline", "nothing-changed", "normal", "failure", "repair",
    ),
    "Measure, and prove": ("budget", "drill", "models", "evidence", "replay", "export"),
}
"""The commands of `forewarn` in the order in which a person needs them."""


class Commands(TyperGroup):
    """The commands of `forewarn`, in SECTIONS.

    They say so where an option lacks its value, and would take the next option for it.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click gives it
        """Write a list for each section, with the whole first sentence of each command."""
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(SENTENCE_MAX)) for name in names])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that arguments name, and what is left for it."""
        name, command, rest = super().resolve_command(ctx, args)
        options = [one for one in getattr(command, "params", ()) if one.param_type_name == "option"]
        known = {spelled for one in options for spelled in one.opts}
        takers = {spelled: one for one in options for spelled in one.opts if not (one.is_flag or one.count)}
        for option, follows in pairwise(rest):
            if option in takers and follows.partition("=")[0] in known:
                lacks = f"its {takers[option].metavar or 'value'} is missing: {follows} is the next option."
                example = getattr(command, "epilog", None) or ""
                raise typer.BadParameter(f"{lacks} {example}".rstrip(), ctx=ctx, param_hint=option)
        return name, command, rest


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors that a person can mend into one message and exit code 2, those of a connection into 1."""
    try:
        yield
    except ConfigError as error:
        complain(*error.problems)
        raise typer.Exit(UNUSABLE) from None
    except (StoreError, ServerError, BundleError, LearnError, BacktestError) as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from None
    except ConnectorError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def step_back() -> None:
    """Give this process the lowest priority, beside an agent that may run; it cannot be taken back."""
    os.nice(NICE)


def complain(*messages: str) -> None:
    """Print messages to standard error, each with the name of the command."""
    for message in messages:
        typer.echo(f"forewarn: {letters(message)}", err=True)


def working(what: str) -> Status:
    """Return a context that says on a terminal what the command is busy with, and leaves nothing behind."""
    return Console(stderr=True).status(what)


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[float], None]]:
    """Show on a terminal how much of something long is done; give what takes the share, 0 to 1."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def wide(*, stderr: bool = False) -> Console:
    """Return a console that does not cut tables where the output is no terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=200)
