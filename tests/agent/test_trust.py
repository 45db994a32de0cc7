"""Whose bundles are believed, and what becomes of the key that signs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.build import load_detectors, origins
from agent.config.agent import AgentConfig
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.trust import KEY, Trust, signing_key
from models import bundle as bundles
from models.bundle import Bundle, BundleError
from models.signature import public_key
from tests.agent.samples import CONFIG

OFFICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture(scope="module")
def pump() -> Bundle:
    """A bundle of one of the package's machines, but not one that is shipped: its name differs."""
    shipped = bundles.load(bundles.SHIPPED / "pump")
    fields = {f: getattr(shipped.manifest, f) for f in shipped.manifest.__slots__ if f != "files"}
    return bundles.make(fields | {"name": "ours"}, shipped.graph, shipped.statistics, shipped.card)


def trust(state: Path, *, required: bool = True) -> Trust:
    keys = {"office": public_key(OFFICE)}
    return Trust.of(AgentConfig(state_dir=state, require_signature=required, trusted_keys=keys))


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / KEY
    key = signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.with_suffix(".pub").read_text() == public_key(key) + "\n"
    assert public_key(signing_key(path)) == public_key(key)
    assert sorted(file.name for file in path.parent.iterdir()) == ["signing.key", "signing.pub"]


def test_two_gateways_have_two_keys(tmp_path: Path) -> None:
    assert public_key(signing_key(tmp_path / "a")) != public_key(signing_key(tmp_path / "b"))


def test_the_public_half_is_written_again_where_it_was_lost(tmp_path: Path) -> None:
    key = signing_key(tmp_path / KEY)
    (tmp_path / "signing.pub").unlink()
    signing_key(tmp_path / KEY)
    assert (tmp_path / "signing.pub").read_text().strip() == public_key(key)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path / KEY)
    (tmp_path / KEY).chmod(0o640)
    with pytest.raises(BundleError, match=r"open to other users; close it with `chmod 600 .*signing.key`"):
        signing_key(tmp_path / KEY)


@pytest.mark.parametrize("content", [b"", b"no key", public_key(OFFICE).encode()])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY).write_bytes(content)
    (tmp_path / KEY).chmod(0o600)
    with pytest.raises(BundleError, match="is no private key without a password; name another file"):
        signing_key(tmp_path / KEY)
    assert (tmp_path / KEY).read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / KEY).write_bytes(other)
    (tmp_path / KEY).chmod(0o600)
    with pytest.raises(BundleError, match="is no Ed25519 key"):
        signing_key(tmp_path / KEY)


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match=r"signing key cannot be used .*--key.*--no-sign"):
        signing_key(tmp_path / "file" / KEY)


def test_it_is_said_who_vouches_for_a_bundle(pump: Bundle, tmp_path: Path) -> None:
    own = signing_key(tmp_path / KEY)
    judge = trust(tmp_path)
    assert judge.origin(bundles.load(bundles.SHIPPED / "press")) == "shipped with forewarn"
    assert judge.origin(pump) == "not signed"
    assert judge.origin(pump.signed(own)) == "signed by this gateway"
    assert judge.origin(pump.signed(OFFICE)) == 'signed by "office"'
    assert judge.origin(pump.signed(STRANGER)) == f"signed by an unknown key, {public_key(STRANGER)}"


def test_where_signatures_are_required_only_the_trusted_pass(pump: Bundle, tmp_path: Path) -> None:
    own = signing_key(tmp_path / KEY)
    judge = trust(tmp_path)
    for fine in (bundles.load(bundles.SHIPPED / "press"), pump.signed(own), pump.signed(OFFICE)):
        assert judge.refusal(fine) is None
    assert "is not signed" in str(judge.refusal(pump))
    refusal = str(judge.refusal(pump.signed(STRANGER)))
    assert public_key(STRANGER) in refusal
    assert "add it to [agent.trusted_keys]" in refusal
    assert all(trust(tmp_path, required=False).refusal(b) is None for b in (pump, pump.signed(STRANGER)))


def test_every_bundle_in_the_package_is_on_its_list_and_no_other() -> None:
    folders = [path.parent for path in bundles.SHIPPED.glob("*/manifest.json")]
    assert len(folders) >= 3
    assert {bundles.load(folder).hash for folder in folders} == bundles.shipped()


def test_a_public_half_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "signing.pub").write_text("hello")
    with pytest.raises(BundleError, match=r"signing.pub: 'hello' is no public key.*remove it"):
        trust(tmp_path)


def written(tmp_path: Path, agent: str) -> Config:
    file = tmp_path / "agent.toml"
    text = CONFIG.replace("[agent]\n", f"[agent]\n{agent}\n")
    assert text != CONFIG
    return Config.parse(text, file)


def test_the_agent_refuses_what_the_configuration_does_not_trust(pump: Bundle, tmp_path: Path) -> None:
    config = written(tmp_path, "require_signature = true")
    pump.signed(STRANGER).save(config.assets["pump"].bundle)
    with pytest.raises(ConfigError, match=r"assets.pump.bundle: .*is signed by ed25519:.*nobody trusts here"):
        load_detectors(config)
    assert origins(config)["pump"].startswith("signed by an unknown key")
    pump.save(config.assets["pump"].bundle)
    with pytest.raises(ConfigError, match=r"assets.pump.bundle: .*is not signed.*require_signature = false"):
        load_detectors(config)


@pytest.mark.parametrize("key", ['"ed25519:short"', '""', '"AAAA"'])
def test_a_trusted_key_that_is_none_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"agent.trusted_keys: office = .* is no public key; one looks like ed25519:"):
        written(tmp_path, f"trusted_keys = {{ office = {key} }}")
