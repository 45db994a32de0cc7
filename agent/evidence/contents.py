"""What lies in the zip of an evidence pack: tables for people, and for a replay the steps, a state and the model."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.evidence.incident import Course, Incident, Replayed, replayed
from agent.evidence.pack import Pack, PackError
from agent.line.assess import CONDITIONS
from agent.line.state import StateError
from agent.store import blocks, codec, export, segments
from agent.store.blocks import Layout, Step
from agent.store.codec import CodecError, Json
from models import bundle as bundles
from models.bundle import Bundle, BundleError, Manifest

if TYPE_CHECKING:
    import polars as pl

ALERT, RAW, COURSE, FACTS, ASSET = "alert.jsonl", "raw.parquet", "course.parquet", "facts.json", "asset.json"
_UNUSABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""A signature is no promise that a state or a step makes sense."""
STEPS: Final = "replay/steps.fwt"
BUNDLE: Final = "replay/bundle/"
_STEPS_AT_ONCE: Final = 1000
_BUNDLE_FILES: Final = (
    bundles.MANIFEST, bundles.GRAPH, bundles.STATISTICS, bundles.CARD, bundles.REMAINING, bundles.SIGNATURE,
)


def files_of(
    incident: Incident, again: Replayed | None, bundle: Bundle, asset: Json, facts: Mapping[str, Json]
) -> dict[str, bytes]:
    """Return the files by name; those of a replay only where there was one."""
    tags = [name for name, _ in incident.tags]
    table = io.BytesIO()
    export.write_parquet([step for step in incident.steps if step.now_ns >= incident.begin_ns], tags, table)
    files = {
        ALERT: b"".join(body + b"\n" for body in incident.revisions),
        RAW: table.getvalue(),
        ASSET: _pretty(asset),
        FACTS: _pretty({
            "asset": incident.alert.asset,
            "begin_time": codec.format_time(incident.begin_ns),
            "end_time": codec.format_time(incident.end_ns),
            "origin_time": None if incident.origin_ns is None else codec.format_time(incident.origin_ns),
            **facts,
        }),
    }
    if again is None:
        return files
    files[COURSE] = _parquet(_course_table(again.course, bundle.manifest))
    files[STEPS] = _segment(incident)
    with tempfile.TemporaryDirectory() as folder:
        bundle.save(Path(folder))
        for name in _BUNDLE_FILES:
            if (path := Path(folder) / name).exists():
                files[BUNDLE + name] = path.read_bytes()
    return files


def replay_pack(pack: Pack) -> tuple[tuple[bytes, ...], Replayed, int]:
    """Compute the alert anew from the pack alone; return the recorded revisions, the replay, and how many rows of its
    evidence are not, to the bit, those in the pack.

    Raise PackError where the pack holds no replay, or one of another version.
    """
    import polars as pl

    if STEPS not in pack.files:
        raise PackError("it holds no steps to replay: its page says why")
    try:
        facts = json.loads(pack.files[FACTS])
        asset, begin_ns = str(facts["asset"]), codec.parse_time(facts["begin_time"])
        recorded = tuple(pack.files[ALERT].splitlines())
        alert = codec.decode(recorded[-1])
        with tempfile.TemporaryDirectory() as folder:
            bundle, layout, steps = _unpacked(pack.files, Path(folder))
        from models.runtime import Detector

        mine = [step for step in steps if step.asset == asset]
        if not mine or not mine[0].state:
            raise PackError("its first step has no state")
        again = replayed(mine, layout[asset], alert, Detector(bundle), begin_ns)
        stored = pl.read_parquet(io.BytesIO(pack.files[COURSE]))
        same = _course_table(again.course, bundle.manifest)
        return recorded, again, _rows_that_differ(stored, same)
    except StateError as error:
        raise PackError(f"the state of the line in it does not fit this version: {error}") from error
    except (*_UNUSABLE, CodecError, BundleError, pl.exceptions.PolarsError) as error:
        raise PackError(f"what it holds for a replay cannot be used: {error}") from error


def _unpacked(files: Mapping[str, bytes], folder: Path) -> tuple[Bundle, Layout, list[Step]]:
    """Return the model, the columns and the steps.

    Files of a bundle have names of our own, so nothing is written elsewhere.
    """
    for name in _BUNDLE_FILES:
        if (content := files.get(BUNDLE + name)) is not None:
            (folder / name).write_bytes(content)
    segment = folder / "000000000001.fwt"
    segment.write_bytes(files[STEPS])
    if (opening := segments.opening(segment)) is None:
        raise PackError("its steps do not say which tags they are of")
    return bundles.load(folder), opening[0], list(segments.read(segment))


def _segment(incident: Incident) -> bytes:
    steps, layout = incident.steps, {incident.alert.asset: tuple(incident.tags)}
    parts = [blocks.pack_opening(layout)]
    parts += [
        blocks.pack_steps(steps[first : first + _STEPS_AT_ONCE], layout)
        for first in range(0, len(steps), _STEPS_AT_ONCE)
    ]
    return b"".join(parts)


def _course_table(course: Course, manifest: Manifest) -> pl.DataFrame:
    """Return a row for each row of the grid; `NAME.expected` in the tag's unit, `NAME.residual` in deviations."""
    import polars as pl

    regimes = [regime.id for regime in manifest.regimes]
    columns = {
        "_time": pl.Series(course.time_ns).cast(pl.Datetime("ns", "UTC")),
        "_condition": pl.Series([CONDITIONS[number].value for number in course.condition.tolist()], dtype=pl.String),
        "_regime": pl.Series([regimes[number] for number in course.regime.tolist()], dtype=pl.String),
        "_evidence": pl.Series(course.evidence, nan_to_null=True),
        "_coverage": pl.Series(course.coverage),
    }
    for at, tag in enumerate(manifest.tags):
        columns[tag.name] = pl.Series(course.values[:, at], nan_to_null=True)
        columns[f"{tag.name}.expected"] = pl.Series(course.expected[:, at], nan_to_null=True)
        columns[f"{tag.name}.residual"] = pl.Series(course.residual[:, at], nan_to_null=True)
    return pl.DataFrame(columns)


def _rows_that_differ(one: pl.DataFrame, other: pl.DataFrame) -> int:
    """Return how many values of the evidence are not the same to the bit; all where there are more or fewer rows."""
    if len(one) != len(other):
        return max(len(one), len(other))
    mine, theirs = (table["_evidence"].to_numpy().view(np.int64) for table in (one, other))
    return int((mine != theirs).sum())


def _parquet(table: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


def _pretty(body: Json | dict[str, Json]) -> bytes:
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
