"""Complaints about what Modbus devices put up with and how they keep their values."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pymodbus.framer import FramerType

from connectors.frame import BAD_NO_DATA, Dtype, ModbusAddress, Tag, is_bad
from connectors.modbus import endpoint as endpoint_module
from connectors.modbus.connector import supervise
from connectors.modbus.endpoint import Framing
from simulators.serial import SerialLine
from tests.connectors.modbus_side import HOLDING, endpoint, plc_of, tag
from tests.connectors.servers import ManualClock, ModbusPlc, answer, modbus_server, run, scripted_server
from tests.scenarios.stage import all_good, open_files, read_until


def test_a_device_for_one_client_is_let_go_between_polls() -> None:
    """23: a device that serves one master is blocked for everybody else (telegraf#8225).

    Elsewhere: the connection is held open between polls, and SCADA is locked out.
    Here: with `close_after_poll` it is free after each read, and a second client gets its turn.
    """

    async def main() -> None:
        clock, busy, refused, ended = ManualClock(), False, 0, asyncio.Event()

        async def one_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal busy, refused
            if busy:
                refused += 1
                writer.transport.abort()
                return
            busy = True
            with suppress(OSError):
                while request := await reader.read(300):
                    writer.write(answer(request, bytes([3, 2, 0, 7])))
            busy = False
            ended.set()
            writer.close()

        server = await asyncio.start_server(one_at_a_time, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ours = supervise(endpoint(port, close_after_poll=True), [tag(HOLDING, 0)], clock)
        scada = supervise(endpoint(port, close_after_poll=True), [tag(HOLDING, 0)], clock)
        for _ in range(5):
            for link in (ours, scada):
                ended.clear()
                assert all_good(await link.read())
                await ended.wait()
            clock.advance_s(1)
        assert refused == 0
        await ours.close()
        await scada.close()
        server.close()

    run(main)


def test_bits_bytes_and_texts_of_one_request_are_told_apart() -> None:
    """27: single bits, one byte a BOOL, strings in another order than the floats beside them (telegraf#16117, #10266,
    #9062).

    Elsewhere: one type and one order for the whole request.
    Here: a bit, a field of bits, either byte, a text and a float of another order come out of one request.
    """

    async def main() -> None:
        at = ModbusAddress
        tags = [
            Tag("run", "1", at(1, HOLDING, 0, "AB", 3), Dtype.BIT),
            Tag("mode", "1", at(1, HOLDING, 0, "AB", 0, 3), Dtype.BIT),
            Tag("high", "1", at(1, HOLDING, 1), Dtype.UINT8_HIGH),
            Tag("low", "1", at(1, HOLDING, 1), Dtype.INT8_LOW),
            Tag("state", "1", at(1, HOLDING, 2, length=2), Dtype.STRING, texts=(("RUN", 1.0), ("STOP", 0.0))),
            Tag("speed", "rpm", at(1, HOLDING, 4, "CDAB"), Dtype.FLOAT32),
        ]
        plc = ModbusPlc()
        plc.put(HOLDING, 0, [0b1101, 0xC8FE, 0x5255, 0x4E00, 0x8000, 0x43FA])
        async with modbus_server({1: plc}) as port:
            link = supervise(endpoint(port), tags, ManualClock())
            frame = await link.read()
            assert frame.values[0].tolist() == [1.0, 5.0, 200.0, -2.0, 1.0, 501.0]
            assert link.health.requests == 2, "the connection and one read"
            await link.close()

    run(main)


def test_each_group_of_tags_has_its_own_pace_on_one_connection() -> None:
    """28: one poll rate for all registers of a device, or two masters that fight over one line (telegraf#13659, #7523,
    FUXA#1947).

    Elsewhere: a second plug-in instance with another interval, on the same serial port.
    Here: each tag has its `period_ms`; the groups share one connection, and a cell that was not due is BadNoData.
    """

    async def main() -> None:
        clock, asked = ManualClock(), {0: 0, 500: 0}

        def counting(request: bytes) -> bytes:
            asked[int.from_bytes(request[8:10], "big")] += 1
            return answer(request, bytes([3, 2, 0, 7]))

        tags = [replace(tag(HOLDING, 0), period_ms=1000), replace(tag(HOLDING, 500), period_ms=10_000)]
        async with scripted_server(counting) as port:
            link = supervise(endpoint(port), tags, clock)
            for second in range(60):
                frame = await link.read()
                assert not is_bad(frame.status[0, :1]).any()
                assert (frame.status[0, 1] == BAD_NO_DATA) == bool(second % 10)
                clock.advance_s(1)
            assert link.health.attempts == 1
            await link.close()
        assert asked == {0: 60, 500: 6}

    run(main)


def test_an_adapter_that_comes_back_as_another_device_is_opened_anew(tmp_path: Path) -> None:
    """29: an RS485 adapter that was plugged in again is not read (nymea#491, mqmgateway#9, foxess_modbus#925).

    Elsewhere: the dead file is held open, so the adapter gets another number, and the service waits for the old one.
    Here: the dead file is closed, and the name below /dev/serial/by-id is opened anew, whatever number it leads to.
    """

    async def main() -> None:
        clock, line = ManualClock(), SerialLine(tmp_path / "adapter")
        async with modbus_server({1: plc_of(4)}, framer=FramerType.RTU) as port:
            await line.plug("127.0.0.1", port)
            device = endpoint_module.SerialLine(str(line.path), parity="N")
            where = replace(endpoint(0), host="", line=device, framing=Framing.RTU, timeout_ms=500)
            link = supervise(where, [tag(HOLDING, 0)], clock)
            await read_until(link, clock, all_good)
            files = open_files()
            for _ in range(5):
                await line.unplug()
                clock.advance_s(2)
                assert is_bad((await link.read()).status).all()
                await line.plug("127.0.0.1", port)
                await read_until(link, clock, all_good)
            assert open_files() <= files + 1
            await link.close()
            await line.unplug()

    run(main)
