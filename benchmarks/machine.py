"""Where and of what a result was measured: machine, commit, date, versions of the packages."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CODE: Final = ("agent", "connectors", "models", "simulators", "benchmarks/*.py")
PACKAGES: Final = (
    "numpy", "polars", "onnxruntime", "torch", "scikit-learn", "pyod", "aeon", "stumpy", "river",
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a result was measured with; `commit` ends in "+" where the code had changes that are not committed."""

    cpu: str
    cores: int
    commit: str
    date: str
    packages: dict[str, str]

    @classmethod
    def here(cls) -> Provenance:
        """Return that of this machine, this working tree and this minute."""
        return cls(
            cpu_model(), os.cpu_count() or 1, commit(), f"{datetime.now(UTC):%Y-%m-%d}", package_versions(),
        )


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the processor calls itself, or its architecture where it does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit(root: Path = ROOT) -> str:
    """Return the short hash of the commit, with "+" where its code was changed since; "unknown" without git."""
    try:
        said = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{said}+" if changed else said


def package_versions() -> dict[str, str]:
    """Return the versions of those of the compared packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(root: Path, *arguments: str) -> str:
    said = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return said.stdout.strip()
