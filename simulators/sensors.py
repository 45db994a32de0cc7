"""From the truth to what the PLC sees: noise, drift, broken wires, quantisation, a frozen transmitter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from connectors.frame import Dtype, Float32s
from simulators.faults import Degradation
from simulators.machine import ALL, Channel, Floats, Memory

_WANDER_S = 40.0


def observe(
    truth: Mapping[str, Floats],
    channels: Sequence[Channel],
    degradations: Sequence[Degradation],
    time_s: Floats,
    rng: np.random.Generator,
    memory: Memory,
    rows: slice = ALL,
) -> Float32s:
    """Return what the sensors show in `rows`, [N, C] in the order of the channels, from true values by name [T]."""
    column_of = {channel.tag.name: column for column, channel in enumerate(channels)}
    faults = [(fault, column_of[fault.tag]) for fault in degradations if fault.tag is not None]
    if rows != ALL and any(_freezes(fault, time_s, memory) for fault, _ in faults):
        return observe(truth, channels, degradations, time_s, rng, memory)[rows]
    shape = len(time_s), len(channels)
    values = np.column_stack([truth[channel.tag.name][rows] for channel in channels])
    noise = rng.standard_normal(shape)
    values += noise[rows] * [channel.noise for channel in channels]
    wander = memory.wander("sensors", rng.standard_normal(shape, out=noise), _WANDER_S, rows)
    values += wander * [channel.wander for channel in channels]
    contact = memory.wander("contact", rng.standard_normal(len(time_s)), 2.0, rows)
    read_s = time_s[rows]
    for fault, column in faults:
        _disturb(fault, channels[column], values[:, column], fault.severity(read_s), contact)
    _quantise(channels, values)
    for fault, column in faults:
        if fault.kind == "stuck_sensor":
            _freeze(_stuck(fault), values[:, column], fault.severity(read_s), memory)
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


def _quantise(channels: Sequence[Channel], values: Floats) -> None:
    """Make the values [N, C] what converter and register give: within the range, in steps, in the scale; in place."""
    tags = [channel.tag for channel in channels]
    bits = np.array([tag.dtype is Dtype.BIT for tag in tags])
    coded = np.array([tag.dtype is not Dtype.FLOAT32 for tag in tags]) & ~bits
    step = np.array([channel.step for channel in channels])
    scale, offset = np.array([(tag.scale, tag.offset) for tag in tags]).T
    np.clip(values, [tag.low for tag in tags], [tag.high for tag in tags], out=values)
    stepped = (step > 0) & ~bits
    values[:, stepped] = np.round(values[:, stepped] / step[stepped]) * step[stepped]
    codes = np.round((values[:, coded] - offset[coded]) / scale[coded])
    values[:, coded] = codes * scale[coded] + offset[coded]
    values[:, bits] = values[:, bits] > 0.5


def _stuck(fault: Degradation) -> str:
    """Return the name under which it is remembered what a stuck sensor shows."""
    return f"stuck.{fault.tag}"


def _freezes(fault: Degradation, time_s: Floats, memory: Memory) -> bool:
    """Return whether a sensor gets stuck in this block, at a value that may not be among those that are read."""
    if fault.kind != "stuck_sensor" or memory.knows(_stuck(fault)):
        return False
    return bool((fault.severity(time_s) > 0).any())


def _freeze(name: str, values: Floats, severity: Floats, memory: Memory) -> None:
    """Hold the first value seen at or after the onset, in place."""
    stuck = severity > 0
    if not stuck.any():
        return
    held = memory.recall(name, values[np.argmax(stuck)])
    memory.keep(name, held)
    values[stuck] = held
