"""The benchmarks by name; each is a function from options to results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from benchmarks import cranfield, tep
from benchmarks.options import Options
from benchmarks.result import Result

BENCHMARKS: Final[Mapping[str, Callable[[Options], Iterable[Result]]]] = {
    "tep": tep.run,
    "cranfield": cranfield.run,
}
