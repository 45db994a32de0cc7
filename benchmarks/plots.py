"""Plots of the results: a bar for each method, a panel for each figure, the target as a line. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import cmapss, cranfield, simulated, skab, tep, threew
from benchmarks.methods import METHODS, OURS
from benchmarks.page import PAGE, Column
from benchmarks.result import BenchmarkError, Result
from benchmarks.store import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER: Final = PAGE.parent / "plots"
ACROSS: Final = 3
OUR_COLOUR: Final = "#c1440e"
PEER_COLOUR: Final = "#9aa5b1"

PANELS: Final[Mapping[str, Sequence[Column]]] = {
    "tep": (("18 faults", tep.DETECTION), ("18 faults", tep.OWN_DETECTION), ("healthy rows", tep.OWN_FALSE)),
    "skab": ((skab.CASE, "F1"), (skab.CASE, "false alarm rate"), (skab.CASE, "alarm time before the fault")),
    "cranfield": (
        ("all sets", cranfield.PRECISION), ("all sets", cranfield.DETECTION), ("all sets", "false alarm time"),
    ),
    "cmapss": tuple((case, metric) for metric in (cmapss.LEAD, cmapss.FALSE) for case in cmapss.SUBSETS),
    "threew": (("class 2", threew.FOUND), ("class 2", threew.EARLY), ("class 2", "median delay")),
    "simulated": tuple((simulated.ALL, metric) for metric in (simulated.FOUND, simulated.LEAD, simulated.FALSE)),
}


def draw(results: Mapping[str, Measured], folder: Path = FOLDER) -> None:
    """Draw the plots of the benchmarks that have panels; raise BenchmarkError where matplotlib is missing."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BenchmarkError("not installed: matplotlib; pip install 'forewarn[bench]'") from error
    # Text as text and fixed ids: small files that stay the same.
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "forewarn", "font.size": 8})
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in PANELS.items():
        if name in results:
            _draw(results[name], columns, folder / f"{name}.svg")


def _draw(measured: Measured, columns: Sequence[Column], path: Path) -> None:
    from matplotlib.figure import Figure

    found = {(each.case, each.metric, each.method): each for each in measured.results}
    columns = [column for column in columns if any((*column, method) in found for method in measured.methods)]
    if not columns:
        return
    methods = [name for name in METHODS if any((*column, name) in found for column in columns)]
    down = -(-len(columns) // ACROSS)
    figure = Figure(figsize=(9, down * (0.8 + 0.19 * len(methods))), layout="constrained")
    panels = figure.subplots(down, ACROSS, sharey=True, squeeze=False)
    for panel, column in zip(panels.flat, columns, strict=False):
        _bars(panel, column, [found.get((*column, method)) for method in methods])
        panel.set_yticks(range(len(methods)), methods)
    for panel in panels.flat[len(columns) :]:
        panel.set_visible(False)
    panels[0, 0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})


def _bars(panel: Axes, column: Column, results: Sequence[Result | None]) -> None:
    """Draw one bar for each method, none where it has no figure."""
    case, metric = column
    for place, result in enumerate(results):
        if result is None or result.value is None:
            continue
        panel.barh(place, result.value, color=OUR_COLOUR if result.method == OURS else PEER_COLOUR)
        panel.annotate(f" {result.value:.3g}", (result.value, place), va="center", fontsize=6)
        if result.target is not None:
            panel.axvline(result.target, color=OUR_COLOUR, linestyle="--", linewidth=1, zorder=0)
    unit = next((result.unit for result in results if result is not None), "")
    panel.set_title(f"{case}\n{metric}{f' ({unit})' if unit else ''}", fontsize=8)
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)
