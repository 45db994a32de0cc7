"""Glob patterns over browse paths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

SEPARATOR = "/"


def matches(path: Sequence[str], pattern: str) -> bool:
    """Return whether a path of names matches a pattern.

    `*`, `?` and `[...]` stand for characters of one name, `**` for any names, `{a,b}` for either. A pattern without
    "/" is tried on the last name alone, so that "*temperature*" finds each temperature.
    """
    for one in alternatives(pattern):
        steps = one.strip(SEPARATOR).split(SEPARATOR)
        if _match(path if len(steps) > 1 or steps == ["**"] else path[-1:], steps):
            return True
    return False


def alternatives(pattern: str) -> list[str]:
    """Return the patterns that one with braces stands for; an unbalanced brace stands for itself."""
    start = pattern.find("{")
    end = _closing(pattern, start)
    if start < 0 or end < 0:
        return [pattern]
    parts, depth, begin = [], 0, start + 1
    for i in range(start + 1, end + 1):
        char = pattern[i]
        if i == end or (char == "," and not depth):
            parts.append(pattern[begin:i])
            begin = i + 1
        depth += (char == "{") - (char == "}")
    tails = alternatives(pattern[end + 1:])
    return [pattern[:start] + middle + tail for part in parts for middle in alternatives(part) for tail in tails]


def _closing(pattern: str, start: int) -> int:
    depth = 0
    for i in range(max(start, 0), len(pattern)):
        depth += (pattern[i] == "{") - (pattern[i] == "}")
        if pattern[i] == "}" and depth == 0:
            return i
    return -1


def _match(path: Sequence[str], steps: Sequence[str]) -> bool:
    """Match by the table of which ends of the path each step can reach: no backtracking, whatever the pattern."""
    reached = {0}
    for step in steps:
        if step == "**":
            reached = set(range(min(reached), len(path) + 1)) if reached else set()
        else:
            reached = {end + 1 for end in reached if end < len(path) and fnmatchcase(path[end], step)}
    return len(path) in reached
