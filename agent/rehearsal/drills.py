"""Drills that were held, one small file each in the state directory; the newest of each asset is the one shown."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.rehearsal.finding import Drill, Finding, Tried
from agent.store import segments
from agent.store.journal import StoreError

log = logging.getLogger(__name__)

FOLDER: Final = "drills"
KEPT: Final = 24
"""Of each asset: two years of a drill a month."""


def keep(state_dir: Path, held: Drill) -> Path:
    """Write a drill beside the others, drop the oldest beyond KEPT, and return its file; raise StoreError."""
    stamp = datetime.fromtimestamp(held.held_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    path = state_dir / FOLDER / f"{held.asset}.{stamp}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments.replace_synced(path, json.dumps(asdict(held)).encode())
        for old in _files(state_dir, held.asset)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; mend its rights, or free some room") from error
    return path


def last(state_dir: Path, asset: str) -> Drill | None:
    """Return the newest drill of an asset that can be read, None where there is none; raise StoreError."""
    for path in reversed(_files(state_dir, asset)):
        try:
            return _drill(path.read_bytes())
        except FileNotFoundError:  # dropped meanwhile
            continue
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; mend its rights") from error
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a drill is damaged and passed over", extra={"path": str(path), "error": str(error)})
    return None


def _files(state_dir: Path, asset: str) -> list[Path]:
    mine = re.compile(re.escape(asset) + r"\.\d{8}T\d{6}Z\.json")  # another asset may be called asset.2
    return sorted(path for path in (state_dir / FOLDER).glob("*.json") if mine.fullmatch(path.name))


def _drill(content: bytes) -> Drill:
    body = json.loads(content)
    findings = tuple(
        Finding(**{**one, "sizes": tuple(Tried(**{**s, "seen_s": tuple(s["seen_s"])}) for s in one["sizes"])})
        for one in body["findings"]
    )
    return Drill(**{**body, "findings": findings})
