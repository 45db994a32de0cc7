"""What a fault costs the others and how soon it is over: one dead device among many, and cuts of the network."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import uvloop

from agent.clock import SystemClock
from benchmarks.acquisition.peers import Peers
from benchmarks.acquisition.reader import modbus_link
from benchmarks.machine import ROOT
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Target
from connectors.link import Link

DEVICES: Final = 64
PERIOD_S, POLLS = 0.5, 120
CUTS: Final = 50
CUTS_S_MAX: Final = 3000
DEAD: Final = f"one dead device of {DEVICES}"
HEALED: Final = "after a partition heals"
TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (DEAD, "shift of another's poll, p99"): Target(10, at_least=False),
    (HEALED, "fresh Modbus data, p99"): Target(10, at_least=False),
    (HEALED, "fresh OPC UA data, p99"): Target(10, at_least=False),
}


def dead_device(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Poll 64 devices, all well; then with one that takes connections and never says a word.

    The shift is how far the end of a poll of another device is from where it was due, as a share of the period, beyond
    what it is while all are well.
    """
    polls = 20 if options.limit else POLLS
    with peers.server("modbus_server", 62) as port:
        well, ill = (uvloop.run(_poll(port, polls, dead=dead)) for dead in (False, True))
    share = 100 * (np.percentile(ill, 99) - np.percentile(well, 99)) / PERIOD_S
    yield OURS, [
        Figure(DEAD, "shift of another's poll, p99", max(0.0, float(share)), "% of the period"),
        Figure(DEAD, "end of a poll, p99, all well", 1e3 * float(np.percentile(well, 99)), "ms"),
        Figure(DEAD, "end of a poll, p99, one dead", 1e3 * float(np.percentile(ill, 99)), "ms"),
    ]


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


async def _poll(port: int, polls: int, *, dead: bool) -> list[float]:
    """Return how long after it was due each poll of a device that is well had ended, in seconds."""
    mute = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    silent = mute.sockets[0].getsockname()[1]
    links = [modbus_link(silent if dead and i == 0 else port) for i in range(DEVICES)]
    clock = SystemClock()
    late_s: list[float] = []
    begin_ns = clock.monotonic_ns() + 10**9

    async def poll(number: int, link: Link) -> None:
        await link.read()
        for i in range(polls):
            due_ns = begin_ns + int((i + number / DEVICES) * PERIOD_S * 1e9)
            await clock.sleep_until(due_ns)
            frame = await link.read()
            if number:
                assert not frame.status.any(), link.health.error
                late_s.append((clock.monotonic_ns() - due_ns) / 1e9)
        await link.close()

    await asyncio.gather(*(poll(number, link) for number, link in enumerate(links)))
    mute.close()
    return late_s


def cuts(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Cut the network at random, 0.1 to 30 s long, in a network namespace; time until data is fresh again."""
    if shutil.which("unshare") is None or shutil.which("nft") is None:
        raise BenchmarkError("cuts need unshare and nft, and root: apt-get install util-linux nftables")
    peers.program("modbus_server")
    peers.program("opcua_server")
    count = min(CUTS, 3 * options.limit) if options.limit else CUTS
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "benchmarks.acquisition.cuts", str(count)],
        capture_output=True, text=True, cwd=ROOT, timeout=CUTS_S_MAX, check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"the cuts did not end: {done.stderr.strip()[-500:]}")
    waits = json.loads(done.stdout.strip().splitlines()[-1])
    yield OURS, [
        figure
        for protocol, name in (("modbus", "Modbus"), ("opcua", "OPC UA"))
        for figure in (
            Figure(HEALED, f"fresh {name} data, p99", float(np.percentile(waits[protocol], 99)), f"s of {count} cuts"),
            Figure(HEALED, f"fresh {name} data, median", float(np.median(waits[protocol])), "s"),
        )
    ]


