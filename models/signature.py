"""Who vouches for a bundle: an Ed25519 signature (RFC 8032) of its manifest, which hashes every other file."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # 7 MiB and 60 ms, of use only where there is something signed
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEME: Final = "ed25519:"
BUNDLE: Final = b"forewarn manifest 1\n"
"""Signed with the manifest, so that no signature that the key made for another purpose fits a bundle."""


class SignatureError(ValueError):
    """Bytes that should be a signature or a public key are none, or were made for something else."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, `key` as `ed25519:BASE64` of the public half, and the 64 bytes as BASE64."""

    key: str
    value: str

    def to_json(self) -> str:
        """Return the signature as canonical JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def parse(cls, content: bytes) -> Signature:
        """Return what `to_json` wrote; raise SignatureError."""
        try:
            fields = json.loads(content)
            key, value = fields["key"], fields["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise SignatureError(f"is no signature ({error})") from error
        if not isinstance(key, str) or not isinstance(value, str) or len(fields) != 2:
            raise SignatureError("is no signature (needs the texts key and value)")
        return cls(key, value)


def sign(manifest: bytes, private: Ed25519PrivateKey, purpose: bytes = BUNDLE) -> Signature:
    """Return the signature of a manifest."""
    return Signature(public_key(private), base64.b64encode(private.sign(purpose + manifest)).decode())


def verify(manifest: bytes, signature: Signature, purpose: bytes = BUNDLE) -> None:
    """Return where the key that the signature names has signed exactly this manifest, else raise SignatureError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(raw_key(signature.key))
    try:
        key.verify(base64.b64decode(signature.value, validate=True), purpose + manifest)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("was made for another manifest") from error


def public_key(private: Ed25519PrivateKey) -> str:
    """Return the public half as `ed25519:BASE64`."""
    return SCHEME + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def raw_key(text: str) -> bytes:
    """Return the 32 bytes of a public key `ed25519:BASE64`; raise SignatureError where it is none."""
    try:
        raw = base64.b64decode(text.removeprefix(SCHEME), validate=True)
    except ValueError:
        raw = b""
    if not text.startswith(SCHEME) or len(raw) != 32:
        example = SCHEME + base64.b64encode(bytes(32)).decode()
        raise SignatureError(f"{text!r} is no public key; one looks like {example}")
    return raw
