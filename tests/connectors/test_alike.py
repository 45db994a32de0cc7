"""The same mistake in all tags of a table: told once and rightly, never of a table that is read rightly."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.orders import registers_of
from connectors.modbus.watch import Watch
from simulators.plant import MACHINES, Plant
from tests.connectors.registers import image, random_tag, watched
from tests.connectors.test_prove import on_their_own_table

SEED = 3
BYTES_A_TAG_MOST = 100
HOUR_S = 3600


def changed(tags: list[Tag], shift: int = 0, order: str = "", factor: float = 1.0) -> list[Tag]:
    """Return tags that are read wrongly, all in the same way."""
    wrong = []
    for tag in tags:
        assert isinstance(tag.address, ModbusAddress)
        address = replace(tag.address, register=tag.address.register + shift, order=order or tag.address.order)
        wrong.append(replace(tag, address=address, scale=factor * tag.scale))
    return wrong


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize(("mistake", "remedy"), [
    ({"shift": 1}, "the tags fit far better one register lower: where the manual counts from 1, set address_base = 1 "),
    ({"shift": -1}, "the tags fit far better one register higher: where the manual counts from 0, set address_base ="),
    ({"order": "CDAB"}, 'as ABCD: set order = "ABCD" for all of them'),
    ({"factor": 100.0}, "with 0.01 times the scale: multiply every scale by 0.01"),
])
def test_a_mistake_in_all_tags_is_told_once(machine: str, mistake: dict[str, float], remedy: str) -> None:
    tags, columns = on_their_own_table(machine, Table.INPUT_REGISTER)
    words = image(tags, Plant(machine, SEED).rows(600, 200)[:, columns])
    watch = watched(changed(tags, **mistake), words)  # type: ignore[arg-type]
    watch.judge_all()
    said = [f"{one.where}: {one.text}" for one in watch.shared]
    if not said:  # fewer than three of its tags are of the type that suffers: told of each
        assert "order" in mistake
        assert all(text.startswith("as ABCD this is a smooth ") for text in watch.findings.values())
        assert len(watch.findings) >= 3
        return
    (text,) = said
    assert text.startswith("unit 1 input_registers: ")
    assert remedy in text
    assert len(watch.findings) <= 1


def random_map(r: np.random.Generator, count: int, samples: int) -> tuple[list[Tag], np.ndarray]:
    """Return tags one after another, some with a gap between, and the registers they are read from."""
    alike = random_tag(r, 0, samples)[0] if r.random() < 0.5 else None
    tags, shown, register = [], [], 4
    for _ in range(count):
        same = (alike.dtype, alike.address.order) if alike is not None and r.random() < 0.8 else ()  # type: ignore[union-attr]
        tag, values = random_tag(r, register, samples, *same)
        tags.append(tag)
        shown.append(values)
        register += registers_of(tag) + int(r.choice([0, 0, 0, 1, 4]))
    return tags, image(tags, np.array(shown).T)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 12), st.integers(1, 100))
def test_a_plausible_map_that_is_read_rightly_is_left_alone(seed: int, count: int, samples: int) -> None:
    tags, words = random_map(np.random.default_rng(seed), count, samples)
    watch = watched(tags, words)
    watch.judge_all()
    assert not watch.shared, (seed, tags, watch.shared)


def test_eight_bytes_beside_an_unused_register_are_not_taken_for_another_order_one_register_lower() -> None:
    """Of the many readings that are tried, one was smoother by chance than the right one, and no more was wrong."""
    r = np.random.default_rng([77, 2869])
    tags, words = random_map(r, int(r.integers(3, 13)), int(r.integers(1, 90)))
    watch = watched(tags, words)
    watch.judge_all()
    assert (watch.findings, watch.shared) == ({}, ())


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_hours_of_a_simulated_machine_are_left_alone(machine: str) -> None:
    print("seed", SEED)
    tags, columns = on_their_own_table(machine, Table.INPUT_REGISTER)
    watch = Watch(tags)
    for hour in range(2):
        rows = Plant(machine, SEED).rows(hour * HOUR_S, HOUR_S)[:, columns]
        watched(tags, image(tags, rows), watch, begin_s=hour * HOUR_S)
        assert (watch.findings, watch.shared) == ({}, ())


def test_a_table_that_moves_by_a_register_under_a_running_agent_is_told() -> None:
    tags, columns = on_their_own_table("pump", Table.INPUT_REGISTER)
    plant = Plant("pump", SEED)
    watch = watched(tags, image(tags, plant.rows(600, 200)[:, columns]))
    assert watch.shared == ()
    after = image(changed(tags, shift=1), plant.rows(800, 300)[:, columns])
    watched(tags, after, watch, begin_s=200)
    (one,) = watch.shared
    assert one.text.startswith("what their registers mean has changed: the tags fit far better ")
    assert "one register higher" in one.text
    assert len(one.columns) == len(tags)
    watched(tags, image(tags, plant.rows(1100, 300)[:, columns]), watch, begin_s=500)
    assert watch.shared == ()


def test_the_tags_of_a_large_device_take_turns() -> None:
    """A few are watched at a time, and a change of one's meaning is found when its turn comes."""
    count, fast_ns = 150, 10**6
    right = [Tag(f"t{i}", "Hz", ModbusAddress(1, Table.HOLDING_REGISTER, 2 + 2 * i), Dtype.FLOAT32)
             for i in range(count)]
    values = 50 + np.random.default_rng(SEED).normal(0, 0.02, (700, count))
    still = np.arange(count) % 3 == 0
    values[:, still] = values[0, still]
    wrong = list(right)
    for i in (1, 74, 149):
        wrong[i] = replace(right[i], address=replace(right[i].address, order="CDAB"))  # type: ignore[type-var]
    watch = watched(wrong, image(right, values), Watch(wrong, sample_ns=fast_ns))
    assert list(watch.findings) == [1, 74, 149]


@pytest.mark.parametrize("dtype", [Dtype.UINT16, Dtype.FLOAT32, Dtype.FLOAT64])
def test_what_is_remembered_of_a_tag_is_little(dtype: Dtype) -> None:
    tags = tuple(Tag(f"t{i}", "Hz", ModbusAddress(1, Table.HOLDING_REGISTER, 4 * i), dtype) for i in range(500))
    Watch(tags)
    tracemalloc.start()
    watch = Watch(tags)
    size_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(dtype, size_bytes / len(tags), "bytes a tag")
    assert size_bytes <= BYTES_A_TAG_MOST * len(tags)
    assert watch.findings == {}
