"""A pump skid: a tank, a centrifugal pump on a frequency converter, a filter and a control valve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from simulators.machine import UNIT_ID, Block, Channel, Floats, Machine, Shifts

_SPEED_RPM = np.array([1480.0, 1790.0, 2120.0, 2480.0])
_VALVE_PERCENT = np.array([66.0, 52.0, 74.0, 60.0])
_FULL_SPEED_RPM = 2900.0

_SHUTOFF_BAR = 9.0  # head at full speed without flow
_HEAD_LOSS = 3.0e-4  # bar per (m3/h)^2, of the pump itself, and so on down the line
_SUCTION_LOSS = 3.0e-5
_PIPE_LOSS = 1.0e-4
_FILTER_LOSS = 8.0e-5
_VALVE_LOSS = 2.3e-4  # wide open
_STATIC_BAR = 0.9  # tank blanket and lift against the header
_BLANKET_BAR = 0.5
_BEST_FLOW_M3H = 85.0  # best efficiency point at full speed


def _input(register: int, dtype: Dtype, order: str = "ABCD") -> tuple[ModbusAddress, Dtype]:
    return ModbusAddress(UNIT_ID, Table.INPUT_REGISTER, register, order), dtype


def _tag(
    name: str, unit: str, where: tuple[ModbusAddress, Dtype], low: float, high: float, scale: float = 1.0
) -> Tag:
    return Tag(name, unit, where[0], where[1], scale, 0.0, low, high)


_F32, _I16, _U16 = Dtype.FLOAT32, Dtype.INT16, Dtype.UINT16
_COMMAND = ModbusAddress(UNIT_ID, Table.HOLDING_REGISTER, 4), Dtype.UINT16
_RUNNING = ModbusAddress(UNIT_ID, Table.COIL, 0), Dtype.BIT

_CHANNELS = (
    Channel(_tag("ambient_temperature", "degC", _input(0, _I16), -20, 60, 0.1), 0.05, 0.05, 0.0, 8.0),
    Channel(_tag("tank_level", "%", _input(1, _U16), 0, 100, 0.01), 0.15, 0.1, 0.0, 15.0),
    Channel(_tag("valve_command", "%", _COMMAND, 0, 100, 0.1), 0.0, 0.0, 0.0, 10.0),
    Channel(_tag("valve_position", "%", _input(2, _U16), 0, 100, 0.1), 0.08, 0.05, 0.0, 10.0),
    Channel(_tag("speed", "rpm", _input(3, _U16), 0, 3600), 1.0, 0.8, 0.0, 150.0),
    Channel(_tag("flow", "m3/h", _input(8, _F32), 0, 150), 0.25, 0.15, 0.01, 8.0),
    Channel(_tag("suction_pressure", "bar", _input(10, _F32), -1, 3), 0.004, 0.003, 0.001, 0.2),
    Channel(_tag("discharge_pressure", "bar", _input(12, _F32), 0, 25), 0.012, 0.008, 0.002, 0.7),
    Channel(_tag("filter_dp", "bar", _input(14, _F32), 0, 4), 0.004, 0.003, 0.001, 0.25),
    Channel(_tag("seal_pressure", "bar", _input(16, _F32), 0, 10), 0.008, 0.006, 0.002, 0.5),
    Channel(_tag("motor_current", "A", _input(20, _F32, "CDAB"), 0, 63), 0.12, 0.1, 0.01, 4.0),
    Channel(_tag("bearing_de_temperature", "degC", _input(24, _I16), -20, 180, 0.1), 0.08, 0.08, 0.0, 15.0),
    Channel(_tag("bearing_nde_temperature", "degC", _input(25, _I16), -20, 180, 0.1), 0.08, 0.08, 0.0, 15.0),
    Channel(_tag("winding_temperature", "degC", _input(26, _I16), -20, 220, 0.1), 0.1, 0.1, 0.0, 20.0),
    Channel(_tag("vibration", "mm/s", _input(30, _F32), 0, 50), 0.02, 0.0, 0.01, 2.5),
    Channel(Tag("running", "", *_RUNNING, low=0, high=1)),
)


def _valve(block: Block, target: Floats) -> tuple[Floats, Floats]:
    """Return command and stem position, % [T]: an integrating controller on a stem that sticks, then slips.

    The stem moves once the command is further away than the stick band, and then jumps most of the way: the
    data-driven model of Choudhury et al. (Control Engineering Practice 13, 2005), simplified.
    """
    band = 0.05 + 16.0 * block.damage("valve_stiction")
    command, stem = (float(x) for x in block.memory.recall("valve", np.array([target[0], target[0]])))
    commands, stems = [], []
    for wanted, width in zip(target.tolist(), band.tolist(), strict=True):
        command += 0.08 * (wanted - stem)
        if not 0.0 <= command <= 100.0:
            command = 0.0 if command < 0.0 else 100.0
        if not -width <= command - stem <= width:
            stem = command - (0.3 * width if command > stem else -0.3 * width)
        commands.append(command)
        stems.append(stem)
    block.memory.keep("valve", np.array([command, stem]))
    return np.array(commands), np.array(stems)


def _hydraulics(
    block: Block, speed: Floats, stem: Floats, level: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return flow [m3/h], suction, discharge and filter differential pressure [bar], each [T].

    Pump curve with the affinity laws, H = H0 n^2 - a Q^2, against a system curve in Q^2; closed form for Q.
    """
    cavitation = block.damage("cavitation")
    bubbles = cavitation * (1.0 + 0.5 * block.wander("bubbles", 3.0))
    shutoff = _SHUTOFF_BAR * (speed / _FULL_SPEED_RPM) ** 2 * (1.0 - 0.12 * np.clip(bubbles, 0.0, 2.0))
    head = _BLANKET_BAR + 0.0035 * level
    suction_loss = _SUCTION_LOSS * (1.0 + 7.0 * cavitation)
    filter_loss = _FILTER_LOSS * (1.0 + 6.0 * block.damage("filter_fouling"))
    valve_loss = _VALVE_LOSS / np.maximum(stem / 100.0, 0.05) ** 2
    losses = _HEAD_LOSS + suction_loss + filter_loss + _PIPE_LOSS + valve_loss
    squared = np.maximum(shutoff + head - _STATIC_BAR, 0.0) / losses
    squared *= (1.0 + 0.004 * block.wander("turbulence", 6.0)) ** 2
    suction = np.maximum(head - suction_loss * squared, -0.95)
    discharge = np.maximum(suction + shutoff - _HEAD_LOSS * squared, 0.0)
    return np.sqrt(squared), suction, discharge, filter_loss * squared


