"""OPC UA servers that answer nonsense, many times."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import uvloop

from agent.clock import SystemClock
from benchmarks.acquisition.peers import Peers
from benchmarks.acquisition.reader import UNBOUND
from benchmarks.child import memory_mib
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Figure, Target
from connectors.frame import NodeAddress, Tag, is_bad
from connectors.opcua.connector import supervise
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode

SERVERS: Final = 10_000
AT_ONCE: Final = 16
TIMEOUT_MS: Final = 200
SILENT: Final = 0.005
"""The share that answers nothing at all and is waited for."""
HOSTILE: Final = "hostile OPC UA servers"
TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (HOSTILE, "values taken or errors raised"): Target(0, at_least=False),
    (HOSTILE, "longest connect beyond the time-out"): Target(0.5, at_least=False),
    (HOSTILE, "growth of memory"): Target(50, at_least=False),
}
ACKNOWLEDGE: Final = b"ACKF" + struct.pack("<IIIIII", 28, 0, 65535, 65535, 0, 0)


def opcua(_peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Connect to servers that answer nonsense, several at once in one process."""
    count = 1000 * options.limit if options.limit else SERVERS
    logging.disable(logging.CRITICAL)  # the library tells of each
    wrong, longest_s, growth_mib = uvloop.run(_connect(count))
    logging.disable(logging.NOTSET)
    yield OURS, [
        Figure(HOSTILE, "values taken or errors raised", float(wrong), f"of {count:,}"),
        Figure(HOSTILE, "longest connect beyond the time-out", max(0.0, longest_s - TIMEOUT_MS / 1e3), "s"),
        Figure(HOSTILE, "growth of memory", growth_mib, "MiB"),
    ]


def nonsense(chance: random.Random) -> list[bytes]:
    """Return what a server sends after each of the client's messages: some of it nearly right."""
    opened = b"OPNF" + struct.pack("<III", 132, 0, 1) + b"\xff\xff\xff\xff" * 3 + bytes(104)
    kinds = (
        lambda: [chance.randbytes(chance.randint(1, 4096))],
        lambda: [_mutated(ACKNOWLEDGE, chance)],
        lambda: [ACKNOWLEDGE, _mutated(opened, chance)],
        lambda: [ACKNOWLEDGE, b"ERRF" + struct.pack("<II", chance.randint(0, 64), chance.getrandbits(32)) + bytes(8)],
        lambda: [b"ACKF" + struct.pack("<I", chance.choice((0, 7, 0x7FFFFFFF, 0xFFFFFFFF))) + bytes(64)],
        lambda: [ACKNOWLEDGE, b"MSGC" + struct.pack("<I", 65_000) + bytes(64_992)],
    )
    return [] if chance.random() < SILENT else chance.choice(kinds)()


def _mutated(message: bytes, chance: random.Random) -> bytes:
    octets = bytearray(message)
    for _ in range(chance.randint(1, 6)):
        octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets[: chance.randint(1, len(octets))])


async def _connect(count: int) -> tuple[int, float, float]:
    """Return how many gave a value, the longest connect in seconds, and by how many MiB memory grew."""
    chance = random.Random(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in nonsense(chance):
                await reader.read(65_536)
                writer.write(part)
            if chance.random() > SILENT:
                await writer.drain()
            else:
                await reader.read()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    left, taken_s, wrong = iter(range(count)), np.zeros(1), 0
    before_mib = 0.0

    async def connect() -> None:
        nonlocal wrong, before_mib
        for number in left:
            tags = [Tag("a", "", NodeAddress("urn:x", "s=a"))]
            endpoint = OpcuaEndpoint(url, OpcuaMode.POLL, insecure=True, timeout_ms=TIMEOUT_MS, **UNBOUND)
            link = supervise(endpoint, tags, SystemClock())
            begun_s = time.perf_counter()
            wrong += not is_bad((await link.read()).status).all()
            taken_s[0] = max(taken_s[0], time.perf_counter() - begun_s)
            await link.close()
            if number == min(1000, count // 10):
                before_mib = memory_mib(os.getpid())

    await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
    server.close()
    return wrong, float(taken_s[0]), memory_mib(os.getpid(), "VmHWM") - before_mib

