"""The file: a page, and in it a zip of everything the page shows and a replay needs, a manifest of both, a signature.

The manifest holds the SHA-256 of the page (the file without manifest, signature and zip), of the zip, and of each file
in the zip; the signature is an Ed25519 one of the manifest. Every byte of the file is thereby somebody's word.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from models.signature import Signature, SignatureError, raw_key, sign, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT: Final = 1
PURPOSE: Final = b"forewarn evidence 1\n"
SLOTS: Final = ("manifest", "signature", "data")
_OPENERS: Final = {
    "manifest": '<script type="application/json" id="forewarn-manifest">',
    "signature": '<script type="application/json" id="forewarn-signature">',
    "data": '<a id="forewarn-data" href="data:application/zip;base64,',
}
_CLOSERS: Final = {"manifest": "</script>", "signature": "</script>", "data": '"'}
UNPACKED_BYTES_MAX: Final = 512 * 1024 * 1024
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)


class PackError(Exception):
    """A file is no evidence pack, or one that was altered; `problems` says what is wrong, one sentence each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack of which every hash and the signature hold: who signed (`ed25519:...`), and the files by their names."""

    signed_by: str
    alert: str
    created: str
    files: Mapping[str, bytes]


def slot(name: str) -> str:
    """Return what stands in a page where its manifest, its signature or its data go."""
    return f"{_OPENERS[name]}{_CLOSERS[name]}"


def seal(page: str, files: Mapping[str, bytes], said: Mapping[str, str], private: Ed25519PrivateKey) -> bytes:
    """Return the file; the page has each `slot` once, and what is `said` stands in the manifest, too."""
    for name in SLOTS:
        assert page.count(slot(name)) == page.count(_OPENERS[name]) == 1, f"the page has one place for its {name}"
    data = _zipped(files)
    manifest = _canonical({
        **said,
        "format": FORMAT,
        "page": sha256(page.encode()),
        "data": sha256(data),
        "files": {name: sha256(content) for name, content in files.items()},
    })
    signature = sign(manifest.encode(), private, PURPOSE).to_json()
    for name, content in zip(SLOTS, (manifest, signature, base64.b64encode(data).decode()), strict=True):
        page = page.replace(slot(name), f"{_OPENERS[name]}{content}{_CLOSERS[name]}")
    return page.encode()


def unseal(content: bytes) -> Pack:
    """Return what is in a file once all of it was verified; raise PackError that names every part that was altered."""
    page, inside = _apart(content)
    manifest = inside["manifest"]
    problems = []
    signature = _signature(manifest, inside["signature"])
    if signature is None:
        problems.append("the signature does not fit the manifest: one of the two was altered")
    try:
        said = json.loads(manifest)
        page_hash, data_hash, hashes = said["page"], said["data"], dict(said["files"])
        alert, created, version = str(said["alert"]), str(said["created"]), said["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(*problems, "the manifest cannot be read: nothing can be said of the rest") from error
    if version != FORMAT:
        raise PackError(*problems, f"it has format {version}, and this version reads {FORMAT}")
    if page_hash != sha256(page):
        problems.append("the page was altered: what is read and drawn is not what was signed")
    files, altered = _files(inside["data"], data_hash, hashes)
    problems += altered
    if problems or signature is None:
        raise PackError(*problems)
    return Pack(signature.key, alert, created, files)


def _apart(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the page as it was before the slots were filled, and what is in each of them."""
    try:
        rest = content.decode()
    except UnicodeDecodeError as error:
        raise PackError(f"it is not UTF-8 at byte {error.start}: it was altered there, or is no evidence") from error
    inside = {}
    for name in SLOTS:
        if rest.count(_OPENERS[name]) != 1:
            raise PackError(f"it has no {name}: it was altered there, or is no evidence of forewarn")
        before, _, after = rest.partition(_OPENERS[name])
        inside[name], closer, after = after.partition(_CLOSERS[name])
        rest = f"{before}{_OPENERS[name]}{closer}{after}"
    return rest.encode(), inside


def _signature(manifest: str, text: str) -> Signature | None:
    """Return the signature where it is one of the manifest and written as we write it, to the letter."""
    try:
        signature = Signature.parse(text.encode())
        verify(manifest.encode(), signature, PURPOSE)
        raw = base64.b64decode(signature.value)
        same = Signature(_key_text(signature.key), base64.b64encode(raw).decode())
    except SignatureError:
        return None
    return signature if same.to_json() == text else None


def _key_text(key: str) -> str:
    scheme, _, _ = key.partition(":")
    return f"{scheme}:{base64.b64encode(raw_key(key)).decode()}"


def _files(text: str, expected: str, hashes: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the files in the data, and what is wrong with which."""
    try:
        data = base64.b64decode(text, validate=True)
        whole = base64.b64encode(data).decode() == text and sha256(data) == expected
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > UNPACKED_BYTES_MAX:
                return {}, [f"its data are larger than {UNPACKED_BYTES_MAX} bytes"]
            files = {entry.filename: _entry(archive, entry) for entry in entries}
    except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        return {}, ["the data were altered, so that they cannot be opened"]
    altered = [f"{name} was altered" for name, known in hashes.items() if sha256(files.get(name, b"")) != known]
    altered += [f"{name} was added" for name in files.keys() - hashes.keys()]
    if not altered and not whole:
        altered = ["the data were altered, between the files in them"]
    return files, altered


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a file of the zip, nothing where it does not match its checksum there."""
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError):
        return b""


def _zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _canonical(body: Any) -> str:
    return json.dumps(body, indent=1, sort_keys=True).replace("<", "\\u003c")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