def _shaft_kw(block: Block, ratio: Floats, flow: Floats, head: Floats) -> Floats:
    """Return the power at the shaft, kW [T]: hydraulic power over efficiency, and bearing friction."""
    off_best = flow / (_BEST_FLOW_M3H * np.maximum(ratio, 0.05)) - 1.0
    efficiency = 0.74 * np.maximum(1.0 - 0.6 * off_best**2, 0.3)
    return flow * head / 36.0 / efficiency + ratio * (0.35 + 0.9 * block.damage("bearing_wear"))


def _vibration(block: Block, ratio: Floats, flow: Floats) -> Floats:
    """Return vibration, mm/s RMS [T] (ISO 20816-3: zone C begins at 4.5 for this class, zone D at 7.1)."""
    off_best = flow / (_BEST_FLOW_M3H * np.maximum(ratio, 0.05)) - 1.0
    wear, cavitation = block.damage("bearing_wear"), block.damage("cavitation")
    quiet = 0.6 + 1.6 * ratio**2 + 0.9 * np.abs(off_best)
    crackle = 1.0 + 0.3 * block.wander("crackle", 4.0)
    level = quiet + wear * (2.0 + 4.0 * ratio) + 4.5 * cavitation * np.maximum(crackle, 0.2)
    return (
        ratio / (ratio + 0.03) * level * np.exp(0.05 * block.wander("mounting", 20.0) + 0.03 * block.noise())
    )


def _simulate(block: Block) -> Mapping[str, Floats]:
    memory, wear = block.memory, block.damage("bearing_wear")
    speed = memory.lag("speed", _SPEED_RPM[block.product] * block.running, 8.0)
    speed = speed * (1.0 + 0.0006 * block.wander("slip", 10.0))
    demand = _VALVE_PERCENT[block.product] + 2.5 * block.wander("demand", 900.0)
    command, stem = _valve(block, memory.lag("valve_target", demand, 15.0))
    level = 60.0 + 9.0 * block.wander("level", 2400.0)
    flow, suction, discharge, filter_dp = _hydraulics(block, speed, stem, level)
    ratio = speed / _FULL_SPEED_RPM
    torque_current = 1.55 * _shaft_kw(block, ratio, flow, discharge - suction) / np.maximum(ratio, 0.05)
    current = ratio / (ratio + 0.01) * np.hypot(8.0, torque_current)
    ambient = block.ambient
    leak = 3.5 * block.damage("seal_leak")
    return {
        "ambient_temperature": ambient,
        "tank_level": level,
        "valve_command": command,
        "valve_position": stem,
        "speed": speed,
        "flow": np.maximum(flow - leak * np.sqrt(discharge / 5.0), 0.0),
        "suction_pressure": suction,
        "discharge_pressure": discharge,
        "filter_dp": filter_dp,
        "seal_pressure": suction + 1.6 - 1.9 * block.damage("seal_leak"),
        "motor_current": current,
        "bearing_de_temperature": memory.lag(
            "bearing_de", ambient + 14.0 * ratio + 0.35 * current + 42.0 * wear * ratio, 1000.0
        ),
        "bearing_nde_temperature": memory.lag(
            "bearing_nde", ambient + 11.0 * ratio + 0.25 * current + 6.0 * wear * ratio, 1000.0
        ),
        "winding_temperature": memory.lag(
            "winding", ambient + 0.055 * current**2 / (0.6 + 0.4 * ratio), 1300.0
        ),
        "vibration": _vibration(block, ratio, flow),
        "running": block.running.astype(np.float64),
    }


PUMP = Machine(
    "pump",
    1,
    _CHANNELS,
    Shifts(hours=((0.0, 20.0), (20.8, 24.0)), products=4, hold_h=(0.7, 2.2), changeover_s=0),
    _simulate,
    symptoms=(
        "filter_dp",
        "seal_pressure",
        "vibration",
        "bearing_de_temperature",
        "bearing_nde_temperature",
        "valve_command",
        "suction_pressure",
    ),
)
