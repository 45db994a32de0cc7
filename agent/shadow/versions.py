"""The models of assets: the bundles that a configuration names, and those learnt here, in state_dir/models/ASSET."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.config.file import Config
from agent.shadow import standing as fold
from agent.shadow.standing import Standing
from agent.store.journal import JournalReader
from models.bundle import MANIFEST

FOLDER: Final = "models"
VERSION_DIGITS: Final = 12
"""So many digits of its hash name a model for people."""


def version(model: str) -> str:
    """Return what people call a model with this hash."""
    return model[:VERSION_DIGITS]


def folder(config: Config, asset: str) -> Path:
    """Return where the models of an asset are that were learnt here, each in a folder named by its version."""
    return config.agent.state_dir / FOLDER / asset


def configured(config: Config, asset: str) -> str | None:
    """Return the hash of the bundle that the configuration names, None where it names none, or there is none there."""
    bundle = config.assets[asset].bundle
    return None if bundle is None else _hash(bundle)


def path_of(config: Config, asset: str, model: str) -> Path | None:
    """Return where the bundle with a hash is, None where it is not there any more."""
    return next((path for path in _paths(config, asset) if _hash(path) == model), None)


def standing(config: Config, asset: str, journal: JournalReader | None) -> Standing:
    """Return how an asset stands by its configuration and the journal, if there is one; raise StoreError."""
    events = () if journal is None else journal.events_of(asset, fold.KINDS)
    return fold.standing(events, configured(config, asset), config.assets[asset].first_stage)


def _paths(config: Config, asset: str) -> Iterator[Path]:
    if (bundle := config.assets[asset].bundle) is not None:
        yield bundle
    learnt = folder(config, asset)
    yield from sorted(path for path in learnt.iterdir() if path.name[0] != ".") if learnt.is_dir() else ()


def _hash(bundle: Path) -> str | None:
    try:
        return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None
