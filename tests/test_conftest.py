"""The checks that hold for every test do bite: tried on planted tests in a run of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LEAKS = """
import asyncio

def test_leaks():
    async def main():
        main.task = asyncio.create_task(asyncio.sleep(1000), name="forgotten")
    asyncio.run(main())

def test_ends_what_it_began():
    async def main():
        task = asyncio.create_task(asyncio.sleep(1000))
        task.cancel()
    asyncio.run(main())
"""
WRITES = """
import asyncio
from tests.wire import ModbusRecorder, OpcuaRecorder, RecordingProxy

FRAMES = {
    ModbusRecorder: (bytes.fromhex("000100000006010300000001"), bytes.fromhex("000200000006010600000001")),
    OpcuaRecorder: (b"MSGF" + bytes.fromhex("1e000000010000000d0000000100000001000000010077020000"),
                    b"MSGF" + bytes.fromhex("1e000000010000000d00000001000000010000000100a1020000")),
}

def send(recorder, frame):
    async def main():
        async def swallow(reader, writer):
            await reader.read()
            writer.close()
        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        async with RecordingProxy(recorder, server.sockets[0].getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            for octet in frame:
                writer.write(bytes([octet]))
                await writer.drain()
            while not proxy.requests:
                await asyncio.sleep(0.001)
            writer.close()
        server.close()
        await server.wait_closed()
    asyncio.run(main())

def test_sends():
    send({recorder}, FRAMES[{recorder}][{which}])
"""


def pytest_run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one planted file, with the conftest of these tests and nothing else."""
    planted = folder / "test_planted.py"
    planted.write_text(source, encoding="utf-8")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(folder),
            str(planted),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_leaked_task_fails_its_test(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, LEAKS)
    assert done.returncode == 1, done.stdout
    assert "asyncio tasks left behind" in done.stdout
    assert "forgotten" in done.stdout
    assert "2 passed, 1 error" in done.stdout


def test_a_write_on_the_wire_fails_the_run(tmp_path: Path) -> None:
    for recorder in ("ModbusRecorder", "OpcuaRecorder"):
        for which, code in ((0, 0), (1, 1)):
            source = WRITES.replace("{recorder}", recorder).replace("{which}", str(which))
            done = pytest_run(tmp_path, source)
            assert done.returncode == code, done.stdout
            assert ("a PLC was written to" in done.stdout) == bool(code)
