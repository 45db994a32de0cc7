"""Processor time of a client for the same values from the same server, ours beside others', in turn, medians."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from benchmarks.acquisition.peers import ASYNCUA, LIBMODBUS, NODE_OPCUA, OPEN62541, SERIAL, Peers
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import Figure, Target

ROUNDS: Final = 3
READS: Final = 8000
CONNECTIONS: Final = (1, 8)
COUNT, PERIOD_MS, SECONDS = 10_000, 1000, 15
FLOATS: Final = 62
MODBUS, OPCUA = "Modbus, {} connection{}", f"OPC UA, {COUNT:,} values a second"


def _case(connections: int) -> str:
    return MODBUS.format(connections, "s" if connections > 1 else "")


TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (_case(1), f"beside {LIBMODBUS}"): Target(1.6, at_least=False),
    (_case(8), f"beside {LIBMODBUS}"): Target(1.0, at_least=False),
    (_case(1), f"beside {SERIAL}"): Target(0.8, at_least=False),
    (_case(8), f"beside {SERIAL}"): Target(0.8, at_least=False),
    (OPCUA, f"beside {OPEN62541}"): Target(2.0, at_least=False),
    (OPCUA, f"beside {NODE_OPCUA}"): Target(0.3, at_least=False),
    (OPCUA, f"beside {ASYNCUA}"): Target(0.05, at_least=False),
}


def modbus(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """124 registers, which are 62 float32, read as fast as it goes."""
    commands = peers.clients("modbus")
    reads = READS // 2 if options.limit else READS
    figures: dict[str, list[Figure]] = {name: [] for name in commands}
    with peers.server("modbus_server", FLOATS) as port:
        for connections in CONNECTIONS:
            costs_us: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(options.limit or ROUNDS):
                for name, command in commands.items():
                    taken = peers.measure(command, port, connections, reads)
                    assert taken.values > reads * FLOATS * 20, f"{name} read something else"
                    costs_us[name].append(1e6 * taken.cpu_s / reads)
            _note(figures, _case(connections), "CPU time of a read", costs_us)
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
