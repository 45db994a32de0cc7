"""The evidence of an alert, asked of an agent that runs, over a socket: the pack that the command line writes."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import Path

import pytest

from agent.evidence import child, contents, pack
from agent.store.journal import StoreError
from tests.agent.commands import forewarn
from tests.clock import ManualClock
from tests.end_to_end.site import Site

pytestmark = pytest.mark.timeout(400)
PATH = "/alerts/pump-1/evidence"


async def alarmed(plant: Site) -> None:
    await plant.play(60)
    plant.faulty.add("pump")
    await plant.play(40)
    plant.faulty.clear()
    await plant.play(100)  # it returns, and the record is on disk


def test_the_pack_from_an_agent_that_runs_is_the_one_of_the_command_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ("pump",)).on_the_wire() as plant, plant.running():
            await alarmed(plant)
            answer = await plant.fetch(PATH)
            assert answer.status_code == HTTPStatus.OK, answer.text
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["content-disposition"] == 'attachment; filename="pump-1.html"'
            found = pack.unseal(answer.content)
            recorded, again, rows_differ = contents.replay_pack(found)
            assert again.revisions == recorded
            assert not rows_differ
            history = (await plant.get("/alerts/pump-1/history"))["items"]
            assert [json.loads(body) for body in recorded] == history

            file = tmp_path / "agent.toml"
            out = tmp_path / "written.html"
            assert (await asyncio.to_thread(forewarn, "evidence", "pump-1", file, "--out", out)).exit_code == 0
            written = pack.unseal(out.read_bytes())
            own = (tmp_path / "state" / "signing.pub").read_text().strip()
            assert found.signed_by == written.signed_by == own
            differ = {name for name in found.files.keys() | written.files.keys()
                      if found.files.get(name) != written.files.get(name)}
            assert differ == {contents.FACTS}  # when it was made

    asyncio.run(scenario())


def test_what_keeps_evidence_from_being_made_is_told_and_the_agent_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ("pump",)).on_the_wire() as plant, plant.running():
            await alarmed(plant)
            (tmp_path / "bundle").rename(tmp_path / "elsewhere")
            answer = await plant.fetch(PATH)
            assert answer.status_code == HTTPStatus.CONFLICT
            assert answer.headers["content-type"] == "application/problem+json"
            assert "there can be no evidence of pump-1" in answer.json()["detail"]
            (tmp_path / "elsewhere").rename(tmp_path / "bundle")
            await plant.play(5)
            assert (await plant.fetch(PATH)).status_code == HTTPStatus.OK

    asyncio.run(scenario())


def test_where_the_record_is_gone_the_pack_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path, ("pump",)).on_the_wire() as plant:
            async with plant.running():
                await alarmed(plant)
            for segment in (tmp_path / "state" / "telemetry").iterdir():
                segment.unlink()
            async with plant.running():
                answer = await plant.fetch(PATH)
                assert answer.status_code == HTTPStatus.OK, answer.text
                found = pack.unseal(answer.content)
                assert json.loads(found.files[contents.FACTS])["replay"].startswith("It cannot be replayed")

    asyncio.run(scenario())


def test_a_child_that_fails_or_cannot_be_started_is_told(tmp_path: Path) -> None:
    for python, why in (("false", "ended with 1"), (str(tmp_path / "none"), "cannot be started")):
        with pytest.raises(StoreError, match=why):
            asyncio.run(child.ask("pump-1", tmp_path / "agent.toml", 0, ManualClock(), (python,)))
