"""Modbus over every wire when things go wrong: noise, torn and foreign frames, late replies, adapters that vanish."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket, FramerType
from pymodbus.pdu import DecodePDU

from connectors import ConnectorError
from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_TIMEOUT,
    GOOD,
    Dtype,
    Table,
    is_bad,
)
from connectors.link import LinkState
from connectors.modbus import endpoint as endpoint_module
from connectors.modbus.connector import supervise
from connectors.modbus.decode import exception_status
from connectors.modbus.endpoint import Framing, ModbusEndpoint, Tls
from connectors.modbus.framing import frames
from connectors.modbus.plan import Block
from connectors.readonly import (
    WriteRefusedError,
    check_modbus_ascii,
    check_modbus_rtu,
    crc16,
    lrc,
)
from simulators.serial import SerialLine
from tests.connectors import certificates
from tests.connectors.modbus_side import COIL, HOLDING, connector, endpoint, plc_of, tag
from tests.connectors.servers import ManualClock, Script, modbus_server, run, scripted_server

FRAMERS = {Framing.TCP: FramerSocket, Framing.RTU: FramerRTU, Framing.ASCII: FramerAscii}
WITHOUT_NUMBER = (Framing.RTU, Framing.ASCII)
VALUE = bytes([3, 8]) + bytes(range(8))


def encode(framing: Framing, pdu: bytes, unit_id: int = 1, transaction: int = 0) -> bytes:
    """Frame a PDU as pymodbus does."""
    return FRAMERS[framing](DecodePDU(True)).encode(pdu, unit_id, transaction)


def transaction_of(framing: Framing, request: bytes) -> int:
    return int.from_bytes(request[:2], "big") if framing is Framing.TCP else 0


def asked(framing: Framing, request: bytes) -> tuple[int, int, int]:
    """Return unit id, start and count of a request."""
    if framing is Framing.ASCII:
        request = bytes.fromhex(request[1:-2].decode())
    at = 6 if framing is Framing.TCP else 0
    start, count = request[at + 2:at + 4], request[at + 4:at + 6]
    return request[at], int.from_bytes(start, "big"), int.from_bytes(count, "big")


def flipped(frame: bytes, at: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ 0x01]) + frame[at + 1:]


def whole(framing: Framing, pdu: bytes = VALUE, unit_id: int = 1) -> Callable[[bytes], bytes]:
    return lambda request: encode(framing, pdu, unit_id, transaction_of(framing, request))


HOSTILE: dict[str, Callable[[Framing], Script]] = {
    "silence": lambda f: lambda request: None,
    "another unit": lambda f: whole(f, unit_id=7),
    "another function": lambda f: whole(f, b"\x04" + VALUE[1:]),
    "a write's reply": lambda f: whole(f, bytes([6, 0, 0, 0, 1])),
    "an exception of another function": lambda f: whole(f, bytes([0x84, 2])),
    "fewer registers": lambda f: whole(f, bytes([3, 4]) + bytes(4)),
    "more registers": lambda f: whole(f, bytes([3, 20]) + bytes(20)),
    "a count that lies": lambda f: whole(f, bytes([3, 8]) + bytes(4)),
    "half a frame": lambda f: lambda request: whole(f)(request)[:-9],
    "no end": lambda f: lambda request: whole(f)(request)[:-1],
    "no beginning": lambda f: lambda request: whole(f)(request)[1:],
    "its own request": lambda f: lambda request: request,
    "noise": lambda f: lambda request: random.Random(3).randbytes(300),
    "a flood": lambda f: lambda request: bytes([1]) * 500_000,
    "colons": lambda f: lambda request: b":" * 5000 + b"\r\n",
}
WRONG_CHECK: dict[str, Callable[[Framing], Script]] = {
    "a bit of the data is wrong": lambda f: lambda request: flipped(whole(f)(request), 8),
    "a bit of the check is wrong": lambda f: lambda r: flipped(whole(f)(r), -4 if f is Framing.ASCII else -1),
    "an exception whose check is wrong": lambda f: lambda request: flipped(whole(f, b"\x83\x02")(request), 3),
}


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", [*HOSTILE, *WRONG_CHECK])
def test_what_is_not_the_answer_is_never_a_value(name: str, framing: Framing) -> None:
    if name in WRONG_CHECK and framing is Framing.TCP:
        pytest.skip("Modbus TCP has no check of its own")

    async def main() -> None:
        tags = [tag(HOLDING, i) for i in range(4)]
        async with scripted_server((HOSTILE | WRONG_CHECK)[name](framing)) as port:
            link = supervise(endpoint(port, timeout_ms=40, framing=framing), tags, ManualClock())
            frame = await link.read()
            assert np.isnan(frame.values).all()
            assert is_bad(frame.status).all()
            await link.close()

    run(main)


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("code", range(1, 12))
def test_every_exception_code_is_a_status(code: int, framing: Framing) -> None:
    async def main() -> None:
        async with scripted_server(whole(framing, bytes([0x83, code]))) as port:
            road = connector(port, [tag(HOLDING, 5)], ManualClock(), framing=framing)
            await road.open()
            frame = await road.read()
            assert frame.status.tolist() == [[exception_status(code)]]
            assert is_bad(frame.status).all()
            await road.close()

    run(main)


@pytest.mark.parametrize("framing", WITHOUT_NUMBER)
def test_noise_around_an_answer_does_not_hide_it(framing: Framing) -> None:
    def script(request: bytes) -> bytes:
        foreign = encode(framing, VALUE, 7)
        return b"\x01\x03\xff" + foreign + whole(framing)(request)[:5] + whole(framing)(request) + b"\x00\xff"

    async def main() -> None:
        async with scripted_server(script) as port:
            road = connector(port, [tag(HOLDING, i) for i in range(4)], ManualClock(), framing=framing)
            await road.open()
            assert (await road.read()).values.tolist() == [[0x0001, 0x0203, 0x0405, 0x0607]]
            await road.close()

    run(main)


@pytest.mark.parametrize("framing", WITHOUT_NUMBER)
def test_an_answer_that_comes_byte_by_byte_is_put_together(framing: Framing) -> None:
    answer = Block(1, HOLDING, 0, 4, ())
    conversation = frames(framing)
    conversation.ask(answer)
    received = b""
    for byte in encode(framing, VALUE)[:-1]:
        reply, received = conversation.reply(received + bytes([byte]))
        assert reply is None
    reply, received = conversation.reply(received + encode(framing, VALUE)[-1:])
    assert reply is not None
    assert reply.data == VALUE[1:]


@given(st.integers(0, 255), st.integers(0, 65_535), st.integers(1, 125))
def test_requests_are_those_of_pymodbus_and_pass_the_filter(unit_id: int, start: int, count: int) -> None:
    pdu = b"\x03" + start.to_bytes(2, "big") + count.to_bytes(2, "big")
    for framing in Framing:
        frame = frames(framing).ask(Block(unit_id, HOLDING, start, count, ()))
        assert frame == encode(framing, pdu, unit_id, 1)
        frames(framing).check(frame)


@given(st.integers(0, 255), st.binary(min_size=1, max_size=20))
def test_nothing_but_whole_reads_passes_the_filter(unit_id: int, pdu: bytes) -> None:
    may = pdu[0] in (1, 2, 3, 4) and len(pdu) == 5
    body = bytes([unit_id]) + pdu
    for check, frame in (
        (check_modbus_rtu, body + crc16(body)),
        (check_modbus_ascii, b":" + (body + lrc(body)).hex().upper().encode() + b"\r\n"),
    ):
        if may:
            check(frame)
        else:
            with pytest.raises(WriteRefusedError):
                check(frame)
        # A CRC followed by 0 fits again what is before it, one byte longer: that may be a whole read.
        for broken in (frame[:-1], frame + b"\1", flipped(frame, len(frame) // 2), frame + frame):
            with pytest.raises(WriteRefusedError):
                check(broken)


LATE = [*((framing, seed) for framing in WITHOUT_NUMBER for seed in range(15, 21))]


@pytest.mark.parametrize(("framing", "seed"), LATE)
@pytest.mark.parametrize("width", [1, 3])
def test_late_replies_without_number_are_never_taken_for_another_answer(
    framing: Framing, seed: int, width: int
) -> None:
    """Replies come in order but late, in pairs, or with the next one; each register holds its own address."""
    chance = random.Random(seed)
    clock = ManualClock()
    pending: list[tuple[int, bytes]] = []
    registers = {base + i for base in (100, 200, 300) for i in range(width)}

    def script(request: bytes) -> bytes | None:
        unit_id, start, count = asked(framing, request)
        wanted = range(start, start + count)
        pdu = bytes([3, 2 * count]) + b"".join(register.to_bytes(2, "big") for register in wanted)
        pdu = pdu if registers.issuperset(wanted) else b"\x83\x02"
        pending.append((clock.monotonic_ns(), encode(framing, pdu, unit_id)))
        pending[:] = [(at, reply) for at, reply in pending if clock.monotonic_ns() - at < 9_000_000_000]
        count = chance.choice((0, 1, 1, len(pending), len(pending), len(pending)))
        given = [pending.pop(0)[1] for _ in range(min(count, len(pending)))]
        return b"".join(given) or None

    async def main() -> None:
        tags = [tag(HOLDING, register) for register in sorted(registers)]
        good = 0
        async with scripted_server(script) as port:
            link = supervise(endpoint(port, timeout_ms=5, framing=framing, max_gap_registers=0), tags, clock)
            for _ in range(60):
                frame = await link.read()
                for one, value, status in zip(tags, frame.values[0], frame.status[0], strict=True):
                    if status == GOOD:
                        good += 1
                        assert value == int(one.name.removeprefix("holding_register")), f"seed {seed}"
                clock.advance_s(chance.choice((0.5, 1, 3)))
            await link.close()
        assert good, "the device is usable all the same"

    run(main)


def test_a_dead_unit_does_not_cost_the_connection_of_the_others() -> None:
    def script(request: bytes) -> bytes | None:
        return None if request[0] == 1 else encode(Framing.RTU, bytes([3, 2, 0, 9]), request[0])

    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2, 3)]
        async with scripted_server(script) as port:
            link = supervise(endpoint(port, timeout_ms=200, framing=Framing.RTU), tags, clock)
            for _ in range(20):
                assert (await link.read()).status.tolist() == [[BAD_TIMEOUT, GOOD, GOOD]]
                clock.advance_s(1)
            assert link.health.attempts == 1
            assert link.health.requests < 20 * 2 + 10, "the dead unit is asked ever more rarely"
            assert "unit 1 does not answer" in link.health.notes[0]
            await link.close()

    run(main)


def descriptors_open() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("framing", WITHOUT_NUMBER)
def test_a_serial_adapter_may_vanish_and_come_back_under_another_number(framing: Framing, tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        framer = {Framing.RTU: FramerType.RTU, Framing.ASCII: FramerType.ASCII}[framing]
        line = SerialLine(tmp_path / "adapter")
        async with modbus_server({1: plc_of(4)}, framer=framer) as port:
            await line.plug("127.0.0.1", port)
            device = endpoint_module.SerialLine(str(line.path), parity="N")
            where = replace(endpoint(0), host="", line=device, framing=framing, timeout_ms=500)
            link = supervise(where, [tag(HOLDING, 0)], clock)
            for _ in range(3):
                while (await link.read()).status[0, 0] != GOOD:
                    clock.advance_s(1)
                before = descriptors_open()
                await line.unplug()
                clock.advance_s(2)
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
                assert link.health.state is LinkState.BACKING_OFF
                assert str(line.path) in link.health.error
                assert descriptors_open() < before, "the dead one was let go"
                await line.plug("127.0.0.1", port)
            await link.close()
            await line.unplug()

    run(main)


def test_a_serial_device_that_is_none_is_said_with_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        for device in (tmp_path / "missing", tmp_path):
            line = endpoint_module.SerialLine(str(device))
            where = ModbusEndpoint(line=line, framing=Framing.RTU)
            link = supervise(where, [tag(HOLDING, 0)], ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
            assert str(device) in link.health.error
            assert "plugged in" in link.health.error
            await link.close()

    run(main)


def test_tls_believes_the_named_certificate_and_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        plc, other, us = (certificates.write(tmp_path, name) for name in ("plc", "other", "us"))
        context = certificates.server_context(*plc, client_ca=us[0])
        async with modbus_server({1: plc_of(4)}, secured=context) as port:

            async def outcome(tls: Tls) -> str:
                where = replace(endpoint(port), timeout_ms=500, tls=tls)
                link = supervise(where, [tag(HOLDING, 0)], ManualClock())
                frame = await link.read()
                await link.close()
                return "" if frame.status[0, 0] == GOOD else link.health.error

            assert await outcome(Tls(plc[0], "plc", *us)) == ""
            assert "prove who it is" in await outcome(Tls(other[0], "plc", *us))
            assert "prove who it is" in await outcome(Tls(plc[0], "somebody", *us))
            assert "prove who it is" in await outcome(Tls(plc[0], None, *us)), "its name is not 127.0.0.1"
            assert await outcome(Tls(plc[0], "plc")), "the device asks for our certificate"
            assert "missing.pem" in await outcome(Tls(tmp_path / "missing.pem", "plc", *us))
            assert "plc.key" in await outcome(Tls(plc[1], "plc", *us)), "a key is no certificate"

    run(main)


def test_tls_is_not_spoken_to_a_device_in_the_clear(tmp_path: Path) -> None:
    async def main() -> None:
        certificate, _ = certificates.write(tmp_path, "plc")
        async with modbus_server({1: plc_of(4)}) as port:
            where = ModbusEndpoint("127.0.0.1", port, 300, tls=Tls(certificate, "plc"))
            link = supervise(where, [tag(HOLDING, 0)], ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
            await link.close()

    run(main)


def test_a_coil_block_over_each_framing() -> None:
    async def main() -> None:
        for framing, framer in ((Framing.RTU, FramerType.RTU), (Framing.ASCII, FramerType.ASCII)):
            plc = plc_of(4)
            plc.put(Table.COIL, 0, [1, 0, 1, 1, 0, 0, 1, 0, 1, 0])
            async with modbus_server({1: plc}, framer=framer) as port:
                tags = [tag(COIL, i, Dtype.BIT) for i in range(10)]
                road = connector(port, tags, ManualClock(), framing=framing)
                await road.open()
                assert (await road.read()).values.tolist() == [[1, 0, 1, 1, 0, 0, 1, 0, 1, 0]]
                await road.close()

    run(main)


def test_a_time_out_of_a_noisy_line_is_not_called_silence() -> None:
    async def main() -> None:
        async with scripted_server(lambda request: b"\x01\x03\x00" if request[0] == 1 else encode(
                Framing.RTU, bytes([3, 2, 0, 9]), request[0])) as port:
            tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2)]
            link = supervise(endpoint(port, timeout_ms=500, framing=Framing.RTU), tags, ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_DECODING_ERROR, GOOD]]
            await link.close()

    run(main)


def test_reading_is_refused_before_opening() -> None:
    async def main() -> None:
        road = connector(1, [tag(HOLDING, 0)], ManualClock(), framing=Framing.RTU)
        with pytest.raises(ConnectorError, match="is not connected"):
            await road.read()

    run(main)
