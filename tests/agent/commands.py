"""The command line as a test calls it: here, or as a child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from agent.cli import app


def forewarn(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "agent", *map(str, arguments)]


def in_a_child(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as one has to be that lowers its priority for good."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=cwd)
