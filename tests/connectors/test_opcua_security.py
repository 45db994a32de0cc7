"""OPC UA security: what must be there, encrypted sessions, and the renewal of their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua import ua

from connectors import ConnectorError
from connectors.frame import (
    BAD_CONFIGURATION_ERROR,
    BAD_NO_COMMUNICATION,
)
from connectors.link import LinkState, LoadGuard
from connectors.opcua.connector import OpcuaConnector, supervise
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode, check_security
from tests.connectors.opcua_side import MODES, endpoint, linked, tag
from tests.connectors.pki import make
from tests.connectors.servers import ManualClock, OpcuaPlc, run
from tests.wire import OpcuaRecorder, RecordingProxy


def test_security_must_be_complete_and_its_absence_said_aloud(tmp_path: Path) -> None:
    there = tmp_path / "cert.der"
    there.write_bytes(b"x")
    for options, words in [
        ({}, ["insecure = true"]),
        ({"security_policy": "Basic256"}, ["none of None, Basic256Sha256"]),
        ({"security_policy": "Basic256Sha256"}, ["certificate is missing", "private_key is missing"]),
        (
            {"security_policy": "Basic256Sha256", "insecure": True},
            ["contradicts", "server_certificate is missing"],
        ),
        ({"security_policy": "Basic256Sha256", "security_mode": "None"}, ["none of Sign, SignAndEncrypt"]),
        (
            {
                "security_policy": "Aes256_Sha256_RsaPss",
                "certificate": there,
                "private_key": tmp_path / "no.pem",
                "server_certificate": there,
            },
            [f"there is no file {tmp_path / 'no.pem'}"],
        ),
    ]:
        with pytest.raises(ConnectorError) as caught:
            check_security(OpcuaEndpoint("opc.tcp://h:1", **options))  # type: ignore[arg-type]
        assert not caught.value.retryable
        assert all(word in str(caught.value) for word in words)
    check_security(
        OpcuaEndpoint(
            "opc.tcp://h:1",
            security_policy="Aes128_Sha256_RsaOaep",
            certificate=there,
            private_key=there,
            server_certificate=there,
        )
    )


def test_an_encrypted_session_reads_and_a_stranger_in_the_server_s_place_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        server, client = make(tmp_path, "server"), make(tmp_path, "client", "urn:forewarn:agent")
        secure = {
            "security_policy": "Basic256Sha256",
            "insecure": False,
            "certificate": client[0],
            "private_key": client[1],
            "server_certificate": server[0],
        }
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Basic256Sha256_Sign,
        ]
        secured = OpcuaPlc(security=policies, certificate=server)
        async with secured.serving(["a"]) as plc:
            await plc.show({"a": 4.5})
            for mode, how in zip(MODES, ["SignAndEncrypt", "Sign"], strict=True):
                async with linked(plc.port, mode, [tag("a")], clock, security_mode=how, **secure) as (
                    link,
                    proxy,
                ):
                    assert (await link.read()).values.tolist() == [[4.5]]
                    assert set(proxy.codes()) <= {0, 428, 446, 452}, "only what it offers may be read by others"
            async with linked(
                plc.port, MODES[0], [tag("a")], clock, **secure | {"server_certificate": client[0]}
            ) as (link, _):
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
            async with linked(plc.port, MODES[0], [tag("a")], clock) as (link, _):
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
            broken = tmp_path / "broken.der"
            broken.write_bytes(b"no certificate")
            async with linked(plc.port, MODES[0], [tag("a")], clock, **secure | {"certificate": broken}) as (
                link,
                _,
            ):
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
        secured.stop()

    run(main)


def test_missing_certificates_fail_the_link_for_good() -> None:
    async def main() -> None:
        link = supervise(endpoint(1, OpcuaMode.POLL, insecure=False), [tag("a")], ManualClock())
        assert (await link.read()).status.tolist() == [[BAD_CONFIGURATION_ERROR]]
        assert link.health.state is LinkState.FAILED
        await link.close()

    run(main)


def test_the_security_token_is_renewed_before_it_expires(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, RecordingProxy(OpcuaRecorder, plc.port) as proxy:
            road = OpcuaConnector(
                endpoint(proxy.port, OpcuaMode.POLL), [tag("a")], clock, LoadGuard(clock, 1000, 0)
            )
            await road.open()
            assert road._wire is not None
            assert not road._wire.renewal_due
            road._wire._expect_renewal()
            assert not (await road.read()).status.any()
            assert not (await road.read()).status.any()
            assert proxy.codes().count(446) == 2
            await road.close()

    run(main)
