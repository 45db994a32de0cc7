"""`forewarn check` against simulated machines whose register maps are configured wrongly, over the real wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.check import ConnectionCheck, check
from agent.clock import SystemClock
from agent.config.file import load
from connectors.frame import Dtype, ModbusAddress, Table, Tag
from models import bundle as bundles
from simulators.config import toml
from simulators.modbus import ModbusPlc
from simulators.plant import MACHINES, Plant
from tests.connectors.registers import walk
from tests.connectors.test_other_servers import served
from tests.wire import ModbusRecorder, RecordingProxy

SEED = 5
BEGIN_S = 1200  # the machines run
STEP_NS = 250_000_000


class PlantClock:
    """Time passes for those who sleep only, and every quarter of a second the PLC shows the next row."""

    def __init__(self, plc: ModbusPlc, rows: np.ndarray) -> None:
        self._plc, self._rows, self._now_ns, self._shown = plc, rows, 0, -1

    def monotonic_ns(self) -> int:
        return self._now_ns

    def time_ns(self) -> int:
        return 1_790_000_000_000_000_000 + self._now_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        self._now_ns = max(self._now_ns, monotonic_ns)
        await asyncio.sleep(0)
        if (row := self._now_ns // STEP_NS) != self._shown:
            self._shown = row
            await self._plc.show(self._rows[row % len(self._rows)], 0)


def checked(real: Sequence[Tag], rows: np.ndarray, said: Sequence[Tag], folder: Path,
            witness: Callable[[RecordingProxy], None] = lambda _: None) -> ConnectionCheck:
    """Return what `check` finds of a PLC with `real` tags that is configured as `said`; it refuses what it has not."""

    async def main() -> ConnectionCheck:
        plc = ModbusPlc(real)
        await plc.start()
        clock = PlantClock(plc, rows)
        async with RecordingProxy(ModbusRecorder, plc.port) as proxy:
            path = folder / "agent.toml"
            path.write_text(toml("machine", said, f"127.0.0.1:{proxy.port}", bundle=str(bundles.SHIPPED / "pump"),
                                 state_dir=str(folder), timeout_ms=10_000), encoding="utf-8")
            (found,) = await check(load(path), clock)
            proxy.assert_read_only()
            witness(proxy)
        await plc.stop()
        return found

    print("seed", SEED)
    return asyncio.run(main())


def moved(tags: Sequence[Tag], by: int) -> list[Tag]:
    return [replace(tag, address=replace(tag.address, register=tag.address.register + by))  # type: ignore[type-var]
            for tag in tags]


def plant(machine: str, table: Table) -> tuple[list[Tag], np.ndarray]:
    """Return a machine's tags of one table, five registers up, and 200 rows of them."""
    columns = [i for i, tag in enumerate(MACHINES[machine].tags)
               if isinstance(tag.address, ModbusAddress) and tag.address.table is table]
    return (moved([MACHINES[machine].tags[i] for i in columns], 5),
            Plant(machine, SEED).rows(BEGIN_S, 200)[:, columns])


LOWER = "one register lower: where the manual counts from 1, set address_base = 1"
HIGHER = "one register higher: where the manual counts from 0, set address_base = 0"


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize(("by", "says"), [(0, ""), (1, LOWER), (-1, HIGHER)])
def test_a_map_that_counts_from_another_number_is_told_once(
    machine: str, by: int, says: str, tmp_path: Path
) -> None:
    tags, rows = plant(machine, Table.INPUT_REGISTER)
    found = checked(tags, rows, moved(tags, by), tmp_path)
    remedies = {tag.remedy for tag in found.tags}
    if not by:
        assert remedies == {""}
        return
    assert len(remedies) == 1
    assert f"unit 1 input_registers: the tags fit far better {says}" in (said := remedies.pop()), said


def courses(count: int, level: float) -> np.ndarray:
    """Return 200 rows of quantities that wander about `level`."""
    r = np.random.default_rng(SEED)
    return np.stack([level * (1 + i) + walk(r, level, 200) + r.normal(0, level * 1e-3, 200) for i in range(count)], 1)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.INT32, Dtype.UINT32, Dtype.FLOAT64, Dtype.INT64])
