"""A plant: a seeded function from simulated time to what its sensors show; pure, however it is asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from connectors.frame import Dtype, Float32s, Int64s, NodeAddress, Tag
from simulators.conveyor import CONVEYOR
from simulators.faults import Degradation, Truth, damage, truth
from simulators.machine import BLOCK_S, NAMESPACE_URI, Block, Floats, Machine, Memory
from simulators.press import PRESS
from simulators.pump import PUMP
from simulators.schedule import ambient, plan
from simulators.sensors import observe

MACHINES: Final[dict[str, Machine]] = {machine.name: machine for machine in (PUMP, PRESS, CONVEYOR)}

_BLOCKS_KEPT = 4


def opcua_tags(name: str, tags: Sequence[Tag]) -> tuple[Tag, ...]:
    """Return the same tags in the OPC UA address space of the machine `name`: in engineering units."""
    return tuple(
        replace(
            tag,
            address=NodeAddress(NAMESPACE_URI, f"s={name}.{tag.name}"),
            scale=1.0,
            offset=0.0,
            dtype=Dtype.BIT if tag.dtype is Dtype.BIT else Dtype.FLOAT32,
        )
        for tag in tags
    )


class Plant:
    """One machine with a seed and its degradations. `tags` are on Modbus, `opcua_tags` the same on OPC UA.

    A simulated hour costs about 10 ms, and those before it have to be made first.
    """

    def __init__(self, machine: str, seed: int, degradations: Sequence[Degradation] = ()) -> None:
        if machine not in MACHINES:
            raise ValueError(f"There is no machine {machine!r}; there are: {', '.join(MACHINES)}.")
        if seed < 0:
            raise ValueError(f"A seed is 0 or more, not {seed}.")
        self.machine = MACHINES[machine]
        self.name = machine
        self.seed = seed
        self.degradations = tuple(degradations)
        self.tags = self.machine.tags
        self.opcua_tags = opcua_tags(machine, self.tags)
        self._memories = [Memory()]  # what is remembered at the beginning of each block
        self._blocks: OrderedDict[tuple[int, int, int], Float32s] = OrderedDict()  # by number, phase and period

    def rows(self, start_s: int, count: int, period_s: int = 1) -> Float32s:
        """Return what the sensors show at `start_s`, `start_s + period_s`, ...: f32[count, C]."""
        assert min(start_s, count) >= 0
        assert period_s >= 1
        values = np.empty((count, len(self.tags)), np.float32)
        row = 0
        while row < count:
            block, offset = divmod(start_s + row * period_s, BLOCK_S)
            periods, phase = divmod(offset, period_s)
            part = self._block(block, phase, period_s)[periods:][: count - row]
            values[row : row + len(part)] = part
            row += len(part)
        return values

    def repaired(self, start_s: int, degradations: Sequence[Degradation] = ()) -> Plant:
        """Return the same machine as new from `start_s`, the beginning of a block, with what it will fail of next.

        The past stays as it was; heat and pressure that the damage has left behind go their natural way.
        """
        block, offset = divmod(start_s, BLOCK_S)
        assert offset == 0, "a repair ends between two blocks"
        self.rows(max(start_s - 1, 0), 1)
        plant = Plant(self.name, self.seed, degradations)
        plant._memories = [*self._memories[:block], self._memories[block].without("stuck.")]
        return plant

    def truth(self, time_s: float) -> tuple[Truth, ...]:
        """Return severity and remaining life of each degradation at a simulated second."""
        return tuple(truth(degradation, time_s) for degradation in self.degradations)

    def _block(self, index: int, phase: int, period_s: int) -> Float32s:
        """Return a block's rows from second `phase` on, one every `period_s`."""
        key = index, phase, period_s
        if key not in self._blocks:
            for block in range(min(index, len(self._memories) - 1), index + 1):
                self._blocks[key] = self._simulate(block, slice(phase, None, period_s))
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _simulate(self, index: int, rows: slice) -> Float32s:
        """Return what the sensors show in these rows of a block, and remember what the next one has to."""
        memory = self._memories[index].copy()
        time_s: Int64s = np.arange(index * BLOCK_S, (index + 1) * BLOCK_S, dtype=np.int64)
        physics, sensors, weather = (
            np.random.default_rng([self.seed, self.machine.number, index, stream]) for stream in (10, 11, 12)
        )
        product, running = plan(self.machine.shifts, self.seed, self.machine.number, time_s)
        block = Block(
            time_s, product, running, ambient(time_s, weather, memory), physics, memory, self._damages(time_s)
        )
        seen = self.machine.simulate(block)
        shown = observe(
            seen, self.machine.channels, self.degradations, time_s.astype(np.float64), sensors, memory, rows
        )
        if len(self._memories) == index + 1:
            self._memories.append(memory)
        return shown

    def _damages(self, time_s: Int64s) -> dict[str, Floats]:
        severities: dict[str, Floats] = {}
        for degradation in self.degradations:
            grown = degradation.severity(time_s)
            severities[degradation.kind] = np.maximum(
                severities.get(degradation.kind, np.zeros(len(time_s))), grown
            )
        return {kind: damage(severity) for kind, severity in severities.items()}
