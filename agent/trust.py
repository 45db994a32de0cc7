"""Whose bundles an agent believes: those that come with it, those it signed itself, those of keys it was told of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agent.config.agent import AgentConfig
from models.bundle import Bundle, BundleError, shipped
from models.signature import public_key, raw_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = "signing.key"
"""The private key in the state directory, PKCS #8 in PEM, for its owner only; beside it `.pub` with the public half."""


@dataclass(frozen=True, slots=True)
class Trust:
    """`keys`: whose a public key is, by its text; `required`: whether a bundle that nobody vouches for is refused."""

    keys: Mapping[str, str]
    required: bool

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Return what a configuration trusts, this gateway's own key included; raise BundleError where that is none."""
        keys = {key: f'"{name}"' for name, key in config.trusted_keys.items()}
        public = (config.state_dir / KEY).with_suffix(".pub")
        try:
            own = public.read_text(encoding="utf-8").strip()
            raw_key(own)
        except FileNotFoundError:
            return cls(keys, config.require_signature)
        except OSError as error:
            raise BundleError(f"{public} cannot be read ({error.strerror}): let the agent's user read it") from error
        except ValueError as error:
            raise BundleError(f"{public}: {error}; remove it, `forewarn learn` writes it anew") from error
        return cls({own: "this gateway", **keys}, config.require_signature)

    def origin(self, bundle: Bundle) -> str:
        """Say who vouches for a bundle."""
        if bundle.hash in shipped():
            return "shipped with forewarn"
        if bundle.signature is None:
            return "not signed"
        return f"signed by {self.keys.get(bundle.signature.key, f'an unknown key, {bundle.signature.key}')}"

    def refusal(self, bundle: Bundle) -> str | None:
        """Return why a bundle is refused and what to do, None where it is not."""
        known = bundle.hash in shipped() or (bundle.signature is not None and bundle.signature.key in self.keys)
        if known or not self.required:
            return None
        if bundle.signature is None:
            return (
                "the bundle is not signed, and agent.require_signature is true; learn it anew with "
                "`forewarn learn --config` or --key, which sign it, or set require_signature = false"
            )
        return (
            f"the bundle is signed by {bundle.signature.key}, which nobody trusts here, and agent.require_signature is "
            "true; if you know whose key that is, add it to [agent.trusted_keys], otherwise do not use the bundle"
        )


def signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file; make one there, and its public half beside it, where there is none yet.

    Raises BundleError where the file is readable for others, is no such key, or cannot be read or written.
    """
    try:
        key = _read(path) if path.exists() else _make(path)
        public = path.with_suffix(".pub")
        if not public.exists():
            public.write_text(public_key(key) + "\n", encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{path}: the signing key cannot be used ({error.strerror}); work as the agent's user, or name "
            "another file with --key; a bundle can be left unsigned with --no-sign"
        ) from error
    return key


def _read(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if path.stat().st_mode & 0o077:
        raise BundleError(f"{path}: the signing key is open to other users; close it with `chmod 600 {path}`")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path} is no private key without a password; name another file with --key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path} is no Ed25519 key; name another file with --key")
    return key


def _make(path: Path) -> Ed25519PrivateKey:
    """Make a key; where two processes do so at the same time, both return the one that was first."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        return _read(path)
    finally:
        Path(partial).unlink()
    return key
