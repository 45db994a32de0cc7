"""Child processes are heard, missed when they die, and never left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import BaseModel

from agent.demo.children import TAIL_LINES, ChildError, Children

T = TypeVar("T")


class Hello(BaseModel):
    port: int


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that a child can run as `python -m script`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "script.py"


def run(scenario: Coroutine[object, object, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await scenario

    return asyncio.run(bounded())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


SERVE = """
import signal, sys
print("starting", file=sys.stderr, flush=True)
print('{"port": "none"}')
print('{"port": 7}', flush=True)
signal.sigwait([signal.SIGUSR1])
"""


def test_a_child_is_heard_and_ended(module: Path) -> None:
    module.write_text(SERVE)

    async def scenario() -> int:
        async with Children() as children:
            child = await children.start("server", "script", [])
            assert (await child.announced(Hello)).port == 7
            children.check()
            assert is_running(child.pid)
            assert os.getsid(child.pid) == child.pid, "Ctrl-C of the terminal does not reach it"
            return child.pid

    assert not is_running(run(scenario()))


def test_children_are_ended_when_something_else_fails(module: Path) -> None:
    module.write_text(SERVE)
    pids: list[int] = []

    async def scenario() -> None:
        async with Children() as children:
            for _ in range(2):
                child = await children.start("server", "script", [])
                pids.append(child.pid)
            raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        run(scenario())
    assert len(pids) == 2
    assert not [pid for pid in pids if is_running(pid)]


def test_a_child_that_does_not_obey_is_killed(module: Path) -> None:
    module.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE)

    async def scenario() -> int:
        async with Children() as children:
            child = await children.start("stubborn server", "script", [])
            await child.announced(Hello)
            await child.stop(patience_s=0.01)
            with pytest.raises(ChildError, match=r"stubborn server ended unexpectedly \(killed by signal 9\)"):
                children.check()
            return child.pid

    assert not is_running(run(scenario()))


def test_a_child_that_dies_at_once_is_told_with_its_last_words(module: Path) -> None:
    module.write_text(f"for i in range({TAIL_LINES + 10}): print('line', i)\nraise SystemExit('no port is free')")

    async def scenario() -> str:
        async with Children() as children:
            child = await children.start("server", "script", [])
            with pytest.raises(ChildError) as error:
                await child.announced(Hello)
            return str(error.value)

    message = run(scenario())
    assert message.startswith("The server ended unexpectedly (exit code 1). Its last words:\n  | line 11\n")
    assert message.endswith("  | no port is free")
    assert message.count("\n") == TAIL_LINES


def test_a_child_that_dies_later_is_told_too(module: Path) -> None:
    module.write_text("print('{\"port\": 1}', flush=True)\nprint('it is over')\nraise SystemExit(3)")

    async def scenario() -> str:
        async with Children() as children:
            child = await children.start("server", "script", [])
            await child.announced(Hello)
            await child.ended()
            with pytest.raises(ChildError) as error:
                children.check()
            return str(error.value)

    message = run(scenario())
    assert "The server ended unexpectedly (exit code 3)" in message
    assert "| it is over" in message


def test_a_child_that_said_nothing(module: Path) -> None:
    module.write_text("raise SystemExit(0)")

    async def scenario() -> None:
        async with Children() as children:
            child = await children.start("server", "script", [])
            await child.announced(Hello)

    with pytest.raises(ChildError, match=r"\(exit code 0\)\. Its last words: nothing\."):
        run(scenario())


def test_the_output_of_a_command(module: Path) -> None:
    module.write_text("import sys\nprint(*sys.argv[1:])\nprint()\nsys.exit(len(sys.argv) > 2)")

    async def scenario() -> str:
        async with Children() as children:
            said = await children.output_of("command", "script", ["a b"])
            children.check()  # it has ended, as it should
            with pytest.raises(ChildError, match=r"The command ended unexpectedly \(exit code 1\)(?s:.*)\| a b c"):
                await children.output_of("command", "script", ["a b", "c"])
            return said

    assert run(scenario()) == "a b\n\n"


def test_the_interpreter_of_the_children_is_ours(module: Path) -> None:
    module.write_text("import sys\nprint(sys.executable, end='')")

    async def scenario() -> str:
        async with Children() as children:
            return await children.output_of("command", "script", [])

    assert run(scenario()) == sys.executable
