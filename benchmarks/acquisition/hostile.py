"""OPC UA servers that answer nonsense, and Modbus replies that are broken, many times."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import random
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

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

_log = logging.getLogger(__name__)

SEED: Final = 1
FRAMES: Final = 1_000_000
SERVERS: Final = 10_000
AT_ONCE: Final = 32
TIMEOUT_MS: Final = 1000
SILENT: Final = 0.005
"""The share that answers nothing at all, or nothing more, and is waited for."""
BROKEN: Final = "broken Modbus replies"
HOSTILE: Final = "hostile OPC UA servers"
TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (BROKEN, "taken wrongly"): Target(0, at_least=False),
    (HOSTILE, "values of nonsense or errors raised"): Target(0, at_least=False),
    (HOSTILE, "longest connect beyond the time-out"): Target(0.5, at_least=False),
    (HOSTILE, "growth of memory"): Target(50, at_least=False),
}
NAMESPACE: Final = "urn:forewarn:hostile"
ACKNOWLEDGE: Final = b"ACKF" + struct.pack("<IIIIII", 28, 0, 65535, 65535, 0, 0)


def modbus(_peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Take broken replies in each framing, those of the test suite, in pieces with a seed each."""
    from tests.connectors.fuzz import fuzz  # benchmarks run from a checkout

    count = options.count or (10_000 * options.limit if options.limit else FRAMES)
    begun_s, wrong, good, done = time.process_time(), 0, 0, 0
    for seed, start in enumerate(range(0, count, FRAMES), SEED):
        frames = min(FRAMES, count - start)
        try:
            good += fuzz(frames, seed).good
        except AssertionError as error:
            _log.error("seed %d: %s", seed, error)
            wrong += 1
        done += frames
        options.progress(f"{done:,} broken replies", done / count)
    yield OURS, [
        Figure(BROKEN, "taken wrongly", float(wrong), f"of {count:,}"),
        Figure(BROKEN, "that were right all the same", 100 * good / count, "%"),
        Figure(BROKEN, "processor time of one, with its making", 1e6 * (time.process_time() - begun_s) / count, "us"),
    ]


