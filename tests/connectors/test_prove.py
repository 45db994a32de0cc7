"""The decode prover: silent about what is read rightly, and what share of mistakes it finds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.orders import registers_of
from connectors.modbus.prove import Finding, prove
from connectors.modbus.readings import Reading
from simulators.plant import MACHINES, Plant
from tests.connectors.registers import SIGNALS, Signal, image, mistakes, random_tag, seen, watched

SIDES = (0, -1, 1)
SAMPLES = 64
SEED = 20_260
SHARE_WRONG = 4
DOCS = Path(__file__).parents[2] / "docs" / "operating.md"


def three_tags(r: np.random.Generator) -> tuple[Tag, np.ndarray, np.ndarray]:
    """Return a tag between two neighbours, mostly of its type, what it shows, and the registers of all three."""
    middle, values = random_tag(r, 10, SAMPLES)
    tags, shown = [middle], [values]
    assert isinstance(middle.address, ModbusAddress)
    alike = (middle.dtype, middle.address.order) if r.random() < 0.6 else (None, None)
    for before in (True, False):
        tag, course = random_tag(r, 0, SAMPLES, *alike)
        assert isinstance(tag.address, ModbusAddress)
        register = 10 - registers_of(tag) if before else 10 + registers_of(middle)
        tags.append(replace(tag, address=replace(tag.address, register=register)))
        shown.append(course)
    return middle, values, image(tags, np.array(shown).T)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, SAMPLES))
def test_a_plausible_tag_that_is_read_rightly_is_left_alone(seed: int, contents: int) -> None:
    tag, _, words = three_tags(np.random.default_rng(seed))
    finding, _ = prove(tag, seen(tag, words)[:contents], SIDES)
    assert finding is None, (tag, finding)


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.__name__)
@pytest.mark.parametrize("dtype", [Dtype.INT16, Dtype.UINT32, Dtype.FLOAT32])
@pytest.mark.parametrize("size", [10.0, 1e3, 3e4])
def test_each_kind_of_course_is_left_alone_at_every_size(signal: Signal, dtype: Dtype, size: float) -> None:
    for seed in range(5):
        values = np.abs(signal(np.random.default_rng(seed), size, SAMPLES)) % 65_536
        tag = Tag("t", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 2), dtype)
        finding, _ = prove(tag, seen(tag, image([tag], values[:, None])), SIDES)
        assert finding is None, (seed, finding)


def on_their_own_table(machine: str, table: Table) -> tuple[list[Tag], list[int]]:
    """Return a machine's tags of one table, two registers further so that all have neighbours, and their columns."""
    tags, columns = [], []
    for column, tag in enumerate(MACHINES[machine].tags):
        assert isinstance(tag.address, ModbusAddress)
        if tag.address.table is table:
            tags.append(replace(tag, address=replace(tag.address, register=tag.address.register + 2)))
            columns.append(column)
    return tags, columns


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize("table", [Table.INPUT_REGISTER, Table.HOLDING_REGISTER])
@pytest.mark.parametrize("ranged", [True, False])
def test_the_simulated_machines_are_left_alone(machine: str, table: Table, ranged: bool) -> None:
    tags, columns = on_their_own_table(machine, table)
    if not ranged:
        tags = [replace(tag, low=-np.inf, high=np.inf) for tag in tags]
    watch = watched(tags, image(tags, Plant(machine, 7).rows(0, 2400)[:, columns]))
    assert watch.findings == {}
    watch.judge_all()
    assert watch.findings == {}


def right_words(mistake: str, tag: Tag) -> str:
    """Return what has to be said of a mistake: how the tag is to be read."""
    assert isinstance(tag.address, ModbusAddress)
    order, register = f"as {tag.address.order}", f"at register {tag.address.register}"
    return {"order": f"{order} this", "off by one": register, "off by one and swapped": f"{order} {register}",
            "scale": f"with scale = {tag.scale:g} "}[mistake]


def test_the_share_of_mistakes_found_on_the_simulated_machines_is_what_the_docs_say() -> None:
    tried, found = Counter[str](), Counter[str]()
    r = np.random.default_rng(SEED)
    for machine in MACHINES:
        tags, columns = on_their_own_table(machine, Table.INPUT_REGISTER)
        words = image(tags, Plant(machine, 3).rows(600, 600)[:, columns])
        wrong: dict[str, list[Tag]] = {}
        for column, tag in enumerate(tags):
            for mistake, misread in mistakes(tag, r):
                wrong.setdefault(mistake, list(tags))[column] = misread
        del wrong["sign"]  # of numbers that are never negative both signs are right
        for mistake, misread_tags in wrong.items():
            for first in range(SHARE_WRONG):  # a mistake in most tags is another matter
                mixed = [misread if column % SHARE_WRONG == first else tag
                         for column, (misread, tag) in enumerate(zip(misread_tags, tags, strict=True))]
                said = watched(mixed, words).findings
                for column, tag in enumerate(tags):
                    tried[mistake] += mixed[column] != tag
                    found[mistake] += mixed[column] != tag and right_words(mistake, tag) in said.get(column, "")
    shares = {mistake: found[mistake] / tried[mistake] for mistake in tried}
    print(SEED, {mistake: f"{found[mistake]} of {tried[mistake]}" for mistake in tried})
    page = DOCS.read_text(encoding="utf-8")
    in_docs = dict(re.findall(r"^\| ([a-z][a-z ]+?) \| at least (\d+) % ", page, re.MULTILINE))
    assert in_docs.keys() == shares.keys()
    assert not {mistake: share for mistake, share in shares.items() if 100 * share < int(in_docs[mistake])}


