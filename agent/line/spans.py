"""Spans of time, [begin, end) in ns: what they have together, in common, or one without the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from connectors.frame import Bools, Int64s

Span = tuple[int, int]


def union(spans: Iterable[Span]) -> list[Span]:
    """Return what is in any of them, in order, none touching the next; empty ones are left out."""
    found: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def joined(spans: Sequence[Span], gap_ns: int) -> list[Span]:
    """Return them without the gaps between two that are no longer than `gap_ns`."""
    return [(begin, end - gap_ns) for begin, end in union((begin, end + gap_ns) for begin, end in spans)]


def common(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return what is in both; each as `union` returns it."""
    found, place = [], 0
    for begin, end in some:
        while place < len(others) and others[place][1] <= begin:
            place += 1
        at = place
        while at < len(others) and others[at][0] < end:
            found.append((max(begin, others[at][0]), min(end, others[at][1])))
            at += 1
    return found


def without(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return what is in the first and not in the second; each as `union` returns it."""
    if not some:
        return []
    gaps, at = [], some[0][0]
    for begin, end in common(others, [(some[0][0], some[-1][1])]):
        if at < begin:
            gaps.append((at, begin))
        at = end
    if at < some[-1][1]:
        gaps.append((at, some[-1][1]))
    return common(some, gaps)


def length_ns(spans: Iterable[Span]) -> int:
    """Return how long they are together; none may touch another."""
    return sum(end - begin for begin, end in spans)


def covers(spans: Sequence[Span], times_ns: Int64s) -> Bools:
    """Return which times i64[N] lie in any of them, bool[N]; they are as `union` returns them."""
    edges = np.array(spans, np.int64).reshape(-1)
    return np.asarray(np.searchsorted(edges, times_ns, side="right") % 2 == 1)


def holds(spans: Iterable[Span], time_ns: int) -> bool:
    """Say whether a time lies in one of them."""
    return any(begin <= time_ns < end for begin, end in spans)
