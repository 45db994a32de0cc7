"""`forewarn trust` against a server: shown, compared, asked, kept and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua
from click.testing import Result
from typer.testing import CliRunner

from agent.cli import app
from connectors.opcua.trust import Certificate, TrustList
from tests.agent.samples import CONFIG
from tests.connectors.pki import make
from tests.connectors.servers import OpcuaPlc


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpcuaPlc, Certificate]]:
    files = make(tmp_path_factory.mktemp("server"), "server", days=(-1, 9000))
    plc = OpcuaPlc(security=[ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], certificate=files)
    yield plc, Certificate.read(files[0], "test")
    plc.stop()


def forewarn(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["trust", *(str(one) for one in arguments)], input=answer)


def test_a_certificate_is_shown_compared_kept_listed_and_removed(
    server: tuple[OpcuaPlc, Certificate], tmp_path: Path
) -> None:
    plc, certificate = server
    config = tmp_path / "agent.toml"
    text = CONFIG.replace('security_policy = "None"\ninsecure = true\n', "")
    config.write_text(text.replace("192.0.2.11:4840", f"127.0.0.1:{plc.port}"))
    trusted = TrustList(tmp_path / "state" / "pki" / "trusted")
    (tmp_path / "state").mkdir()

    wrong = forewarn(config, "press_plc", "--fingerprint", "AB:CD")
    assert wrong.exit_code == 1
    assert "Not trusted: no fingerprint is AB:CD" in wrong.output
    no = forewarn(config, "press_plc", answer="n\n")
    assert no.exit_code == 1
    assert certificate not in trusted
    for words in ("CN=server", certificate.fingerprint, "urn:freeopcua:python:server", "127.0.0.1"):
        assert words in no.output
    assert "refused nevertheless" not in no.output

    assert forewarn(config, "press_plc", answer="y\n").exit_code == 0
    assert certificate in trusted
    assert "trusted already" in forewarn(config, "press_plc").output
    assert "1 trusted" in forewarn(config, "--list").output
    assert forewarn(config, "--remove", certificate.fingerprint).exit_code == 0
    assert certificate not in trusted
    again = forewarn(config, "--remove", certificate.fingerprint)
    assert again.exit_code == 2
    assert forewarn(config, "press_plc", "--fingerprint", certificate.fingerprint.lower()).exit_code == 0
    assert certificate in trusted


@pytest.mark.parametrize("name", ["line3_plc", "press_plc", "nothing"])
def test_what_needs_no_trust_is_told_apart(name: str, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG)
    result = forewarn(config, name)
    assert result.exit_code == 2
    assert "no OPC UA connection with security; those that are: none" in result.output
