"""The models of assets: the bundles that a configuration names, and those learnt here, in state_dir/models/ASSET."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from agent.config.file import Config
from agent.line.event import AssetEvent, EventKind
from agent.shadow import standing as fold
from agent.shadow.standing import Standing
from agent.store.journal import JournalReader
from agent.trust import Trust
from models import bundle as bundles
from models.bundle import MANIFEST, BundleError, Manifest

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


def origin(config: Config, asset: str, model: str) -> str:
    """Return who vouches for a model of an asset; raise BundleError."""
    path = path_of(config, asset, model)
    if path is None:
        raise BundleError(f"the model {version(model)} of {asset} is not there any more")
    return Trust.of(config.agent).origin(bundles.load(path))


def standing(config: Config, asset: str, journal: JournalReader | None) -> Standing:
    """Return how an asset stands by its configuration and the journal, if there is one; raise StoreError."""
    events = () if journal is None else journal.events_of(asset, fold.KINDS)
    named = configured(config, asset)
    now = fold.standing(events, named, config.assets[asset].first_stage)
    if named is not None and now.model is not None and path_of(config, asset, now.model) is None:
        return replace(now, model=named)  # a bundle that was rolled back to, and then replaced by this one
    return now


def learnt(config: Config, asset: str) -> dict[str, Path]:
    """Return the models of an asset that were learnt or put here, by hash."""
    place = folder(config, asset)
    paths = sorted(path for path in place.iterdir() if path.name[0] != ".") if place.is_dir() else []
    return {model: path for path in paths if (model := _hash(path)) is not None}


def series(asset: str, model: str) -> str:
    """Return what the alerts of a challenger are numbered within."""
    return f"{asset}~{version(model)}"


def past_series(asset: str, model: str) -> str:
    """Return what the alerts are numbered within that a model would have raised before it began to judge."""
    return f"{series(asset, model)}.past"


def _paths(config: Config, asset: str) -> Iterator[Path]:
    if (bundle := config.assets[asset].bundle) is not None:
        yield bundle
    yield from learnt(config, asset).values()


def _hash(bundle: Path) -> str | None:
    try:
        return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None


class Role(StrEnum):
    """What a model of an asset is to it."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    PREVIOUS = "previous"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Version:
    """A model of an asset, who vouches for it, what it is to the asset, and what was decided of it, oldest first."""

    manifest: Manifest
    model: str
    path: Path
    origin: str
    role: Role
    decided: tuple[AssetEvent, ...]


def versions_of(config: Config, asset: str, journal: JournalReader) -> tuple[Version, ...]:
    """Return the models of an asset that can be loaded, the configured one first; raise StoreError, BundleError."""
    now, trust = standing(config, asset, journal), Trust.of(config.agent)
    events = journal.events_of(asset, (*fold.KINDS, EventKind.LOOKED_BACK))
    roles = {now.previous: Role.PREVIOUS, now.challenger: Role.CHALLENGER, now.model: Role.CHAMPION}
    found = []
    for path in _paths(config, asset):
        with suppress(BundleError):
            bundle = bundles.load(path)
            decided = tuple(event for event in events if event.about == bundle.hash)
            role = roles.get(bundle.hash, Role.NONE)
            found.append(Version(bundle.manifest, bundle.hash, path, trust.origin(bundle), role, decided))
    return tuple(found)
