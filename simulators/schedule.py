"""What is asked of a machine and when: shifts, products, and the weather around it, all seeded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from connectors.frame import Bools, Int64s
from simulators.machine import Floats, Memory, Shifts

DAY_S = 86_400

Interval = tuple[int, int]


@lru_cache(maxsize=16)
def _products(shifts: Shifts, seed: int, number: int, day: int) -> tuple[Int64s, Int64s]:
    """Return the seconds of the day at which products begin, and the products."""
    rng = np.random.default_rng([seed, number, day, 1])
    begins: list[int] = []
    products: list[int] = []
    at_s = 0.0
    while at_s < DAY_S:
        order = rng.permutation(shifts.products)
        if products and order[0] == products[-1]:
            order = np.roll(order, 1)
        for product in order:
            begins.append(int(at_s))
            products.append(int(product))
            at_s += 3600.0 * rng.uniform(*shifts.hold_h)
    return np.array(begins, np.int64), np.array(products, np.int64)


@lru_cache(maxsize=16)
def _runs(shifts: Shifts, seed: int, number: int, day: int) -> tuple[Interval, ...]:
    """Return the intervals of the day, in seconds, in which the machine is manned, give or take minutes."""
    rng = np.random.default_rng([seed, number, day, 2])

    def second(hour: float) -> int:
        return int(3600 * hour + (rng.uniform(-300, 300) if 0 < hour < 24 else 0))

    return tuple((second(begin), second(end)) for begin, end in shifts.hours)


def plan(shifts: Shifts, seed: int, number: int, time_s: Int64s) -> tuple[Int64s, Bools]:
    """Return which product is asked for and whether the machine runs, each of shape [T], within one day."""
    day = int(time_s[0]) // DAY_S
    begins, products = _products(shifts, seed, number, day)
    second = time_s - day * DAY_S
    running = np.zeros(len(second), np.bool_)
    for begin, end in _runs(shifts, seed, number, day):
        running |= (second >= begin) & (second < end)
    for begin in begins[1:]:
        if begin - shifts.changeover_s <= second[-1] and begin > second[0]:
            running &= (second < begin - shifts.changeover_s) | (second >= begin)
    return products[np.searchsorted(begins, second, side="right") - 1], running


def ambient(time_s: Int64s, rng: np.random.Generator, memory: Memory) -> Floats:
    """Return the temperature of the hall, degC [T]: warmest at 15:00, and a bounded walk of the weather."""
    day = np.sin(2.0 * np.pi * (time_s / DAY_S - 0.125))  # second 0 is 06:00
    weather = memory.wander("weather", rng.standard_normal(len(time_s)), 18 * 3600.0)
    return memory.lag("ambient", 22.0 + 3.5 * day + 7.0 * np.tanh(weather / 3.0), 120.0)
