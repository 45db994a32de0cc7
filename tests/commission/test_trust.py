"""`forewarn trust` against a server: shown, compared, asked, kept and taken away."""

from __future__ import annotations

import asyncio
import resource
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from asyncua import ua
from click.testing import Result
from typer.testing import CliRunner

from agent.cli import app
from connectors.opcua.trust import Certificate, TrustList
from tests.agent.commands import command
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
    assert "Not trusted: the fingerprint is not AB:CD" in wrong.output
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


HOSTILE = struct.pack("<Bi", 0x80, 2_000_000_000)  # a Variant: an array of nulls, which take no bytes
LITERAL = b"\x01\x00" + struct.pack("<H", 597)  # LiteralOperand (Part 6, A.3), which is nothing but a Variant
ENDPOINTS = b"\x01\x00" + struct.pack("<H", 431)  # GetEndpointsResponse


def hostile(answer: bytes) -> bytes:
    """Give an answer of GetEndpoints the additional header that no server should send (Part 6, 6.7.2; Part 4, 7.33)."""
    if answer[:3] != b"MSG" or answer[24:28] != ENDPOINTS:
        return answer
    header = LITERAL + b"\x01" + struct.pack("<i", len(HOSTILE)) + HOSTILE
    body = answer[8:49] + header + answer[52:]  # after time, handle, result, diagnostics and strings
    return answer[:4] + struct.pack("<I", 8 + len(body)) + body


def test_an_array_of_nulls_is_refused_before_anybody_has_logged_in(
    server: tuple[OpcuaPlc, Certificate], tmp_path: Path
) -> None:
    """A process of its own, with little memory: nothing that it did before has made its decoder careful."""
    plc, _ = server
    altered: list[bool] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", plc.port)

        async def forth() -> None:
            while data := await reader.read(65_536):
                far_writer.write(data)

        there = asyncio.create_task(forth())
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await far_reader.readexactly(8)
                chunk = head + await far_reader.readexactly(int.from_bytes(head[4:], "little") - 8)
                changed = hostile(chunk)
                altered.append(changed != chunk)
                writer.write(changed)
        there.cancel()
        far_writer.close()
        writer.close()

    async def main() -> tuple[int, str]:
        listener = await asyncio.start_server(relay, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        config = tmp_path / "agent.toml"
        text = CONFIG.replace('security_policy = "None"\ninsecure = true\n', "")
        config.write_text(text.replace("192.0.2.11:4840", f"127.0.0.1:{port}"))
        child = await asyncio.create_subprocess_exec(
            *command("trust", config, "press_plc"), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
        said, _ = await child.communicate()
        listener.close()
        assert child.returncode is not None
        return child.returncode, said.decode()

    code, said = asyncio.run(main())
    assert any(altered)
    assert code != 0
    assert "an array of 2000000000 nulls" in said
    assert "Traceback" not in said
