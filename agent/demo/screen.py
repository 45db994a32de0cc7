"""What a person sees on a terminal: one picture of a moment; and what is printed where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from agent.api.models import AssetDetail, ContributionModel
from agent.cells import cells
from agent.demo.scenario import Phase, Script, api_time, time_of_day
from agent.demo.story import Event, Moment, Story, in_words
from agent.demo.summary import number
from agent.line.alert import AlarmState
from agent.line.verdict import Condition

TAGS_MAX: Final = 10
OTHER_LINES: Final = 18
"""Lines of the picture beside tags, events and the blank lines between the parts."""
ROOMY_LINES: Final = 32
"""From this height on there are blank lines between the parts."""
EVENT_LINES_MIN, EVENT_LINES_MAX = 3, 6
BAR_CELLS: Final = 30
SCENARIO_CELLS: Final = 45
BAR_EVIDENCE_MAX: Final = 3.0
SHARE_SHOWN: Final = 0.1

CONDITION_STYLES: Final[Mapping[Condition, str]] = {
    Condition.NORMAL: "green",
    Condition.SETTLING: "cyan",
    Condition.DEVIATING: "bold red",
    Condition.UNSEEN_REGIME: "yellow",
    Condition.BLIND: "magenta",
}
PHASE_STYLES: Final[Mapping[Phase, str]] = {
    Phase.HEALTHY: "green", Phase.DEGRADING: "yellow", Phase.FAILED: "bold red",
}  # fmt: skip


class Picture:
    """One moment of the story, drawn into the size of the console.

    `url` and `file` are the agent's API and configuration; `wheres` tells how each machine is connected, `regimes` how
    each of its regimes is described.
    """

    def __init__(
        self,
        story: Story,
        moment: Moment,
        url: str,
        file: Path,
        wheres: Mapping[str, str],
        regimes: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._story, self._moment, self._url, self._file = story, moment, url, file
        self._wheres, self._regimes = wheres, regimes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it (called by rich)."""
        height = console.size.height
        blank = [Text()] if height >= ROOMY_LINES else []
        free = max(0, height - OTHER_LINES - 4 * len(blank))
        lines = min(EVENT_LINES_MAX, max(EVENT_LINES_MIN, free // 4))
        first = min(TAGS_MAX, max(3, (free - lines + 1) // 2))
        second = min(TAGS_MAX, max(0, free - lines - first))
        rows = dict(zip(self._moment.assets, (first, second), strict=False))
        marks = ("#", "-") if options.ascii_only else ("█", "·")
        parts: list[RenderableType] = [*self._head(marks), *blank]
        for name, asset in self._moment.assets.items():
            parts += [*self._machine(name, asset, marks), tags(asset, rows.get(name, 0)), *blank]
        parts += [*self._last_events(console, options.max_width, lines), *blank, *self._foot()]
        yield Group(*parts)

    def _last_events(self, console: Console, width: int, lines: int) -> list[Text]:
        """Return the events that fit into so many lines, in order: alarming ones first of all, then the newest."""
        newest_first = list(enumerate(self._story.events))[::-1]
        shown: dict[int, list[Text]] = {}
        for index, event in sorted(newest_first, key=lambda one: not one[1].alarming):
            parts = list(event_line(self._story.script, event).wrap(console, width))
            if shown and sum(map(len, shown.values())) + len(parts) > lines:
                break
            shown[index] = parts
        return [part for index in sorted(shown) for part in shown[index]]

    def _head(self, marks: tuple[str, str]) -> list[Text]:
        script, now_ns = self._story.script, self._moment.time_ns
        phase, severity = script.truth.phase(now_ns), script.truth.severity_at(now_ns)
        title = Text("Forewarn demo", "bold", no_wrap=True, overflow="ellipsis")
        clock = f"{time_of_day(now_ns)}, minute {script.minute(now_ns):.0f}"
        title.append(f"  {clock} (simulated time, {script.speed:g} times faster)", "not bold")
        progress = Text.assemble("Scenario  ", *scenario_bar(script, now_ns, marks), no_wrap=True)
        said = Text.assemble(
            f"          {script.truth.kind} ",
            (phase.value, PHASE_STYLES[phase]),
            f", severity {severity:.0%} (only the simulator knows)",
            no_wrap=True,
            overflow="ellipsis",
        )
        return [title, progress, said]

    def _machine(self, name: str, asset: AssetDetail, marks: tuple[str, str]) -> list[Text]:
        verdict, alert = asset.verdict, asset.alert
        condition = verdict.condition if verdict else Condition.BLIND
        regime = verdict.regime if verdict else None
        described = self._regimes.get(name, {}).get(regime or "", "")
        state = alert.state if alert else AlarmState.NORMAL
        heading = Text.assemble((name, "bold underline"), f"  {self._wheres.get(name, '')}", no_wrap=True,
                                overflow="ellipsis")
        heading.append(f"; in the API {api_time(verdict.time)}" if verdict else "")
        known = Text(f"  regime    {regime or '-'}", no_wrap=True, overflow="ellipsis")
        known.append(f": {described}" if described else "", "dim")
        judged = Text("  evidence  ", no_wrap=True, overflow="ellipsis")
        judged.append_text(evidence_bar(verdict.evidence if verdict else None, marks))
        status = Text.assemble(
            "  condition ", (f"{in_words(condition):<14}", CONDITION_STYLES[condition]), "alarm ",
            (f"{in_words(state)} ({alert.id})" if alert else in_words(state), "green" if alert is None else "bold red"),
            no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
        return [heading, known, judged, status]

    def _foot(self) -> list[Text]:
        reads = sum(one.reads for one in self._moment.connections)
        missed = sum(one.ticks_missed for one in self._moment.connections)
        asset = self._story.script.sick
        lines = (
            f"Polls: {reads}, missed: {missed} (a slow machine misses some). Ctrl-C ends everything.",
            f"Configuration: {self._file}",
            f"REST API: {self._url}/assets, /alerts, /connections, /openapi.json",
            f"          curl -s {self._url}/assets/{asset}",
        )
        return [Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in lines]


def scenario_bar(script: Script, now_ns: int, marks: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the way from the start to the failure as text and style, with a mark at the onset."""
    whole_ns = script.truth.failure_ns - script.start_ns
    gone = min(SCENARIO_CELLS, (now_ns - script.start_ns) * SCENARIO_CELLS // whole_ns)
    onset = (script.truth.onset_ns - script.start_ns) * SCENARIO_CELLS // whole_ns
    parts = [("healthy ", PHASE_STYLES[Phase.HEALTHY])]
    for cell in range(SCENARIO_CELLS):
        if cell == onset:
            parts.append(("|", "bold"))
        phase = Phase.HEALTHY if cell < onset else Phase.DEGRADING
        parts.append((marks[0] if cell < gone else marks[1], PHASE_STYLES[phase]))
    return [*parts, (" failed", PHASE_STYLES[Phase.FAILED] if gone == SCENARIO_CELLS else "dim")]


def evidence_bar(evidence: float | None, marks: tuple[str, str]) -> Text:
    """Return the evidence as a bar with the limit, which is 1, marked in it."""
    limit = int(BAR_CELLS / BAR_EVIDENCE_MAX)
    filled = int(min(evidence or 0.0, BAR_EVIDENCE_MAX) * limit)
    bar = Text()
    for cell in range(BAR_CELLS):
        if cell == limit:
            bar.append("|", "bold")
        bar.append(marks[0] if cell < filled else marks[1], "red" if cell >= limit else "green")
    return bar.append(" not judged" if evidence is None else f" {evidence:.2f} (limit 1)")


def tags(asset: AssetDetail, rows: int) -> RenderableType:
    """Return a table of some tags in the order of the asset, those that deviate always among them."""
    named = {} if asset.verdict is None else {one.tag: one for one in asset.verdict.contributions}
    deviating = {tag: one for tag, one in named.items() if is_shown(asset, one)}
    readings = list(asset.readings)
    least = [one for one in reversed(readings) if one.tag not in deviating]
    for one in least[: max(0, len(readings) - rows)]:
        readings.remove(one)
    if rows == 0:
        return Group()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  tag", no_wrap=True, min_width=26)
    for title in ("value", "expected"):
        table.add_column(title, justify="right", no_wrap=True, min_width=9)
    table.add_column("unit", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in readings[:rows]:
        part = deviating.get(one.tag)
        value = number(one.value) if one.value is not None else one.status
        expected = number(part.expected) if part else ""
        share = f"{part.share:.0%} of the deviation" if part and part.share is not None else ""
        row = cells(f"  {one.tag}", value, expected, one.unit, share)
        table.add_row(*row, style="bold red" if part else None)
    return table


def is_shown(asset: AssetDetail, part: ContributionModel) -> bool:
    """Say whether a tag's part in a deviation is worth a mark."""
    deviates = asset.verdict is not None and asset.verdict.condition is Condition.DEVIATING
    return deviates and (part.share or 0.0) >= SHARE_SHOWN


def event_line(script: Script, event: Event) -> Text:
    """Return an event as one line."""
    line = f"{time_of_day(event.time_ns)}  minute {script.minute(event.time_ns):5.1f}  {event.text}"
    return Text(line, "bold red" if event.alarming else "")
