"""Who a server is and who we are: trust, every policy and mode, and the ways to log in."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.crypto.permission_rules import User as ServerUser
from asyncua.crypto.permission_rules import UserRole
from asyncua.server.user_managers import UserManager

from connectors import ConnectorError
from connectors.link import LinkState, LoadGuard
from connectors.opcua.channel import Offer, believed
from connectors.opcua.connector import OpcuaConnector
from connectors.opcua.endpoint import SECURITY_MODES, SECURITY_POLICIES, OpcuaMode, User
from connectors.opcua.trust import OWN_CERTIFICATE, OWN_KEY, Certificate, TrustList, own_identity
from tests.connectors.opcua_side import endpoint, linked, tag
from tests.connectors.pki import SERVER_URI, make
from tests.connectors.servers import START_NS, ManualClock, OpcuaPlc, run

DAY_NS = 86_400_000_000_000
POLICIES = [ua.SecurityPolicyType[f"{policy}_{mode}"] for policy in
            ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss") for mode in SECURITY_MODES]


class Users(UserManager):
    """Lets one user with a password in, one with a certificate, and whoever is anonymous if asked to."""

    def __init__(self) -> None:
        self.anonymous = True
        self.certificate = b""

    def get_user(self, iserver: object, username: str | None = None, password: str | None = None,
                 certificate: bytes | None = None) -> ServerUser | None:
        known = (username, password) == ("reader", "correct horse")
        known = known or (username is None and certificate is not None and certificate == self.certificate)
        anonymous = username is None and self.anonymous
        return ServerUser(role=UserRole.User) if known or anonymous else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pki")


@pytest.fixture(scope="module")
def users() -> Users:
    return Users()


@pytest.fixture(scope="module")
def secured(folder: Path, users: Users) -> Iterator[OpcuaPlc]:
    plc = OpcuaPlc(security=POLICIES, certificate=make(folder, "server"), users=users)
    yield plc
    plc.stop()


def pki(folder: Path, *trusted: Path) -> dict[str, object]:
    for path in trusted:
        TrustList(folder / "trusted").add(Certificate.read(path, "test"))
    return {"pki": folder, "security_policy": "Basic256Sha256", "insecure": False, "timeout_ms": 5000}


def connector(port: int, **options: object) -> OpcuaConnector:
    clock = ManualClock()
    return OpcuaConnector(endpoint(port, OpcuaMode.POLL, **options), [tag("a")], clock, LoadGuard(clock, 1000, 0))


async def refusal(port: int, **options: object) -> str:
    road = connector(port, **options)
    with pytest.raises(ConnectorError) as caught:
        await road.open()
    await road.close()
    assert caught.value.retryable, "a person may mend it while the agent runs"
    return str(caught.value)


def test_every_policy_and_mode_reads(secured: OpcuaPlc, folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        options = pki(tmp_path, folder / "server.der")
        async with secured.serving(["a"]) as plc:
            await plc.show({"a": 4.5})
            for policy in SECURITY_POLICIES[1:]:
                for mode in SECURITY_MODES:
                    how = {"security_policy": policy, "security_mode": mode}
                    async with linked(plc.port, OpcuaMode.POLL, [tag("a")], ManualClock(), **options | how) as (
                        link, proxy):
                        assert (await link.read()).values.tolist() == [[4.5]], (policy, mode, link.health.error)
                        assert proxy.connections_at_once_max == 1, "asking for the endpoints has ended before"

    run(main)


def test_a_server_that_is_not_trusted_is_told_with_what_to_compare_and_do(
    secured: OpcuaPlc, folder: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with secured.serving(["a"]) as plc:
            options = pki(tmp_path) | {"trust_command": "forewarn trust CONFIG press_plc"}
            said = await refusal(plc.port, **options)
            certificate = Certificate.read(folder / "server.der", "test")
            for words in ("not trusted yet", "CN=server", certificate.fingerprint, "valid 2023-11-13 to 2024-11-13",
                          f"forewarn trust CONFIG press_plc --fingerprint {certificate.fingerprint}"):
                assert words in said
            clock = ManualClock()
            async with linked(plc.port, OpcuaMode.POLL, [tag("a")], clock, **options) as (link, _):
                assert (await link.read()).status.all()
                assert link.health.state is LinkState.BACKING_OFF
                TrustList(tmp_path / "trusted").add(certificate)  # while the agent runs
                clock.advance_s(61)
                assert not (await link.read()).status.any(), link.health.error
            assert TrustList(tmp_path / "trusted").remove(certificate.fingerprint.lower().replace(":", " "))
            assert not TrustList(tmp_path / "trusted").remove(certificate.fingerprint)
            assert "not trusted yet" in await refusal(plc.port, **options)

    run(main)


@pytest.mark.parametrize(("made", "words"), [
    ({"days": (-20, -10)}, "it expired on 2023-11-04"),
    ({"days": (10, 20)}, "it is valid only from 2023-11-24"),
    ({"uri": "urn:somebody:else"}, 'issued for the application URI "urn:somebody:else"'),
    ({"hosts": ("press.example", "192.0.2.1")}, "issued for press.example, 192.0.2.1, and the url names 127.0.0.1"),
])
def test_a_trusted_certificate_must_also_be_valid_and_that_server_s(
    made: dict[str, object], words: str, tmp_path: Path
) -> None:
    path, _ = make(tmp_path, "wrong", **made)  # type: ignore[arg-type]
    offer = Offer("Basic256Sha256", "SignAndEncrypt", path.read_bytes() + b"chain", SERVER_URI)
    where = endpoint(1, OpcuaMode.POLL, **pki(tmp_path, path))
    with pytest.raises(ConnectorError, match=words):
        believed(offer, where, START_NS)
    pinned = replace(where, server_certificate=path)
    if "hosts" in made:  # behind address translation no name fits: which server is meant is pinned
        assert believed(offer, pinned, START_NS).der == path.read_bytes()
    else:
        with pytest.raises(ConnectorError, match=words):
            believed(offer, pinned, START_NS)


def test_an_expired_certificate_is_refused_on_the_wire_and_a_new_one_has_to_be_trusted(tmp_path: Path) -> None:
    async def main() -> None:
        expired, renewed = make(tmp_path, "expired", days=(-20, -10)), make(tmp_path, "renewed")
        plc = OpcuaPlc(security=POLICIES[:2], certificate=expired)
        try:
            assert "it expired on 2023-11-04" in await refusal(plc.port, **pki(tmp_path, expired[0]))
        finally:
            plc.stop()
        plc = OpcuaPlc(security=POLICIES[:2], certificate=renewed)
        try:
            assert "not trusted yet" in await refusal(plc.port, **pki(tmp_path))
            async with plc.serving(["a"]):
                road = connector(plc.port, **pki(tmp_path, renewed[0]))
                await road.open()
                assert not (await road.read()).status.any()
                await road.close()
        finally:
            plc.stop()

    run(main)


def test_a_certificate_other_than_the_pinned_one_is_refused_with_both_fingerprints(
    secured: OpcuaPlc, folder: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        old, _ = make(tmp_path, "old")
        said = await refusal(secured.port, **pki(tmp_path), server_certificate=old)
        assert "shows another certificate" in said
        assert Certificate.read(old, "test").fingerprint in said
        assert Certificate.read(folder / "server.der", "test").fingerprint in said

    run(main)


def test_less_security_than_configured_is_never_taken(opcua_plc: OpcuaPlc, tmp_path: Path) -> None:
    async def main() -> None:
        said = await refusal(opcua_plc.port, **pki(tmp_path))
        assert "does not offer Basic256Sha256 SignAndEncrypt" in said
        assert "it offers: None" in said

    run(main)


@pytest.mark.parametrize("mode", SECURITY_MODES)
def test_users_log_in_by_password_or_certificate(
    secured: OpcuaPlc, users: Users, folder: Path, tmp_path: Path, mode: str
) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple")
    wrong.chmod(0o600)
    certificate, key = make(tmp_path, "somebody", "urn:somebody")
    stranger = make(tmp_path, "stranger", "urn:stranger")
    options = pki(tmp_path, folder / "server.der") | {"security_mode": mode}

    async def main() -> None:
        users.anonymous, users.certificate = False, certificate.read_bytes()
        try:
            async with secured.serving(["a"]) as plc:
                for user in (User("reader", password), User(certificate=certificate, private_key=key)):
                    road = connector(plc.port, **options, user=user)
                    await road.open()
                    assert not (await road.read()).status.any()
                    await road.close()
                for user, who in ((User("reader", wrong), 'user "reader"'), (User(), "the anonymous user"),
                                  (User("nobody", password), 'user "nobody"'),
                                  (User(certificate=stranger[0], private_key=stranger[1]), "user_certificate")):
                    said = await refusal(plc.port, **options, user=user)
                    assert who in said
                    assert "correct horse" not in said
                    assert "battery staple" not in said
                password.chmod(0o644)
                assert "chmod 600" in await refusal(plc.port, **options, user=User("reader", password))
        finally:
            users.anonymous, users.certificate = True, b""

    run(main)


def test_our_own_certificate_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "pki" / "own"
    own = own_identity(folder, START_NS)
    assert own == own_identity(folder, START_NS + 9000 * DAY_NS), "never made anew, not even when it has expired"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / OWN_KEY).stat().st_mode) == 0o600
    assert own.certificate.application_uri.startswith("urn:")
    assert own.certificate.hosts
    assert own.certificate.parsed.public_key().key_size >= 2048  # type: ignore[union-attr]
    assert (own.certificate.not_after - own.certificate.not_before).days >= 3650
    assert own.expiry(START_NS) == ""
    assert "expires on 2033" in own.expiry(START_NS + 3630 * DAY_NS)
    assert "expired on 2033" in own.expiry(START_NS + 3660 * DAY_NS)
    (folder / OWN_KEY).unlink()
    with pytest.raises(ConnectorError, match="restore it from a backup"):
        own_identity(folder, START_NS)
    assert (folder / OWN_CERTIFICATE).exists()
