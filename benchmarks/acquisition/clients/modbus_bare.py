"""Read 124 holding registers as 62 floats by asyncio on uvloop and nothing else: what is left of a read without us.

python modbus_bare.py PORT CONNECTIONS READS [PERIOD]: one read after another, or every connection once in PERIOD ms,
READS in all; prints the processor time of the reads in seconds and a sum of values. No time-out, nothing is checked.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from typing import cast

import numpy as np
import uvloop

REQUEST = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 124)
HEAD_BYTES = 9


class Exchange(asyncio.Protocol):
    """One request and its reply."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self.transport = cast("asyncio.Transport", transport)

    async def read(self) -> bytes:
        """Ask, and return what comes next."""
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(REQUEST)
        return await self.reply

    def data_received(self, data: bytes) -> None:
        """Take it for the whole reply."""
        self.reply.set_result(data)


async def main(port: int, connections: int, reads: int, period_ms: int = 0) -> None:
    """Read `reads` times in all."""
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Exchange, "127.0.0.1", port))[1] for _ in range(connections)]
    for client in clients:
        await client.read()
    left = iter(range(reads))

    async def read(client: Exchange, number: int) -> float:
        total, due_s = 0.0, begin_s + period_ms / 1e3 * number / connections
        for _ in left:
            if period_ms:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                due_s += period_ms / 1e3
            total += float(np.frombuffer(await client.read(), ">f4", offset=HEAD_BYTES).sum())
        return total

    begun, begin_s = time.process_time(), time.monotonic()
    total = sum(await asyncio.gather(*map(read, clients, range(connections))))
    print(f"{time.process_time() - begun:.6f} {total:.1f}")
    for client in clients:
        client.transport.close()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
