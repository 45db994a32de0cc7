"""Degradations as signal transforms on whitened residuals: what the fault head learns from, without labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FAULTS = ("none", "bias", "ramp", "stuck", "noise", "oscillation", "intermittent")
"""The fault types the head tells apart, in the order of its outputs."""


def residual_windows(count: int, rows: int, rng: np.random.Generator) -> tuple[Float64s, Float64s, Ints]:
    """Draw residual windows f64[count, rows], their share of unchanged raw values f64[count, rows] and the fault drawn.

    Healthy residuals are AR(1) noise of unit variance with a random memory, plus a little benign drift. The fault
    starts at a random row, at the latest an eighth before the end. Amplitudes are log-uniform in 2..12 standard
    deviations.
    """
    residual = _healthy(count, rows, rng)
    unchanged = (rng.random((count, rows)) < rng.uniform(0.0, 0.6, count)[:, None]).astype(np.float64)
    fault = rng.integers(len(FAULTS), size=count)
    onset = rng.integers(0, rows - rows // 8, count)
    since = np.maximum(np.arange(rows)[None, :] - onset[:, None], 0).astype(np.float64)
    active = since > 0
    amplitude = np.exp(rng.uniform(np.log(2.0), np.log(12.0), count))[:, None]
    sign = rng.choice([-1.0, 1.0], count)[:, None]
    for kind, transform in (("bias", active * 1.0), ("ramp", since / np.maximum(since.max(1, keepdims=True), 1.0))):
        residual += np.where((fault == FAULTS.index(kind))[:, None], sign * amplitude * transform, 0.0)
    residual = _stick(residual, active, fault, amplitude, rng)
    unchanged[(fault == FAULTS.index("stuck"))[:, None] & active] = 1.0
    noise = amplitude * rng.standard_normal((count, rows))
    residual += np.where((fault == FAULTS.index("noise"))[:, None] & active, noise, 0.0)
    period = rng.uniform(4.0, 24.0, count)[:, None]
    wave = amplitude * np.sin(2 * np.pi * since / period)
    residual += np.where((fault == FAULTS.index("oscillation"))[:, None] & active, wave, 0.0)
    gaps = rng.random((count, rows)) < rng.uniform(0.05, 0.3, count)[:, None]
    dropout = sign * 2.0 * amplitude
    residual += np.where((fault == FAULTS.index("intermittent"))[:, None] & active & gaps, dropout, 0.0)
    return residual, unchanged, fault


def _healthy(count: int, rows: int, rng: np.random.Generator) -> Float64s:
    memory = rng.uniform(0.0, 0.9, count)
    white = rng.standard_normal((count, rows))
    noise = np.empty((count, rows))
    noise[:, 0] = white[:, 0]
    for row in range(1, rows):
        noise[:, row] = memory * noise[:, row - 1] + np.sqrt(1 - memory**2) * white[:, row]
    drift = rng.normal(0.0, 0.5, count)[:, None] * np.linspace(-0.5, 0.5, rows)
    return noise + rng.normal(0.0, 0.3, count)[:, None] + drift


def _stick(
    residual: Float64s, active: npt.NDArray[np.bool_], fault: Ints, amplitude: Float64s, rng: np.random.Generator
) -> Float64s:
    """A stuck sensor stops following what the other tags predict: its residual is the others' motion, upside down."""
    motion = np.cumsum(rng.standard_normal(residual.shape) * active, 1)
    motion *= amplitude / np.maximum(np.abs(motion).max(1, keepdims=True), 1e-9)
    return np.where((fault == FAULTS.index("stuck"))[:, None] & active, motion, residual)
