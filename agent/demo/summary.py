"""The end of the story: when it began, when the agent warned, what it said, and whether that was true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.api.models import AlertModel, ContributionModel
from agent.demo.scenario import MINUTE_NS, Script, api_time, time_of_day


@dataclass(frozen=True, slots=True)
class Summary:
    """The text for a person, line by line, the last of which is the verdict, and whether the agent warned in time."""

    lines: tuple[str, ...]
    warned: bool


def summarise(script: Script, alerts: Sequence[AlertModel], raised_ns: Callable[[AlertModel], int]) -> Summary:
    """Return the summary of a story that was played to its end.

    `alerts` are all there were, `raised_ns` says at which simulated time one was raised. It counts as a
    warning from the onset on and before the failure.
    """
    truth = script.truth
    times = {alert.id: raised_ns(alert) for alert in alerts}
    of_sick = sorted((a for a in alerts if a.asset == script.sick), key=lambda a: times[a.id])
    early = [alert for alert in of_sick if times[alert.id] < truth.onset_ns]
    warnings = [alert for alert in of_sick if truth.onset_ns <= times[alert.id] < truth.failure_ns]
    lines = [f"What happened, in simulated time ({script.speed:g} times as fast as wall time):", ""]
    lines += _false_alerts(script, early, times)
    lines.append(_at(script, truth.onset_ns, f"{truth.kind} began in the {script.sick}"))
    if warnings:
        lines += _warning(script, warnings[0], times[warnings[0].id])
    lines.append(_at(script, truth.failure_ns, f"the {script.sick} failed"))
    if warnings:
        lines += ["", *_named(script, warnings[0].verdict.contributions)]
    lines += ["", *_healthy(script, [alert for alert in alerts if alert.asset == script.healthy], times)]
    if not warnings:
        lines.append(f"The agent did NOT warn before the {script.sick} failed.")
        return Summary(tuple(lines), warned=False)
    warned_ns = times[warnings[0].id]
    lines.append(
        f"The agent warned {_minutes(warned_ns - truth.onset_ns)} after the onset and "
        f"{_minutes(truth.failure_ns - warned_ns)} before the failure, "
        f"at a severity of {truth.severity_at(warned_ns):.0%}."
    )
    return Summary(tuple(lines), warned=True)


def _at(script: Script, time_ns: int, text: str) -> str:
    return f"  {time_of_day(time_ns)}  minute {script.minute(time_ns):5.1f}   {text}"


def _minutes(duration_ns: int) -> str:
    return f"{duration_ns / MINUTE_NS:.1f} minutes"


def _warning(script: Script, alert: AlertModel, raised_ns: int) -> list[str]:
    margin = " " * len(_at(script, raised_ns, ""))
    verdict = alert.verdict
    shapes = ", ".join(
        f"{one.fault} {one.probability:.0%}"
        for one in verdict.fault_probabilities
        if one.probability is not None
    )
    cause = verdict.cause.value if verdict.cause else "unknown"
    return [
        _at(script, raised_ns, f"the agent warned: alert {alert.id}, priority {alert.priority.value}"),
        f"{margin}in the API: raised {api_time(alert.raised_time)}",
        f'{margin}"{alert.message}"',
        f"{margin}cause: {cause} (in truth: {script.truth.cause}); shape: {shapes or 'unknown'}",
    ]


def _named(script: Script, named: Sequence[ContributionModel]) -> list[str]:
    """Return the tags that an alert named, and whether the simulator says that each is really affected."""
    if not named:
        return ["  The alert named no tag."]
    wide = max(len("named tag"), *(len(one.tag) for one in named))
    head = f"  {'named tag':<{wide}}  {'share':>5}  {'measured':>8}  {'expected':>8}  {'unit':<4}  really affected"
    rows = [
        f"  {one.tag:<{wide}}  {_share(one.share):>5}  {number(one.measured):>8}  {number(one.expected):>8}  "
        f"{one.unit:<4}  {'yes' if one.tag in script.truth.tags else 'no'}"
        for one in named
    ]
    right = sum(one.share or 0.0 for one in named if one.tag in script.truth.tags)
    return [head, *rows, f"  {right:.0%} of the deviation is in tags that the fault really affects."]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def number(value: float | None) -> str:
    """Return a value as a person reads it, "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _false_alerts(script: Script, alerts: Sequence[AlertModel], times: dict[str, int]) -> list[str]:
    return [_at(script, times[a.id], f"FALSE alert {a.id}, before anything was wrong: {a.message}") for a in alerts]


def _healthy(script: Script, alerts: Sequence[AlertModel], times: dict[str, int]) -> list[str]:
    if not alerts:
        return [f"The {script.healthy} stayed healthy, and the agent stayed silent about it."]
    said = [_at(script, times[a.id], f"FALSE alert {a.id}: {a.message}") for a in alerts]
    return [f"The {script.healthy} stayed healthy, but the agent warned of it:", *said]
