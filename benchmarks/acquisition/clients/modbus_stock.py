"""Read 124 holding registers as 62 floats by pymodbus as its documentation does, over several connections at once.

python modbus_stock.py PORT CONNECTIONS READS [PERIOD]: one read after another, or every connection once in PERIOD ms,
READS in all; prints the processor time of the reads in seconds and a sum of values.
"""

from __future__ import annotations

import asyncio
import sys
import time

from pymodbus.client import AsyncModbusTcpClient


async def main(port: int, connections: int, reads: int, period_ms: int = 0) -> None:
    """Read `reads` times in all."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
    for client in clients:
        await client.connect()
        await client.read_holding_registers(0, count=124, device_id=1)
    left = iter(range(reads))

    async def read(client: AsyncModbusTcpClient, number: int) -> float:
        total, due_s = 0.0, begin_s + period_ms / 1e3 * number / connections
        for _ in left:
            if period_ms:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                due_s += period_ms / 1e3
            reply = await client.read_holding_registers(0, count=124, device_id=1)
            words = reply.registers
            for i in range(0, 124, 2):
                total += client.convert_from_registers(words[i:i + 2], client.DATATYPE.FLOAT32)  # type: ignore[operator]
        return total

    begun, begin_s = time.process_time(), time.monotonic()
    total = sum(await asyncio.gather(*map(read, clients, range(connections))))
    print(f"{time.process_time() - begun:.6f} {total:.1f}")
    for client in clients:
        client.close()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
