"""What to do about a tag that gives nothing, or nonsense, in the words of the configuration. Pure."""

from __future__ import annotations

import numpy as np

from connectors.frame import (
    BAD_CONFIGURATION_ERROR,
    BAD_DATA_LOST,
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TIMEOUT,
    BAD_TYPE_MISMATCH,
    Dtype,
    ModbusAddress,
    Tag,
    is_bad,
    status_name,
)

_FLOATS = (Dtype.FLOAT32, Dtype.FLOAT64)
_INTEGERS = (Dtype.INT32, Dtype.UINT32, Dtype.INT64, Dtype.UINT64)
SMALLEST_SHARE = 1e-6
"""No transmitter can tell so little from zero, but a number with swapped words is often smaller still."""
LARGEST = 1e15
"""No machine has so much of anything, but a number with swapped words often is larger still."""
WORD = 65_536
"""A small whole number with swapped words is a multiple of it."""


def remedy_for(status: int, tag: Tag) -> str:
    """Say what to do about a status; empty where it is not bad."""
    if not is_bad(np.array([status], np.uint32))[0]:
        return ""
    if status == BAD_DATA_LOST:
        return "the counter began anew: the device was restarted, or somebody reset it; what it had counted is lost"
    if status == BAD_OUT_OF_RANGE and tag.counter:
        return "the counter went back, or on faster than it can: check its address, rollover, high and scale"
    if isinstance(tag.address, ModbusAddress):
        return _for_modbus(status, tag, tag.address) or _for_any(status)
    return _for_opcua(status, tag) or _for_any(status)


def doubt(value: float, tag: Tag) -> str:
    """Say why a value that came well is hardly a measurement; empty where there is no reason to doubt it."""
    if not _has_order(tag):
        return ""
    range_width = max((abs(limit) for limit in (tag.low, tag.high) if np.isfinite(limit)), default=1.0)
    read = value - tag.offset
    if tag.dtype in _FLOATS and 0 < abs(read) < SMALLEST_SHARE * range_width:
        why = f"nearer to zero than a sensor{_range(tag)} can tell"
    elif tag.dtype in _FLOATS and abs(read) > LARGEST * max(1.0, range_width):
        why = "more than any machine has"
    elif tag.dtype in (Dtype.INT32, Dtype.UINT32) and (raw := round(read / tag.scale)) and raw % WORD == 0:
        why = f"a multiple of {WORD} before scale and offset"
    else:
        return ""
    return f"{value:.6g} {tag.unit} is {why}: {_order(tag)}check dtype and register"


def _for_modbus(status: int, tag: Tag, address: ModbusAddress) -> str:
    match status:
        case _ if status == BAD_OUT_OF_RANGE:
            return (
                f"{_impossible(tag)}: {_order(tag)}check register, dtype, scale and offset, then low and high"
            )
        case _ if status == BAD_NODE_ID_UNKNOWN:
            return (
                f"the device has no {address.table.value} {address.register}: check table and register "
                "(counted from 0; a manual's 30001 or 40001 is 0)"
            )
        case _ if status == BAD_TIMEOUT:
            return f"unit {address.unit_id} does not answer: check unit_id, and timeout_ms of the connection"
        case _ if status == BAD_NO_COMMUNICATION:
            return f"the gateway knows no way to unit {address.unit_id}: check unit_id"
        case _ if status == BAD_DECODING_ERROR:
            return f"what came is no number: {_order(tag)}check dtype and register"
        case _ if status == BAD_TYPE_MISMATCH:
            known = ", ".join(text for text, _ in tag.texts)
            return f"the text is none of {known}: add it to texts, or check register, length and order"
        case _ if status == BAD_SENSOR_FAILURE:
            return "the device gives one of the numbers in invalid, which mean no value: look at the sensor"
        case _ if status == BAD_CONFIGURATION_ERROR:
            return (
                f"the device refuses to read its {address.table.value} table there: check table and register"
            )
    return ""


def _for_opcua(status: int, tag: Tag) -> str:
    match status:
        case _ if status == BAD_OUT_OF_RANGE:
            return f"{_impossible(tag)}: check node, scale and offset, then low and high"
        case _ if status == BAD_NODE_ID_UNKNOWN:
            return f"the server has no node {tag.address}: check namespace URI and identifier"
    return ""


def _for_any(status: int) -> str:
    if status == BAD_TYPE_MISMATCH:
        return "the value is not a number: choose another node"
    return f"the device reports {status_name(status)}: look at the device"


def _has_order(tag: Tag) -> bool:
    """Whether a value comes in several registers, whose order a person can get wrong."""
    return isinstance(tag.address, ModbusAddress) and tag.dtype in (*_FLOATS, *_INTEGERS)


def _order(tag: Tag) -> str:
    """Begin a remedy with the byte order where that is the likely mistake."""
    if not _has_order(tag):
        return ""
    assert isinstance(tag.address, ModbusAddress)
    return f'the byte or word order may be wrong, try another than order = "{tag.address.order}"; else '


def _impossible(tag: Tag) -> str:
    return f"the value cannot be{_range(tag, ' (', ' is allowed)')}"


def _range(tag: Tag, before: str = " of ", after: str = "") -> str:
    """Return the range of the sensor; empty where the configuration gives none."""
    if not np.isfinite([tag.low, tag.high]).any():
        return ""
    return f"{before}{tag.low:g} to {tag.high:g} {tag.unit}{after}"
