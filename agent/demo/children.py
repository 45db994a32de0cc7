"""Child processes: started, heard, watched, and ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from pydantic import BaseModel, ValidationError

from agent.demo.scenario import DemoError

TAIL_LINES: Final = 15
LINE_BYTES_MAX: Final = 1 << 20
STOP_S_MAX: Final = 5.0

Announcement = TypeVar("Announcement", bound=BaseModel)


class ChildError(DemoError):
    """A child process has ended by itself: which one, how, and its last words."""


class Child:
    """One running process; keeps the last lines it has said."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    async def announced(self, kind: type[Announcement]) -> Announcement:
        """Wait for the line of JSON that is of a kind; raise ChildError where the process ends without it."""
        async for line in self._lines():
            try:
                said = kind.model_validate_json(line)
            except ValidationError:
                continue
            self._listening = asyncio.create_task(self._listen(), name=f"listen to {self.name}")
            return said
        await self._process.wait()
        raise self._died()

    async def output(self) -> str:
        """Return what the process says until its end; raise ChildError where it fails."""
        said = [line async for line in self._lines()]
        if await self._process.wait():
            raise self._died()
        return "".join(said)

    async def ended(self) -> None:
        """Wait until the process has ended and everything it said was heard."""
        await self._process.wait()
        if self._listening is not None:
            await self._listening
        else:
            await self._listen()

    def check(self) -> None:
        """Raise ChildError where the process has ended."""
        if self._process.returncode is not None:
            raise self._died()

    async def stop(self, patience_s: float = STOP_S_MAX) -> None:
        """End the process: kindly, and by force where that takes too long."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(patience_s):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self.ended()

    async def _lines(self) -> AsyncIterator[str]:
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode(errors="replace"):
            if line.strip():
                self._tail.append(line.rstrip())
            yield line

    async def _listen(self) -> None:
        """Read on, so that the process never waits for a reader."""
        async for _ in self._lines():
            pass

    def _died(self) -> ChildError:
        said = "".join(f"\n  | {line}" for line in self._tail) or " nothing."
        code = self._process.returncode or 0
        how = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
        return ChildError(f"The {self.name} ended unexpectedly ({how}). Its last words:{said}")


class Children:
    """All the child processes: none is alive after the `async with`."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    async def start(self, name: str, module: str, arguments: Sequence[str]) -> Child:
        """Start `python -m module`, in a session of its own: Ctrl-C is for us, and we end the children."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, limit=LINE_BYTES_MAX,
            start_new_session=True,
        )  # fmt: skip
        child = Child(name, process)
        self._children.append(child)
        return child

    async def output_of(self, name: str, module: str, arguments: Sequence[str]) -> str:
        """Run `python -m module` to its end and return what it says; raise ChildError where it fails."""
        child = await self.start(name, module, arguments)
        said = await child.output()
        self._children.remove(child)
        return said

    def check(self) -> None:
        """Raise ChildError where any has ended."""
        for child in self._children:
            child.check()
