"""What the command line asks of a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.result import BenchmarkError

Progress = Callable[[str, float], None]
"""What is being done, and the share of it that is done, 0..1."""


SEEDS: Final = 3
"""How many seeds where neither the user nor the benchmark says otherwise."""


@dataclass(frozen=True, slots=True)
class Options:
    """The folder of recordings, how many seeds, which methods (all where empty), and how much of the set.

    `limit` tries only the first runs (engines, machines), for a quick look; `subsets` are those of C-MAPSS or the
    simulated machines, or the parts of acquisition, all where empty. `count` is how much is tried of what has a number,
    and the days of a year. `keep` is the folder where the played years of machines are kept, if they are to be.
    """

    data: Path | None = None
    seeds: int = SEEDS
    methods: tuple[str, ...] = ()
    limit: int | None = None
    count: int | None = None
    subsets: tuple[str, ...] = ()
    keep: Path | None = None
    progress: Progress = lambda _doing, _share: None

    def file(self, name: str, origin: str) -> Path:
        """Return the path of a recording; raise BenchmarkError, saying where it comes from, if it is not there."""
        if self.data is None:
            raise BenchmarkError(
                f"no folder of recordings: give --data DIR or set FOREWARN_DATA; {name} is made from {origin}"
            )
        path = self.data / name
        if not path.is_file():
            raise BenchmarkError(f"{path} is not there; it is made from {origin}")
        return path
