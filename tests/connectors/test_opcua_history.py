"""What an outage cost is filled from the server's own history: all of it, once, in order, and never at the cost of the
present.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError

from connectors.frame import (
    BAD_NO_DATA,
    BAD_NODE_ID_UNKNOWN,
    BAD_SENSOR_FAILURE,
    BAD_TIMEOUT,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    Frame,
    PathAddress,
    Tag,
)
from connectors.link import Link
from connectors.opcua.connector import supervise
from connectors.opcua.endpoint import OpcuaMode
from connectors.opcua.gaps import Recorded, Recovery
from simulators.record import Record
from tests.connectors.opcua_side import MODES, S, endpoint, tag, until
from tests.connectors.servers import EPOCH, START_NS, ManualClock, OpcuaPlc, run
from tests.wire import OpcuaRecorder, RecordingProxy

HISTORY_READ = 664
ORDERS = list(Recovery)
TAGS = [replace(tag(name), period_ms=1000) for name in ("past0", "past1")]
SECONDS = 100


def at(second: float) -> int:
    return START_NS + int(second * S)


def row(plc: OpcuaPlc, second: float, numbers: Sequence[float], status: int = GOOD) -> dict[ua.NodeId, ua.DataValue]:
    time = EPOCH + timedelta(microseconds=at(second) // 1000)
    return {plc.node(one.name): ua.DataValue(ua.Variant(float(number)), ua.StatusCode(ua.UInt32(status)), time, time)
            for one, number in zip(TAGS, numbers, strict=False)}


def recorded(plc: OpcuaPlc, record: Record, seconds: int = SECONDS) -> Record:
    """Let a server have recorded i and 2i at second i."""
    for i in range(seconds + 1):
        record.add(row(plc, i, [i, 2 * i]))
    return record


@asynccontextmanager
async def after_an_outage(
    plc: OpcuaPlc, record: Record, clock: ManualClock, mode: OpcuaMode = OpcuaMode.SUBSCRIBE, period_ms: int = 1000,
    counted: str = "", tags: Sequence[Tag] = TAGS, **more: object
) -> AsyncIterator[tuple[Link, RecordingProxy]]:
    """A link to a server that shows the last second, to an agent that knows of the first."""
    usual = plc.server.iserver.history_manager
    plc.server.iserver.history_manager = record  # type: ignore[assignment]
    try:
        async with plc.serving([one.name for one in TAGS]), RecordingProxy(OpcuaRecorder, plc.port) as proxy:
            await plc.show({"past0": float(SECONDS), "past1": 2.0 * SECONDS}, at(SECONDS))
            where = endpoint(proxy.port, mode, **({"history": Recovery.OLDEST_FIRST} | more))
            where = replace(where, skew_told_s=math.inf)
            tags = [replace(one, period_ms=period_ms, counter=one.name == counted) for one in tags]
            link = supervise(where, tags, clock, recorded=Recorded(at(0)))
            try:
                yield link, proxy
            finally:
                await link.close()
            proxy.assert_read_only()
    finally:
        plc.server.iserver.history_manager = usual


async def filled(link: Link, clock: ManualClock, turns: int = 1000) -> list[Frame]:
    """Read and recover, as the agent does, until nothing is missing."""
    found = []
    for _ in range(turns):
        await link.read()
        past = await link.recover()
        if past.rows:
            found.append(past)
        if link.health.reads > 1 and not link.health.about.missing_s:
            return found
        clock.advance_s(1)
    raise AssertionError(f"{link.health.about.missing_s} s are missing after {turns} turns")


def values_of(frames: Sequence[Frame]) -> list[list[float]]:
    return [one for frame in frames for one in frame.values.tolist()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ORDERS)
def test_all_that_was_missed_comes_once_in_the_order_that_was_chosen(
    opcua_plc: OpcuaPlc, order: Recovery, mode: OpcuaMode
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000, answer_max=7))
        async with after_an_outage(opcua_plc, record, clock, mode, 10, history=order) as (link, proxy):
            frames = await filled(link, clock)
            assert sorted(values_of(frames)) == [[i, 2 * i] for i in range(1, SECONDS)]
            times = np.concatenate([frame.source_time_ns for frame in frames])
            assert sorted(times.tolist()) == [at(i) for i in range(1, SECONDS)]
            assert len(frames) == 10
            starts = [int(frame.source_time_ns[0]) for frame in frames]
            assert starts == sorted(starts, reverse=order is Recovery.NEWEST_FIRST)
            assert all((np.diff(frame.source_time_ns) > 0).all() for frame in frames)
            about = link.health.about
            assert (about.rows_recovered, about.missing_s, about.given_up_s) == (SECONDS - 1, 0, 0)
            assert not link.health.notes
            assert proxy.connections == 1
            before = proxy.codes().count(HISTORY_READ)
            assert before >= SECONDS // 7
            await link.read()
            assert not (await link.recover()).rows
            assert proxy.codes().count(HISTORY_READ) == before, "nothing is asked for twice"

    run(main)


def test_an_outage_of_the_connection_is_filled_when_it_is_over(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(0))
        record = Record(1000)
        async with after_an_outage(opcua_plc, record, clock) as (link, proxy):
            await until(link, clock, lambda frame: (frame.status[-1] == GOOD).all())
            await proxy.refuse()
            proxy.hang_up()
            for second in range(SECONDS + 1, SECONDS + 61):
                record.add(row(opcua_plc, second, [second, -second]))
                await opcua_plc.show({"past0": float(second), "past1": -float(second)}, at(second))
                await link.read()
                assert not (await link.recover()).rows, "nothing is asked for while nothing comes"
                clock.advance_s(1)
            await proxy.accept()
            await until(link, clock, lambda frame: frame.values[-1, 0] == SECONDS + 60)
            frames = await filled(link, clock)
            assert values_of(frames) == [[i, -i] for i in range(SECONDS + 1, SECONDS + 60)]

    run(main)


async def half_filled(link: Link, proxy: RecordingProxy, clock: ManualClock) -> None:
    """Ask for some of what is missing, and read."""
    await link.read()
    clock.advance_s(2)
    await link.recover()
    assert HISTORY_READ in proxy.codes()
    clock.advance_s(2)
    await link.read()
    assert link.health.about.missing_s == SECONDS


@pytest.mark.parametrize("mode", MODES)
def test_a_connection_that_breaks_while_an_outage_is_filled_gives_nothing_up(
    opcua_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000, answer_max=7))
        async with after_an_outage(opcua_plc, record, clock, mode, max_requests_per_s=8.0) as (link, proxy):
            await half_filled(link, proxy, clock)
            await proxy.refuse()
            proxy.hang_up()
            await asyncio.sleep(0.05)
            assert not (await link.recover()).rows
            about = link.health.about
            assert (about.missing_s, about.given_up_s) == (SECONDS, 0)
            await proxy.accept()
            await until(link, clock, lambda frame: (frame.status[-1] == GOOD).all())
            assert values_of(await filled(link, clock)) == [[i, 2 * i] for i in range(1, SECONDS)]
            assert not link.health.notes

    run(main)


def test_a_node_that_goes_while_an_outage_is_filled_never_stops_the_rest(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000, answer_max=7))
        by_path = [replace(one, address=PathAddress(f"Objects/{one.name}")) for one in TAGS]
        rate = {"max_requests_per_s": 8.0}
        async with after_an_outage(opcua_plc, record, clock, OpcuaMode.POLL, tags=by_path, **rate) as (link, proxy):
            await half_filled(link, proxy, clock)
            server, node = opcua_plc.server, opcua_plc.node("past1")
            await opcua_plc.call(server.nodes.objects.delete_reference(node, ua.ObjectIds.HasComponent))
            gone = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(BAD_NODE_ID_UNKNOWN)))
            await opcua_plc.call(server.write_attribute_value(node, gone))
            await until(link, clock, lambda frame: frame.status[-1, 1] == BAD_NODE_ID_UNKNOWN)
            clock.advance_s(10)
            frames = await filled(link, clock)
            assert [value for value, _ in values_of(frames)] == list(range(1, SECONDS))
            note, = link.health.notes
            assert note.endswith("keeps no history of 1 of 2 tags: past1")

    run(main)


def test_only_the_newest_part_of_a_long_outage_is_filled_and_the_rest_is_told(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000))
        async with after_an_outage(opcua_plc, record, clock, history_max_h=10 / 3600) as (link, _):
            frames = await filled(link, clock)
            assert values_of(frames) == [[i, 2 * i] for i in range(SECONDS - 9, SECONDS)]
            assert link.health.about.given_up_s == pytest.approx(SECONDS - 10)

    run(main)


def test_bad_values_stay_bad_and_what_was_not_recorded_is_no_data(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = Record(1000)
        record.add(row(opcua_plc, 10, [1, 2]))
        record.add(row(opcua_plc, 11, [3, 4], BAD_SENSOR_FAILURE))
        record.add(row(opcua_plc, 12, [5]))
        async with after_an_outage(opcua_plc, record, clock) as (link, _):
            frame, = await filled(link, clock)
            assert frame.status.tolist() == [[GOOD, GOOD], [BAD_SENSOR_FAILURE] * 2, [GOOD, BAD_NO_DATA]]
            np.testing.assert_array_equal(frame.values, [[1, 2], [np.nan, np.nan], [5, np.nan]])

    run(main)


def test_what_a_counter_counted_meanwhile_is_a_rate_as_it_is_live(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000))
        async with after_an_outage(opcua_plc, record, clock, counted="past1") as (link, _):
            frame, = await filled(link, clock)
            assert frame.status[0].tolist() == [GOOD, BAD_WAITING_FOR_INITIAL_DATA]
            np.testing.assert_allclose(frame.values[1:], [[i, 2] for i in range(2, SECONDS)])

    run(main)


class Odd(Record):
    """A server whose answers `change` spoils, once the history was asked for often enough."""

    def __init__(self, change: Callable[[list[ua.HistoryReadResult]], list[ua.HistoryReadResult]]) -> None:
        super().__init__(1000, answer_max=7)
        self._change = change
        self.asked = 0

    async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        self.asked += 1
        return self._change(await super().read_history(params))


def test_one_tag_without_history_never_stops_the_rest(opcua_plc: OpcuaPlc) -> None:
    def without(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
        if len(results) == len(TAGS):
            results[0] = ua.HistoryReadResult(ua.StatusCode(ua.UInt32(0x80720000)))
        return results

    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        async with after_an_outage(opcua_plc, recorded(opcua_plc, Odd(without)), clock) as (link, _):
            frames = await filled(link, clock)
            assert [value for _, value in values_of(frames)] == [2 * i for i in range(1, SECONDS)]
            assert all((frame.status[:, 0] == BAD_NO_DATA).all() for frame in frames)
            note, = link.health.notes
            assert note.endswith("keeps no history of 1 of 2 tags: past0")

    run(main)


def refuse(_: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    raise ServiceError(ua.StatusCodes.BadServiceUnsupported)


def fail(_: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    raise ServiceError(ua.StatusCodes.BadInternalError)


def too_few(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    return results[:1]


def another_kind(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    for result in results:
        result.HistoryData = ua.HistoryEvent([])  # type: ignore[assignment]
    return results


def none_kept(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    return [ua.HistoryReadResult(ua.StatusCode(ua.UInt32(0x80720000))) for _ in results]


@pytest.mark.parametrize(
    ("change", "asked", "why"),
    [(refuse, 1, "unsupported"), (fail, 3, "internal error"), (too_few, 3, "1 histories for 2 nodes"),
     (another_kind, 3, "kind that was not asked for"), (none_kept, 1, "no history of these tags")],
)
def test_a_server_without_a_history_for_us_is_told_and_the_present_goes_on(
    opcua_plc: OpcuaPlc, change: Callable[[list[ua.HistoryReadResult]], list[ua.HistoryReadResult]], asked: int,
    why: str,
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Odd(change))
        async with after_an_outage(opcua_plc, record, clock) as (link, proxy):
            assert not await filled(link, clock)
            note, = link.health.notes
            assert why in note.lower()
            assert "Remedy" in note
            assert record.asked == asked
            assert link.health.about.given_up_s == pytest.approx(SECONDS)
            await opcua_plc.show({"past0": 7.0}, at(SECONDS + 1))
            await until(link, clock, lambda frame: frame.values[-1, 0] == 7.0)
            assert proxy.connections == 1

    run(main)


def test_a_server_that_does_not_answer_is_given_up_and_the_present_goes_on(opcua_plc: OpcuaPlc) -> None:
    class Silent(Record):
        async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
            await asyncio.sleep(1.5)
            return await super().read_history(params)

    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Silent(1000))
        async with after_an_outage(opcua_plc, record, clock, OpcuaMode.POLL, timeout_ms=1000) as (link, proxy):
            assert not await filled(link, clock)
            assert "no answer within 1000 ms" in link.health.notes[0]
            assert proxy.codes().count(HISTORY_READ) == 3
            await asyncio.sleep(4)  # this server does one thing at a time; its late answers are nobody's
            await opcua_plc.show({"past0": 7.0}, at(SECONDS + 1))
            await until(link, clock, lambda frame: frame.values[-1, 0] == 7.0)
            assert proxy.codes().count(HISTORY_READ) == 3

    run(main)


def cut_in_silence(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    for result in results:
        result.ContinuationPoint = None
    return results


def test_a_server_that_cuts_without_saying_so_is_asked_for_the_rest(
    opcua_plc: OpcuaPlc
) -> None:
    """asyncua's own server does: it counts to NumValuesPerNode, and says that this was all."""

    class Cutting(Record):
        async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
            self.answer_max = params.HistoryReadDetails.NumValuesPerNode  # type: ignore[attr-defined]
            return cut_in_silence(await super().read_history(params))

    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = Cutting(60_000)
        for i in range(25_000):
            record.add(row(opcua_plc, i / 250, [i, 2 * i]))
        async with after_an_outage(opcua_plc, record, clock) as (link, proxy):
            frames = await filled(link, clock)
            last = [250 * second + 249 for second in range(SECONDS)]
            assert values_of(frames) == [[i, 2 * i] for i in last], "of several in a period the last one"
            assert proxy.codes().count(HISTORY_READ) == 3

    run(main)


