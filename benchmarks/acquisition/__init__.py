"""Acquisition beside what others take for it: processor time, a whole plant, a dead device, cuts, nonsense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from benchmarks.acquisition import faults, hostile, plant, wires
from benchmarks.acquisition.peers import Peers
from benchmarks.options import Options
from benchmarks.result import Figure, Result, Target, mean_over_seeds

NAME: Final = "acquisition"
PARTS: Final[Mapping[str, Callable[[Peers, Options], Iterator[tuple[str, list[Figure]]]]]] = {
    "modbus": wires.modbus,
    "opcua": wires.opcua,
    "plant": plant.run,
    "dead": faults.dead_device,
    "cuts": faults.cuts,
    "fuzz": hostile.modbus,
    "hostile": hostile.opcua,
}
"""Each yields a method and its figures; `--subset` picks parts."""
TARGETS: Final[Mapping[tuple[str, str], Target]] = wires.TARGETS | plant.TARGETS | faults.TARGETS | hostile.TARGETS


def run(options: Options) -> Iterator[Result]:
    """Measure part by part; a peer that is not there is named and left out."""
    peers = Peers.find()
    names = options.subsets or tuple(PARTS)
    for number, name in enumerate(names):
        options.progress(name, number / len(names))
        for method, figures in PARTS[name](peers, _within(options, number, len(names))):
            yield from mean_over_seeds(NAME, method, [figures], TARGETS if method == "forewarn" else {})


def _within(options: Options, number: int, count: int) -> Options:
    """Return the options of one of `count` parts, whose progress is a share of the whole."""
    return replace(options, progress=lambda doing, share: options.progress(doing, (number + share) / count))
