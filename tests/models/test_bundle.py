"""A model's folder: what was saved is what is loaded, and everything else is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import bundle as bundles
from models.bundle import CARD, FORMAT, GRAPH, MANIFEST, STATISTICS, Bundle, BundleError, load
from models.runtime import Detector
from tests.models.plants import TAGS, coupled, good, settling, taught

SIZE_MAX = 500_000


@pytest.fixture
def folder(three: Bundle, tmp_path: Path) -> Path:
    three.save(tmp_path / "pump")
    return tmp_path / "pump"


def test_what_was_saved_is_what_is_loaded(three: Bundle, folder: Path) -> None:
    again = load(folder)
    assert (again.manifest, again.graph, again.card, again.hash) == (
        three.manifest, three.graph, three.card, three.hash,
    )
    assert bundles.pack(again.statistics) == bundles.pack(three.statistics)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, GRAPH, STATISTICS, CARD])


def test_the_statistics_survive_with_modes_and_types() -> None:
    statistics = taught(settling(1500, seed=1, settle_rows=3), (*TAGS, ("on", ""))).statistics
    again = bundles.unpack(bundles.Statistics, bundles.pack(statistics))
    assert again.modes == statistics.modes
    assert again.modes.known == ((0.0,), (1.0,))
    for one, other in (
        (again.scored, statistics.scored),
        (again.scale, statistics.scale),
        (again.frozen_limits, statistics.frozen_limits),
        (again.experts.regimes.covariance, statistics.experts.regimes.covariance),
        (again.calibration.threshold, statistics.calibration.threshold),
    ):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_a_loaded_bundle_scores_like_the_learnt_one(three: Bundle, folder: Path) -> None:
    x = coupled(100, seed=3, regimes=3)
    one, other = (Detector(b).score(x, good(x)) for b in (three, load(folder)))
    assert np.array_equal(one.score, other.score)
    assert np.array_equal(one.white, other.white)


def test_a_bundle_is_small() -> None:
    """Fifty tags and three regimes: more than most machines have."""
    x = np.hstack([coupled(2500, seed, regimes=3) for seed in range(9)])[:, :50]
    bundle = taught(x, [(f"tag{number}", "bar") for number in range(50)])
    size = len(bundle.graph) + len(bundles.pack(bundle.statistics)) + len(bundle.card)
    assert len(bundle.manifest.regimes) >= 2
    assert size + len(bundle.manifest.to_json()) <= SIZE_MAX


def test_saving_again_replaces_the_older_bundle(plain: Bundle, folder: Path) -> None:
    plain.save(folder)
    assert load(folder).hash == plain.hash
    assert len(list(folder.iterdir())) == 4


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", [GRAPH, STATISTICS, CARD])
@pytest.mark.parametrize("damage", [truncated, altered, emptied], ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    with pytest.raises(BundleError, match=rf"{name} is not the file.*copy the bundle again or learn it anew"):
        load(folder)


@pytest.mark.parametrize("name", [MANIFEST, GRAPH, STATISTICS, CARD])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} cannot be read.*incomplete, copy it again"):
        load(folder)


@pytest.mark.parametrize("damage", [truncated, emptied], ids=lambda damage: damage.__name__)
def test_a_damaged_manifest_is_named(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / MANIFEST)
    with pytest.raises(BundleError, match=rf"{MANIFEST} cannot be read.*copy the bundle again or learn it anew"):
        load(folder)


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    change(fields)
    (folder / MANIFEST).write_text(json.dumps(fields))


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("tags"),
        lambda fields: fields.pop("format"),
        lambda fields: fields.pop("files"),
        lambda fields: fields.update(tags=7),
        lambda fields: fields.update(tags=[{"name": "flow"}]),
        lambda fields: fields.update(regimes="R1"),
        lambda fields: fields.update(files=["model.onnx"]),
        lambda fields: fields.update(colour="blue"),
    ],
    ids=["no tags", "no format", "no files", "number", "half a tag", "text", "list of files", "unknown key"],
)
def test_a_manifest_that_says_something_else_is_refused(
    folder: Path, change: Callable[[dict[str, object]], object]
) -> None:
    rewrite(folder, change)
    with pytest.raises(BundleError, match=rf"{MANIFEST}.*(learn|copy)"):
        load(folder)


@pytest.mark.parametrize("content", [b"[]", b"null", b"7", b'"manifest"', b"\xff\xfe", b"{"])
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{MANIFEST} cannot be read.*copy the bundle again"):
        load(folder)


def test_another_format_is_refused(folder: Path) -> None:
    rewrite(folder, lambda fields: fields.update(format=FORMAT - 1))
    with pytest.raises(
        BundleError, match=rf"{MANIFEST} has another format than {FORMAT}: learn the bundle with this version"
    ):
        load(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "extra.bin", "/etc/passwd", ""])
def test_a_manifest_cannot_point_at_files_that_no_bundle_has(folder: Path, name: str) -> None:
    rewrite(folder, lambda fields: fields["files"].update({name: "0" * 64}))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=rf"{MANIFEST} lists a file that no bundle has.*learn the bundle anew"):
        load(folder)


def test_a_manifest_that_leaves_a_file_out_is_refused(folder: Path) -> None:
    rewrite(folder, lambda fields: fields["files"].pop(GRAPH))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=rf"{MANIFEST} lists no {GRAPH}: learn the bundle anew"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 nor is this"])
def test_statistics_that_are_none_are_refused_even_with_the_right_hash(folder: Path, content: bytes) -> None:
    (folder / STATISTICS).write_bytes(content)
    digest = bundles.hashlib.sha256(content).hexdigest()
    rewrite(folder, lambda fields: fields["files"].update({STATISTICS: digest}))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=rf"{STATISTICS} or .* cannot be read.*learn the bundle anew"):
        load(folder)


def test_a_place_without_a_bundle_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere is not a bundle.*forewarn learn"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BundleError, match=r"file is not a bundle"):
        load(tmp_path / "file")
    with pytest.raises(BundleError, match=rf"{MANIFEST} cannot be read.*incomplete"):
        load(tmp_path)


def test_other_files_in_the_folder_are_nobodys_business(three: Bundle, folder: Path) -> None:
    (folder / "README.md~").write_text("an editor was here")
    assert load(folder).hash == three.hash


def test_the_hash_names_everything(three: Bundle, plain: Bundle) -> None:
    assert len(three.hash) == 64
    assert three.hash != plain.hash


@pytest.mark.parametrize("name", ["pump", "press", "conveyor"])
def test_the_shipped_bundles_load_and_run(name: str) -> None:
    bundle = load(Path(bundles.__file__).parent / "bundles" / name)
    Detector(bundle)
    assert bundle.manifest.name == name
