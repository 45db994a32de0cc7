"""The incident that docs/operating.md walks through, played on the simulated pump: each command gives what it shows."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.agent.commands import in_a_child
from tests.end_to_end.skid import Skid
from tests.test_docs import blocks, read, sections

pytestmark = pytest.mark.timeout(400)

SEED, START_S, TAG = 7, 2 * 3600, "bearing_nde_temperature"
LOOSE_DEGC, OPEN_SHARE = 15.0, 0.25
"""A terminal with a bad contact adds so much to the thermometer, for a quarter of the time."""
NEW_DEGC = 4.0
"""The new thermometer sits deeper, and shows so much more."""


def shown() -> Iterator[tuple[str, str]]:
    """Each command of the section, and what it prints there."""
    section = sections(read("docs/operating.md"))["One incident, from the alert to the new sensor"]
    for block in blocks(section, "console"):
        for told in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = told.replace("\\\n", "").partition("\n")
            yield command, output


def folded(text: str) -> str:
    return " ".join(text.split())


async def said(plant: Skid, command: str) -> str:
    """What a command of the walk prints; jq is left to Python."""
    if command.startswith("forewarn report "):  # it asks the record, not the agent
        done = await asyncio.to_thread(in_a_child, *shlex.split(command)[1:], cwd=plant.folder)
        assert done.returncode == 0, done.stderr
        return re.sub(r"\d+ kB", "16 kB", done.stdout)  # the page tells of the machine it was made on
    if command.startswith("forewarn "):
        return await plant.command(*shlex.split(command)[1:])
    assert "/alerts/pump-1 " in command
    alert = await plant.get("/alerts/pump-1")
    return "\n".join(check["do"] for check in alert["advisory"]["checks"])


def test_the_walk_through_an_incident_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "118")
    walk, rng = list(shown()), np.random.default_rng(5)

    async def next_steps(plant: Skid, count: int) -> None:
        for command, wanted in [walk.pop(0) for _ in range(count)]:
            found = await said(plant, command)
            assert folded(found) == folded(wanted), f"$ {command}\n{found}"
            await plant.play(2)

    async def loose(plant: Skid, rows: int) -> None:
        for _ in range(rows):
            plant.reads_more = LOOSE_DEGC * (rng.random() < OPEN_SHARE)
            await plant.play(1)

    async def scenario() -> None:
        async with Skid(tmp_path, SEED, START_S, TAG).on_the_wire() as plant:
            async with plant.running():
                await plant.play(120)
                await loose(plant, 60)
                await next_steps(plant, 3)  # the alert, what to check first, who goes
                await loose(plant, 50)
                plant.reads_more = None  # the wires are off
                await plant.play(120)
                plant.reads_more = NEW_DEGC
                await plant.play(60)
                await next_steps(plant, 4)  # what it makes of the new one, what it was, and how it is told
                await plant.play(640)
                await next_steps(plant, 4)  # how it stands, and what the second one was
            ((command, wanted),) = walk
            assert folded(await said(plant, command)) == folded(wanted)

    asyncio.run(scenario())
