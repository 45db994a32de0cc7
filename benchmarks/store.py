"""Results on disk: one file for each benchmark, from which docs/benchmarks.md is rendered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import Provenance
from benchmarks.result import BenchmarkError, Result

RESULTS: Final = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one benchmark, and what they were measured with: by method, or "method (case)" where apart."""

    benchmark: str
    provenance: Mapping[str, Provenance]
    results: tuple[Result, ...]

    @property
    def methods(self) -> list[str]:
        """The methods in the order in which they were measured."""
        return list(dict.fromkeys(result.method for result in self.results))

    def source(self, result: Result) -> Provenance:
        """Return what one of the results was measured with."""
        return self.provenance.get(_of(result, parts=True), self.provenance[result.method])


def _of(result: Result, *, parts: bool) -> str:
    """Return the name under which it is kept what a result was measured with: its method, or its part of it."""
    return f"{result.method} ({result.case})" if parts else result.method


def save(
    benchmark: str, results: Sequence[Result], provenance: Provenance, folder: Path = RESULTS, *, parts: bool = False
) -> Path:
    """Write the results, keeping those of methods that were not measured this time; return the file.

    Where only `parts` were measured, other cases of the same methods are kept as well.
    """
    path = folder / f"{benchmark}.json"
    before = read(path) if path.is_file() else Measured(benchmark, {}, ())
    fresh = {_of(result, parts=parts) for result in results}
    kept = [result for result in before.results if _of(result, parts=parts) not in fresh]
    methods = list(dict.fromkeys([*before.methods, *(result.method for result in results)]))
    together = sorted([*kept, *results], key=lambda result: methods.index(result.method))
    sources = {name: provenance if name in fresh else before.provenance.get(name, provenance) for name in methods}
    for result in together:
        source = provenance if _of(result, parts=parts) in fresh else before.source(result)
        if source != sources[result.method]:
            sources[_of(result, parts=True)] = source
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(Measured(benchmark, sources, tuple(together))), encoding="utf-8")
    return path


def read(path: Path) -> Measured:
    """Read a file of results; raise BenchmarkError where it is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Measured(
            said["benchmark"],
            {name: Provenance(**each) for name, each in said["measured"].items()},
            tuple(Result(**each) for each in said["results"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchmarkError(f"{path} is no file of results ({error!r}); delete it and measure again") from error


def _text(measured: Measured) -> str:
    """Write one object a line, so that a change of one figure is a change of one line."""
    sources = (f"    {json.dumps(name)}: {json.dumps(asdict(each))}" for name, each in measured.provenance.items())
    results = (f"    {result.as_json()}" for result in measured.results)
    return (
        f'{{\n  "benchmark": {json.dumps(measured.benchmark)},\n'
        '  "measured": {\n' + ",\n".join(sources) + "\n  },\n"
        '  "results": [\n' + ",\n".join(results) + "\n  ]\n}\n"
    )
