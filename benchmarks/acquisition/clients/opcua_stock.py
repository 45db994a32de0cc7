"""Be told of COUNT doubles of opcua_server by asyncua as its documentation does, for SECONDS after a first few.

python opcua_stock.py PORT COUNT PERIOD SECONDS; prints the processor time in seconds and how many values came in it.
"""

from __future__ import annotations

import asyncio
import sys
import time

from asyncua import Client, Node


class Handler:
    """Counts what it is told."""

    values = 0

    def datachange_notification(self, _node: Node, _value: float, _data: object) -> None:
        """Take one value."""
        self.values += 1


async def main(port: int, count: int, period: int, seconds: int) -> None:
    """Subscribe and count."""
    async with Client(f"opc.tcp://127.0.0.1:{port}", timeout=60) as client:
        handler = Handler()
        subscription = await client.create_subscription(period, handler)
        for i in range(0, count, 1000):
            nodes = [client.get_node(f"ns=1;s=v{j}") for j in range(i, min(count, i + 1000))]
            await subscription.subscribe_data_change(nodes)
        await asyncio.sleep(2.5)
        handler.values = 0
        begun = time.process_time()
        await asyncio.sleep(seconds)
        print(f"{time.process_time() - begun:.6f} {handler.values}")


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
