"""Recordings: what a Parquet file may hold, and what is said when it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from connectors import ConnectorError
from connectors.frame import (
    BAD_NO_COMMUNICATION,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    GOOD,
    UNCERTAIN,
    Frame,
    Tag,
)
from connectors.replay import ReplayConnector
from tests.connectors.servers import ManualClock, run

S = 1_000_000_000
TAGS = (Tag("flow", "l/s", scale=10.0, offset=5.0, high=100.0), Tag("speed", "rpm"))


def write(path: Path, **columns: object) -> Path:
    pl.DataFrame(columns).write_parquet(path)
    return path


async def read_all(connector: ReplayConnector) -> list[Frame]:
    frames = []
    await connector.open()
    while not connector.finished:
        frames.append(await connector.read())
    assert (await connector.read()).rows == 0
    await connector.close()
    return frames


def test_values_are_in_the_tags_units_and_what_is_missing_is_bad(tmp_path: Path) -> None:
    async def main() -> None:
        path = write(
            tmp_path / "r.parquet",
            time=[0, S, 2 * S, 3 * S],
            speed=[1, None, 3, 4],
            flow=[1.5, float("nan"), 101.0, 2.0],
        )
        frames = await read_all(ReplayConnector(path, TAGS, rows_per_read=3))
        assert [frame.rows for frame in frames] == [3, 1]
        values = np.concatenate([frame.values for frame in frames])
        np.testing.assert_array_equal(values, [[1.5, 1], [np.nan, np.nan], [np.nan, 3], [2.0, 4]])
        assert frames[0].status.tolist() == [
            [GOOD, GOOD],
            [BAD_NO_COMMUNICATION, BAD_NO_COMMUNICATION],
            [BAD_OUT_OF_RANGE, GOOD],
        ]

    run(main)


def test_a_status_column_speaks_for_its_tag(tmp_path: Path) -> None:
    async def main() -> None:
        path = write(
            tmp_path / "r.parquet",
            time=[0, S, 2 * S],
            flow=[1.0, None, 3.0],
            speed=[1.0, 2.0, 3.0],
            **{"flow.status": [UNCERTAIN, BAD_SENSOR_FAILURE, None]},
        )
        (frame,) = await read_all(ReplayConnector(path, TAGS, rows_per_read=9))
        assert frame.status[:, 0].tolist() == [UNCERTAIN, BAD_SENSOR_FAILURE, BAD_NO_COMMUNICATION]
        assert frame.values[0, 0] == 1.0
        assert np.isnan(frame.values[1:, 0]).all()

    run(main)


def test_times_may_be_datetimes_with_or_without_a_zone(tmp_path: Path) -> None:
    async def main() -> None:
        for zone in (UTC, None):
            path = write(
                tmp_path / "r.parquet",
                stamp=[datetime(1970, 1, 1, 0, 0, 2, 5000, tzinfo=zone)],
                flow=[1.0],
                rpm=[2.0],
            )
            (frame,) = await read_all(
                ReplayConnector(path, TAGS, columns={"speed": "rpm"}, time_column="stamp")
            )
            assert frame.source_time_ns.tolist() == [2_005_000_000]
            assert frame.values.tolist() == [[1.0, 2.0]]

    run(main)


def test_with_a_clock_rows_come_when_their_time_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        path = write(tmp_path / "r.parquet", time=[S, 2 * S, 3 * S, 60 * S], flow=[1.0] * 4, speed=[1.0] * 4)
        connector = ReplayConnector(path, TAGS, clock, rows_per_read=100)
        clock.advance_s(1000)
        await connector.open()
        rows = []
        for _ in range(4):
            rows.append((await connector.read()).rows)
            clock.advance_s(2)
        assert rows == [1, 2, 0, 0]
        clock.advance_s(60)
        assert (await connector.read()).rows == 1
        assert connector.finished
        await connector.close()

    run(main)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time": [1], "speed": [1.0]}, ["no column 'flow'", "it has: time, speed"]),
        ({"speed": [1.0], "when": [1]}, ["no column 'time', 'flow'", "it has: speed, when"]),
        ({"time": [1], "speed": ["fast"], "flow": [1.0]}, ["'speed' holds no numbers but String"]),
        ({"time": [1.5], "speed": [1.0], "flow": [1.0]}, ["'time' must hold a time", "Float64"]),
        (
            {"time": [1, None], "speed": [1.0, 2.0], "flow": [1.0, 2.0]},
            ["'time' must hold a time", "1 nulls"],
        ),
    ],
)
def test_an_unfit_file_is_refused_with_what_it_has(
    tmp_path: Path, columns: dict[str, list[object]], words: list[str]
) -> None:
    async def main() -> None:
        path = write(tmp_path / "r.parquet", **columns)
        with pytest.raises(ConnectorError) as caught:
            await ReplayConnector(path, TAGS).open()
        assert not caught.value.retryable
        assert all(word in str(caught.value) for word in [*words, str(path)])

    run(main)


def test_no_file_or_no_parquet_is_said_with_its_path(tmp_path: Path) -> None:
    async def main() -> None:
        garbage = tmp_path / "garbage.parquet"
        garbage.write_bytes(b"PAR1 this is not one")
        for path in (tmp_path / "absent.parquet", garbage):
            with pytest.raises(ConnectorError, match=path.name):
                await ReplayConnector(path, TAGS).open()

    run(main)