def creep(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    for result in results:
        result.HistoryData.DataValues = result.HistoryData.DataValues[:1]  # type: ignore[attr-defined]
        result.ContinuationPoint = b"\x00\x00\x00\x00"
    return results


def foreign(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
    for result in results:
        for value in result.HistoryData.DataValues:  # type: ignore[attr-defined]
            value.SourceTimestamp = EPOCH + timedelta(days=1)
    return results


@pytest.mark.parametrize("change", [creep, foreign])
def test_a_server_that_goes_round_in_circles_is_not_followed_for_long(
    opcua_plc: OpcuaPlc, change: Callable[[list[ua.HistoryReadResult]], list[ua.HistoryReadResult]]
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Odd(change))
        async with after_an_outage(opcua_plc, record, clock) as (link, _):
            assert not values_of(await filled(link, clock))
            assert record.asked == 3
            note, = link.health.notes
            assert note.endswith("does not give all the history it has of 2 of 2 tags: past0, past1")

    run(main)


def busy(result: ua.HistoryReadResult) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(ua.StatusCode(ua.UInt32(BAD_TIMEOUT)))


def no_room(result: ua.HistoryReadResult) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(ua.StatusCode(ua.UInt32(0x804B0000)))  # BadNoContinuationPoints


def later(result: ua.HistoryReadResult) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(ContinuationPoint=b"\x00\x00\x00\x00", HistoryData=ua.HistoryData([]))


ANSWERS = [busy, no_room, later]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_node_that_answers_well_the_next_time_loses_nothing(
    opcua_plc: OpcuaPlc, answer: Callable[[ua.HistoryReadResult], ua.HistoryReadResult]
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        times = iter(range(1000))
        record = recorded(opcua_plc, Odd(
            lambda results: [answer(results[0]), *results[1:]] if next(times) < 2 else results))
        async with after_an_outage(opcua_plc, record, clock) as (link, _):
            assert values_of(await filled(link, clock)) == [[i, 2 * i] for i in range(1, SECONDS)]
            assert not link.health.notes

    run(main)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_node_that_never_answers_well_is_left_and_told(
    opcua_plc: OpcuaPlc, answer: Callable[[ua.HistoryReadResult], ua.HistoryReadResult]
) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Odd(lambda results: [*results[:-1], answer(results[-1])]))
        async with after_an_outage(opcua_plc, record, clock) as (link, _):
            rows = np.array(values_of(await filled(link, clock)))
            assert rows[:, 0].tolist() == list(range(1, SECONDS)), "the other tag loses nothing"
            assert np.isnan(rows[:, 1]).all()
            assert record.asked <= SECONDS // 7 + 5
            note, = link.health.notes
            assert note.endswith("does not give all the history it has of 1 of 2 tags: past1")

    run(main)


def test_a_continuation_point_that_was_lost_costs_nothing(opcua_plc: OpcuaPlc) -> None:
    lost = iter([False, True, False, True, *[False] * 1000])

    def forget(results: list[ua.HistoryReadResult]) -> list[ua.HistoryReadResult]:
        if next(lost):
            return [ua.HistoryReadResult(ua.StatusCode(ua.UInt32(0x804A0000))) for _ in results]
        return results

    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        async with after_an_outage(opcua_plc, recorded(opcua_plc, Odd(forget)), clock) as (link, _):
            assert values_of(await filled(link, clock)) == [[i, 2 * i] for i in range(1, SECONDS)]

    run(main)


def test_fresh_values_come_first_and_the_past_takes_what_is_to_spare(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock(at(SECONDS))
        record = recorded(opcua_plc, Record(1000, answer_max=7))
        async with after_an_outage(opcua_plc, record, clock, max_requests_per_s=4.0) as (link, proxy):
            await link.read()
            for _ in range(3):
                asked = proxy.codes().count(HISTORY_READ)
                await link.recover()
                assert proxy.codes().count(HISTORY_READ) - asked <= 2
                asked = proxy.codes().count(HISTORY_READ)
                await link.recover()
                assert proxy.codes().count(HISTORY_READ) == asked, "half of the second's requests are for the present"
                clock.advance_s(1.1)
            assert values_of(await filled(link, clock))

    run(main)
