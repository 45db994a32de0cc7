"""A child process for work that would hold up the daemon: it has so long by the daemon's clock, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from agent.clock import Clock

_ERROR_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """What a child process has said, the last line of its complaints, and how it ended: `hung` where it was killed."""

    said: bytes
    complaint: str
    code: int
    hung: bool


async def run(command: Sequence[str], clock: Clock, timeout_ns: int, asked: bytes = b"") -> Ended:
    """Run a command that reads `asked`, and kill it after `timeout_ns`; raise OSError where it cannot be started.

    It is killed also where the caller is cancelled: what a child was doing is done anew after the next start.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    talk = asyncio.ensure_future(child.communicate(asked))
    late = asyncio.ensure_future(clock.sleep_until(clock.monotonic_ns() + timeout_ns))
    try:
        await asyncio.wait({talk, late}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        late.cancel()
        if hung := not talk.done():
            with suppress(ProcessLookupError):
                child.kill()
        said, complaint = await talk
    last = complaint.decode(errors="replace").strip()[-_ERROR_BYTES:].rpartition("\n")[2]
    return Ended(said, last, child.returncode or 0, hung)
