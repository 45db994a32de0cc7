"""The house rules that no linter knows, on every source file; each rule is tried on planted violations.

A rule is a function from one parsed source to the complaints it has, so that it can be tried on a text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agent", "connectors", "models", "simulators")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

CLOCKS = ("agent/clock.py", "simulators/clock.py")
BROAD_EXCEPT_ALLOWED = {"agent/daemon.py": 1}
# onnxruntime's errors have no class in common: all of them may become the one error that we name.
TRANSLATORS = ("models/runtime.py",)
GENERIC_NAMES = {"utils", "util", "helpers", "common", "misc"}

# Where a library may be imported: a file, or a folder where it ends in "/".
IMPORTERS: dict[str, tuple[str, ...]] = {
    "pymodbus": ("simulators/", "agent/north/"),
    "serial": ("connectors/modbus/serialport.py",),
    "asyncua": ("connectors/opcua/session.py", "connectors/opcua/publishing.py", "connectors/opcua/channel.py",
                "connectors/opcua/resolve.py", "connectors/opcua/browse.py", "connectors/opcua/history.py",
                "simulators/", "agent/north/"),
    "onnxruntime": ("models/runtime.py",),
    "torch": ("models/network.py", "models/train.py", "models/export.py"),
    "time": CLOCKS,
    "random": (),
    "simulators": ("simulators/",),
}

CLOCK_CALLS = {
    "asyncio.sleep", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today", "threading.Timer", "uuid.uuid1", "uuid.uuid4",
}
SEEDED = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "PCG64DXSM", "Philox"}
QUEUES = {
    "asyncio.Queue", "asyncio.PriorityQueue", "queue.Queue", "queue.PriorityQueue", "multiprocessing.Queue",
}

UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
WORKPLACE = re.compile(
    r"\bissue\s+#?\d|\bhelper\s+h?\d|\b(?:previous|next|working) session\b|/work/(?:main|shared)\b"
    r"|\bshared/(?:reference|design|data|prototypes)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its text, its tree and what its imported names stand for."""

    path: str
    text: str
    tree: ast.Module
    names: dict[str, str]

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        tree = ast.parse(text)
        return cls(path, text, tree, dict(imported_names(tree)))

    def full_name(self, node: ast.expr) -> str:
        """Return "datetime.date.today" for `d.today` after `from datetime import date as d`, else ""."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name, name)
            case ast.Attribute(value=value, attr=attribute):
                owner = self.full_name(value)
                return f"{owner}.{attribute}" if owner else ""
            case _:
                return ""

    def allows(self, places: tuple[str, ...]) -> bool:
        folders = tuple(place for place in places if place.endswith("/"))
        return self.path in places or self.path.startswith(folders)


Complaints = Iterator[tuple[int, str]]
Rule = Callable[[Source], Complaints]
RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


def imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


@rule
def functions_fit_a_screen(source: Source) -> Complaints:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines, {FUNCTION_LINES_MAX} are the most"


@rule
def files_stay_short(source: Source) -> Complaints:
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines, {FILE_LINES_MAX} are the most"


@rule
def names_say_what_is_inside(source: Source) -> Complaints:
    if Path(source.path).stem in GENERIC_NAMES:
        yield 1, "name the file after what it holds"


@rule
def libraries_stay_in_their_place(source: Source) -> Complaints:
    for line, module in imported_modules(source.tree):
        places = IMPORTERS.get(module.split(".")[0])
        if places is not None and not source.allows(places):
            yield line, f"imports {module}; only {', '.join(places) or 'nobody'} may"


@rule
def time_and_chance_are_injected(source: Source) -> Complaints:
    if source.allows(CLOCKS):
        return
    for node in ast.walk(source.tree):
        name = source.full_name(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if name in CLOCK_CALLS or name.startswith(("time.", "random.")):
            yield node.lineno, f"{name}: take a Clock or a seeded generator as an argument"
        elif name.startswith("numpy.random.") and name.split(".")[2] not in SEEDED:
            yield node.lineno, f"{name}: use np.random.default_rng(seed)"
        elif isinstance(node, ast.Call):
            yield from unseeded_or_loop_time(source, node)


def unseeded_or_loop_time(source: Source, call: ast.Call) -> Complaints:
    if source.full_name(call.func) == "numpy.random.default_rng" and not call.args and not call.keywords:
        yield call.lineno, "default_rng() without a seed"
    match call.func:
        case ast.Attribute(value=ast.Call(func=getter), attr="time"):
            if source.full_name(getter) in {"asyncio.get_running_loop", "asyncio.get_event_loop"}:
                yield call.lineno, "the loop's own time: take a Clock"


@rule
def errors_are_named(source: Source) -> Complaints:
    broad = sorted(node.lineno for node in ast.walk(source.tree) if catches_everything(source, node))
    for line in broad[BROAD_EXCEPT_ALLOWED.get(source.path, 0):]:
        yield line, "catches everything; name the errors (the one task boundary is in agent/daemon.py)"


def catches_everything(source: Source, node: ast.AST) -> bool:
    match node:
        case ast.ExceptHandler(body=[*_, ast.Raise(exc=None)]):
            return False  # cleans up and passes it on
        case ast.ExceptHandler(body=[ast.Raise(cause=ast.Name())]) if source.path in TRANSLATORS:
            return False
        case ast.ExceptHandler(type=caught):
            return is_broad(source, caught)
        case ast.Call(func=function, args=arguments) if source.full_name(function) == "contextlib.suppress":
            return any(is_broad(source, argument) for argument in arguments)
    return False


def is_broad(source: Source, caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(is_broad(source, each) for each in caught.elts)
    return caught is None or source.full_name(caught) in {"Exception", "BaseException"}


@rule
def queues_are_bounded(source: Source) -> Complaints:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = source.full_name(node.func)
        keywords = {keyword.arg for keyword in node.keywords}
        if name in QUEUES and not node.args and "maxsize" not in keywords:
            yield node.lineno, f"{name} without maxsize"
        elif name in {"queue.SimpleQueue", "multiprocessing.SimpleQueue"}:
            yield node.lineno, f"{name} has no bound"
        elif (name == "collections.deque" and len(node.args) < 2 and "maxlen" not in keywords
              and node not in bounded_by_hand(source)):
            yield node.lineno, "deque without maxlen, and nobody compares its len() with a bound"


def bounded_by_hand(source: Source) -> list[ast.expr]:
    """Return what is assigned to names whose len() the file compares: refusing is better than forgetting."""
    compared = {
        ast.unparse(side.args[0])
        for node in ast.walk(source.tree) if isinstance(node, ast.Compare)
        for side in [node.left, *node.comparators]
        if isinstance(side, ast.Call) and ast.unparse(side.func) == "len" and side.args
    }
    return [node.value for node in ast.walk(source.tree)
            if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) in compared]


@rule
def public_names_are_described(source: Source) -> Complaints:
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield 1, "the module has no docstring"
    yield from undescribed(source.tree)


def undescribed(owner: ast.Module | ast.ClassDef) -> Complaints:
    for node in owner.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        overload = any(ast.unparse(mark) in {"overload", "override"} or ast.unparse(mark).endswith(".setter")
                       for mark in node.decorator_list)
        if ast.get_docstring(node) is None and not overload:
            yield node.lineno, f"{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from undescribed(node)


def marks_in(text: str) -> Complaints:
    """Yield what no text of the project may hold: work left over, and words of where it was written."""
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield number, "work left over: finish it or leave it out"
        if WORKPLACE.search(line):
            yield number, "speaks of the workplace, not of the project"


@rule
def texts_are_finished(source: Source) -> Complaints:
    yield from marks_in(source.text)


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def complaints(check: Rule, paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        source = Source.of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        found += [f"{source.path}:{line} {what}" for line, what in check(source)]
    return found


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_sources_keep_the_rule(check: Rule) -> None:
    paths = sources(*PACKAGES)
    assert {ROOT / "agent/clock.py", ROOT / "connectors/frame.py"} <= set(paths)
    assert not complaints(check, paths)


@pytest.mark.parametrize("check", [functions_fit_a_screen, files_stay_short, names_say_what_is_inside],
                         ids=lambda check: check.__name__)
def test_tests_and_benchmarks_stay_readable(check: Rule) -> None:
    assert not complaints(check, sources("tests", "benchmarks"))


TEXTS = (
    "*.md", "*.toml", "Makefile", ".ci/run", "docs/**/*.md", "systemd/*",
    "tests/**/*.py", "benchmarks/**/*.py",
)


def test_no_text_speaks_of_unfinished_work_or_of_the_workplace() -> None:
    paths = [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    assert {ROOT / "README.md", ROOT / "Makefile"} <= set(paths)
    found = [f"{path.relative_to(ROOT)}:{line} {what}" for path in paths if path != Path(__file__).resolve()
             for line, what in marks_in(path.read_text(encoding="utf-8"))]
    assert not found


PLANTED: dict[Rule, list[tuple[str, str]]] = {
    functions_fit_a_screen: [
        ("agent/a.py", "def f():\n" + "    x = 1\n" * 70),
    ],
    files_stay_short: [
        ("agent/a.py", "x = 1\n" * 501),
    ],
    names_say_what_is_inside: [
        ("agent/utils.py", ""),
    ],
    libraries_stay_in_their_place: [
        ("agent/a.py", "import pymodbus.client"),
        ("connectors/modbus/wire.py", "from pymodbus.client import AsyncModbusTcpClient"),
        ("connectors/modbus/wire.py", "def f():\n    from asyncua import Client"),
        ("models/bundle.py", "import onnxruntime as ort"),
        ("models/runtime.py", "from torch import nn"),
        ("agent/a.py", "from time import monotonic"),
        ("connectors/a.py", "import time as t"),
        ("models/a.py", "import random"),
        ("agent/cli.py", "def f():\n    import simulators.plant"),
    ],
    time_and_chance_are_injected: [
        ("agent/a.py", "import time\nt = time.monotonic()"),
        ("agent/a.py", "import time as t\nnow = t.perf_counter"),
        ("agent/a.py", "from time import sleep as nap\nnap(1)"),
        ("agent/a.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0)"),
        ("agent/a.py", "from asyncio import sleep\nasync def f():\n    await sleep(1)"),
        ("agent/a.py", "import asyncio\nt = asyncio.get_running_loop().time()"),
        ("models/a.py", "from datetime import datetime as dt, UTC\nnow = dt.now(UTC)"),
        ("models/a.py", "import datetime\nnow = datetime.datetime.utcnow()"),
        ("models/a.py", "import random\nx = random.choice([1])"),
        ("models/a.py", "import numpy as np\nnp.random.seed(1)"),
        ("models/a.py", "from numpy import random\nx = random.rand(3)"),
        ("models/a.py", "import numpy as np\ng = np.random.default_rng()"),
        ("agent/a.py", "import uuid\nx = uuid.uuid4()"),
    ],
    errors_are_named: [
        ("agent/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
        ("agent/a.py", "try:\n    f()\nexcept (ValueError, BaseException):\n    pass"),
        ("agent/a.py", "try:\n    f()\nexcept:\n    pass"),
        ("agent/a.py", "import contextlib\nwith contextlib.suppress(Exception):\n    f()"),
        ("agent/daemon.py", "try:\n    f()\nexcept Exception:\n    pass\n" * 2),
        ("agent/a.py", "try:\n    f()\nexcept Exception as e:\n    raise BundleError(e) from e"),
    ],
    queues_are_bounded: [
        ("agent/a.py", "import asyncio\nq = asyncio.Queue()"),
        ("agent/a.py", "from collections import deque\nq = deque()"),
    ],
    public_names_are_described: [
        ("agent/a.py", "x = 1"),
        ("agent/a.py", '"""A."""\ndef f():\n    pass'),
        ("agent/a.py", '"""A."""\nclass C:\n    """C."""\n    def f(self):\n        pass'),
    ],
    texts_are_finished: [
        ("agent/a.py", "# TODO: later"),
        ("agent/a.py", "# see issue #12"),
    ],
}

CLEAN: dict[Rule, list[tuple[str, str]]] = {
    functions_fit_a_screen: [
        ("agent/a.py", "def f():\n" + "    x = 1\n" * 69),
    ],
    libraries_stay_in_their_place: [
        ("simulators/modbus.py", "from pymodbus.server import ModbusTcpServer"),
        ("connectors/modbus/serialport.py", "import serial"),
        ("simulators/opcua.py", "import asyncua"),
        ("agent/clock.py", "import time"),
    ],
    time_and_chance_are_injected: [
        ("agent/clock.py", "import time\nt = time.monotonic()"),
        ("agent/a.py", "async def f(clock):\n    await clock.sleep_until(clock.time_ns())"),
        ("models/a.py", "import numpy as np\ng = np.random.default_rng([1, 2])"),
    ],
    errors_are_named: [
        ("agent/a.py", "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
        ("agent/daemon.py", "try:\n    f()\nexcept Exception:\n    pass"),
        ("agent/a.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
        ("models/runtime.py", "try:\n    f()\nexcept Exception as e:\n    raise BundleError(e) from e"),
    ],
    queues_are_bounded: [
        ("agent/a.py", "import asyncio\nq = asyncio.Queue(maxsize=8)"),
        ("agent/a.py", "from collections import deque\nq = deque(maxlen=8)"),
        ("agent/a.py", "from collections import deque\nq: deque[int] = deque()\nfull = len(q) >= 8"),
    ],
    public_names_are_described: [
        ("agent/__init__.py", ""),
        ("agent/a.py", '"""A."""\ndef _f():\n    pass'),
    ],
}


def cases(table: dict[Rule, list[tuple[str, str]]]) -> list[object]:
    return [pytest.param(check, path, text, id=f"{check.__name__}-{number}")
            for check, texts in table.items() for number, (path, text) in enumerate(texts)]


@pytest.mark.parametrize(("check", "path", "text"), cases(PLANTED))
def test_a_planted_violation_is_caught(check: Rule, path: str, text: str) -> None:
    assert list(check(Source.of(path, text)))


@pytest.mark.parametrize(("check", "path", "text"), cases(CLEAN))
def test_an_innocent_source_passes(check: Rule, path: str, text: str) -> None:
    assert not list(check(Source.of(path, text)))


def test_every_rule_has_a_planted_violation() -> None:
    assert set(PLANTED) == set(RULES)
