from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.remedy import doubt, remedy_for
from connectors import frame
from connectors.frame import Dtype, ModbusAddress, NodeAddress, Table, Tag

FLOW = Tag("flow", "m3/h", ModbusAddress(7, Table.INPUT_REGISTER, 12), Dtype.FLOAT32, low=0, high=150)
SPEED = replace(FLOW, name="speed", dtype=Dtype.UINT16)
COUNT = replace(FLOW, name="count", unit="1", dtype=Dtype.UINT32, scale=0.1, low=-np.inf, high=np.inf)
METER = replace(COUNT, unit="kW", counter=True, low=0.0, high=500.0)
NODE = Tag("heat", "degC", NodeAddress("urn:example:press", "s=press.heat"), low=-20, high=150)


@pytest.mark.parametrize(
    ("status", "tag", "said"),
    [
        (
            frame.BAD_OUT_OF_RANGE,
            FLOW,
            "the value cannot be (0 to 150 m3/h is allowed): the byte or word order",
        ),
        (frame.BAD_OUT_OF_RANGE, FLOW, 'try another than order = "ABCD"; else check register, dtype, scale'),
        (
            frame.BAD_OUT_OF_RANGE,
            SPEED,
            "is allowed): check register, dtype, scale and offset, then low and high",
        ),
        (frame.BAD_OUT_OF_RANGE, COUNT, "the value cannot be: the byte or word order may be wrong"),
        (frame.BAD_OUT_OF_RANGE, NODE, "(-20 to 150 degC is allowed): check node, scale and offset"),
        (frame.BAD_OUT_OF_RANGE, METER, "on faster than it can: check its address, rollover, high and scale"),
        (frame.BAD_DATA_LOST, METER, "the counter began anew: the device was restarted"),
        (frame.BAD_NODE_ID_UNKNOWN, FLOW, "the device has no input_register 12: check table and register"),
        (frame.BAD_NODE_ID_UNKNOWN, NODE, "the server has no node nsu=urn:example:press;s=press.heat: check"),
        (frame.BAD_TIMEOUT, FLOW, "unit 7 does not answer: check unit_id"),
        (frame.BAD_NO_COMMUNICATION, FLOW, "the gateway knows no way to unit 7: check unit_id"),
        (frame.BAD_DECODING_ERROR, FLOW, "what came is no number: the byte or word order may be wrong"),
        (frame.BAD_CONFIGURATION_ERROR, FLOW, "refuses to read its input_register table"),
        (frame.BAD_TYPE_MISMATCH, NODE, "not a number: choose another node"),
        (frame.BAD_DEVICE_FAILURE, FLOW, "the device reports BadDeviceFailure: look at the device"),
        (frame.BAD_TIMEOUT, NODE, "the device reports BadTimeout"),
    ],
)
def test_a_bad_status_has_a_remedy_in_the_words_of_the_configuration(
    status: int, tag: Tag, said: str
) -> None:
    assert said in remedy_for(status, tag)


@pytest.mark.parametrize("status", [frame.GOOD, frame.UNCERTAIN])
def test_what_is_not_bad_needs_none(status: int) -> None:
    assert remedy_for(status, FLOW) == ""


@pytest.mark.parametrize(
    ("value", "tag", "said"),
    [
        (
            3.2e-12,
            FLOW,
            "3.2e-12 m3/h is nearer to zero than a sensor of 0 to 150 m3/h can tell: the byte or word",
        ),
        (
            -3.2e-12,
            replace(FLOW, offset=0.0, low=-np.inf, high=np.inf),
            "nearer to zero than a sensor can tell",
        ),
        (
            -4.9504e32,
            replace(FLOW, offset=0.0, low=-np.inf, high=np.inf),
            "-4.9504e+32 m3/h is more than any machine has: the byte or word order",
        ),
        (1500 * 65_536 * 0.1, COUNT, "a multiple of 65536 before scale and offset: the byte or word order"),
    ],
)
def test_a_number_with_swapped_words_is_doubted_also_where_it_is_possible(
    value: float, tag: Tag, said: str
) -> None:
    assert said in doubt(float(np.float32(value)), tag)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        (0.0, FLOW),
        (0.01, FLOW),
        (47.3, FLOW),
        (5e14, replace(FLOW, low=-np.inf, high=np.inf)),
        (0.0, COUNT),
        (6553.7, COUNT),
        (3.2e-12, NODE),
        (3.2e-12, replace(NODE, dtype=Dtype.FLOAT64)),
        (65_536.0, SPEED),
    ],
)
def test_a_measurement_is_not(value: float, tag: Tag) -> None:
    assert doubt(float(np.float32(value)), tag) == ""