@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize("by", [-1, 0, 1])
def test_each_type_and_order_one_register_off(dtype: Dtype, order: str, by: int, tmp_path: Path) -> None:
    step = 4 if dtype in (Dtype.FLOAT64, Dtype.INT64) else 2
    scale = 1.0 if dtype in (Dtype.FLOAT32, Dtype.FLOAT64) else 0.001
    tags = [Tag(f"t{i}", "bar", ModbusAddress(1, Table.HOLDING_REGISTER, 10 + step * i, order), dtype, scale,
                low=0.0, high=2000.0) for i in range(6)]
    remedies = {tag.remedy for tag in checked(tags, courses(6, 150.0), moved(tags, by), tmp_path).tags}
    says = {0: "", 1: LOWER, -1: HIGHER}[by]
    assert len(remedies) == 1
    said = remedies.pop()
    fits = re.match(r"unit 1 holding_registers: the tags fit far better (.*?): ", said)
    assert bool(fits) == bool(said) == bool(by), said
    if fits:  # where values share their upper register with a neighbour, the swapped order fits as well
        named = fits[1].split(" or ")
        assert says.partition(":")[0] in named
        assert len(named) == 1 or (step == 2 and len(named) == 2), named


@pytest.mark.parametrize("by", [-1, 0, 1])
def test_16_bit_tags_are_told_by_their_ranges(by: int, tmp_path: Path) -> None:
    """Each is its neighbour's: a temperature where a speed belongs is in range, a speed for a temperature is not."""
    ranges = [(0.0, 100.0), (200.0, 3600.0), (0.0, 150.0), (5000.0, 9000.0), (-40.0, 120.0), (300.0, 800.0)] * 2
    tags = [Tag(f"t{i}", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 10 + i), Dtype.INT16, low=low, high=high)
            for i, (low, high) in enumerate(ranges)]
    middles = np.array([(low + high) / 2 for low, high in ranges])
    rows = middles + np.random.default_rng(SEED).normal(0, 2, (200, len(tags)))
    remedies = {tag.remedy for tag in checked(tags, rows, moved(tags, by), tmp_path).tags}
    assert len(remedies) == 1
    assert {0: "", 1: "one register lower", -1: "one register higher"}[by] in (said := remedies.pop())
    assert bool(said) == bool(by)


@pytest.mark.parametrize(("wrongly", "hint"), [
    ({"scale": 1.0}, "it would fit with scale = 0.1 (19.3)"),
    ({"dtype": Dtype.UINT16, "scale": 0.1, "offset": -50.0}, "it would fit as int16"),
    ({"scale": 0.001, "low": 5.0}, "with scale = 0.1 (19.3)"),
])
def test_a_value_out_of_range_is_shown_how_it_would_fit(
    wrongly: dict[str, object], hint: str, tmp_path: Path
) -> None:
    at = ModbusAddress(1, Table.HOLDING_REGISTER, 3)
    real = Tag("t", "degC", at, Dtype.INT16, 0.1, -50.0 if "offset" in wrongly else 0.0, -80.0, 60.0)
    rows = np.full((2, 1), -60.0 if "offset" in wrongly else 19.3)
    (tag,) = checked([real], rows, [replace(real, **wrongly)], tmp_path).tags  # type: ignore[arg-type]
    assert tag.value is None
    assert hint in tag.remedy


def test_what_the_registers_beside_a_tag_hold_is_shown_where_it_fits(tmp_path: Path) -> None:
    """One tag alone proves nothing, so that it is no more than a hint."""
    tags = [Tag(name, "1", ModbusAddress(1, Table.HOLDING_REGISTER, 10 + i), Dtype.INT16, low=low, high=high)
            for i, (name, low, high) in enumerate([("speed", 200.0, 3600.0), ("level", 0.0, 100.0)])]
    (level,) = checked(tags, np.array([[1790.0, 40.0]]), [moved(tags, -1)[1]], tmp_path).tags
    assert level.value is None
    assert "at register 11 (40)" in level.remedy


def test_a_right_configuration_costs_no_second_look(tmp_path: Path) -> None:
    tags, rows = plant("pump", Table.INPUT_REGISTER)
    ports: list[RecordingProxy] = []
    assert {tag.remedy for tag in checked(tags, rows, tags, tmp_path, ports.append).tags} == {""}
    assert ports[0].connections == 1


@pytest.mark.parametrize("by", [0, 1])
def test_a_server_in_c_one_register_off(by: int, tmp_path: Path) -> None:
    """libmodbus holds floats side by side; those that do not change prove nothing, so only silence is asked for."""
    with served("modbus_server", 100) as port:
        tags = [Tag(f"t{i}", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 2 * i + by), Dtype.FLOAT32,
                    low=10.0, high=100.0) for i in range(8)]
        path = tmp_path / "agent.toml"
        path.write_text(toml("machine", tags, f"127.0.0.1:{port}", bundle=str(bundles.SHIPPED / "pump"),
                             state_dir=str(tmp_path), timeout_ms=10_000), encoding="utf-8")
        (found,) = asyncio.run(check(load(path), SystemClock()))
    assert {"one register lower" in tag.remedy for tag in found.tags} == {bool(by)}