def opcua(_peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Connect to servers that answer nonsense, several at once in one process."""
    count = options.count or (1000 * options.limit if options.limit else SERVERS)
    logging.disable(logging.CRITICAL)  # the library tells of each
    said = recorded()

    def progress(done: int) -> None:
        options.progress(f"{done:,} hostile servers", done / count)

    seen = uvloop.run(attack(said, count, SEED, at_once=AT_ONCE, progress=progress))
    logging.disable(logging.NOTSET)
    for what in seen.wrong:
        _log.error("seed %d: %s", SEED, what)
    yield OURS, [
        Figure(HOSTILE, "values of nonsense or errors raised", float(len(seen.wrong)), f"of {count:,}"),
        Figure(HOSTILE, "longest connect beyond the time-out", max(0.0, seen.longest_s - TIMEOUT_MS / 1e3), "s"),
        Figure(HOSTILE, "growth of memory", seen.growth_mib, "MiB"),
        Figure(HOSTILE, "sessions that came to a read all the same", 100 * seen.read / count, "%"),
    ]


@dataclass(slots=True)
class Attack:
    """What became of connects: wrong ones, those that gave a value that may be right, the longest, and memory."""

    wrong: list[str] = field(default_factory=list)
    read: int = 0
    longest_s: float = 0.0
    growth_mib: float = 0.0
    done: int = 0


async def attack(
    said: Sequence[bytes], count: int, seed: int, *, at_once: int, timeout_ms: int = TIMEOUT_MS, damaged_every: int = 2,
    progress: Callable[[int], None] = lambda _done: None,
) -> Attack:
    """Connect `count` times, to nonsense from the start or, `damaged_every` so many, to what a right server has `said`,
    damaged somewhere.

    Wrong is a value from nonsense, and an error that no one took. A damaged message may give a value: only security
    tells that one was changed. Memory counts from a tenth of the connects on, 1000 at most. What each server does
    follows from `seed` and its number alone.
    """
    seen, left, before_mib = Attack(), iter(range(count)), 0.0

    def untaken(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        seen.wrong.append(str(context))

    async def connect() -> None:
        nonlocal before_mib
        async with Liar.listening() as liar:
            for number in left:
                chance, damaged = random.Random(seed * 1_000_000_000 + number), number % damaged_every == 0
                liar.parts = damage(said, chance) if damaged else nonsense(chance)
                liar.leaves = chance.random() >= SILENT
                begun_s = time.perf_counter()
                taken = await takes_a_value(liar.port, timeout_ms)
                seen.longest_s = max(seen.longest_s, time.perf_counter() - begun_s)
                if taken and not damaged:
                    seen.wrong.append(f"a value of server {number}")
                seen.read += taken
                seen.done += 1
                if seen.done == max(1, min(1000, count // 10)):
                    before_mib = memory_mib(os.getpid())
                if not seen.done % 1000:
                    progress(seen.done)

    asyncio.get_running_loop().set_exception_handler(untaken)
    await asyncio.gather(*(connect() for _ in range(at_once)))
    seen.growth_mib = memory_mib(os.getpid()) - before_mib
    return seen


async def takes_a_value(port: int, timeout_ms: int = TIMEOUT_MS) -> bool:
    """Connect, read once and hang up; say whether a value came."""
    endpoint = OpcuaEndpoint(
        f"opc.tcp://127.0.0.1:{port}", OpcuaMode.POLL, insecure=True, timeout_ms=timeout_ms, **UNBOUND
    )
    link = supervise(endpoint, [Tag("a", "", NodeAddress(NAMESPACE, "s=a"))], SystemClock())
    try:
        return not is_bad((await link.read()).status).all()
    finally:
        await link.close()


class Liar:
    """A server that sends one of its `parts` for each message that comes, and then leaves, or keeps quiet."""

    def __init__(self) -> None:
        self.parts: Sequence[bytes] = ()
        self.leaves = True
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Liar]:
        """Listen on a free port until the end of the block."""
        liar = cls()
        server = await asyncio.start_server(liar._serve, "127.0.0.1", 0)
        liar.port = server.sockets[0].getsockname()[1]
        try:
            yield liar
        finally:
            server.close()
            for task in liar._tasks:
                task.cancel()
            await asyncio.gather(*liar._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        parts, leaves = self.parts, self.leaves
        try:
            with suppress(OSError, asyncio.CancelledError):
                for part in parts:
                    if not await reader.read(65_536):
                        break
                    writer.write(part)
                    await writer.drain()
                while not leaves and await reader.read(65_536):
                    pass
        finally:
            writer.transport.abort()


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


def damage(said: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """Return what a right server said with one message damaged, missing, sent twice, or in another's place."""
    parts, at = [*said], chance.randrange(len(said))
    kind = chance.randrange(8)
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts[at] += parts[at]
    elif kind == 2:
        parts[at] = chance.choice(said)
    else:
        parts[at] = _mutated(parts[at], chance)
    return parts


def _mutated(message: bytes, chance: random.Random) -> bytes:
    """Change up to six bytes, and in one of four cut the end off."""
    octets = bytearray(message)
    for _ in range(chance.randint(1, 6)):
        octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets[: chance.randint(1, len(octets))] if chance.random() < 0.25 else octets)


def recorded() -> list[bytes]:
    """Return what a right server says to each of the client's messages while it is read once.

    In a process of its own: collecting that server's garbage would hold up ours.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        return child.submit(_record).result()


def _record() -> list[bytes]:
    logging.disable(logging.CRITICAL)
    return asyncio.run(_read_from_a_right_server())


async def _read_from_a_right_server() -> list[bytes]:
    from asyncua import Server

    server, said = Server(), list[bytes]()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    index = await server.register_namespace(NAMESPACE)
    await server.nodes.objects.add_variable(f"ns={index};s=a", "a", 1.0)
    await server.start()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert server.bserver is not None
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.bserver.port)
        try:
            while data := await reader.read(65_536):
                far_writer.write(data)
                head = await far_reader.readexactly(8)
                said.append(head + await far_reader.readexactly(int.from_bytes(head[4:], "little") - 8))
                writer.write(said[-1])
        except (OSError, asyncio.IncompleteReadError):
            pass  # the session has been closed
        finally:
            far_writer.transport.abort()
            writer.transport.abort()

    between = await asyncio.start_server(relay, "127.0.0.1", 0)
    assert await takes_a_value(between.sockets[0].getsockname()[1]), "a right server gives a value"
    between.close()
    await server.stop()
    return said
