"""A signature holds for one manifest and one key; whatever else lies in its place is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.bundle import GRAPH, MANIFEST, SIGNATURE, Bundle, BundleError, load
from models.signature import SCHEME, Signature, SignatureError, public_key, raw_key, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
MANIFEST_BYTES = b'{"name": "pump"}'


@pytest.fixture
def folder(plain: Bundle, tmp_path: Path) -> Path:
    plain.signed(KEY).save(tmp_path / "pump")
    return tmp_path / "pump"


def test_a_signature_names_its_key_and_holds_for_its_manifest() -> None:
    signature = sign(MANIFEST_BYTES, KEY)
    assert signature.key == public_key(KEY)
    assert raw_key(signature.key) == KEY.public_key().public_bytes_raw()
    verify(MANIFEST_BYTES, Signature.parse(signature.to_json().encode()))


def test_a_signature_holds_for_nothing_else() -> None:
    signature = sign(MANIFEST_BYTES, KEY)
    bare = base64.b64encode(KEY.sign(MANIFEST_BYTES)).decode()
    for manifest, claimed in (
        (MANIFEST_BYTES + b" ", signature),
        (MANIFEST_BYTES, Signature(public_key(OTHER), signature.value)),
        (MANIFEST_BYTES, Signature(signature.key, base64.b64encode(bytes(64)).decode())),
        (MANIFEST_BYTES, Signature(signature.key, "")),
        (MANIFEST_BYTES, Signature(signature.key, "no base64!")),
        (MANIFEST_BYTES, Signature(signature.key, "ünicode")),
        (MANIFEST_BYTES, Signature(signature.key, bare)),  # made by the key, not for a manifest
    ):
        with pytest.raises(SignatureError, match="another manifest"):
            verify(manifest, claimed)


@pytest.mark.parametrize(
    "text",
    ["", SCHEME, SCHEME + "AAAA", SCHEME + "ä" * 44, "rsa:" + public_key(KEY)[8:], public_key(KEY)[8:]],
)
def test_what_is_no_public_key_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SignatureError, match=r"is no public key; one looks like ed25519:A{43}="):
        raw_key(text)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"7", b"{}", b'{"key": 1, "value": "a"}', b'{"key": "a", "value": "b", "c": 1}']
)
def test_what_is_no_signature_is_refused(content: bytes) -> None:
    with pytest.raises(SignatureError, match="is no signature"):
        Signature.parse(content)


def test_a_signed_bundle_comes_back_with_its_signature(plain: Bundle, folder: Path) -> None:
    loaded = load(folder)
    assert loaded.signature is not None
    assert loaded.signature.key == public_key(KEY)
    assert loaded.hash == plain.hash


def test_an_unsigned_bundle_leaves_no_older_signature_behind(three: Bundle, folder: Path) -> None:
    three.save(folder)
    assert load(folder).signature is None
    assert not (folder / SIGNATURE).exists()


def test_an_altered_manifest_is_refused_whoever_is_trusted(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    fields["name"] = "press"
    (folder / MANIFEST).write_text(json.dumps(fields, indent=1, sort_keys=True))
    with pytest.raises(BundleError, match=rf"{SIGNATURE} was made for another manifest.*copy it again.*forewarn learn"):
        load(folder)


def test_an_altered_graph_is_refused_as_in_an_unsigned_bundle(folder: Path) -> None:
    (folder / GRAPH).write_bytes(b"something else")
    with pytest.raises(BundleError, match=f"{GRAPH} is not the file the manifest was written for"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"key": "ed25519:short", "value": ""}'])
def test_a_damaged_signature_is_not_taken_for_none(folder: Path, content: bytes) -> None:
    (folder / SIGNATURE).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{SIGNATURE} .*copy it again"):
        load(folder)


def test_a_signature_that_cannot_be_read_is_not_taken_for_none(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    (folder / SIGNATURE).mkdir()
    with pytest.raises(BundleError, match=rf"{SIGNATURE} cannot be read"):
        load(folder)
