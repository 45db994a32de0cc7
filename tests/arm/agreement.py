"""`record DIR` assesses rows of the simulated machines on this processor; `compare DIR` does so again on another.

Both run what the agent runs: the shipped bundle's graph through `models.runtime.Detector`, and the assessor with its
score bank over it. The emulated side has numpy and onnxruntime and nothing else, so the rows are recorded before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agent.line.assess import Assessment, Assessor
from agent.line.window import Grid
from models import bundle as bundles
from models.runtime import Detector

FAULTS: Final = {"pump": "cavitation", "press": "seal_leak", "conveyor": "belt_slip"}
START_S: Final = 7200
ROWS: Final = 400
FAULT_FROM_ROW: Final = 150
CHUNK_ROWS: Final = 50
MISSING: Final = 0.03
"""The share of values that are taken out, so that gaps are filled too."""
ALERTS_PER_S: Final = 1 / (7 * 86_400)
RELATIVE, ABSOLUTE = 1e-4, 1e-4
"""How far figures may lie apart: of their size, and in standard deviations, logits and shares."""
NEAR_LIMIT: Final = 1e-3
"""So near its limit of 1 the evidence may fall on either side of it."""

Arrays = dict[str, npt.NDArray[Any]]


def rows_of(machine: str, folder: Path) -> Arrays:
    """Return the rows of a simulated machine that becomes faulty: `time_ns` i64[N], `values` f32[N, C], `good`."""
    from agent.history import Reading, read_history

    manifest = bundles.load(bundles.SHIPPED / machine).manifest
    period_s = manifest.period_ms // 1000
    file = folder / f"{machine}.parquet"
    fault = f"{FAULTS[machine]}@{START_S + FAULT_FROM_ROW * period_s}:{ROWS * period_s}"
    simulated = subprocess.run(
        [sys.executable, "-m", "simulators", "history", machine, "--seed", "5", "--period", str(period_s),
         "--days", str(ROWS * period_s / 86_400), "--start-s", str(START_S), "--fault", fault, "--out", str(file)],
        capture_output=True, text=True,
    )
    if simulated.returncode:
        sys.exit(f"the rows of the {machine} could not be simulated: {simulated.stderr}")
    tags = tuple(tag.name for tag in manifest.tags)
    (values,) = read_history(file, Reading(tags=tags, period_ms=manifest.period_ms)).segments
    good = np.isfinite(values) & (np.random.default_rng(5).random(values.shape) >= MISSING)
    time_ns = np.arange(len(values), dtype=np.int64) * manifest.period_ms * 1_000_000
    return {"time_ns": time_ns, "values": np.where(good, values, np.float32(np.nan)), "good": good}


def assess(machine: str, rows: Arrays) -> Arrays:
    """Return everything that the assessor and the fault head say of the rows, by name; axis 0 is that of the rows."""
    detector = Detector(bundles.load(bundles.SHIPPED / machine))
    assessor = Assessor(detector, ALERTS_PER_S)
    said: list[Arrays] = []
    for start in range(0, len(rows["time_ns"]), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        assessment = assessor.update(Grid(*(rows[f.name][chunk] for f in fields(Grid))))
        seen = [assessment.features.back(back) for back in reversed(range(assessment.rows))]
        judged, kinds = detector.judge(*(np.concatenate(part) for part in zip(*seen, strict=True)))
        said.append(dict(_figures(assessment)) | {"judged": judged, "kinds": kinds})
    return {name: np.concatenate([one[name] for one in said]) for name in said[0]}


def _figures(assessment: Assessment) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for field in fields(assessment):
        value = getattr(assessment, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value[-assessment.rows :]
    for field in fields(assessment.scores):
        value = getattr(assessment.scores, field.name)
        if isinstance(value, np.ndarray):
            yield f"scores.{field.name}", value[-assessment.rows :]


def record(folder: Path) -> None:
    """Write the rows of every machine and what this processor makes of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for machine in FAULTS:
        rows = rows_of(machine, folder)
        outcome = {f"said.{name}": figure for name, figure in assess(machine, rows).items()}
        np.savez(folder / f"{machine}.npz", allow_pickle=False, **rows, **outcome)


def disagreements(expected: Arrays, said: Arrays) -> Iterator[str]:
    """Name each figure that differs by more than rounding explains, and by how much."""
    near = np.abs(expected["evidence"] - 1.0) <= NEAR_LIMIT
    for name, was in expected.items():
        now = said[name]
        if was.dtype.kind == "f":
            off = ~np.isclose(now, was, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
        elif name == "condition":
            off = (now != was) & ~near
        else:
            off = now != was
        if off.any():
            far = np.abs(now[off].astype(np.float64) - was[off]).max()  # NaN where one of the two says nothing
            yield f"{name}: {off.sum()} of {off.size} differ, by up to {far:.3g}"


def compare(folder: Path) -> bool:
    """Print for every machine how this processor agrees with the recording; return whether all do."""
    agreed = True
    for machine in FAULTS:
        with np.load(folder / f"{machine}.npz", allow_pickle=False) as stored:
            rows = {f.name: stored[f.name] for f in fields(Grid)}
            expected = {name.removeprefix("said."): stored[name] for name in stored.files if name.startswith("said.")}
        said = assess(machine, rows)
        found = list(disagreements(expected, said))
        apart = np.nanmax(np.abs(said["evidence"] - expected["evidence"]))
        deviating = f"{(expected['evidence'] >= 1).sum()} of {len(said['evidence'])} rows deviate"
        print(f"  {machine}: {'DISAGREES' if found else 'agrees'}; {deviating}, evidence within {apart:.1e}")
        for line in found:
            print(f"    {line}")
        agreed = agreed and not found
    return agreed


def main(arguments: list[str]) -> int:
    """Run `record DIR` or `compare DIR`; return 1 where processors disagree, 2 for other arguments."""
    match arguments:
        case ["record", folder]:
            record(Path(folder))
        case ["compare", folder]:
            return 0 if compare(Path(folder)) else 1
        case _:
            print("usage: python -m tests.arm.agreement record|compare DIR", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
