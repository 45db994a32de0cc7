"""From the truth to what the PLC sees: noise, drift, broken wires, quantisation, a frozen transmitter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from connectors.frame import Dtype, Float32s
from simulators.faults import Degradation
from simulators.machine import Channel, Floats, Memory

_WANDER_S = 40.0


def observe(
    truth: Mapping[str, Floats],
    channels: Sequence[Channel],
    degradations: Sequence[Degradation],
    time_s: Floats,
    rng: np.random.Generator,
    memory: Memory,
) -> Float32s:
    """Return what the sensors show, [T, C] in the order of the channels, from true values by name [T]."""
    values = np.column_stack([truth[channel.tag.name] for channel in channels])
    noise = rng.standard_normal(values.shape)
    noise *= [channel.noise for channel in channels]
    values += noise
    wander = memory.wander("sensors", rng.standard_normal(values.shape, out=noise), _WANDER_S)
    wander *= [channel.wander for channel in channels]
    values += wander
    contact = memory.wander("contact", rng.standard_normal(len(values)), 2.0)
    column_of = {channel.tag.name: column for column, channel in enumerate(channels)}
    faults = [(fault, column_of[fault.tag]) for fault in degradations if fault.tag is not None]
    for fault, column in faults:
        _disturb(fault, channels[column], values[:, column], fault.severity(time_s), contact)
    for column, channel in enumerate(channels):
        values[:, column] = _quantise(channel, values[:, column])
    for fault, column in faults:
        if fault.kind == "stuck_sensor":
            _freeze(f"stuck.{fault.tag}", values[:, column], fault.severity(time_s), memory)
    return values.astype(np.float32)


def _disturb(fault: Degradation, channel: Channel, values: Floats, severity: Floats, contact: Floats) -> None:
    """Add a drift, or let a loose contact drop the signal to its bottom for seconds, in place."""
    if fault.kind == "sensor_drift":
        values += severity * channel.drift
    elif fault.kind == "loose_connection":
        # It opens where a random process passes a threshold: 3.5 (never) to 0.6 (a quarter of the time).
        opens = (severity > 0) & (contact > 3.5 - 2.9 * np.sqrt(severity))
        bottom = max(channel.tag.low, 0.0)
        values[opens] = bottom + 0.05 * (values[opens] - bottom)


def _quantise(channel: Channel, values: Floats) -> Floats:
    """Return the values as converter and register give them: within the range, in steps, in the scale."""
    tag = channel.tag
    if tag.dtype is Dtype.BIT:
        return (values > 0.5).astype(np.float64)
    values = np.clip(values, tag.low, tag.high)
    if channel.step > 0:
        values = np.round(values / channel.step) * channel.step
    if tag.dtype is not Dtype.FLOAT32:
        values = np.round((values - tag.offset) / tag.scale) * tag.scale + tag.offset
    return values


def _freeze(name: str, values: Floats, severity: Floats, memory: Memory) -> None:
    """Hold the first value seen at or after the onset, in place."""
    stuck = severity > 0
    if not stuck.any():
        return
    held = memory.recall(name, values[np.argmax(stuck)])
    memory.keep(name, held)
    values[stuck] = held
