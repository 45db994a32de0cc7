"""A whole plant on the whole daemon: thousands of float32 over Modbus TCP at 1 Hz, kept and judged, 50 an asset."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.acquisition.peers import Peers
from benchmarks.child import ONE_THREAD, cpu_s, memory_mib
from benchmarks.machine import ROOT
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Target

DEVICES: Final = (2, 20)
ASSETS, TAGS = 10, 50
"""Of a device, and of an asset."""
HISTORY_ROWS: Final = 7200
MEMORY_MIB_MAX: Final = round(200e6 / 2**20, 1)
"""200 MB."""
START_S_MAX, SETTLE_S, WATCH_S = 180.0, 20.0, 600.0


def _case(devices: int) -> str:
    return f"{devices * ASSETS * TAGS:,} tags at 1 Hz over {devices} devices, judged"


GROWTH: Final = "from 1,000 to 10,000 tags"
TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    (_case(20), "share of one core"): Target(25, at_least=False),
    (_case(20), "peak memory"): Target(MEMORY_MIB_MAX, at_least=False),
    (_case(20), "polls missed or failed"): Target(0, at_least=False),
    (GROWTH, "processor time"): Target(10, at_least=False),
    (GROWTH, "memory"): Target(1.5, at_least=False),
}


def run(peers: Peers, options: Options) -> Iterator[tuple[str, list[Figure]]]:
    """Run the daemon on a small and a large plant, one after the other."""
    watch_s = 20.0 if options.limit else WATCH_S
    figures: list[Figure] = []
    taken: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = _learn(folder)
        for devices in DEVICES:
            share, peak, missed = _watch(peers, folder / str(devices), bundle, devices, watch_s)
            taken.append((share, peak))
            figures += [
                Figure(_case(devices), "share of one core", share, "%"),
                Figure(_case(devices), "peak memory", peak, "MiB"),
                Figure(_case(devices), "polls missed or failed", missed, f"in {watch_s:.0f} s"),
            ]
    (small_cpu, small_memory), (large_cpu, large_memory) = taken
    figures.append(Figure(GROWTH, "processor time", large_cpu / small_cpu, "x"))
    figures.append(Figure(GROWTH, "memory", large_memory / small_memory, "x"))
    yield OURS, figures


def _learn(folder: Path) -> Path:
    """Learn a bundle of one asset from two hours of what the server shows."""
    chance = np.random.default_rng(1)
    values = 20 + np.arange(TAGS) + chance.random((HISTORY_ROWS, TAGS))
    columns = {"time": np.arange(HISTORY_ROWS, dtype=np.int64) * 10**9 + 1_700_000_000 * 10**9}
    columns |= {f"v{i}": values[:, i].astype(np.float32) for i in range(TAGS)}
    pl.DataFrame(columns).write_parquet(folder / "history.parquet")
    arguments = [str(folder / "history.parquet"), "--period", "1s", "--no-sign", "--out", str(folder / "bundle")]
    done = subprocess.run(
        [sys.executable, "-m", "agent", "learn", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"no bundle was learnt: {done.stdout[-300:]}{done.stderr[-300:]}")
    return folder / "bundle"


def _watch(peers: Peers, folder: Path, bundle: Path, devices: int, watch_s: float) -> tuple[float, float, float]:
    """Return the share of a core in percent, the peak memory in MiB, and how many polls were missed or failed."""
    folder.mkdir()
    with ExitStack() as stack:
        ports = [stack.enter_context(peers.server("modbus_server", ASSETS * TAGS, 1000)) for _ in range(devices)]
        (folder / "agent.toml").write_text(_configuration(ports, bundle), encoding="utf-8")
        log = folder / "agent.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run", str(folder / "agent.toml")], stdout=output, stderr=output,
                env=os.environ | ONE_THREAD, cwd=ROOT,
            )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        api = _ready(process, log)
        time.sleep(SETTLE_S)
        begun_s, before, begun = cpu_s(process.pid), _missed(api), time.monotonic()
        time.sleep(watch_s)
        share = 100 * (cpu_s(process.pid) - begun_s) / (time.monotonic() - begun)
        return share, memory_mib(process.pid, "VmHWM"), _missed(api) - before


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the agent is ready; return the address of its API."""
    until = time.monotonic() + START_S_MAX
    while True:
        said = log.read_text(encoding="utf-8")
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        if '"message": "ready"' in said and address:
            return address[0]
        if time.monotonic() > until or process.poll() is not None:
            raise BenchmarkError(f"the agent did not start: {said[-500:]}")
        time.sleep(0.1)


def _missed(api: str) -> float:
    with urllib.request.urlopen(f"{api}/api/v1/connections", timeout=10) as answer:
        items = json.load(answer)["items"]
    return float(sum(each["ticks_missed"] + each["reads_failed"] + each["frames_dropped"] for each in items))


def _configuration(ports: list[int], bundle: Path) -> str:
    parts = ['[agent]\nstate_dir = "state"\n\n[api]\nport = 0\n']
    for d, port in enumerate(ports):
        parts.append(
            f'[connections.d{d}]\nprotocol = "modbus-tcp"\nhost = "127.0.0.1"\nport = {port}\n'
            "max_requests_per_s = 20.0\n"
        )
        for a in range(ASSETS):
            parts.append(f'[assets.d{d}-a{a}]\nbundle = "{bundle}"\nperiod_ms = 1000\n')
            parts += [
                f'[[assets.d{d}-a{a}.tags]]\nname = "v{t}"\nunit = "1"\nconnection = "d{d}"\nunit_id = 1\n'
                f'table = "holding_register"\nregister = {2 * (a * TAGS + t)}\ndtype = "float32"\n'
                for t in range(TAGS)
            ]
    return "\n".join(parts)
