"""Scalings as other programs write them, to scale and offset. Pure."""

from __future__ import annotations


def linear(raw_low: float | None, raw_high: float | None, low: float | None, high: float | None) -> tuple[float, float]:
    """Return scale and offset of the line through (raw_low, low) and (raw_high, high); raise ValueError if none is."""
    if raw_low is None or raw_high is None or low is None or high is None:
        raise ValueError("its linear scaling lacks a limit")
    if raw_low == raw_high or low == high:
        raise ValueError("its linear scaling has no width")
    scale = (high - low) / (raw_high - raw_low)
    return scale, low - scale * raw_low