def float_tag(order: str, register: int, **keys: float) -> Tag:
    return Tag("u", "Hz", ModbusAddress(1, Table.HOLDING_REGISTER, register, order), Dtype.FLOAT32, **keys)


def found(tag: Tag, words: np.ndarray) -> Finding:
    finding, _ = prove(tag, seen(tag, words), SIDES)
    assert finding is not None
    return finding


def grid(r: np.random.Generator, level: float, size: float, n: int = SAMPLES) -> np.ndarray:
    return level + r.normal(0, size, n)


def test_the_finding_is_said_in_words() -> None:
    r = np.random.default_rng(SEED)
    real = [float_tag("CDAB", 99), float_tag("CDAB", 101)]
    words = image(real, np.stack([grid(r, 231.0, 0.3), grid(r, 50.0, 0.01)], axis=1))
    finding = found(float_tag("ABCD", 101), words)
    assert finding.readings[0] == Reading(0, "CDAB", Dtype.FLOAT32)
    assert re.match(r"as CDAB this is a smooth 49\.9\d+ to 50\.0\d+ Hz, or at register 102 ", finding.text)
    assert re.search(r"; as configured it jumps by 10\^\d\d$", finding.text)
    finding = found(float_tag("CDAB", 100), words)
    assert Reading(-1, "CDAB", Dtype.FLOAT32) in finding.readings, "alone, or beside one that shares the upper word"
    assert "at register 99" in finding.text


def test_two_halves_of_neighbours_that_make_a_plausible_voltage() -> None:
    """One register too far, and the words swapped: the upper word is the next value's, the lower word this one's."""
    r = np.random.default_rng(SEED)
    voltages = 231.3 + np.cumsum(r.normal(0, 0.15, (800, 3)), axis=0)
    words = image([float_tag("ABCD", register) for register in (10, 12, 14)], voltages)
    tag = float_tag("CDAB", 11, low=0.0, high=400.0)
    finding = found(tag, words)
    assert finding.readings[0] == Reading(-1, "ABCD", Dtype.FLOAT32)
    assert finding.text.startswith("as ABCD at register 10 this is a smooth ")


def test_a_quantity_about_zero_that_is_read_without_its_sign() -> None:
    r = np.random.default_rng(SEED)
    real = Tag("t", "A", ModbusAddress(1, Table.HOLDING_REGISTER, 2), Dtype.INT16, scale=0.1)
    words = image([real], np.round(grid(r, 0.0, 2.0), 1)[:, None])
    finding = found(replace(real, dtype=Dtype.UINT16), words)
    assert finding.readings[0] == Reading(0, "AB", Dtype.INT16)
    assert finding.text.startswith("as int16 this is a smooth -")


def test_a_counter_that_runs_over_is_left_alone() -> None:
    count = Tag("n", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 2), Dtype.UINT16)
    words = image([count], ((np.arange(400) * 1_777) % 65_536)[:, None].astype(np.float64))
    assert prove(count, seen(count, words), SIDES)[0] is None


def test_a_scale_is_named_where_the_value_is_far_out_of_range_and_only_there() -> None:
    r = np.random.default_rng(SEED)
    real = Tag("t", "bar", ModbusAddress(1, Table.HOLDING_REGISTER, 2), Dtype.UINT16, scale=0.01, low=0.0, high=25.0)
    words = image([real], grid(r, 12.0, 0.5)[:, None])
    finding = found(replace(real, scale=1.0), words)
    assert finding.text.startswith("with scale = 0.01 this is a smooth 1")
    a_little = image([replace(real, high=100.0)], grid(r, 26.0, 0.5)[:, None])
    assert prove(real, seen(real, a_little), SIDES)[0] is None, "a pressure above its range is not another scale"


@pytest.mark.parametrize("values", [[5.0] * 64, [0.0, 1024.0] * 32, [0.0, 256.0, 512.0, 1024.0] * 16])
def test_few_values_prove_nothing(values: list[float]) -> None:
    tag = Tag("s", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 2), Dtype.INT16)
    assert prove(tag, seen(tag, image([tag], np.array(values)[:, None])), SIDES) == (None, False)
