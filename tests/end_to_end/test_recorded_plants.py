"""Recordings of real plants, played over real wires into a running agent, raise an alert where the labels say."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.build import layout_of, load_detectors, make_line
from agent.config.advisories import rules_of
from agent.config.file import load
from agent.line.alert import Alert
from agent.replay import recorded, replay
from agent.store import codec
from agent.store.blocks import Started
from connectors.frame import Tag
from models.learn import learn
from simulators.plant import opcua_tags
from simulators.recording import Recording
from tests.agent.commands import forewarn
from tests.end_to_end.rig import ASSETS, MODBUS, OPCUA, rig

START_NS = 1_790_000_000_000_000_000
PUMP = (
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
    "Volume Flow RateRMS",
)  # fmt: skip
WELL = ("P-PDG", "P-TPT", "T-TPT")


@dataclass(frozen=True)
class Case:
    """One labelled recording: its file and origin, the rows to take, the tags, and how it is learnt."""

    file: str
    origin: str
    where: str
    label: str
    tags: tuple[str, ...]
    period_s: int
    learn_rows: int | None = None
    learn_share: float = 0.6


SKAB = "github.com/waico/SKAB"
CASES = {
    "skab valve1/1": Case("skab/skab.parquet", SKAB, "experiment = 'valve1/1'", "anomaly", PUMP, 1, 400),
    "skab other/9": Case("skab/skab.parquet", SKAB, "experiment = 'other/9'", "anomaly", PUMP, 1, 400),
    "3w WELL-00011": Case(
        "threew/real_10s.parquet", "github.com/ricardovvargas/3w_dataset", "instance = 'WELL-00011_20141005170056'",
        "class", WELL, 10,
    ),
}  # fmt: skip


def rows_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the recording's values f32[T, C] and where its label says a fault, bool[T]; skip where it is absent."""
    folder = os.environ.get("FOREWARN_DATA")
    if folder is None or not (Path(folder) / case.file).exists():
        pytest.skip(f"needs {case.file} of {case.origin} in the folder that FOREWARN_DATA names")
    frame = pl.read_parquet(Path(folder) / case.file).filter(pl.sql_expr(case.where))
    values = frame.select(pl.col(tag).cast(pl.Float32) for tag in case.tags).to_numpy()
    return values, frame[case.label].fill_null(0).to_numpy() > 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", CASES)
def test_alert_inside_the_labelled_interval_and_none_before(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    values, faulty = rows_of(case)
    onset, end = np.flatnonzero(faulty)[[0, -1]]
    learnt = case.learn_rows or int(onset * case.learn_share)
    bundle = learn(
        [values[:learnt]],
        [(tag, "1") for tag in case.tags],
        case.period_s * 1000,
        name=name,
    )
    bundle.save(tmp_path / "bundle")
    # Past its labelled end a recording proves nothing more.
    played = values[learnt : end + 1]
    answers = asyncio.run(_play(tmp_path, case, played))

    def row_of(time_ns: int) -> int:
        return learnt + (time_ns - START_NS) // (case.period_s * 1_000_000_000)

    for asset in ASSETS:
        raised = [alert for alert in answers["alerts"] if alert["asset"] == asset]
        assert raised, f"no alert on {asset}"
        for alert in raised:
            assert onset <= row_of(codec.parse_time(alert["raised_time"])) <= end, alert
            assert alert["verdict"]["contributions"], "an alert names tags"
    assert _without_names(answers["alerts"], MODBUS) == _without_names(answers["alerts"], OPCUA)
    assert _to_the_second(answers["verdicts"][0]) == _to_the_second(answers["verdicts"][1])
    _both_wires_gave_the_same_frames(tmp_path, len(played))
    _replay_gives_the_same_alerts(tmp_path, answers["revisions"])
    _evidence_gives_the_same_alerts(tmp_path, [alert["id"] for alert in answers["alerts"]], answers["revisions"])


async def _play(folder: Path, case: Case, values: np.ndarray) -> dict[str, list]:
    recording = Recording("plant", case.tags, np.arange(len(values)) * case.period_s * 1_000_000_000, values)
    tags = tuple(_with_period(ones, case) for ones in (recording.tags, opcua_tags("plant", recording.tags)))
    async with rig(folder, folder / "bundle", tags, case.period_s * 1000, values[0], START_NS) as plant:
        await plant.play(values)
        alerts = (await plant.get("/alerts", limit="100"))["items"]
        verdicts = [(await plant.get(f"/assets/{asset}"))["verdict"] for asset in ASSETS]
        revisions = [
            codec.encode(revision) for alert in reversed(alerts) for revision in plant.agent.history(alert["id"])
        ]
        for proxy in plant.proxies:
            proxy.assert_read_only()
            assert len(proxy.requests) >= len(values), "every row was read over the wire"
    for verdict in verdicts:
        assert verdict.pop("asset") in ASSETS
    return {"alerts": alerts, "verdicts": verdicts, "revisions": revisions}


def _with_period(tags: tuple[Tag, ...], case: Case) -> tuple[Tag, ...]:
    return tuple(replace(tag, unit="1", period_ms=case.period_s * 1000) for tag in tags)


def _without_names(alerts: list[dict], asset: str) -> list[str]:
    return [_to_the_second(alert).replace(asset, "asset") for alert in alerts if alert["asset"] == asset]


def _to_the_second(answer: dict) -> str:
    """Modbus has no source time: its grid begins at the agent's first read, OPC UA's at the server's first row."""
    return re.sub(r"\.\d+Z", "Z", str(answer))


def _both_wires_gave_the_same_frames(folder: Path, rows: int) -> None:
    steps = {asset: [] for asset in ASSETS}
    layout = layout_of(load(folder / "agent.toml"))
    for event in recorded(folder / "state", layout):
        if not isinstance(event, Started):
            steps[event.asset].append(event.frame)
    frames = [
        tuple(
            np.concatenate([getattr(frame, part) for frame in steps[asset]])
            for part in ("source_time_ns", "values", "status")
        )
        for asset in ASSETS
    ]
    for one, other in zip(*frames, strict=True):
        assert len(one) == rows
        if one.ndim == 1:  # times
            one, other = one // 1_000_000_000, other // 1_000_000_000
        np.testing.assert_array_equal(one, other)


def _replay_gives_the_same_alerts(folder: Path, revisions: list[bytes]) -> None:
    configured = load(folder / "agent.toml")
    detectors = load_detectors(configured)
    events = recorded(folder / "state", layout_of(configured))
    rules = rules_of(configured)
    entries = replay(
        events, lambda asset, start: make_line(configured, asset, detectors[asset], start, rules[asset])
    )
    again = [codec.encode(entry) for entry in entries if isinstance(entry, Alert)]
    assert sorted(again) == sorted(revisions)


def _evidence_gives_the_same_alerts(folder: Path, alerts: list[str], revisions: list[bytes]) -> None:
    again = []
    for alert in alerts:
        pack = folder / f"{alert}.html"
        written = forewarn("evidence", alert, folder / "agent.toml", "--out", pack)
        assert "the same as recorded, byte for byte" in written.stdout, written.output
    (folder / "state").rename(folder / "gone")
    for alert in alerts:
        replayed = forewarn("replay", folder / f"{alert}.html")
        assert replayed.exit_code == 0, replayed.output
        again += replayed.stdout_bytes.splitlines()
    assert sorted(again) == sorted(revisions)
