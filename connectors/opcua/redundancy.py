"""Which of two redundant servers is used: the one with the higher service level (Part 4, 6.6.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from connectors import ConnectorError
from connectors.opcua.resolve import HEALTHY, Facts
from connectors.opcua.session import Session

RECONSIDER_NS: Final = 600_000_000_000
"""How long the server in use is kept before it is asked whether the other one has become better."""

Opened = tuple[str, Session, Facts]
Open = Callable[[str], Awaitable[Opened]]


async def best(urls: tuple[str, ...], connect: Open) -> Opened:
    """Return a session with the server of the highest level, of equals the first; raise ConnectorError for all."""
    chosen: Opened | None = None
    errors: list[ConnectorError] = []
    for url in urls:
        try:
            opened = await connect(url)
        except ConnectorError as error:
            errors.append(error)
            continue
        except BaseException:  # cancelled half way: let nothing of the other stay open
            if chosen is not None:
                await chosen[1].close()
            raise
        if chosen is None:
            chosen = opened
            continue
        better = opened[2].service_level > chosen[2].service_level
        loser, chosen = (chosen, opened) if better else (opened, chosen)
        await loser[1].close()
    if chosen is None:
        raise ConnectorError("; ".join(map(str, errors)), retryable=any(error.retryable for error in errors),
                             unreachable=all(error.unreachable for error in errors))
    return chosen


def degraded(before: Facts, now: Facts) -> bool:
    """Return whether a server was healthy and is not any more."""
    return before.service_level >= HEALTHY > now.service_level


async def better_elsewhere(urls: tuple[str, ...], used: str, level: int, connect: Open) -> str:
    """Return the url of a server that would now be chosen instead of the one used, "" where there is none."""
    for url in urls:
        if url == used:
            continue
        try:
            _, session, facts = await connect(url)
        except ConnectorError:
            continue
        await session.close()
        if facts.service_level > level or (facts.service_level == level and urls.index(url) < urls.index(used)):
            return url
    return ""
