"""A model's folder: `manifest.json`, `model.onnx`, `statistics.npz`, `README.md` (the model card), all hashed.

`manifest.sig`, where there is one, says who vouches for the manifest and through its hashes for the rest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import BadZipFile

import numpy as np

from models.calibrate import Calibration
from models.experts import Experts
from models.features import Reference as HeadReference
from models.modes import Modes
from models.packing import pack, unpack
from models.remaining import RemainingError, RemainingModel
from models.remaining import unpack as unpack_remaining
from models.scores import Reference
from models.signature import Signature, SignatureError, sign, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT: Final = 4
MANIFEST: Final = "manifest.json"
GRAPH: Final = "model.onnx"
STATISTICS: Final = "statistics.npz"
CARD: Final = "README.md"
REMAINING: Final = "remaining.npz"
"""Only where runs to failure were learnt from."""
SIGNATURE: Final = "manifest.sig"
SHIPPED: Final = Path(__file__).parent / "bundles"
"""The bundles that come with the package."""


class BundleError(Exception):
    """A bundle cannot be used: what is wrong with which file, and what to do."""


@dataclass(frozen=True, slots=True)
class TagSchema:
    """A tag the model was learnt on.

    `role` is "scored", "constant" (never moved), "drifting" (without a level) or "setpoint" (commanded).
    """

    name: str
    unit: str
    role: str


@dataclass(frozen=True, slots=True)
class RegimeCard:
    """A regime as a person reads it: `share` is the part of the learnt rows in it, 0..1."""

    id: str
    description: str
    share: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model eats and where it comes from. `files` maps a file's name to its SHA-256."""

    name: str
    tags: tuple[TagSchema, ...]
    period_ms: int
    faults: tuple[str, ...]
    regimes: tuple[RegimeCard, ...]
    learnt_rows: int
    learnt_from: str
    files: dict[str, str]

    def to_json(self) -> str:
        """Return the manifest as canonical JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was learnt of a plant in closed form: of C tags, U = S + D are looked at, in K regimes.

    `used` i64[U] are the positions of the channels the experts look at, the S scored ones first, then the conditions;
    `centre` and `scale` f64[U] standardise them. Further the experts, the reference and the calibration of the score
    bank, the reference of the fault head, the operating modes and `frozen_limits` i64[C], the rows after which each tag
    counts as frozen.
    """

    used: np.ndarray[tuple[int], np.dtype[np.int64]]
    centre: np.ndarray[tuple[int], np.dtype[np.float64]]
    scale: np.ndarray[tuple[int], np.dtype[np.float64]]
    experts: Experts
    reference: Reference
    head: HeadReference
    calibration: Calibration
    modes: Modes
    frozen_limits: np.ndarray[tuple[int], np.dtype[np.int64]]

    @property
    def scored(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The positions of the scored channels, i64[S]."""
        return self.used[: self.experts.scored]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model: manifest, graph bytes, statistics and card; `hash` is the SHA-256 of its manifest.

    `packed` are the statistics as they are stored. `signature` is whole, but whether its key is to be trusted is for
    others to say; None where nobody signed.
    """

    manifest: Manifest
    graph: bytes
    statistics: Statistics
    card: str
    hash: str
    packed: bytes
    signature: Signature | None = None
    remaining: RemainingModel | None = None

    def signed(self, private: Ed25519PrivateKey) -> Bundle:
        """Return the bundle signed with a key, in place of an older signature."""
        return replace(self, signature=sign(self.manifest.to_json().encode(), private))

    def foretelling(self, remaining: RemainingModel) -> Bundle:
        """Return the bundle with a model of remaining life, unsigned."""
        files = {**self.manifest.files, REMAINING: _sha256(remaining.pack())}
        manifest = replace(self.manifest, files=files)
        digest = _sha256(manifest.to_json().encode())
        return replace(self, manifest=manifest, hash=digest, signature=None, remaining=remaining)

    def save(self, path: Path) -> None:
        """Write the bundle as a folder; an older bundle at the same place is replaced file by file, manifest last."""
        path.mkdir(parents=True, exist_ok=True)
        for optional in (SIGNATURE, REMAINING):
            (path / optional).unlink(missing_ok=True)
        contents = {GRAPH: self.graph, STATISTICS: self.packed, CARD: self.card.encode()}
        if self.signature is not None:
            contents[SIGNATURE] = self.signature.to_json().encode()
        if self.remaining is not None:
            contents[REMAINING] = self.remaining.pack()
        contents[MANIFEST] = self.manifest.to_json().encode()
        for name, content in contents.items():
            partial = path / f".{name}.part"
            partial.write_bytes(content)
            partial.replace(path / name)


def make(manifest_parts: dict[str, object], graph: bytes, statistics: Statistics, card: str) -> Bundle:
    """Hash the parts and return the bundle they make; its statistics are those that will be loaded again."""
    packed = pack(statistics)
    files = {GRAPH: _sha256(graph), STATISTICS: _sha256(packed), CARD: _sha256(card.encode())}
    manifest = Manifest(**manifest_parts, files=files)  # type: ignore[arg-type]
    digest = _sha256(manifest.to_json().encode())
    return Bundle(manifest, graph, unpack(Statistics, packed), card, digest, packed)


def load(path: Path) -> Bundle:
    """Read a bundle, verify its signature and every file's hash, and return it.

    Raises BundleError that names the file and the remedy where one is missing, truncated, altered or of another format,
    or where the manifest was altered after it was signed.
    """
    raw = _read(path, MANIFEST) if path.is_dir() else b""
    manifest, signature = _manifest(path, raw), _signature(path, raw)
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        contents[name] = _read(path, name)
        if _sha256(contents[name]) != expected:
            raise BundleError(
                f"{path / name} is not the file the manifest was written for (truncated or altered, "
                f"{len(contents[name])} bytes): copy the bundle again or learn it anew with `forewarn learn`"
            )
    missing = {GRAPH, STATISTICS, CARD} - contents.keys()
    if missing:
        raise BundleError(f"{path / MANIFEST} lists no {', '.join(sorted(missing))}: learn the bundle anew")
    try:
        statistics, card = unpack(Statistics, contents[STATISTICS]), contents[CARD].decode()
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path / STATISTICS} or {CARD} cannot be read ({error}): learn the bundle anew") from error
    remaining = _remaining(path, contents.get(REMAINING), len(manifest.tags))
    return Bundle(
        manifest, contents[GRAPH], statistics, card, _sha256(raw), contents[STATISTICS], signature, remaining
    )


