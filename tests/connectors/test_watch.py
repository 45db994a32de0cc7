"""The decode prover at work: what it remembers, when it speaks, and what a running agent says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from connectors.frame import BAD_TIMEOUT, GOOD, Dtype, ModbusAddress, Table, Tag
from connectors.link import LoadGuard
from connectors.modbus.connector import ModbusConnector, supervise
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.plan import Block
from connectors.modbus.watch import SAMPLE_NS, Watch
from simulators.modbus import ModbusPlc
from tests.connectors.registers import image, watched
from tests.connectors.servers import ManualClock, run

SEED = 11
FREQUENCY = Tag("frequency", "Hz", ModbusAddress(1, Table.HOLDING_REGISTER, 2, "CDAB"), Dtype.FLOAT32)
SWAPPED = replace(FREQUENCY, address=replace(FREQUENCY.address, order="ABCD"))  # type: ignore[type-var]
STATE = Tag("state", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 5, length=2), Dtype.STRING, texts=(("RUN", 1.0),))


def hertz(n: int, seed: int = SEED) -> np.ndarray:
    return (50 + np.random.default_rng(seed).normal(0, 0.02, n))[:, None]


def test_a_wrong_order_is_found_and_a_right_one_is_not() -> None:
    words = image([FREQUENCY], hertz(100))
    assert watched([FREQUENCY], words).findings == {}
    (said,) = watched([SWAPPED], words).findings.values()
    assert said.startswith("as CDAB this is a smooth 49.9")


def test_a_change_of_meaning_is_told_and_its_end_too() -> None:
    before, after = image([FREQUENCY], hertz(300)), image([SWAPPED], hertz(300, SEED + 1))
    watch = watched([FREQUENCY], before)
    assert watch.findings == {}
    watched([FREQUENCY], after, watch, begin_s=300)
    (said,) = watch.findings.values()
    assert said.startswith("what its registers mean has changed: as ABCD this is a smooth ")
    watched([FREQUENCY], before, watch, begin_s=600)
    assert watch.findings == {}


def test_what_stands_still_what_did_not_come_and_what_comes_too_fast_is_not_kept() -> None:
    block = (Block(1, Table.HOLDING_REGISTER, 2, 2, (0,)),)
    words = image([FREQUENCY], hertz(200)).astype(">u2")[:, 2:4]
    fine, late = np.array([GOOD], np.uint32), np.array([BAD_TIMEOUT], np.uint32)
    still, silent, fast = Watch([SWAPPED]), Watch([SWAPPED]), Watch([SWAPPED])
    for second, row in enumerate(words):
        still.observe(block, (0,), words[0].tobytes(), fine, second * SAMPLE_NS)
        silent.observe(block, (0,), row.tobytes(), late, second * SAMPLE_NS)
        fast.observe(block, (0,), row.tobytes(), fine, second * SAMPLE_NS // 100)
    for watch in (still, silent, fast):
        watch.judge_all()
        assert watch.findings == {}


def test_a_wrong_order_of_all_tags_is_said_once() -> None:
    tags = [replace(SWAPPED, address=replace(SWAPPED.address, register=2 * i)) for i in range(30)]  # type: ignore[type-var]
    real = [replace(FREQUENCY, address=tag.address and replace(tag.address, order="CDAB")) for tag in tags]  # type: ignore[type-var]
    watch = watched(tags, image(real, np.concatenate([hertz(120, seed) for seed in range(30)], axis=1)))
    (one,) = watch.shared
    assert one.columns == tuple(range(30))
    assert one.text == 'the tags fit far better as CDAB: set order = "CDAB" for all of them'
    assert watch.findings == {}, "what is said of all is not said again of each"


@pytest.mark.parametrize("reconnects", [False, True])
def test_a_link_says_what_was_found_and_which_text_stands_for_nothing(reconnects: bool) -> None:
    async def main() -> None:
        plc, clock = ModbusPlc([FREQUENCY, STATE]), ManualClock()
        await plc.start()
        endpoint = ModbusEndpoint("127.0.0.1", plc.port, max_requests_per_s=1e9, min_gap_ms=0.0)
        link = supervise(endpoint, [SWAPPED, STATE], clock)
        try:
            for row in hertz(80):
                await plc.show(np.array([row[0], 1.0], np.float32), 0)
                await link.read()
                clock.advance_s(1.0)
            (note,) = link.health.notes
            assert note.startswith("frequency: as CDAB this is a smooth 49.9")
            await plc.show(np.array([50.0, 2.0], np.float32), 0)
            if reconnects:
                await plc.stop()
                await plc.start()
                await plc.show(np.array([50.0, 2.0], np.float32), 0)
                await link.read()
                clock.advance_s(60.0)
            await link.read()
            assert len(link.health.notes) >= 1, "a new connection remembers"
            if not reconnects:
                assert link.health.notes[1] == 'state: the text "" is none of RUN'
        finally:
            await link.close()
            await plc.stop()

    run(main)


def test_a_bare_connector_says_it_by_column() -> None:
    async def main() -> None:
        plc, clock = ModbusPlc([FREQUENCY]), ManualClock()
        await plc.start()
        endpoint = ModbusEndpoint("127.0.0.1", plc.port, max_requests_per_s=1e9, min_gap_ms=0.0)
        connector = ModbusConnector(endpoint, [SWAPPED], clock, LoadGuard(clock, 1e9, 0.0))
        connector.watch = Watch([SWAPPED], sample_ns=0)
        try:
            await connector.open()
            for row in hertz(12):
                await plc.show(row.astype(np.float32), 0)
                await connector.read()
            connector.watch.judge_all()
            assert list(connector.doubts) == [0]
        finally:
            await connector.close()
            await plc.stop()

    run(main)


TABLE = [Tag(f"t{i}", "bar", ModbusAddress(1, Table.INPUT_REGISTER, 4 + 2 * i), Dtype.FLOAT32, low=10.0 * i,
             high=10.0 * i + 200.0) for i in range(6)]
SCALED = Tag("p", "bar", ModbusAddress(1, Table.HOLDING_REGISTER, 2), Dtype.UINT16, 0.1, low=0.0, high=25.0)
MOVED = [replace(tag, address=ModbusAddress(1, Table.INPUT_REGISTER, 5 + 2 * i)) for i, tag in enumerate(TABLE)]
WITHIN_S = 180
"""What the docs say of small devices whose values change every second."""


def at(tag: Tag, register: int, order: str = "ABCD") -> Tag:
    return replace(tag, address=replace(tag.address, register=register, order=order))  # type: ignore[type-var]


@pytest.mark.parametrize(("before", "after", "says"), [
    (TABLE, MOVED,
     "unit 1 input_registers: what their registers mean has changed: the tags fit far better "),
    (TABLE, [at(tag, 4 + 2 * i, "CDAB") for i, tag in enumerate(TABLE)],
     "unit 1 input_registers: what their registers mean has changed: the tags fit far better as CDAB"),
    ([SCALED], [replace(SCALED, scale=0.001)],
     "p: what its registers mean has changed: with scale = 0.001 this is a smooth 1"),
])
def test_a_change_of_meaning_after_a_download_is_a_note_of_the_connection(
    before: list[Tag], after: list[Tag], says: str
) -> None:
    """The PLC stops, comes back with another register map, and the agent reads on as it did."""

    async def main() -> None:
        r, clock = np.random.default_rng(SEED), ManualClock()
        plc = ModbusPlc(before)
        await plc.start()
        endpoint = ModbusEndpoint("127.0.0.1", plc.port, max_requests_per_s=1e9, min_gap_ms=0.0)
        link = supervise(endpoint, before, clock)

        async def seconds(count: int, shown: ModbusPlc) -> None:
            for _ in range(count):
                rows = np.array([(tag.low + tag.high) / 2 + r.normal(0, 0.3) for tag in before], np.float32)
                await shown.show(rows, 0)
                await link.read()
                clock.advance_s(1.0)

        try:
            await seconds(WITHIN_S, plc)
            assert link.health.notes == link.health.about.changes == ()
            await plc.stop()
            await link.read()
            clock.advance_s(60.0)
            plc = ModbusPlc(after, port=plc.port)
            await plc.start()
            await seconds(WITHIN_S, plc)
            (note,) = link.health.notes
            assert note.startswith(says)
            assert link.health.about.changes == (note,)
            assert after is not MOVED or "one register higher" in note
        finally:
            await link.close()
            await plc.stop()

    run(main)
