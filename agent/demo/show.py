"""The demonstration from the first line on the screen to the exit code."""

from __future__ import annotations

import asyncio
import tempfile
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.clock import Clock
from agent.demo.children import Children
from agent.demo.rest import RestError
from agent.demo.scenario import DemoError, Scenario
from agent.demo.screen import Picture, event_line
from agent.demo.stage import Stage, set_up
from agent.demo.story import Moment, Story
from agent.demo.summary import Summary, summarise

STORY_S_MAX: Final = 165.0
"""Wall time from the first process to the summary; with the end of all processes it stays below 3 minutes."""
FRAME_NS: Final = 250_000_000
FAILURES_MAX: Final = 3
AFTER_FAILURE_NS: Final = 60_000_000_000
"""The story goes on for a simulated minute, so that the failure can be seen."""


class Show:
    """Plays a scenario on a console, as a live picture on a terminal and as lines elsewhere."""

    def __init__(self, scenario: Scenario, speed: float, console: Console, clock: Clock) -> None:
        self._scenario, self._speed = scenario, speed
        self._console, self._clock = console, clock
        self._failures = 0
        self.warned: bool | None = None
        """Whether the agent warned in time; None as long as the story was not told to its end."""

    async def run(self, *, keep: bool = False) -> None:
        """Play to the end and print the summary; raise DemoError.

        With `keep` everything then goes on until this is cancelled. No child and no file is left behind.
        """
        with tempfile.TemporaryDirectory(prefix="forewarn-demo-", ignore_cleanup_errors=True) as folder:
            async with Children() as children:
                try:
                    async with asyncio.timeout(STORY_S_MAX):
                        self._opening()
                        stage = await set_up(
                            self._scenario, self._speed, children, Path(folder), self._clock, self._say
                        )
                        story = Story(stage.script)
                        await self._play(stage, story, children, self._is_over)
                        summary = summarise(stage.script, (await stage.rest.alerts()).items, story.raised_ns)
                except TimeoutError:
                    raise DemoError(
                        f"The story did not come to its end within {STORY_S_MAX:g} s: this machine is too "
                        "slow or too busy for it. Try again when less else is running."
                    ) from None
                self._conclude(summary)
                if keep:
                    self._say("Everything goes on until Ctrl-C.")
                    await self._play(stage, story, children, lambda *_: False)

    def _opening(self) -> None:
        minutes = self._scenario.failure_s / 60
        self._say(
            f"Forewarn demo: a {self._scenario.sick} degrades and fails within {minutes:.0f} simulated minutes; "
            f"the agent is to warn before. Simulated time runs {self._speed:g} times faster than wall time, in the "
            f"API's timestamps too, so this takes about {self._scenario.failure_s / self._speed:.0f} s. "
            f"Here you see the plant's clock; the API dates the {self._scenario.healthy} by it too, for OPC UA tells "
            f"the time, and the {self._scenario.sick} by the agent's own clock, for Modbus tells none. "
            "On a slow or busy machine polls may be missed."
        )

    async def _play(
        self, stage: Stage, story: Story, children: Children, over: Callable[[Stage, Moment], bool]
    ) -> None:
        """Look at the agent and show what it says, again and again, until it is over."""
        live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        shown: AbstractContextManager[object] = live if self._console.is_terminal else nullcontext()
        with shown:
            moment = None
            while moment is None or not over(stage, moment):
                children.check()
                due_ns = self._clock.monotonic_ns() + FRAME_NS
                moment = await self._look(stage) or moment
                if moment is not None:
                    self._show(live, stage, story, moment)
                await self._clock.sleep_until(due_ns)

    async def _look(self, stage: Stage) -> Moment | None:
        """Return what the agent says, None where it said nothing this time; raise RestError where it never does."""
        try:
            moment = await stage.look(self._clock)
        except RestError:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                raise
            return None
        self._failures = 0
        return moment

    def _show(self, live: Live, stage: Stage, story: Story, moment: Moment) -> None:
        new = story.see(moment)
        if self._console.is_terminal:
            live.update(Picture(story, moment, stage.rest.url, stage.file, stage.wheres, stage.regimes), refresh=True)
            return
        for event in new:
            self._say(event_line(stage.script, event).plain)

    def _is_over(self, stage: Stage, moment: Moment) -> bool:
        return moment.time_ns >= stage.script.truth.failure_ns + AFTER_FAILURE_NS

    def _conclude(self, summary: Summary) -> None:
        self.warned = summary.warned
        self._say("")
        for line in summary.lines[:-1]:
            self._say(line)
        self._say(summary.lines[-1], "bold green" if summary.warned else "bold red")

    def _say(self, line: str, style: str = "") -> None:
        """Print a line; on a terminal it goes on below its own indentation."""
        if self._console.is_terminal:
            margin = " " * (len(line) - len(line.lstrip()))
            line = textwrap.fill(
                line, self._console.width - 1, subsequent_indent=margin, break_on_hyphens=False
            )
        self._console.print(Text(line, style), soft_wrap=True)
