"""From the configuration to the models that judge: loaded, believed, and fitting their assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from agent.config.assets import AssetConfig
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.line.assess import Detector
from agent.line.stage import Stage
from agent.shadow import versions
from agent.shadow.standing import KINDS
from agent.store.journal import StoreError, opened
from agent.trust import Trust
from models import bundle as bundles
from models.bundle import BundleError

JOURNAL = "journal.sqlite3"


def load_detectors(config: Config) -> dict[str, Detector]:
    """Load the bundle of each asset that has one, once for all that share it.

    Raise ConfigError with everything that does not fit, StoreError where the journal cannot be read.
    """
    from models.runtime import Detector as LoadedDetector  # onnxruntime, which most commands need not wait for

    problems: list[str] = []
    detectors: dict[str, Detector] = {}
    loaded: dict[str, Detector] = {}  # by hash: a detector knows nothing of the assets, which are judged in turn
    trust = _trust(config)
    for name, path in models_in_force(config).items():
        asset = config.assets[name]
        try:
            bundle = bundles.load(path)
            if refusal := trust.refusal(bundle):
                problems.append(f"assets.{name}.bundle: {path}: {refusal}")
                continue
            detector = loaded.get(bundle.hash) or LoadedDetector(bundle)
            loaded[bundle.hash] = detector
        except BundleError as error:
            problems.append(f"assets.{name}.bundle: {error}")
            continue
        problems += [f"assets.{name}.{problem}" for problem in _misfits(asset, detector)]
        detectors[name] = detector
    if problems:
        raise ConfigError(tuple(problems))
    return detectors


def detector_of(detectors: Mapping[str, Detector], asset: str) -> Detector:
    """Return the detector of an asset; raise StoreError where it has no model yet."""
    if asset not in detectors:
        raise StoreError(f"{asset}: has no model yet, so nothing can be judged; see `forewarn commissioning {asset}`")
    return detectors[asset]


def origins(config: Config) -> dict[str, str]:
    """Return who vouches for each asset's bundle, as far as it can be loaded."""
    trust, said = _trust(config), {}
    for name, path in models_in_force(config).items():
        with suppress(BundleError):
            said[name] = trust.origin(bundles.load(path))
    return said


def models_in_force(config: Config) -> dict[str, Path]:
    """Return where the bundle is that judges each asset, of those that have one; raise ConfigError, StoreError."""
    found: dict[str, Path] = {}
    gone: list[str] = []
    with opened(config.agent.state_dir / JOURNAL) as journal:
        models = {name: versions.standing(config, name, journal).model for name in config.assets}
    for name, model in models.items():
        path = config.assets[name].bundle if model is None else versions.path_of(config, name, model)
        if path is not None:
            found[name] = path
        elif model is not None:
            gone.append(
                f"assets.{name}: its model {versions.version(model)} is no longer in {versions.folder(config, name)}; "
                "copy it back, or name a bundle"
            )
    if gone:
        raise ConfigError(tuple(gone))
    return found


def is_known(config: Config, asset: str, model: str) -> bool:
    """Say whether something was decided of a model of an asset: it will be no challenger again; raise StoreError."""
    with opened(config.agent.state_dir / JOURNAL) as journal:
        events = () if journal is None else journal.events_of(asset, KINDS)
    return any(event.about == model for event in events)


def stage_of(config: Config, asset: str) -> Stage:
    """Return the stage of an asset; raise StoreError where the journal cannot be read."""
    with opened(config.agent.state_dir / JOURNAL) as journal:
        return versions.standing(config, asset, journal).stage


def loaded_from(path: Path) -> Detector:
    """Return the detector of a bundle; raise BundleError."""
    from models.runtime import Detector as LoadedDetector

    return LoadedDetector(bundles.load(path))


def usable(config: Config, asset: str, model: str) -> Detector:
    """Return the detector of a model of an asset that is believed and fits; raise BundleError."""
    path = versions.path_of(config, asset, model)
    if path is None:
        raise BundleError(f"the model {versions.version(model)} of {asset} is not there any more; copy it back")
    return fitting(config, asset, path)


def fitting(config: Config, asset: str, path: Path) -> Detector:
    """Return the detector of a bundle that is believed and fits an asset; raise BundleError."""
    if (refusal := _trust(config).refusal(bundles.load(path))) is not None:
        raise BundleError(f"{path}: {refusal}")
    detector = loaded_from(path)
    if misfits := "; ".join(_misfits(config.assets[asset], detector)):
        raise BundleError(f"{path}: {misfits}")
    return detector


def _trust(config: Config) -> Trust:
    try:
        return Trust.of(config.agent)
    except BundleError as error:
        raise ConfigError((f"agent.state_dir: {error}",)) from error


def _misfits(asset: AssetConfig, detector: Detector) -> Iterator[str]:
    """Tell where an asset's tags or period are not those its model was learnt on."""
    manifest = detector.manifest
    learnt = {tag.name: tag.unit for tag in manifest.tags}
    said = {tag.name: tag.unit for tag in asset.tags if tag.use == "model"}
    if unused := [tag.name for tag in asset.tags if tag.use == "context" and tag.name in learnt]:
        yield f'tags: the bundle was learnt with {", ".join(unused)}; remove use = "context", or learn one without'
        return
    if missing := [name for name in learnt if name not in said]:
        yield f"tags: the bundle was learnt with {', '.join(missing)}, not configured here; add them"
    if extra := [name for name in said if name not in learnt]:
        yield (
            f"tags: the bundle knows no {', '.join(extra)}; remove them, learn a bundle with them, "
            'or write use = "context" for what is only to be kept'
        )
    if not missing and not extra and list(said) != list(learnt):
        place, here, there = next((i, a, b) for i, (a, b) in enumerate(zip(said, learnt, strict=True)) if a != b)
        yield (
            f"tags[{place}]: is {here}, and the bundle was learnt with {there} in this place; "
            f"put the tags in its order: {', '.join(learnt)}"
        )
    for name in sorted(said.keys() & learnt.keys()):
        if said[name] != learnt[name]:
            yield (
                f'tags ({name}).unit: is "{said[name]}" and the bundle was learnt in "{learnt[name]}"; '
                "change the unit (with scale and offset), or learn it anew"
            )
    if asset.period_ms != manifest.period_ms:
        yield (
            f"period_ms: is {asset.period_ms} and the bundle was learnt at {manifest.period_ms}; "
            f"set it to {manifest.period_ms}, or learn it anew"
        )
