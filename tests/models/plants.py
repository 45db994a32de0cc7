"""Synthetic machines whose truth is known: coupled tags, operating regimes, a machine that settles after a switch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.learn import learn

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

TAGS = (("flow", "m3/h"), ("pressure", "bar"), ("current", "A"), ("power", "kW"), ("speed", "rpm"), ("heat", "degC"))
LEVELS = (0.0, 6.0, -7.0)
"""Where the factors stand in each regime, in standard deviations."""


def autoregressive(rows: int, columns: int, memory: float, rng: np.random.Generator) -> Float64s:
    """Return unit-variance noise f64[rows, columns] that remembers `memory` of the row before."""
    white = rng.standard_normal((rows, columns))
    noise = white.copy()
    for row in range(1, rows):
        noise[row] = memory * noise[row - 1] + np.sqrt(1 - memory**2) * white[row]
    return noise


def coupled(rows: int, seed: int, *, regimes: int = 1, dwell: int = 100, memory: float = 0.5) -> Float32s:
    """Return six tags f32[rows, 6] that two hidden factors move together; regimes follow each other every `dwell` rows.

    The couplings are the same for every seed: another seed is another day of the same machine.
    """
    rng = np.random.default_rng(seed)
    loading = np.random.default_rng(99).normal(0.0, 1.0, (2, len(TAGS)))
    regime = np.arange(rows) // dwell % regimes
    factors = autoregressive(rows, 2, memory, rng) + np.array(LEVELS)[regime, None]
    values = factors @ loading + rng.normal(0.0, 0.2, (rows, len(TAGS)))
    return np.asarray(20.0 + 3.0 * values, np.float32)


def settling(rows: int, seed: int, *, settle_rows: int, dwell: int = 400) -> Float32s:
    """Return the six tags and a switch f32[rows, 7]; after each change the tags are wild for `settle_rows` rows."""
    rng = np.random.default_rng(seed)
    mode = np.arange(rows) // dwell % 2
    since = np.arange(rows) % dwell
    values = coupled(rows, seed).astype(np.float64) + 12.0 * mode[:, None]
    wild = rng.normal(0.0, 25.0, (rows, len(TAGS))) * np.exp(rng.normal(0.0, 1.5, (rows, 1)))
    values += np.where(since[:, None] < settle_rows, wild, 0.0)
    return np.asarray(np.column_stack([values, mode]), np.float32)


def good(values: Float32s) -> Bools:
    return np.ones(values.shape, np.bool_)


def taught(values: Float32s, tags: Sequence[tuple[str, str]] = TAGS, name: str = "machine") -> Bundle:
    """Learn a bundle from one stretch without gaps, a row a second."""
    return learn([values], tags, 1000, name=name, source="synthetic")


def drifting(rows: int, seed: int) -> Float32s:
    """Return the six tags f32[rows, 6] of a machine whose heat wanders and takes the others along a little."""
    walk = np.cumsum(np.random.default_rng([seed, 5]).normal(0.0, 0.12, rows))
    values = coupled(rows, seed).astype(np.float64)
    values[:, :5] += walk[:, None] * np.array([0.9, -0.6, 0.7, 0.0, -0.9])
    values[:, 5] = 20.0 + walk + np.random.default_rng([seed, 6]).normal(0.0, 0.1, rows)
    return np.asarray(values, np.float32)
