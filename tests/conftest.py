"""What holds for every test: no asyncio task or level of logging is left behind, and no PLC is written to."""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import runners
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import wire

# The suite runs in as many processes as there are cores: threads of the linear algebra, which spin while they wait,
# would take the cores from the others. Set before numpy or torch are imported, and inherited by child processes.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")


# No test depends on speed, and other processes have the cores, too. Where CI is set Hypothesis does the same by itself.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:
    settings.load_profile("shared")


def _is_test_server(task: asyncio.Task[object]) -> bool:
    """Whether it is a task of asyncua's server (in tests only), which leaves some when a client just
    vanishes.
    """
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/asyncua/server/" in code.co_filename


@pytest.fixture(autouse=True)
def _no_leaked_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test whose event loop ends with tasks that nobody has awaited or cancelled."""
    leaked: list[str] = []
    cancel_all = runners._cancel_all_tasks

    def cancel_and_note(loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(10):  # let those that were just cancelled, or are ending, come to their end
            loop.run_until_complete(asyncio.sleep(0))
        leaked.extend(repr(task) for task in asyncio.all_tasks(loop) if not _is_test_server(task))
        cancel_all(loop)

    monkeypatch.setattr(runners, "_cancel_all_tasks", cancel_and_note)
    yield
    if leaked:
        pytest.fail("asyncio tasks left behind:\n" + "\n".join(leaked))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Take back the level that a command has set in this process: the next test may look for a warning."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _no_write_on_the_wire() -> Iterator[None]:
    """Fail the run if any recording proxy of any test has seen a request that is no read."""
    yield
    found = wire.violations(wire.PROXIES)
    assert not found, "a PLC was written to:\n" + "\n".join(found)
