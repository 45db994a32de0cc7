"""docs/field-proven.md from the docstrings of the scenarios: complaint, thread, elsewhere, here, the test's name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent.parent / "docs" / "field-proven.md"
COMPLAINTS = range(1, 35)
HEAD = """\
# Field-proven

What users of other gateways, agents and libraries complain of, as they wrote it in public threads, and what happens
here. Each line is a test in `tests/scenarios/` that asserts what the user had wanted. A fault of the wire is played on
the real wire, with real servers or with a device that follows a script. `python -m tests.scenarios` writes this page
from the tests; a test holds it in step.

"""
_DOC = re.compile(r"(?P<numbers>[\d, ]+): (?P<what>.+) \((?P<threads>[^()]*#[^()]*)\)\.\Z")


@dataclass(frozen=True)
class Scenario:
    """One test and what its docstring says."""

    numbers: tuple[int, ...]
    what: str
    threads: str
    elsewhere: str
    here: str
    test: str


def scenarios() -> list[Scenario]:
    """Every scenario, by the first number of its complaint; raise ValueError naming a docstring that is none."""
    found = [each for path in sorted(FOLDER.glob("test_*.py")) for each in _of(path)]
    return sorted(found, key=lambda each: each.numbers)


def _of(path: Path) -> Iterator[Scenario]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
        said = _DOC.match(" ".join(first.split()))
        parts = re.match(r"Elsewhere: (?P<elsewhere>.+?)\s+Here: (?P<here>.+)\Z", rest, re.DOTALL)
        if said is None or parts is None:
            raise ValueError(f"{path.name}: {node.name} does not say complaint, threads, elsewhere and here")
        numbers = tuple(int(number) for number in said["numbers"].split(","))
        yield Scenario(
            numbers, said["what"], said["threads"], *(" ".join(parts[name].split()) for name in ("elsewhere", "here")),
            test=f"{path.stem}.py::{node.name}",
        )


def render() -> str:
    """Return the page."""
    lines = ["| complaint | threads | elsewhere | here | test |", "| --- | --- | --- | --- | --- |"]
    for each in scenarios():
        cells = each.what, each.threads, each.elsewhere, each.here, f"`{each.test}`"
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"
