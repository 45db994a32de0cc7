"""The command `forewarn-train`: rebuilds the neural parts that are shipped, on a machine with torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from models.fault_head import SHIPPED, FaultHead

if TYPE_CHECKING:
    from models.examples import Examples
    from models.network import Shape
    from models.quality import Quality

FAILED, UNUSABLE = 1, 2
ROUNDED, FLOAT = "sparse, 4 bits", "sparse, float"
NO_TORCH = "forewarn-train needs torch, which is not installed: pip install 'forewarn[train]'"

app = typer.Typer(
    name="forewarn-train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train the neural parts that forewarn ships.",
)


@app.callback()
def _commands() -> None:
    """Keep `head` a command of its own."""


@app.command(epilog="Example: forewarn-train head --seed 0 --plants 4000 --out fault_head.npz")
def head(
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same plants and the same head.")] = 0,
    plants: Annotated[int, typer.Option(min=40, help="How many random plants to train on.")] = 4000,
    epochs: Annotated[int, typer.Option(min=1, help="How often to go through them.")] = 10,
    processes: Annotated[int, typer.Option(min=1, help="How many processes draw the plants.")] = 2,
    compare: Annotated[
        bool, typer.Option(help="Train the two dense networks as well; the larger takes ten times as long.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Where the weights go; the model card goes beside them.")] = SHIPPED,
) -> None:
    """Train the universal fault head on random plants, and dense networks beside it for comparison."""
    if find_spec("torch") is None:
        raise SystemExit(_refuse(NO_TORCH))
    if not out.absolute().parent.is_dir():
        raise SystemExit(_refuse(f"{out}: there is no folder {out.absolute().parent}; make it first"))
    from models.examples import ROWS_PER_PLANT, collect
    from models.quality import measure
    from models.synthetic import MIXTURE
    from models.train import split, train

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:

        def step(description: str) -> Callable[[float], None]:
            task = bar.add_task(description, total=1.0)
            return lambda share: bar.update(task, completed=share)

        source = commit()
        learnt, held_out = split(collect(plants, seed, MIXTURE, processes, step("drawing plants")), ROWS_PER_PLANT)
        priors = "; ".join(f"{share:.0%} {prior}" for share, prior in MIXTURE)
        origin = {"seed": str(seed), "commit": source, "plants": str(plants), "epochs": str(epochs), "priors": priors}
        found: dict[str, tuple[FaultHead, Quality]] = {}
        for name, shape in _shapes(compare).items():
            trained = train(learnt, shape, seed, epochs=epochs, progress=step(f"training: {name}"))
            if not found:
                quality = measure(trained.rounded(), held_out)
                found[ROUNDED] = trained, quality
                trained.save(out, **origin, **{key: f"{value:.4f}" for key, value in asdict(quality).items()})
            found[name] = trained, measure(trained, held_out)
            told = card(origin, found, floor(held_out), _confusion(found[ROUNDED][0].rounded(), held_out))
            out.with_suffix(".md").write_text(told, encoding="utf-8")
    said = f"average precision {quality.precision:.3f}, detection at 1 % false alarms {quality.detection:.1%}"
    typer.echo(f"{out}: {said}, type of a clear fault right {quality.clear:.1%}")


def _shapes(compare: bool) -> dict[str, Shape]:
    """Return the networks to train, the one to ship first."""
    from models.fault_head import ACTIVE
    from models.network import Shape

    sparse = Shape()
    shapes = {FLOAT: sparse}
    if compare:
        shapes["dense of the same active size"] = Shape(experts=1, inner=ACTIVE * sparse.inner)
        shapes["dense of the same total size"] = Shape(experts=1, inner=sparse.experts * sparse.inner)
    return shapes


def floor(held_out: Examples) -> dict[str, tuple[float, float]]:
    """Return average precision and detection of the plain statistics on the same rows."""
    from models.features import STATISTICS
    from models.quality import average_precision, detection

    certain = held_out.certain > 0
    fault, whole = held_out.fault[certain] > 0, held_out.whole[certain, :STATISTICS]
    scores = {"D2": whole[:, 0], "D2 averaged at 0.1": whole[:, 2], "largest statistic": whole.max(1)}
    return {name: (average_precision(fault, s), detection(fault, s)) for name, s in scores.items()}


def card(
    origin: dict[str, str],
    found: dict[str, tuple[FaultHead, Quality]],
    floors: dict[str, tuple[float, float]],
    table: str,
) -> str:
    """Return the model card: how it came about, and quality against active parameters."""
    rows = [
        f"| {name} | {trained.size()[0]:,} | {trained.size()[1]:,} | "
        + " | ".join("-" if value != value else f"{value:.3f}" for value in asdict(quality).values())
        + " |"
        for name, (trained, quality) in found.items()
    ]
    rows += [f"| {name} | 0 | 0 | {ap:.3f} | {det:.3f} | - | - | - | - | - |" for name, (ap, det) in floors.items()]
    came = "\n".join(f"- {name}: {value}" for name, value in origin.items())
    return (
        "# The universal fault head\n\n"
        "Generated by `forewarn-train head`. Trained on random plants alone; no recording of any machine, no label.\n\n"
        f"{came}\n\n"
        "## Quality on plants that no network saw\n\n"
        "Parameters in all and at work on one window; average precision and detection at 1 % false alarms of the\n"
        "fault; average precision of benign change and of failure in sight; share of struck channels whose fault type\n"
        "is named and of the others that are called healthy; share of clear faults (at least 1 sd and 30 rows old)\n"
        "whose type the most deviating channel gives away. The plain statistics are what the floor offers without a\n"
        "network.\n\n"
        "| | parameters | active | precision | detection | benign | failing | kind | quiet | clear |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + f"\n\n{compared(found)}\n\n"
        f"## What clear faults are called, in percent\n\n{table}\n"
    )


def _confusion(head: FaultHead, held_out: Examples) -> str:
    """Return in percent what clear faults were called, as a table."""
    from models.degradations import FAULTS
    from models.quality import confusion, logits

    table = confusion(logits(head, held_out)[1], held_out)
    shares = 100.0 * table / np.maximum(table.sum(1, keepdims=True), 1)
    lines = [f"| is / called | {' | '.join(FAULTS[1:])} | windows |", "|---|" + len(FAULTS) * "---|"]
    for name, row, windows in zip(FAULTS[1:], shares, table.sum(1), strict=True):
        lines.append(f"| {name} | {' | '.join(f'{share:.0f}' for share in row)} | {windows:,} |")
    return "\n".join(lines)


def compared(found: dict[str, tuple[FaultHead, Quality]]) -> str:
    """Say in words what 4 bits cost, and how the sparse network fares beside dense ones."""

    def gain(name: str, other: str) -> str:
        one, two = found[name][1], found[other][1]
        gains = 100.0 * (one.detection - two.detection), 100.0 * (one.clear - two.clear)
        return f"{gains[0]:+.2f} points of detection and {gains[1]:+.2f} of clear types against {other}"

    sentences = [f"Rounded to 4 bits it has {gain(ROUNDED, FLOAT)}."]
    sentences += [f"In float it has {gain(FLOAT, other)}." for other in found if other.startswith("dense")]
    return " ".join(sentences)


def commit() -> str:
    """Return the commit of the source this runs from, "unknown" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    asked = [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  nothing of it is input
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


def _refuse(message: str) -> int:
    typer.echo(f"error: {message}", err=True)
    return UNUSABLE


def main() -> None:
    """Run `forewarn-train`."""
    # The processes that draw plants have a core each; numpy's BLAS reads this when they first import it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()


if __name__ == "__main__":
    main()