def _remaining(path: Path, content: bytes | None, tags: int) -> RemainingModel | None:
    if content is None:
        return None
    try:
        model = unpack_remaining(content)
    except RemainingError as error:
        raise BundleError(f"{path / REMAINING} {error}: learn the bundle anew") from error
    if model.norm.tags.max() >= tags:
        raise BundleError(f"{path / REMAINING} was learnt with more than the bundle's {tags} tags: learn it anew")
    return model


def shipped() -> frozenset[str]:
    """Return the hashes of the bundles that come with the package, from its list in the form of `sha256sum`."""
    return frozenset(line.split()[0] for line in (SHIPPED / "SHA256SUMS").read_text(encoding="ascii").splitlines())


def _signature(path: Path, manifest: bytes) -> Signature | None:
    try:
        signature = Signature.parse((path / SIGNATURE).read_bytes())
        verify(manifest, signature)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path / SIGNATURE} cannot be read ({error.strerror}): copy the bundle again") from error
    except SignatureError as error:
        raise BundleError(
            f"{path / SIGNATURE} {error}: the bundle was altered or mixed up after it was signed; "
            "copy it again from where it was learnt, or learn it anew with `forewarn learn`"
        ) from error
    return signature


def _manifest(path: Path, raw: bytes) -> Manifest:
    if not path.is_dir():
        raise BundleError(
            f"{path} is not a bundle: no such folder; make one with `forewarn learn HISTORY.parquet --out {path}`"
        )
    try:
        fields = json.loads(raw)
        if fields.pop("format") != FORMAT:
            raise BundleError(f"{path / MANIFEST} has another format than {FORMAT}: learn the bundle with this version")
        return Manifest(
            **{
                **fields,
                "tags": tuple(TagSchema(**tag) for tag in fields["tags"]),
                "regimes": tuple(RegimeCard(**regime) for regime in fields["regimes"]),
                "faults": tuple(fields["faults"]),
                "files": dict(fields["files"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path / MANIFEST} cannot be read ({error}): copy the bundle again or learn it anew"
        ) from error


def _read(path: Path, name: str) -> bytes:
    if name not in (MANIFEST, GRAPH, STATISTICS, CARD, REMAINING):
        raise BundleError(f"{path / MANIFEST} lists a file that no bundle has: {name!r}; learn the bundle anew")
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path / name} cannot be read ({error.strerror}): the bundle is incomplete, copy it again"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
