"""Processor time of a client for the same values from the same server, ours beside others', in turn, medians."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Final

from benchmarks.acquisition.peers import ASYNCUA, LIBMODBUS, NODE_OPCUA, OPEN62541, SERIAL, Peers
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Figure, Target

ROUNDS: Final = 3
READS: Final = 8000
CONNECTIONS: Final = (1, 8)
PACE_MS, PACED_S = 5, 5
"""How often every connection is read where reads have a pace, and for how long."""
COUNT, PERIOD_MS, SECONDS = 10_000, 1000, 15
FLOATS: Final = 62
OPCUA: Final = f"OPC UA, {COUNT:,} values a second"


def _case(connections: int, period_ms: int) -> str:
    pace = f", {1000 * connections // period_ms:,} reads a second" if period_ms else ""
    return f"Modbus, {connections} connection{'s' if connections > 1 else ''}{pace}"


TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (_case(connections, period_ms), f"beside {peer}"): Target(most, at_least=False)
    for period_ms in (0, PACE_MS)
    for connections, peer, most in ((1, LIBMODBUS, 1.6), (8, LIBMODBUS, 1.0), (1, SERIAL, 0.8), (8, SERIAL, 0.8))
} | {
    (OPCUA, f"beside {OPEN62541}"): Target(2.0, at_least=False),
    (OPCUA, f"beside {NODE_OPCUA}"): Target(0.3, at_least=False),
    (OPCUA, f"beside {ASYNCUA}"): Target(0.05, at_least=False),
}


def modbus(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """124 registers, which are 62 float32, read as fast as it goes and at a pace."""
    commands = peers.clients("modbus")
    figures: dict[str, list[Figure]] = {name: [] for name in commands}
    with peers.server("modbus_server", FLOATS) as port:
        for period_ms, connections in product((0, PACE_MS), CONNECTIONS):
            reads = 1000 * PACED_S * connections // period_ms if period_ms else READS
            reads = reads // 2 if options.limit else reads
            costs_us: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(options.limit or ROUNDS):
                for name, command in commands.items():
                    taken = peers.measure(command, port, connections, reads, *([period_ms] if period_ms else []))
                    assert taken.values > reads * FLOATS * 20, f"{name} read something else"
                    costs_us[name].append(1e6 * taken.cpu_s / reads)
            _note(figures, _case(connections, period_ms), "CPU time of a read", costs_us)
    yield from figures.items()


def opcua(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Doubles by subscription, each with source and server time, all of them new each second."""
    commands = peers.clients("opcua")
    seconds = 5 if options.limit else SECONDS
    figures: dict[str, list[Figure]] = {name: [] for name in commands}
    costs_us: dict[str, list[float]] = {name: [] for name in commands}
    with peers.server("opcua_server", COUNT, PERIOD_MS) as port:
        for _ in range(options.limit or ROUNDS):
            for name, command in commands.items():
                taken = peers.measure(command, port, COUNT, PERIOD_MS, seconds)
                assert taken.values >= COUNT * seconds / 2, f"{name} lost most values: {taken.values}"
                costs_us[name].append(1e6 * taken.cpu_s / taken.values)
    _note(figures, OPCUA, "CPU time of a value", costs_us)
    yield from figures.items()


def _note(figures: dict[str, list[Figure]], case: str, metric: str, costs_us: Mapping[str, Sequence[float]]) -> None:
    """Add each client's cost, and what ours is beside each other's."""
    costs = {name: median(each) for name, each in costs_us.items()}
    for name, cost in costs.items():
        figures[name].append(Figure(case, metric, cost, "us"))
        if name != OURS:
            figures[OURS].append(Figure(case, f"beside {name}", costs[OURS] / cost, "x"))
