"""A hydraulic press with heated platens: its PLC latches one value per cycle for most of what matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from simulators.machine import UNIT_ID, Block, Channel, Floats, Machine, Shifts

_Stroke = tuple[float, float, float, float, float]
"""What a cycle latches, in the order of `_LATCHED`."""

_PEAK_BAR = np.array([140.0, 175.0, 210.0, 160.0])
_STROKE_MM = np.array([120.0, 180.0, 150.0, 220.0])
_HOLD_S = np.array([8.0, 12.0, 10.0, 6.0])
_PLATEN_DEGC = np.array([150.0, 165.0, 180.0, 140.0])
_STANDBY_DEGC = 90.0
_LOAD_S = 4.0

_HEAT_LOSS = 0.26  # % of the heater's rating per kelvin above the hall
_HEAT_STORED = 320.0  # % per kelvin a second
_HEAT_PER_STROKE = 2.6  # % per cycle a minute, taken by cold blanks

_LATCHED = ("peak_pressure", "rise_time", "hold_decay", "stroke", "cycle_time")


def _input(
    name: str,
    unit: str,
    register: int,
    low: float,
    high: float,
    *,
    dtype: Dtype = Dtype.FLOAT32,
    scale: float = 1.0,
    order: str = "ABCD",
) -> Tag:
    return Tag(
        name,
        unit,
        ModbusAddress(UNIT_ID, Table.INPUT_REGISTER, register, order),
        dtype,
        scale,
        0.0,
        low,
        high,
    )


def _latched(name: str, unit: str, register: int, high: float, scale: float) -> Tag:
    address = ModbusAddress(UNIT_ID, Table.HOLDING_REGISTER, register)
    return Tag(name, unit, address, Dtype.UINT16, scale, 0.0, 0.0, high)


_I16, _U16 = Dtype.INT16, Dtype.UINT16

_CHANNELS = (
    Channel(_input("ambient_temperature", "degC", 0, -20, 60, dtype=_I16, scale=0.1), 0.05, 0.05, 0.0, 8.0),
    Channel(_input("oil_temperature", "degC", 1, -20, 120, dtype=_I16, scale=0.1), 0.1, 0.08, 0.0, 12.0),
    Channel(_latched("peak_pressure", "bar", 100, 400, 0.1), 0.0, 0.0, 0.0, 12.0),
    Channel(_latched("rise_time", "s", 101, 20, 0.01), 0.0, 0.0, 0.0, 0.4),
    Channel(_latched("hold_decay", "bar", 102, 100, 0.01), 0.0, 0.0, 0.0, 4.0),
    Channel(_latched("stroke", "mm", 103, 400, 0.1), 0.0, 0.0, 0.0, 8.0),
    Channel(_latched("cycle_time", "s", 104, 300, 0.01), 0.0, 0.0, 0.0, 4.0),
    Channel(_input("accumulator_pressure", "bar", 10, 0, 400), 0.4, 0.3, 0.05, 20.0),
    Channel(_input("motor_current", "A", 12, 0, 160, order="CDAB"), 0.3, 0.25, 0.02, 12.0),
    Channel(_input("filter_dp", "bar", 14, 0, 10), 0.012, 0.01, 0.002, 0.9),
    Channel(_input("pump_temperature", "degC", 18, -20, 150, dtype=_I16, scale=0.1), 0.1, 0.08, 0.0, 12.0),
    Channel(_input("vibration", "mm/s", 20, 0, 50), 0.02, 0.0, 0.01, 2.0),
    Channel(_input("platen_temperature", "degC", 24, 0, 300, dtype=_U16, scale=0.1), 0.12, 0.1, 0.0, 14.0),
    Channel(_input("heater_duty", "%", 25, 0, 100, dtype=_U16, scale=0.1), 0.3, 0.3, 0.0, 20.0),
    Channel(Tag("running", "", ModbusAddress(UNIT_ID, Table.COIL, 3), Dtype.BIT, low=0, high=1)),
)


def _cycle(product: int, damages: Sequence[float], luck: Sequence[float], viscosity: float) -> _Stroke:
    """Return what a cycle of a product latches; `damages` are those of `_WEARS`. Plain floats are fast one by one."""
    leak, stiction, fouling = damages
    pressure, hold_s = _PEAK_BAR.item(product), _HOLD_S.item(product)
    overshoot = stiction * (0.08 + 0.04 * luck[0])
    peak = pressure * (1.0 + 0.003 * luck[0] + overshoot)
    rise_s = (
        1.1
        * pressure
        / 175.0
        * viscosity**0.15
        * (1.0 + 0.01 * luck[1] + 0.25 * fouling + 0.15 * leak + stiction * (0.5 + 0.15 * abs(luck[1])))
    )
    decay = 0.0014 * peak * hold_s * viscosity**-0.5 * (1.0 + 4.0 * leak) * (1.0 + 0.03 * luck[2])
    stroke = _STROKE_MM.item(product) + (0.15 + 1.5 * stiction) * luck[3]
    moves_s = stroke / 120.0 + stroke / 160.0 + 1.5 * stiction
    return peak, rise_s, decay, stroke, moves_s + rise_s + hold_s + _LOAD_S + 0.25 * abs(luck[4])


_WEARS = ("seal_leak", "valve_stiction", "filter_fouling")
"""What changes a cycle."""


def _cycles(block: Block, viscosity: Floats) -> tuple[Floats, Floats]:
    """Return the latched values [T, 5] and the phase of the running cycle, 0 to 1, or -1 between cycles: [T].

    A value appears when its cycle ends, as a PLC latches it, and stays until the next one does.
    """
    count, first_s = len(block.time_s), float(block.time_s[0])
    luck = np.clip(block.rng.standard_normal((400, 5)), -3.0, 3.0).tolist()
    damages = np.column_stack([block.damage(kind) for kind in _WEARS])
    usual = _cycle(int(block.product[0]), damages[0].tolist(), [0.0] * 5, viscosity.item(0))
    shown, pending = (block.memory.recall(name, np.array(usual)).tolist() for name in ("shown", "pending"))
    begin, end = (block.memory.recall("cycle", np.array([-1.0, -1.0])) - first_s).tolist()
    rows: list[int] = []  # of each cycle and, after it, of each pause, which may have none
    values: list[Sequence[float]] = []
    spans: list[tuple[float, float]] = []
    second = made = 0
    while second < count:
        stop = min(count, max(second, math.ceil(end)))
        idle = 0
        if stop < count and not block.running[stop]:
            ahead = block.running[stop:]
            idle = int(ahead.argmax()) if ahead.any() else count - stop
        rows += stop - second, idle
        values += shown, pending
        spans.append((begin, max(end - begin, 1.0)))
        if stop == count:
            break
        shown = pending
        second = stop + idle
        if second < count:
            pending = _cycle(
                int(block.product[second]), damages[second].tolist(), luck[made], viscosity.item(second)
            )
            begin, end, made = float(second), second + pending[4], made + 1
    block.memory.keep("shown", np.array(shown))
    block.memory.keep("pending", np.array(pending))
    block.memory.keep("cycle", np.array([begin, end]) + first_s)
    of_stretch = np.repeat(np.arange(len(rows)), rows)
    begins, lengths_s = np.array(spans).T
    cycle = of_stretch // 2
    phase = (np.arange(count) - begins[cycle]) / lengths_s[cycle]
    phase[of_stretch % 2 == 1] = -1.0
    return np.array(values)[of_stretch], phase


def _platen(block: Block, strokes_per_min: Floats) -> tuple[Floats, Floats]:
    """Return platen temperature, degC, and heater duty, %, each [T]; an aged one runs longer."""
    wanted = np.where(
        block.memory.lag("heating", block.running * 1.0, 900.0) > 0.02,
        _PLATEN_DEGC[block.product],
        _STANDBY_DEGC,
    )
    ramp = block.memory.lag("platen", wanted, 600.0)
    rating = 1.0 - 0.6 * block.damage("heater_ageing")
    needed = _HEAT_LOSS * (ramp - block.ambient) + _HEAT_STORED * (wanted - ramp) / 600.0
    needed = np.maximum(needed + _HEAT_PER_STROKE * strokes_per_min, 0.0) / rating
    shortage = np.maximum(needed - 100.0, 0.0) * rating / _HEAT_LOSS
    return ramp - block.memory.lag("shortage", shortage, 1500.0), np.minimum(needed, 100.0)


def _drawn(phase: Floats) -> Floats:
    """Return how far the accumulator is drawn down, 0 to 1 [T]: fast while the ram closes, then less."""
    filling = np.clip(1.0 - (phase - 0.2) / 0.5, 0.0, 1.0)
    return np.where(phase < 0.0, 0.0, np.where(phase < 0.2, phase / 0.2, filling))


def _simulate(block: Block) -> Mapping[str, Floats]:
    memory, product = block.memory, block.product
    wear, leak, fouling = (block.damage(kind) for kind in ("bearing_wear", "seal_leak", "filter_fouling"))
    on = memory.lag("on", block.running * 1.0, 4.0)
    cycle_s = _STROKE_MM[product] * (1 / 120.0 + 1 / 160.0) + _HOLD_S[product] + _LOAD_S + 1.3
    pace = on * (1.0 + 0.015 * block.wander("pace", 600.0))
    work = pace * _PEAK_BAR[product] * _STROKE_MM[product] / 1000.0 / cycle_s  # bar m/s, about 1.2
    oil = memory.lag("oil", block.ambient + 9.0 * on + 15.0 * work + 5.0 * on * leak, 2400.0)
    viscosity = np.exp(-0.028 * (oil - 45.0))
    latched, phase = _cycles(block, viscosity)
    drawn = _drawn(phase)
    power = on * 24.0 + 20.0 * work * (1.0 + 0.25 * fouling) + on * (6.0 * wear + 9.0 * leak)
    current = memory.lag("current", power + 14.0 * on * (drawn - 0.35), 12.0)
    oil_flow = memory.lag("oil_flow", on * 0.4 + 0.6 * work * 175.0 / _PEAK_BAR[product], 20.0)
    strokes_per_min = memory.lag("strokes", 60.0 * pace / cycle_s, 60.0)
    platen, duty = _platen(block, strokes_per_min)
    shake = np.exp(0.05 * block.wander("mounting", 20.0) + 0.03 * block.noise())
    vibration = 0.05 + (0.9 * on + 0.02 * current + 4.5 * wear * on) * shake
    sag = (16.0 + 0.13 * _STROKE_MM[product]) * (1.0 + 0.2 * leak) * drawn
    charge = 236.0 + 0.45 * (oil - 45.0) - 22.0 * leak * on
    return {
        "ambient_temperature": block.ambient,
        "oil_temperature": oil,
        **dict(zip(_LATCHED, latched.T, strict=True)),
        "accumulator_pressure": charge - memory.lag("sag", sag, 3.0),
        "motor_current": current,
        "filter_dp": 1.1 * viscosity**0.6 * oil_flow * (1.0 + 4.0 * fouling),
        "pump_temperature": memory.lag("pump", oil + 5.0 * on + 0.22 * current + 26.0 * wear * on, 800.0),
        "vibration": vibration,
        "platen_temperature": platen,
        "heater_duty": duty,
        "running": block.running.astype(np.float64),
    }


PRESS = Machine(
    "press",
    2,
    _CHANNELS,
    Shifts(hours=((0.0, 8.0), (8.3, 16.0)), products=4, hold_h=(0.8, 1.9), changeover_s=300),
    _simulate,
    symptoms=(
        "filter_dp",
        "hold_decay",
        "rise_time",
        "vibration",
        "heater_duty",
        "pump_temperature",
    ),
)
