"""What every command of `forewarn` shares: exit codes, errors that a person can mend, and a console for tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.status import Status

from agent.backtest.trial import BacktestError
from agent.config.base import ConfigError
from agent.server import ServerError
from agent.store.journal import StoreError
from connectors import ConnectorError
from models.bundle import BundleError
from models.learn import LearnError

FAILED, UNUSABLE = 1, 2
"""Exit codes: a check or the agent failed; usage or configuration. 0 is well."""


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


def complain(*messages: str) -> None:
    """Print messages to standard error, each with the name of the command."""
    for message in messages:
        typer.echo(f"forewarn: {message}", err=True)


def working(what: str) -> Status:
    """Return a context that says on a terminal what the command is busy with, and leaves nothing behind."""
    return Console(stderr=True).status(what)


def wide(*, stderr: bool = False) -> Console:
    """Return a console that does not cut tables where the output is no terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=200)
