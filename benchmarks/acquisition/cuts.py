"""Random cuts of a network, in a network namespace of its own whose loopback is the network.

unshare --net python -m benchmarks.acquisition.cuts COUNT; prints a JSON object: for each protocol the seconds from each
healing to the first value that was made after it. The cut is a rule of nftables that drops every packet to and from the
servers: nobody is told, as when a switch dies.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from contextlib import ExitStack
from typing import Final

import numpy as np
import uvloop

from agent.clock import SystemClock
from benchmarks.acquisition.peers import Peers
from benchmarks.acquisition.reader import modbus_link, opcua_link
from benchmarks.result import BenchmarkError
from connectors.frame import is_bad
from connectors.link import Link

SEED: Final = 1
CUT_S: Final = (0.1, 30.0)
COUNT, PERIOD_MS = 62, 500
READ_S: Final = 0.5
FRESH_S_MAX: Final = 120.0


def main(count: int) -> None:
    """Start the servers, cut and heal, print the waits."""
    _sh("ip link set lo up")
    peers = Peers.find()
    with ExitStack() as stack:
        ports = {
            "modbus": stack.enter_context(peers.server("modbus_server", COUNT, PERIOD_MS)),
            "opcua": stack.enter_context(peers.server("opcua_server", COUNT, PERIOD_MS)),
        }
        print(json.dumps(uvloop.run(_cuts(ports, count))))


async def _cuts(ports: dict[str, int], count: int) -> dict[str, list[float]]:
    links = {"modbus": modbus_link(ports["modbus"]), "opcua": opcua_link(ports["opcua"], COUNT, PERIOD_MS)}
    news = {name: _News(link) for name, link in links.items()}
    readers = [asyncio.create_task(each.run()) for each in news.values()]
    chance = random.Random(SEED)
    waits: dict[str, list[float]] = {name: [] for name in links}
    for _ in range(count):
        await asyncio.gather(*(each.next() for each in news.values()))
        low, high = np.log(CUT_S)
        length_s = float(np.exp(chance.uniform(low, high)))
        _cut(ports)
        await asyncio.sleep(length_s)
        _sh("nft delete table inet cut")
        for name, wait_s in zip(news, await asyncio.gather(*(each.next() for each in news.values())), strict=True):
            waits[name].append(wait_s)
        print(f"cut of {length_s:.1f} s:", *(f"{each[-1]:.2f} {name}" for name, each in waits.items()), file=sys.stderr)
        await asyncio.sleep(chance.uniform(0, 2))
    for reader in readers:
        reader.cancel()
    for link in links.values():
        await link.close()
    return waits


class _News:
    """Reads a link at the daemon's pace, and knows when all its values last changed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = SystemClock()
        self._came = asyncio.Event()
        self._last = np.full(COUNT, np.nan, np.float32)

    async def run(self) -> None:
        """Read until cancelled."""
        due_ns = self._clock.monotonic_ns()
        while True:
            frame = await self._link.read()
            for row, status in zip(frame.values, frame.status, strict=True):
                if not is_bad(status).any() and not np.array_equal(row, self._last):
                    self._last = row
                    self._came.set()
            due_ns = max(due_ns + int(READ_S * 1e9), self._clock.monotonic_ns())
            await self._clock.sleep_until(due_ns)

    async def next(self) -> float:
        """Return how long it took, in seconds, until values came that had not been there."""
        begun_ns = self._clock.monotonic_ns()
        self._came.clear()
        try:
            async with asyncio.timeout(FRESH_S_MAX):
                await self._came.wait()
        except TimeoutError:
            raise BenchmarkError(f"nothing new came within {FRESH_S_MAX:.0f} s: {self._link.health}") from None
        return (self._clock.monotonic_ns() - begun_ns) / 1e9


def _cut(ports: dict[str, int]) -> None:
    listed = ", ".join(map(str, ports.values()))
    _sh("nft add table inet cut")
    _sh("nft add chain inet cut road { type filter hook input priority 0 ; }")
    _sh(f"nft add rule inet cut road tcp dport {{ {listed} }} drop")
    _sh(f"nft add rule inet cut road tcp sport {{ {listed} }} drop")


def _sh(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
