from __future__ import annotations

import asyncio
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.api.app import create_app
from agent.line.alert import Acknowledge, AlarmState, Alert
from agent.replay import replay
from agent.server import ApiServer, ServerError, listen
from agent.store import codec
from agent.store.blocks import Step
from agent.store.journal import AlertFilter
from agent.view import Submitted
from agent.worker import RETRY_NS
from connectors.frame import BAD_NO_DATA
from tests.agent.doubles import ThresholdLine, until
from tests.agent.plant import SLEEPERS, TAGS, Plant
from tests.agent.samples import SECOND_NS
from tests.clock import ManualClock


def alert_ids(plant: Plant) -> list[str]:
    return [alert.id for alert in plant.agent.alerts(AlertFilter(), limit=10, before=None).alerts]


def test_links_are_read_at_their_own_cadence_and_laid_out_in_the_assets_columns(plant: Plant) -> None:
    async def scenario() -> None:
        async with plant.running():
            await plant.advance(4)

    asyncio.run(scenario())
    assert [link.reads for link in plant.links] == [5, 3]
    assert all(link.closed for link in plant.links)
    pressure = [f for f in plant.line.frames if f.status[0, 0] == 0]
    temperature = [f for f in plant.line.frames if f.status[0, 1] == 0]
    assert (len(pressure), len(temperature), len(plant.line.frames)) == (5, 3, 8)
    assert all(f.status[0, 1] == BAD_NO_DATA for f in pressure)
    assert all(f.status[0, 0] == BAD_NO_DATA for f in temperature)


def test_ticks_that_pass_during_a_slow_read_are_skipped_and_counted(plant: Plant) -> None:
    async def scenario() -> None:
        async with plant.running():
            plant.links[0].duration_ns = 2_500_000_000
            await plant.clock.advance(12 * SECOND_NS, sleepers=SLEEPERS)

    asyncio.run(scenario())
    # After the one at 0 s, reads begin at 1, 4, 7 and 10 s; each lets the ticks of the next two seconds pass.
    assert plant.links[0].reads == 1 + 3
    assert plant.readers[0].ticks_missed == 3 * 2
    assert plant.readers[1].ticks_missed == 0


def test_a_plc_that_is_down_leaves_the_others_alone(plant: Plant) -> None:
    async def scenario() -> None:
        plant.pressure = None
        async with plant.running() as agent:
            await plant.advance(3)
            readings = {reading.tag: reading for reading in agent.snapshot("pump").readings}
            assert np.isnan(readings["pressure"].value)
            assert readings["temperature"].value == 40.0
            assert agent.readiness().ready

    asyncio.run(scenario())


def test_an_alert_is_on_disk_before_anyone_sees_it(tmp_path: Path) -> None:
    published: list[tuple[list[str], list[str]]] = []

    class Watched(ThresholdLine):
        def publish(self) -> None:
            super().publish()
            shown = [self.snapshot.alert.id] if self.snapshot.alert else []
            published.append((shown, [alert.id for alert in plant.journal.alerts().alerts]))

    plant = Plant(tmp_path, line_type=Watched)

    async def scenario() -> None:
        async with plant.running():
            await plant.advance(1)
            plant.pressure = 12.0
            await plant.advance(2)

    asyncio.run(scenario())
    assert published[0] == ([], [])
    assert published[-1] == (["pump-1"], ["pump-1"])
    assert all(shown == recorded for shown, recorded in published)


