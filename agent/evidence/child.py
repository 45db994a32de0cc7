"""`python -m agent.evidence.child`: a pack made in a process of lowest priority, which then is gone with its memory.

The question is JSON on standard input, the answer the pack on standard output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent import child
from agent.clock import Clock
from agent.config.base import ConfigError
from agent.store.journal import StoreError
from models.bundle import BundleError

log = logging.getLogger(__name__)

NICE: Final = 19
TIMEOUT_NS: Final = 900_000_000_000
_UNUSABLE: Final = 2


class EvidenceError(Exception):
    """There can be no evidence of an alert until somebody mends what is said."""


async def ask(
    alert_id: str, file: Path, now_ns: int, clock: Clock, python: Sequence[str] = (sys.executable,)
) -> bytes:
    """Return the evidence of an alert, of an agent configured by `file`, made in a child process.

    Raise EvidenceError where the configuration or the model has to be mended first, StoreError where it failed.
    """
    asked = json.dumps({"alert": alert_id, "file": str(file), "now_ns": now_ns}).encode()
    try:
        ended = await child.run((*python, "-m", "agent.evidence.child"), clock, TIMEOUT_NS, asked)
    except OSError as error:
        raise _failed(alert_id, f"{python[0]} cannot be started: {error.strerror}") from error
    if ended.hung:
        raise _failed(alert_id, f"it took more than {TIMEOUT_NS // 60_000_000_000} minutes and was ended")
    if ended.code == _UNUSABLE:
        raise EvidenceError(f"there can be no evidence of {alert_id}: {ended.complaint}")
    if ended.code:
        raise _failed(alert_id, ended.complaint or f"the process that makes it ended with {ended.code}")
    return ended.said


def _failed(alert_id: str, why: str) -> StoreError:
    log.warning("evidence cannot be made", extra={"alert": alert_id, "error": why})
    return StoreError(f"the evidence of {alert_id} cannot be made now: {why}; try again, or see the agent's log")


def main() -> None:
    """Answer the question on standard input."""
    os.nice(NICE)
    os.environ["POLARS_MAX_THREADS"] = "1"
    from agent.evidence.making import make  # heavy, and of use to the child alone

    asked = json.load(sys.stdin)
    try:
        made = make(asked["alert"], Path(asked["file"]), None, asked["now_ns"], lambda _: None)
    except (ConfigError, BundleError) as error:
        sys.stderr.write(str(error))
        sys.exit(_UNUSABLE)
    except StoreError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(made.content)


if __name__ == "__main__":
    main()
