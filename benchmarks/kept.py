"""Played years on disk, a file for each machine, so that the years of many plants can be played a few at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from benchmarks.machine import ROOT, commit, cpu_model, package_versions
from benchmarks.plant_year import Asset
from benchmarks.plant_year_case import AssetYear
from benchmarks.result import BenchmarkError

DECIDING: Final = (
    "agent/line/*.py", "connectors/*.py", "models/*.py", "models/bundles/fault_head.npz", "simulators/*.py",
    "benchmarks/plant_*.py", "benchmarks/simulated_case.py",
)
"""The code that simulates a year, learns for it and judges it. What is counted of the years may change meanwhile."""
PACKAGES: Final = ("numpy", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a year was played with: the deciding code as a hash, the packages below it, and the processor.

    `commit` names the code for people: the same code is that of many commits.
    """

    commit: str
    code: str
    packages: dict[str, str]
    cpu: str

    @classmethod
    def here(cls) -> Origin:
        """Return that of this working tree on this machine."""
        versions = package_versions()
        return cls(commit(), _code_hash(ROOT), {name: versions[name] for name in PACKAGES}, cpu_model())

    def against(self, here: Origin) -> str:
        """Return in words what makes a year from here another one than a year from there; empty where nothing does."""
        pairs = {
            f"the code of commit {self.commit}, here {here.commit}": self.code != here.code,
            f"{_versions(self.packages)}, here {_versions(here.packages)}": self.packages != here.packages,
            f"{self.cpu}, here {here.cpu}": self.cpu != here.cpu,
        }
        return "; ".join(words for words, differs in pairs.items() if differs)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a file holds: the year of a machine at each budget."""

    origin: Origin
    years: tuple[AssetYear, ...]


_FILE: Final = TypeAdapter(_Kept)


class Shelf:
    """A folder of played years, all of one origin."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchmarkError(f"cannot keep years in {folder} ({error}); give another --keep") from error
        self._folder = folder
        self._origin = origin

    def read(self, assets: Sequence[Asset]) -> dict[Asset, tuple[AssetYear, ...]]:
        """Return the years of those of the machines that are kept.

        Raise BenchmarkError for one that is not of this origin, so that years of different kinds are never mixed.
        """
        return {asset: self._year(asset) for asset in assets if self._path(asset).exists()}

    def keep(self, asset: Asset, years: tuple[AssetYear, ...]) -> None:
        """Keep a machine's year; the file is whole or not there, whenever the run is interrupted."""
        path = self._path(asset)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(_Kept(self._origin, years))), encoding="utf-8")
        part.replace(path)

    def _year(self, asset: Asset) -> tuple[AssetYear, ...]:
        path = self._path(asset)
        try:
            kept = _FILE.validate_json(path.read_bytes())
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise BenchmarkError(f"{path} is no played year ({why}); delete it, and it is played anew") from error
        if differences := kept.origin.against(self._origin):
            raise BenchmarkError(
                f"{path} was played with other means: {differences}. Give another folder to --keep, or delete this one"
            )
        return kept.years

    def _path(self, asset: Asset) -> Path:
        return self._folder / f"{asset.seed}-{asset.name}-{asset.days}-days.json"


def _code_hash(root: Path) -> str:
    """Return a hash of the deciding files' names and contents."""
    files = sorted(path for pattern in DECIDING for path in root.glob(pattern))
    found = sha256()
    for path in files:
        found.update(f"{path.relative_to(root)}\n{sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _versions(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())
