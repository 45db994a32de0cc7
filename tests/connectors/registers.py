"""Register images for the decode prover: random plausible tags, and mistakes in reading them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from connectors.modbus.decode import Decoder
from connectors.modbus.orders import ORDERS, REGISTERS, registers_of
from connectors.modbus.plan import PlanLimits, plan
from connectors.modbus.readings import OTHER_SIGN, PROVABLE
from connectors.modbus.watch import Watch
from simulators.modbus import encode

Words = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]
SECOND_NS = 1_000_000_000
KINDS: tuple[tuple[Dtype, float], ...] = (
    (Dtype.INT16, 0.2), (Dtype.UINT16, 0.2), (Dtype.INT32, 0.1), (Dtype.UINT32, 0.1), (Dtype.INT64, 0.03),
    (Dtype.UINT64, 0.03), (Dtype.FLOAT16, 0.04), (Dtype.FLOAT32, 0.2), (Dtype.FLOAT64, 0.1),
)


def walk(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.cumsum(r.normal(0, size * 10 ** r.uniform(-5, -1.5), n))


def noise(r: np.random.Generator, size: float, n: int) -> Floats:
    return r.normal(0, size * 10 ** r.uniform(-5, -0.5), n)


def sine(r: np.random.Generator, size: float, n: int) -> Floats:
    waves = size * 10 ** r.uniform(-3, -0.3) * np.sin(np.arange(n) * r.uniform(0.02, 2))
    return waves + r.normal(0, size * 1e-4, n)


def steps(r: np.random.Generator, size: float, n: int) -> Floats:
    return size * r.choice([0, 0.1, 0.3, 0.5], n)


def setpoints(r: np.random.Generator, size: float, n: int) -> Floats:
    step = r.choice([0.5, 1, 5])
    return np.round(r.uniform(0, 100, n) / step) * step


def two_levels(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.where(r.random(n) < 0.5, 0, -size * r.uniform(0.1, 0.9)) + r.normal(0, size * 10 ** r.uniform(-4, -1), n)


def counter(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.cumsum(r.integers(0, int(10 ** r.uniform(0.3, 3.5)) + 1, n)).astype(np.float64)


def even_counter(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.arange(n) * float(r.integers(1, 300))


def ramp(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.arange(n) * size * 10 ** r.uniform(-4, -1)


def constant(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.zeros(n)


def wandering(r: np.random.Generator, size: float, n: int) -> Floats:
    return np.cumsum(r.normal(0, size * 1e-3, n)) + r.normal(0, size * 10 ** r.uniform(-4, -2), n)


Signal = Callable[[np.random.Generator, float, int], Floats]
SIGNALS: tuple[Signal, ...] = (
    walk, noise, sine, steps, setpoints, two_levels, counter, even_counter, ramp, constant, wandering,
)


def random_tag(r: np.random.Generator, register: int, samples: int, dtype: Dtype | None = None,
               order: str | None = None) -> tuple[Tag, Floats]:
    """Return a tag and what it shows: any type and order, any course, with or without a range."""
    dtypes, shares = zip(*KINDS, strict=True)
    dtype = dtype or dtypes[r.choice(len(dtypes), p=shares)]
    order = order or str(r.choice(ORDERS[REGISTERS[dtype]]))
    size = 10 ** r.uniform(-1, 4)
    level = (r.uniform(-1, 1) if r.random() < 0.3 else r.uniform(0.1, 1)) * size
    values = level + SIGNALS[r.integers(len(SIGNALS))](r, size, samples)
    if r.random() < 0.3:
        values = np.round(values, int(r.integers(0, 3)))
    scale = float(r.choice([1, 1, 0.1, 0.01])) if dtype in OTHER_SIGN else 1.0
    if dtype.startswith("uint"):
        values = np.abs(values)
    most = {Dtype.INT16: 32_767.0, Dtype.UINT16: 65_535.0, Dtype.FLOAT16: 60_000.0}.get(dtype, np.inf) * scale
    if np.abs(values).max() > most:
        values *= most * r.uniform(0.1, 1) / np.abs(values).max()
    tag = Tag("t", "u", ModbusAddress(1, Table.HOLDING_REGISTER, register, order), dtype, scale)
    if r.random() < 0.6:
        widest = max(float(np.abs(values).max()), 1e-6)
        low = 0.0 if values.min() >= 0 else -widest * r.uniform(1.01, 3)
        tag = replace(tag, low=low, high=widest * r.uniform(1.05, 4))
    return tag, values


def image(tags: Sequence[Tag], values: npt.NDArray[np.floating]) -> Words:
    """Return the registers u16[N, R] from 0 on that a device shows for values [N, C]."""
    ends = [tag.address.register + registers_of(tag) for tag in tags if isinstance(tag.address, ModbusAddress)]
    words = np.zeros((len(values), max(ends) + 2), np.uint16)
    for tag, column in zip(tags, np.asarray(values).T.tolist(), strict=True):
        assert isinstance(tag.address, ModbusAddress)
        first = tag.address.register
        words[:, first:first + registers_of(tag)] = [encode(value, tag) for value in column]
    return words


def seen(tag: Tag, words: Words) -> Words:
    """Return what is kept of a tag: its registers and one on either side, wherever its own changed."""
    assert isinstance(tag.address, ModbusAddress)
    first = tag.address.register
    own = words[:, first - 1:first + registers_of(tag) + 1]
    changed = (np.diff(own[:, 1:-1].astype(np.int64), axis=0) != 0).any(axis=1)
    return own[np.append(True, changed)]


def mistakes(tag: Tag, r: np.random.Generator) -> Iterator[tuple[str, Tag]]:
    """Give the ways to read a tag wrongly, by their names."""
    address = tag.address
    assert isinstance(address, ModbusAddress)
    if tag.dtype not in PROVABLE:
        return
    registers = REGISTERS[tag.dtype]
    orders = [order for order in ORDERS[registers] if order != address.order]
    if registers > 1:
        yield "order", replace(tag, address=replace(address, order=str(r.choice(orders))))
        yield "off by one", replace(tag, address=replace(address, register=address.register + int(r.choice([-1, 1]))))
    if registers == 2:
        words_swapped = {"ABCD": "CDAB", "CDAB": "ABCD", "BADC": "DCBA", "DCBA": "BADC"}[address.order]
        step = 1 if address.order in ("ABCD", "BADC") else -1
        yield "off by one and swapped", replace(
            tag, address=replace(address, order=words_swapped, register=address.register + step))
    if tag.dtype in OTHER_SIGN:
        yield "sign", replace(tag, dtype=OTHER_SIGN[tag.dtype])
    yield "scale", replace(tag, scale=10 * tag.scale)


def watched(tags: Sequence[Tag], words: Words, watch: Watch | None = None, *, begin_s: int = 0) -> Watch:
    """Let the prover watch registers u16[N, R], one row a second, that are read for tags."""
    watch = watch or Watch(tags)
    blocks = plan(tags, PlanLimits())
    decoder = Decoder(tags, blocks)
    fine = np.zeros(len(blocks), np.uint32)
    for second, row in enumerate(words.astype(">u2"), begin_s):
        data = b"".join(row[block.start:block.start + block.count].tobytes() for block in blocks)
        watch.observe(blocks, decoder.offsets, data, fine, second * SECOND_NS)
    return watch