class Refusing:
    """Makes the journal refuse, as a full disk would: another connection holds the write lock."""

    def __init__(self, plant: Plant) -> None:
        self._other = sqlite3.connect(plant.journal.path, check_same_thread=False)

    def __enter__(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._other.rollback()
        self._other.close()


def test_a_journal_that_refuses_delays_alerts_in_order_and_shows_none_of_them(plant: Plant) -> None:
    async def scenario() -> None:
        async with plant.running() as agent:
            await plant.advance(1)
            with Refusing(plant):
                plant.pressure = 12.0
                await plant.advance(2)
                assert not agent.readiness().ready
                assert "alerts cannot be recorded and wait" in agent.readiness().reasons[0]
                assert "database is locked" in agent.readiness().reasons[0]
                assert agent.snapshot("pump").alert is None
                agent.submit("pump", Acknowledge("pump-1", "Ana", agent.now_ns()))
                await plant.advance(2)
                assert alert_ids(plant) == []
            await plant.advance(2 * RETRY_NS / SECOND_NS)
            assert agent.readiness().ready
            assert [a.state for a in agent.history("pump-1")] == [
                AlarmState.UNACKNOWLEDGED,
                AlarmState.ACKNOWLEDGED,
            ]
            shown = agent.snapshot("pump").alert
            assert shown is not None
            assert shown.revision == 2

    asyncio.run(scenario())


def test_alerts_that_never_reach_the_journal_end_in_the_log(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(plant.agent.run(stop))
        await plant.clock.until_sleeping(SLEEPERS)
        with Refusing(plant):
            plant.pressure = 12.0
            await plant.advance(1)
            stop.set()
            while not task.done():
                await plant.clock.advance(RETRY_NS)
                await asyncio.sleep(0)
            await task

    asyncio.run(scenario())
    (lost,) = [record for record in caplog.records if record.message == "an alert could not be recorded"]
    assert codec.decode(vars(lost)["alert"]).id == "pump-1"


def test_frames_that_find_the_queue_full_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    plant = Plant(tmp_path, jobs_max=1)

    async def scenario() -> None:
        readers = [asyncio.create_task(reader.run()) for reader in plant.readers]
        await plant.clock.until_sleeping(2)
        await plant.clock.advance(6 * SECOND_NS, sleepers=2)  # the worker does not run yet
        dropped = sum(reader.frames_dropped for reader in plant.readers)
        assert dropped == sum(link.reads for link in plant.links) - 1
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        work = asyncio.create_task(plant.worker.run())
        await until(lambda: len(plant.line.frames) == 1)
        plant.worker.finish()
        await work

    asyncio.run(scenario())
    plant.close()


def test_commands_take_effect_with_the_next_frame_and_are_in_the_telemetry(plant: Plant) -> None:
    async def scenario() -> None:
        plant.pressure = 12.0
        async with plant.running() as agent:
            await plant.advance(1)
            command = Acknowledge("pump-1", "Ana", agent.now_ns(), "on it")
            assert agent.submit("pump", command) is Submitted.ACCEPTED
            await plant.advance(1)
            shown = agent.snapshot("pump").alert
            assert shown is not None
            assert shown.state is AlarmState.ACKNOWLEDGED
            recorded = [step.commands for step in plant.telemetry.scan() if step.commands]
            assert recorded == [(command,)]

    asyncio.run(scenario())


def test_a_recorded_run_replays_to_the_same_bytes(plant: Plant, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with plant.running() as agent:
            for second in range(40):
                plant.pressure = 12.0 if 10 <= second < 20 or second > 30 else 9.0
                if second in (15, 16):
                    agent.submit("pump", Acknowledge("pump-1", "Ana", agent.now_ns()))
                await plant.advance(1)
                plant.clock.step_wall(-3 * SECOND_NS if second == 12 else 0)
            live.extend(codec.encode(a) for i in alert_ids(plant)[::-1] for a in agent.history(i))
            recorded.extend(plant.telemetry.scan("pump"))

    live: list[bytes] = []
    recorded: list[Step] = []
    asyncio.run(scenario())
    replayed = [
        codec.encode(alert) for alert in replay(recorded, lambda name, _: ThresholdLine(name, TAGS, 10.0))
    ]
    assert len(live) >= 4
    assert replayed == live


def test_open_alerts_go_on_after_a_restart(tmp_path: Path) -> None:
    async def scenario(plant: Plant, pressure: float) -> None:
        async with plant.running():
            plant.pressure = pressure
            await plant.advance(2)

    first = Plant(tmp_path)
    asyncio.run(scenario(first, 12.0))
    second = Plant(tmp_path)
    assert second.line.snapshot.alert is not None
    assert second.line.snapshot.alert.id == "pump-1"
    asyncio.run(scenario(second, 12.0))
    third = Plant(tmp_path)
    assert [a.revision for a in third.journal.history("pump-1")] == [1]
    third.close()


def test_the_end_is_orderly(plant: Plant) -> None:
    async def scenario() -> None:
        plant.pressure = 12.0
        async with plant.running():
            await plant.clock.advance(5 * SECOND_NS, sleepers=SLEEPERS)

    asyncio.run(scenario())
    assert len(plant.line.frames) == sum(link.reads for link in plant.links)
    again = Plant(plant.journal.path.parent)
    assert alert_ids(again) == ["pump-1"]
    assert len(list(again.telemetry.scan())) == len(plant.line.frames)
    again.close()


def test_an_error_nobody_expected_ends_the_daemon_and_closes_the_links(tmp_path: Path) -> None:
    class Broken(ThresholdLine):
        def step(self, frame: object, now_ns: int) -> list[Alert]:
            raise AssertionError("an impossible state")

    plant = Plant(tmp_path, line_type=Broken)
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(plant.agent.run(asyncio.Event()))
    assert caught.group_contains(AssertionError, match="an impossible state")
    assert all(link.closed for link in plant.links)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def told(manager: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard += manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return heard


def test_the_service_manager_hears_ready_watchdog_status_and_stopping(
    tmp_path: Path, manager: socket.socket
) -> None:
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "1",
    }
    plant = Plant(tmp_path / "state", environment=environment)

    async def scenario() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(plant.agent.run(stop))
        assert told(manager) == []
        await plant.clock.until_sleeping(SLEEPERS)
        assert told(manager)[0] == "READY=1"
        await plant.advance(10)
        heard = told(manager)
        assert heard.count("WATCHDOG=1") == 1
        assert "STATUS=watching 1 assets; 2 of 2 connections deliver; 0 open alerts" in heard
        stop.set()
        await task
        assert "STOPPING=1" in told(manager)

    asyncio.run(scenario())


def test_the_watchdog_is_not_fed_while_something_hangs(tmp_path: Path, manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
    plant = Plant(tmp_path / "state", environment=environment)

    async def scenario() -> None:
        async with plant.running() as agent:
            await plant.advance(10)
            assert "WATCHDOG=1" in told(manager)
            plant.links[0].duration_ns = 10_000 * SECOND_NS
            await plant.clock.advance(70 * SECOND_NS, sleepers=SLEEPERS)
            told(manager)
            await plant.clock.advance(50 * SECOND_NS, sleepers=SLEEPERS)
            assert "WATCHDOG=1" not in told(manager)
            await plant.settled()  # the lines' thread knows nothing of the clock that jumped
            assert agent.readiness().reasons == ("read loop line3_plc makes no progress",)

    asyncio.run(scenario())


def test_a_service_manager_that_does_not_listen_is_no_reason_to_stop(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "state", environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})

    async def scenario() -> None:
        async with plant.running() as agent:
            assert agent.readiness().ready

    asyncio.run(scenario())


def test_the_api_is_served_on_a_real_socket_and_ends_with_the_daemon(plant: Plant) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        server = ApiServer(create_app(plant.agent), listen("127.0.0.1", 0))
        task = asyncio.create_task(plant.agent.run(stop, server))
        await plant.clock.until_sleeping(SLEEPERS)
        await until(lambda: plant.agent.readiness().ready)

        def get() -> tuple[int, bytes]:
            with urllib.request.urlopen(f"{server.url}/api/v1/readiness", timeout=20) as answer:
                return answer.status, answer.read()

        status, body = await asyncio.to_thread(get)
        assert status == 200
        assert b'"status":"ready"' in body
        stop.set()
        await task

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ServerError, match=rf"cannot listen on 127.0.0.1 port {port}: .*; set api.host and api.port"
        ):
            listen("127.0.0.1", port)


def test_the_manual_clock_wakes_sleepers_in_order() -> None:
    async def scenario() -> list[tuple[str, int]]:
        clock, woken = ManualClock(1000), []

        async def sleeper(name: str, *deadlines: int) -> None:
            for deadline in deadlines:
                await clock.sleep_until(deadline)
                woken.append((name, clock.monotonic_ns()))

        tasks = [asyncio.create_task(sleeper("a", 5, 15)), asyncio.create_task(sleeper("b", 7))]
        await clock.until_sleeping(2)
        await clock.advance(20)
        await asyncio.gather(*tasks)
        clock.step_wall(-500)
        assert (clock.monotonic_ns(), clock.time_ns()) == (20, 520)
        return woken

    assert asyncio.run(scenario()) == [("a", 5), ("b", 7), ("a", 15)]
