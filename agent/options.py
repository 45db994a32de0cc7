"""What options of the command line mean: lists of names, and durations."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from agent.store.codec import parse_time
from agent.store.journal import StoreError

UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def names(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a list such as "A,B"; None where the option was not given."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as "500ms" or "10m"; raise ValueError saying what it must be."""
    match = DURATION.fullmatch(text.strip())
    if match is None or match[2] not in UNITS_S:
        raise ValueError(f"must be a number with a unit ({', '.join(UNITS_S)}), such as 10m")
    return float(match[1]) * UNITS_S[match[2]]


def period_s(text: str) -> float:
    """Return the seconds of a duration of 1 ms or more; raise ValueError saying what it must be."""
    seconds = duration_s(text)
    if seconds < UNITS_S["ms"]:
        raise ValueError("must be 1ms or more")
    return seconds


def seconds(option: str, said: str) -> float:
    """Return the seconds of a duration; raise StoreError naming the option."""
    try:
        return duration_s(said)
    except ValueError as error:
        raise StoreError(f"{option} {said}: {error}") from error


def check_place(out: Path) -> None:
    """Raise StoreError where a file could not be written: before what goes into it is made, which may take long."""
    if out.is_dir():
        why = "it is a folder"
    elif not out.parent.is_dir():
        why = f"there is no folder {out.parent}"
    elif not os.access(out if out.exists() else out.parent, os.W_OK):
        why = "this user may not write there"
    else:
        return
    raise StoreError(f"--out {out}: cannot be written: {why}; name another file with --out")


def time_ns(option: str, said: str | None, default: int) -> int:
    """Return a time (RFC 3339) as UTC ns, `default` where it was not given; raise StoreError naming the option."""
    if said is None:
        return default
    try:
        return parse_time(said)
    except ValueError as error:
        raise StoreError(f"{option} {said}: {error}") from error
