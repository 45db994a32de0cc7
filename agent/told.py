"""How an alert stands and what happened to an asset, each on one line for people, whatever was written into it."""

from __future__ import annotations

import re
from typing import Final

from agent.line.alert import Alert, Withheld
from agent.line.event import AssetEvent
from agent.line.wording import lasting
from agent.shadow.versions import version
from agent.store import codec

_HASH: Final = re.compile("[0-9a-f]{64}")
"""Of a model; people know it by its version."""


def second(time_ns: int) -> str:
    """Return a time to the second, as in "2026-11-23T20:27:00Z"."""
    return f"{codec.format_time(time_ns)[:-11]}Z"


def on_one_line(text: str) -> str:
    """Return a text without the line ends that somebody has put into it: each line of a list is one of ours."""
    return " ".join(text.split())


def standing(alert: Alert) -> str:
    """Say how an alert stands, and what people say that it was."""
    words = [word.replace("_", " ") for word in (alert.state, *(one.kind for one in alert.withheld))]
    if (label := alert.label) is not None:
        words.append(f"labelled {label.fault or label.answer.replace('_', ' ')}")
    return on_one_line(", ".join(words + ([f"under {alert.root}"] if alert.root else [])))


def happened(event: AssetEvent) -> str:
    """Say what happened to an asset: what, to what of it, from when until when, who said so and why."""
    until_ns = None if event.until_ns == event.since_ns else event.until_ns
    about = event.about or ""
    about = version(about) if _HASH.fullmatch(about) else about
    words = [event.kind.replace("_", " ")]
    words += [f"of {about}"] if about and not _names(event.comment, about) else []
    words += [f"from {second(event.since_ns)}"] if event.since_ns != event.time_ns else []
    words += [f"until {second(until_ns)}"] if until_ns is not None else []
    words += [f"by {event.by}"] if event.by else []
    words += [f"downtime {lasting(event.downtime_s)}"] if event.downtime_s is not None else []
    return on_one_line(f"{', '.join(words)}{': ' if event.comment else ''}{event.comment}")


def kept_back(one: Withheld) -> str:
    """Say what keeps alerts from people, from when until when, who said so and why."""
    until = "" if one.until_ns is None else f" until {second(one.until_ns)}"
    by = "" if one.by is None else f", by {one.by}"
    return on_one_line(f"{one.kind.replace('_', ' ')} from {second(one.since_ns)}{until}{by}: {one.reason}")


def _names(comment: str, about: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(about)}(?![\w-])", comment) is not None
