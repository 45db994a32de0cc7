"""Routes: what a connection's frame becomes for an asset, also where the clocks of its sources differ."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from agent.line.window import Window
from agent.reader import Reader, Route
from connectors.frame import Frame, Tag
from tests.agent.doubles import ScriptedLink
from tests.agent.plant import Plant
from tests.connectors.servers import ManualClock, eventually, run

SECOND_NS = 1_000_000_000
NOW_NS = 1_790_000_000 * SECOND_NS


def a_row(time_ns: int, value: float) -> Frame:
    return Frame.of(time_ns, [value], [0])


@pytest.mark.parametrize("ahead_s", [-60.0, -1.5, -0.7, 0.0, 0.7, 5.0, 3600.0])
def test_rows_of_two_sources_meet_whatever_their_clocks_say(ahead_s: float) -> None:
    routes = [Route("pump", np.array([0]), np.array([i]), 2, shared=True) for i in (0, 1)]
    window = Window(2, SECOND_NS, 64)
    whole = 0
    for second in range(100):
        now_ns = NOW_NS + second * SECOND_NS
        window.push(routes[0].lay(a_row(now_ns, 1.0), now_ns), now_ns)
        ahead_ns, now_ns = now_ns + int(ahead_s * SECOND_NS), now_ns + 30_000_000
        grid = window.push(routes[1].lay(a_row(ahead_ns, 2.0), now_ns), now_ns)
        whole += int(grid.good.all(1).sum())
    assert whole == 100
    assert window.late == 0


def test_a_single_source_keeps_its_own_times() -> None:
    route = Route("pump", np.array([0]), np.array([0]), 1)
    assert route.lay(a_row(NOW_NS - 5 * SECOND_NS, 1.0), NOW_NS).source_time_ns[0] == NOW_NS - 5 * SECOND_NS


def test_several_rows_of_a_shared_asset_keep_their_distances() -> None:
    route = Route("pump", np.array([0]), np.array([1]), 2, shared=True)
    times = np.array([0, 2, 5], np.int64) * SECOND_NS
    frame = Frame.clean(times, np.ones((3, 1), np.float32), np.zeros((3, 1), np.uint32))
    laid = route.lay(frame, NOW_NS)
    np.testing.assert_array_equal(laid.source_time_ns, NOW_NS + times - 5 * SECOND_NS)


def test_what_is_recovered_is_recorded_at_its_own_times_and_not_judged(plant: Plant) -> None:
    async def main() -> None:
        clock = ManualClock()
        past = Frame.clean(np.array([3, 4]) * SECOND_NS, np.float32([[99], [98]]), np.zeros((2, 1), np.uint32))
        route = Route("pump", np.array([0]), np.array([1]), 2, shared=True)
        link = ScriptedLink([Tag("a", "bar")], clock, lambda _: [1.0], past=[past])
        reading = asyncio.create_task(Reader("plc", link, [route], SECOND_NS, plant.worker, clock).run())
        working = asyncio.create_task(plant.worker.run())
        await eventually(lambda: plant.worker.jobs_done == 2)
        plant.worker.finish()
        await working
        reading.cancel()
        await asyncio.wait([reading])
        live, recovered = plant.telemetry.scan("pump")
        assert (live.recovered, recovered.recovered) == (False, True)
        assert recovered.frame.source_time_ns.tolist() == past.source_time_ns.tolist()
        np.testing.assert_array_equal(recovered.frame.values, [[np.nan, 99], [np.nan, 98]])
        assert plant.line.snapshot.rows == 1
        assert plant.line.snapshot.alert is None

    run(main)


class AnsweredAsItIsCancelled(ScriptedLink):
    """A link whose library loses a cancellation that comes with an answer, as asyncio.wait_for does in Python 3.11."""

    async def read(self) -> Frame:
        if self.reads:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await super().read()


def test_it_ends_when_told_also_where_the_answer_comes_in_that_moment(plant: Plant) -> None:
    async def main() -> None:
        clock = ManualClock()
        route = Route("pump", np.array([0]), np.array([0]), 2)
        link = AnsweredAsItIsCancelled([Tag("a", "bar")], clock, lambda _: [1.0])
        task = asyncio.create_task(Reader("plc", link, [route], SECOND_NS, plant.worker, clock).run())
        await eventually(lambda: link.reads == 1)
        clock.advance_s(1)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()

    run(main)
