"""A conveyor line that carries parts past a machining spindle: belt and drive, spindle and motor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from simulators.machine import UNIT_ID, Block, Channel, Floats, Machine, Shifts

_BELT_M_S = np.array([0.35, 0.50, 0.42, 0.65])
_PART_KG = np.array([4.0, 2.5, 6.0, 1.5])
_PITCH_M = np.array([0.50, 0.40, 0.60, 0.50])
_SPINDLE_RPM = np.array([6000.0, 9000.0, 4500.0, 11000.0])
_CUT_PERCENT = np.array([42.0, 35.0, 55.0, 30.0])

_LENGTH_M = 12.0
_DRUM_M = 0.1  # radius
_GEAR = 20.0
_RPM_PER_M_S = _GEAR * 60.0 / (2.0 * np.pi * _DRUM_M)


def _tag(
    name: str,
    unit: str,
    register: int,
    low: float,
    high: float,
    dtype: Dtype = Dtype.FLOAT32,
    scale: float = 1.0,
    order: str = "ABCD",
    table: Table = Table.INPUT_REGISTER,
) -> Tag:
    return Tag(name, unit, ModbusAddress(UNIT_ID, table, register, order), dtype, scale, 0.0, low, high)


_I16, _U16 = Dtype.INT16, Dtype.UINT16

_CHANNELS = (
    Channel(_tag("ambient_temperature", "degC", 0, -20, 60, _I16, 0.1), 0.05, 0.05, 0.0, 8.0),
    Channel(_tag("cabinet_temperature", "degC", 1, -20, 90, _I16, 0.1), 0.08, 0.06, 0.0, 10.0),
    Channel(_tag("drive_speed", "rpm", 2, 0, 3000, _U16, 0.1), 0.4, 0.3, 0.0, 60.0),
    Channel(_tag("belt_speed", "m/s", 3, 0, 2, _U16, 0.001), 0.0012, 0.0008, 0.0, 0.05),
    Channel(_tag("belt_tension", "N", 8, 0, 3000), 5.0, 4.0, 0.5, 150.0),
    Channel(_tag("drive_current", "A", 10, 0, 32), 0.03, 0.02, 0.005, 0.8),
    Channel(_tag("drive_temperature", "degC", 16, -20, 130, _I16, 0.1), 0.1, 0.08, 0.0, 12.0),
    Channel(
        _tag("part_rate", "1/min", 40, 0, 300, _U16, 0.1, table=Table.HOLDING_REGISTER), 0.15, 0.1, 0.0, 6.0
    ),
    Channel(_tag("spindle_speed", "rpm", 20, 0, 15000, _U16), 3.0, 2.0, 0.0, 400.0),
    Channel(_tag("spindle_load", "%", 22, 0, 200), 0.4, 0.4, 0.05, 9.0),
    Channel(_tag("spindle_current", "A", 24, 0, 80, order="CDAB"), 0.08, 0.06, 0.01, 3.0),
    Channel(_tag("spindle_temperature", "degC", 28, -20, 150, _I16, 0.1), 0.1, 0.08, 0.0, 12.0),
    Channel(_tag("spindle_vibration", "mm/s", 30, 0, 50), 0.015, 0.0, 0.005, 1.5),
    Channel(Tag("running", "", ModbusAddress(UNIT_ID, Table.DISCRETE_INPUT, 0), Dtype.BIT, low=0, high=1)),
)


def _belt(block: Block) -> dict[str, Floats]:
    """Return drive and belt: an encoder on the tail drum sees what the drive's speed loses by slip."""
    memory, product = block.memory, block.product
    worn = block.damage("belt_slip")
    drive = memory.lag("drive", _BELT_M_S[product] * _RPM_PER_M_S * block.running, 3.0)
    drive = drive * (1.0 + 0.0008 * block.wander("ripple", 8.0))
    fed = 1.0 + 0.04 * block.wander("feed", 500.0)  # how densely parts are laid on the belt
    load = memory.lag(
        "load", _PART_KG[product] / _PITCH_M[product] * _LENGTH_M * fed / 100.0, 40.0
    )  # 0.36 to 1.2
    stick_slip = 1.0 + 0.4 * block.wander("stick_slip", 4.0)
    slip = 0.010 + 0.006 * load + 0.16 * worn * np.maximum(stick_slip, 0.0)
    belt = drive / _RPM_PER_M_S * (1.0 - slip)
    moving = drive / (drive + 5.0)
    torque = (
        moving * (2.6 + 3.0 * load + 0.8 * drive / 1000.0) * (1.0 - 0.18 * worn * np.maximum(stick_slip, 0.0))
    )
    return {
        "drive_speed": drive,
        "belt_speed": belt,
        "belt_tension": 820.0 + 190.0 * load * moving - 3.0 * (block.ambient - 22.0) - 340.0 * worn,
        "drive_current": moving * np.hypot(1.9, torque),
        "part_rate": memory.lag("part_rate", 60.0 * belt / _PITCH_M[product] * fed, 20.0),
    }


def _spindle(block: Block, part_rate: Floats) -> dict[str, Floats]:
    """Return the spindle: its cut depends on how many parts pass, its losses on speed and bearings."""
    memory, product = block.memory, block.product
    wear = block.damage("bearing_wear")
    speed = memory.lag("spindle", _SPINDLE_RPM[product] * block.running, 5.0)
    ratio = speed / 10_000.0
    turning = speed / (speed + 50.0)
    usual = 60.0 * _BELT_M_S[product] / _PITCH_M[product]
    cut = _CUT_PERCENT[product] * part_rate / usual * (1.0 + 0.02 * block.wander("material", 300.0))
    load = turning * (6.0 + 7.0 * ratio + memory.lag("cut", cut, 10.0) + wear * (5.0 + 9.0 * ratio))
    shake = np.exp(0.05 * block.wander("mounting", 20.0) + 0.03 * block.noise())
    quiet = 0.3 + 0.8 * ratio**1.5 + 0.006 * load
    return {
        "spindle_speed": speed * (1.0 - 0.00008 * load),
        "spindle_load": load,
        "spindle_current": turning * np.hypot(3.0, 0.36 * load),
        "spindle_temperature": memory.lag(
            "spindle_heat", block.ambient + 13.0 * ratio**1.3 + 0.28 * load + 34.0 * wear * turning, 900.0
        ),
        "spindle_vibration": turning * (quiet + wear * (1.5 + 3.0 * ratio)) * shake,
    }


def _simulate(block: Block) -> Mapping[str, Floats]:
    belt = _belt(block)
    spindle = _spindle(block, belt["part_rate"])
    heat = 1.1 * belt["drive_current"] + 0.18 * spindle["spindle_current"] + 2.0 * block.running
    stale_air = 1.0 + 1.6 * block.damage("filter_fouling")
    cabinet = block.memory.lag("cabinet", block.ambient + 0.55 * heat * stale_air, 1500.0)
    drive = block.memory.lag("drive_heat", 2.6 * belt["drive_current"] * stale_air, 700.0)
    return {
        "ambient_temperature": block.ambient,
        "cabinet_temperature": cabinet,
        **belt,
        "drive_temperature": cabinet + drive,
        **spindle,
        "running": block.running.astype(np.float64),
    }


CONVEYOR = Machine(
    "conveyor",
    3,
    _CHANNELS,
    Shifts(hours=((0.0, 7.8), (8.0, 15.8), (16.0, 23.8)), products=4, hold_h=(0.8, 2.0), changeover_s=180),
    _simulate,
    symptoms=(
        "spindle_vibration",
        "belt_tension",
        "drive_temperature",
        "spindle_temperature",
    ),
)
