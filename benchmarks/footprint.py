"""What the agent takes of a gateway: memory idle and busy, imports, processor, bundles, disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from benchmarks.child import ONE_THREAD, cpu_s, memory_mib, usage
from benchmarks.machine import ROOT
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from models import bundle as bundles

MACHINE: Final = "pump"
IDLE_SPEED, BUSY_SPEED = 1, 50
"""The shipped bundle has a row each 5 s: at 50 times that pace there are ten rows a second."""
START_S_MAX: Final = 60.0
SETTLE_S, WATCH_S = 5.0, 15.0
IMPORTS: Final = (
    "numpy", "models.runtime", "connectors.modbus.connector", "connectors.opcua.connector", "polars", "agent.cli",
    "agent.api.app",
)
BUNDLE_KB_MAX: Final = Target(500, at_least=False)


def run(options: Options) -> Iterator[Result]:
    """Measure in processes of their own."""
    parts = (imports, bundle_sizes, disk, daemon)
    for number, part in enumerate(parts):
        options.progress(part.__name__.replace("_", " "), number / len(parts))
        figures = part()
        targets = {figure.key: BUNDLE_KB_MAX for figure in figures if part is bundle_sizes}
        yield from mean_over_seeds("footprint", OURS, [figures], targets)


def imports() -> list[Figure]:
    """Return peak memory and CPU time of a Python that imports one module, and of one that imports none."""
    figures = []
    for name in ("", *IMPORTS):
        taken = usage([sys.executable, "-c", f"import {name}" if name else ""])
        case = f"import {name}" if name else "Python alone"
        figures.append(Figure(case, "peak memory", taken.peak_mib, "MiB"))
        figures.append(Figure(case, "CPU time", taken.cpu_s, "s"))
    return figures


def bundle_sizes() -> list[Figure]:
    """Return the size of each shipped bundle."""
    folders = sorted(path.parent for path in bundles.SHIPPED.glob(f"*/{bundles.MANIFEST}"))
    return [Figure(f"bundle {folder.name}", "size", _bytes(folder) / 1000, "kB") for folder in folders]


def disk() -> list[Figure]:
    """Return what our packages and everything they need at run time take on disk."""
    own = sum(_bytes(ROOT / package) for package in ("agent", "connectors", "models", "simulators"))
    theirs = sum(_installed(name) for name in needed(runtime_requirements()))
    return [
        Figure("disk", "our packages", own / 1e6, "MB"),
        Figure("disk", "packages needed at run time", theirs / 1e6, "MB"),
    ]


def daemon() -> list[Figure]:
    """Run the agent on a simulated pump, idle and at many times the pace; return its memory and processor use."""
    figures = []
    for case, speed in (("agent, a row each 5 s", IDLE_SPEED), ("agent, 10 rows a second", BUSY_SPEED)):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            process = _agent(stack, folder, speed)
            time.sleep(SETTLE_S)
            before = cpu_s(process)
            time.sleep(WATCH_S)
            load = (cpu_s(process) - before) / WATCH_S
            figures += [
                Figure(case, "memory", memory_mib(process), "MiB"),
                Figure(case, "peak memory", memory_mib(process, "VmHWM"), "MiB"),
                Figure(case, "share of one core", 100 * load, "%"),
            ]
    return figures


def runtime_requirements() -> list[str]:
    """Return what pyproject.toml asks for at run time."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def needed(stated: Iterable[str], seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the installed distributions that requirements lead to, extras left out."""
    found = seen
    for one in map(Requirement, stated):
        if (one.marker is None or one.marker.evaluate({"extra": ""})) and one.name not in found:
            try:
                found = needed(distribution(one.name).requires or (), found | {one.name})
            except PackageNotFoundError as error:
                raise BenchmarkError(f"{one.name} is not installed here; `make env` installs it") from error
    return found


def _installed(name: str) -> int:
    files = distribution(name).files or ()
    return sum(path.stat().st_size for path in (Path(str(file.locate())) for file in files) if path.is_file())


def _bytes(folder: Path) -> int:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return sum(file.stat().st_size for file in files)


def _agent(stack: ExitStack, folder: Path, speed: int) -> int:
    """Start a simulated PLC and the agent on it; return the agent's process once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    _start(stack, folder / "plc.log", ["simulators", MACHINE, "--modbus", address, "--speed", str(speed)])
    period_ms = bundles.load(bundles.SHIPPED / MACHINE).manifest.period_ms
    said = ["config", MACHINE, "--modbus", address, "--period-ms", str(period_ms)]
    text = subprocess.run(
        [sys.executable, "-m", "simulators", *said, "--bundle", str(bundles.SHIPPED / MACHINE), "--port", "0"],
        capture_output=True, text=True, check=True,
    ).stdout
    (folder / "agent.toml").write_text(text, encoding="utf-8")
    log = folder / "agent.log"
    process = _start(stack, log, ["agent", "run", str(folder / "agent.toml"), "--speed", str(speed)])
    until = time.monotonic() + START_S_MAX
    while '"message": "ready"' not in log.read_text(encoding="utf-8"):
        if time.monotonic() > until or process.poll() is not None:
            raise BenchmarkError(f"the agent did not start: {log.read_text(encoding='utf-8')[-500:]}")
        time.sleep(0.1)
    return process.pid


def _start(stack: ExitStack, log: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a module; it is stopped with the stack."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | ONE_THREAD)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process
