"""`python -m agent.store.ask`: summarise sealed telemetry in a process of its own, which then is gone with its memory.

The question is JSON on stdin; the answer, on stdout, a line of JSON (what was found damaged) and then the summary.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from agent.store import reading
from agent.store.series import Window, summarise

NICE = 5


def question(directory: Path, asset: str, tags: list[tuple[str, str]], window: Window) -> bytes:
    """Return what to write to its stdin."""
    body = {
        "directory": str(directory), "asset": asset, "tags": tags,
        "since_ns": window.since_ns, "until_ns": window.until_ns, "points_max": window.points_max,
    }
    return json.dumps(body).encode()


def answer(asked: bytes) -> bytes:
    """Return what it writes to its stdout."""
    said = json.loads(asked)
    window = Window(said["since_ns"], said["until_ns"], said["points_max"])
    tags = [(name, unit) for name, unit in said["tags"]]
    damaged: list[tuple[str, int]] = []
    found = reading.sealed_rows(
        Path(said["directory"]), said["asset"], tags, window.since_ns, window.until_ns,
        lambda path, lost: damaged.append((str(path), lost)),
    )
    summary = summarise(found, len(tags), window)
    return json.dumps(damaged).encode() + b"\n" + summary.to_bytes()


if __name__ == "__main__":
    os.nice(NICE)
    os.environ["POLARS_MAX_THREADS"] = "1"
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))
