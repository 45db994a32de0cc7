"""The PLC as other kinds of Modbus device, read by the connector, which shares no code with it, and by pymodbus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.clock import SystemClock
from connectors.frame import BAD_TIMEOUT, GOOD, ModbusAddress, Tag
from connectors.link import Link
from connectors.modbus.connector import supervise
from connectors.modbus.endpoint import Framing, ModbusEndpoint, SerialLine, Tls
from simulators.__main__ import main
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc
from simulators.plant import MACHINES, Plant
from simulators.traits import Traits
from simulators.wire import Symptom
from tests.connectors import certificates

TAGS = MACHINES["pump"].tags
ROW = Plant("pump", 1).rows(0, 1)[0]
FAST = {"timeout_ms": 400, "max_requests_per_s": 1000.0, "min_gap_ms": 0.0}


def run(main: object) -> None:
    asyncio.run(asyncio.wait_for(main, 30))  # type: ignore[arg-type]


@asynccontextmanager
async def plc_with(traits: Traits) -> AsyncIterator[ModbusPlc]:
    plc = ModbusPlc(TAGS, traits=traits)
    try:
        await plc.start()
        await plc.show(ROW, EPOCH_NS)
        yield plc
    finally:
        await plc.stop()


def linked(where: ModbusEndpoint, tags: tuple[Tag, ...] = TAGS) -> Link:
    return supervise(where, tags, SystemClock())


def of_unit(unit_id: int) -> tuple[Tag, ...]:
    return tuple(replace(tag, address=replace(tag.address, unit_id=unit_id)) for tag in TAGS  # type: ignore[type-var]
                 if isinstance(tag.address, ModbusAddress))


async def shows_the_row(where: ModbusEndpoint) -> None:
    link = linked(where)
    frame = await link.read()
    await link.close()
    assert frame.status.tolist() == [[GOOD] * len(TAGS)], link.health.error
    np.testing.assert_allclose(frame.values[0], ROW, rtol=1e-3, atol=0.06)


@pytest.mark.parametrize("kind", ["tcp", "rtu", "ascii", "serial rtu", "serial ascii", "tls"])
def test_the_same_plc_by_every_wire(kind: str, tmp_path: Path) -> None:
    async def play() -> None:
        framing = Framing(kind.rsplit(maxsplit=1)[-1]) if kind != "tls" else Framing.TCP
        if kind == "tls":
            files = certificates.write(tmp_path, "plc")
            async with plc_with(Traits(certificate=files)) as plc:
                await shows_the_row(ModbusEndpoint("127.0.0.1", plc.port, **FAST, tls=Tls(files[0], "plc")))
        elif kind.startswith("serial"):
            async with plc_with(Traits(framing.value, tmp_path / "line")) as plc:
                assert plc.address == str(tmp_path / "line")
                line = SerialLine(plc.address, parity="N")
                await shows_the_row(ModbusEndpoint(line=line, framing=framing, **FAST))
            assert not (tmp_path / "line").is_symlink()
        else:
            async with plc_with(Traits(framing.value)) as plc:
                await shows_the_row(ModbusEndpoint("127.0.0.1", plc.port, framing=framing, **FAST))

    run(play())


@pytest.mark.parametrize("framing", Framing)
def test_units_live_or_are_dead(framing: Framing) -> None:
    async def play() -> None:
        async with plc_with(Traits(framing.value, units=(1, 5), dead_units=(7,))) as plc:
            where = ModbusEndpoint("127.0.0.1", plc.port, framing=framing, **FAST)
            link = linked(where, of_unit(1) + of_unit(5) + of_unit(7))
            status = (await link.read()).status[0]
            await link.close()
            n = len(TAGS)
            assert status.tolist() == [GOOD] * (2 * n) + [BAD_TIMEOUT] * n

    run(play())


@pytest.mark.parametrize("framing", Framing)
def test_symptoms_are_the_same_by_every_framing(framing: Framing) -> None:
    async def play() -> None:
        async with plc_with(Traits(framing.value)) as plc:
            for symptom, argument in ((Symptom.WRONG_UNIT, 0), (Symptom.TIMEOUT, 0), (Symptom.EXCEPTION, 4)):
                await plc.inject(symptom, argument)
                where = ModbusEndpoint("127.0.0.1", plc.port, framing=framing, **FAST | {"timeout_ms": 60})
                link = linked(where)
                assert (await link.read()).status.all(), symptom
                await link.close()

    run(play())


def test_a_slow_a_narrow_and_a_jealous_device() -> None:
    async def play() -> None:
        async with plc_with(Traits(reply_delay_ms=150)) as plc:
            hasty = linked(ModbusEndpoint("127.0.0.1", plc.port, **FAST | {"timeout_ms": 50}))
            assert (await hasty.read()).status.all(), "slower than the time-out"
            await hasty.close()
            patient = linked(ModbusEndpoint("127.0.0.1", plc.port, **FAST))
            assert (await patient.read()).status.tolist() == [[GOOD] * len(TAGS)]
            await patient.close()
        async with plc_with(Traits(max_registers=2, single_master=True)) as plc:
            where = ModbusEndpoint("127.0.0.1", plc.port, max_registers=2, **FAST)
            first, second = linked(where), linked(where)
            assert (await first.read()).status.tolist() == [[GOOD] * len(TAGS)]
            assert (await second.read()).status.all(), "one at a time"
            assert "dropped the connection" in second.health.error
            await second.close()
            await first.close()
        async with plc_with(Traits(max_registers=2)) as plc:
            wide = linked(ModbusEndpoint("127.0.0.1", plc.port, **FAST))
            assert (await wide.read()).status.any(), "what is refused is found out by halves, over some reads"
            await wide.close()

    run(play())


@pytest.mark.parametrize(("options", "problem"), [
    (["--modbus-framing", "rtu", "--modbus-tls", "a", "b"], "TLS carries Modbus TCP"),
    (["--modbus-serial", "/tmp/x"], "add --modbus-framing rtu"),
    (["--units", "1,300"], "0 to 255"),
    (["--units", "1", "--dead-units", "1"], "not both"),
    (["--max-registers", "0"], "1 to 125"),
    (["--modbus-tls", "/nowhere.pem", "/nowhere.key"], "No such file"),
])
def test_a_device_that_cannot_be_is_refused_with_a_reason(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pump", "--modbus", "0", *options]) == 2
    assert problem in capsys.readouterr().err
