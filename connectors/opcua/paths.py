"""Browse paths as text: "Objects/nsu=urn:example:press;Press 4/nsu=urn:example:press;Oil temperature". Pure.

A step is a browse name, its namespace by URI, because the index may move; without one it is OPC UA's own (index 0). In
a name "/" and "&" are written "&/" and "&&" (Part 4, A.2).
"""

from __future__ import annotations

import re
from typing import Final

ROOT: Final = "Objects"
_STEP = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<name>(?:[^/&]|&.)+)(?:/(?!\Z)|\Z)", re.DOTALL)


def steps(path: str) -> list[tuple[str, str]]:
    """Return (namespace URI, browse name) of each step from Objects on, "" for OPC UA's own; raise ValueError."""
    found, at = [], 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f'"{path[at:]}" is no browse name; write "nsu=<namespace URI>;<name>", steps apart by "/"')
        found.append((match["uri"] or "", re.sub("&(.)", r"\1", match["name"], flags=re.DOTALL)))
        at = match.end()
    if len(found) < 2 or found[0] != ("", ROOT):
        raise ValueError(f'a path leads from "{ROOT}" to a variable: "{ROOT}/nsu=<namespace URI>;<name>/..."')
    return found
