"""`forewarn learn`: from stretches and lives read from a file to a bundle, under a progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.history import History
from models.bundle import Bundle
from models.learn import LearnError, learn
from models.remaining import RemainingError
from models.remaining import learn as learn_remaining

LIFE_SHARE = 0.5
"""Of the progress bar, where remaining life is learnt as well."""


def learn_bundle(found: History, name: str, source: str, console: Console) -> Bundle:
    """Learn what is normal, and remaining life where lives are known; raise LearnError where that cannot be taught."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    share = LIFE_SHARE if found.lives else 0.0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("learning", total=1.0)
        try:
            life = (
                learn_remaining(
                    found.lives, progress=lambda step, done: bar.update(task, description=step, completed=share * done)
                )
                if found.lives
                else None
            )
        except RemainingError as error:
            raise LearnError(f"--rul: {error}") from error
        bundle = learn(
            found.segments,
            found.tags,
            found.period_ms,
            name=name,
            source=source,
            settling=found.settling,
            progress=lambda step, done: bar.update(task, description=step, completed=share + (1 - share) * done),
        )
    if life is None:
        return bundle
    console.print(f"remaining life learnt from {len(found.lives)} runs", highlight=False)
    return bundle.foretelling(life)
