"""`forewarn acknowledge` and its like, said to an agent that answers over a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.api.app import create_app
from agent.line.alert import AlarmState
from agent.server import ApiServer, listen
from tests.agent.commands import forewarn
from tests.agent.plant import Plant
from tests.agent.samples import alert, revised
from tests.clock import PATIENCE_S


@contextmanager
def served(plant: Plant) -> Iterator[str]:
    """The API of an agent whose lines take no step."""
    with listen("127.0.0.1", 0) as listener:
        up = threading.Event()
        server = ApiServer(create_app(plant.agent), listener)

        async def serve() -> None:
            serving = asyncio.create_task(server.run_here())
            await server.up.wait()
            up.set()
            await serving

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert up.wait(PATIENCE_S)
            yield server.url
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


def test_what_is_said_is_queued_for_the_asset(plant: Plant) -> None:
    plant.journal.record(alert(1))
    said = [
        (("acknowledge", "pump-1", "--by", "Ana", "--comment", "on it"), "pump-1: acknowledge"),
        (("shelve", "pump-1", "--for", "2d", "--by", "Ana", "--reason", "part ordered"), "pump-1: shelve"),
        (("label", "pump-1", "--real", "impeller blockage", "--by", "Ana"), "pump-1: label"),
        (("label", "pump-1", "--sensor", "--by", "Ana", "--comment", "loose plug"), "pump-1: label"),
        (("out-of-service", "pump", "--for", "4h", "--by", "Ana", "--reason", "new seal"), "pump: out-of-service"),
        (
            ("out-of-service", "pump", "--for", "4h", "--from", "2026-12-01T06:00Z", "--by", "Ana", "--reason", "seal"),
            "pump: out-of-service",
        ),
        (
            ("normal", "pump", "--since", "2026-01-01T06:00Z", "--by", "Ana", "--comment", "the new product"),
            "pump: normal",
        ),
        (("rebaseline", "pump", "--tags", "temperature", "--by", "Ana"), "pump: rebaseline"),
        (
            ("failure", "pump", "--at", "2026-01-01T06:00Z", "--downtime", "4h", "--by", "Ana", "--comment", "burst"),
            "pump: failure",
        ),
        (
            ("repair", "pump", "--alert", "pump-1", "--avoided", "8h", "--by", "Ana", "--comment", "new seal"),
            "pump: repair",
        ),
    ]
    with served(plant) as url:
        for arguments, answer in said:
            result = forewarn(*arguments, "--api", url)
            assert (result.exit_code, result.output) == (0, f"{answer} takes effect with the asset's next read\n")


def test_what_cannot_be_is_told_with_the_reason(plant: Plant) -> None:
    plant.journal.record(revised(alert(1), AlarmState.NORMAL))
    refused = [
        (("acknowledge", "pump-1", "--by", "Ana"), "pump-1 is over"),
        (("acknowledge", "pump-9", "--by", "Ana"), 'there is no alert "pump-9"'),
        (("unshelve", "pump-1", "--by", "Ana"), "pump-1 is not shelved"),
        (("label", "pump-9", "--normal", "--by", "Ana"), 'there is no alert "pump-9"'),
        (("label", "pump-1", "--by", "Ana"), "say one of --real FAULT, --normal"),
        (("label", "pump-1", "--by", "Ana", "--normal", "--sensor"), "say one of --real FAULT, --normal"),
        (("label", "pump-1", "--by", "Ana", "--real", " "), '--real " ": must not be blank; such as --real "im'),
        (("label", "pump-1", "--normal", "--by", ""), '--by "": must not be empty; such as --by Ana'),
        (("label", "pump-1", "--normal", "--by", " "), '--by " ": must not be blank; such as --by Ana'),
        (("shelve", "pump-1", "--for", "1h", "--by", "Ana", "--reason", " "), '--reason " ": must not be blank; such'),
        (("label", "pump-1", "--normal", "--by", "A" * 101), "--by: must have 100 characters at most; such"),
        (("in-service", "pump", "--by", "Ana"), "pump is in service, and nothing else is planned"),
        (("normal", "pump", "--since", "2036-12-01T06:00Z", "--by", "Ana", "--comment", "x"), "--since: must be befo"),
        (("rebaseline", "pump", "--tags", "speed", "--by", "Ana"), "--tags: speed: the model has no level of that"),
        (("rebaseline", "pump", "--tags", "temperature,pressure", "--by", "Ana"), "leave out one to go by"),
        (("nothing-changed", "pump", "--by", "Ana"), "pump is not on hold"),
        (("normal", "pump", "--since", "noon", "--by", "Ana", "--comment", "x"), '--since noon: "noon" is no'),
        (("in-service", "a b/c?d", "--by", "Ana"), "there is no"),
        (("shelve", "pump-1", "--for", "90d", "--by", "Ana", "--reason", "x"), "--for 90d: must be 30d at most; such"),
        (("shelve", "pump-1", "--for", "0s", "--by", "Ana", "--reason", "x"), "--for 0s: must be more than 0s"),
        (("shelve", "pump-1", "--for", "1h", "--by", "Ana", "--reason", ""), '--reason "": must not be empty; such as'),
        (("shelve", "pump-1", "--for", "long", "--by", "Ana", "--reason", "x"), "--for long: must be a number with"),
        (("out-of-service", "pump", "--for", "1h", "--from", "noon", "--by", "A", "--reason", "x"), "--from noon: "),
        (("out-of-service", "pump", "--for", "1h", "--from", "2200-01-01T00:00Z", "--by", "A", "--reason", "x"),
         "--from: is more than a year ahead"),
        (("out-of-service", "pump", "--for", "1h", "--from", "9999-01-01T00:00Z", "--by", "A", "--reason", "x"),
         "is before 1970 or after 2262; look at the year"),
        (("out-of-service", "pump", "--for", "1h", "--from", "2026-12-01T06:00", "--by", "A", "--reason", "x"), "Z"),
        (("failure", "pump", "--at", "2200-01-01T00:00Z", "--by", "Ana", "--comment", "x"), "--at: is to come"),
        (("repair", "pump", "--avoided", "much", "--by", "Ana", "--comment", "x"), "--avoided much: must be"),
        (("repair", "pump", "--avoided", "400d", "--by", "Ana", "--comment", "x"), "--avoided 400d: must be 366d"),
        (("failure", "pump", "--by", "Ana", "--comment", "x", "--alert", "pump-7"), "forewarn alerts lists them"),
        (("rebaseline", "pump", "--tags", ",", "--by", "Ana"), "--tags: must name one at least; such as --tags temper"),
        (("models", "rollback", "pump", "--by", "Ana", "--to", "x" * 65), "--to: must have 64 characters at most"),
    ]
    with served(plant) as url:
        for arguments, said in refused:
            result = forewarn(*arguments, "--api", url)
            assert result.exit_code == 2
            assert said in result.output
            assert "body." not in result.output


@pytest.mark.parametrize(("arguments", "said"), [
    (("label", "pump-1", "--real", "--by", "Ana"), ("--real", "its FAULT is missing: --by is the next option",
                                                    'Example: forewarn label pump-3 --real "impeller blockage" --by')),
    (("failure", "pump", "--comment", "--by=Ana"), ("--comment", "its TEXT is missing: --by=Ana is the next option",)),
    (("models", "rollback", "pump", "--to", "--by", "Ana"), ("--to", "its VERSION is missing")),
    (("report", "weekly", "--out", "--quick"), ("--out", "its FILE is missing")),
])
def test_an_option_that_lacks_its_value_does_not_swallow_the_next(
    arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    result = forewarn(*arguments)
    assert result.exit_code == 2
    assert "Missing option" not in result.output
    for told in said:
        assert told in " ".join(result.output.split())


def test_a_value_that_looks_like_an_option_can_be_given(plant: Plant) -> None:
    plant.journal.record(alert(1))
    with served(plant) as url:
        result = forewarn("label", "pump-1", "--normal", "--comment=--by", "--by", "Ana", "--api", url)
    assert result.output == "pump-1: label takes effect with the asset's next read\n"


@pytest.mark.parametrize(
    "name", ["acknowledge", "shelve", "unshelve", "label", "out-of-service", "in-service", "normal", "nothing-changed",
             "rebaseline"]
)
def test_each_shows_an_example_and_asks_who_says_so(name: str) -> None:
    assert f"Example: forewarn {name}" in forewarn(name, "--help").output
    result = forewarn(name, "pump-1")
    assert result.exit_code == 2
    assert "Missing option" in result.output
