"""What a line remembers of its asset over a restart, as JSON and back."""

from __future__ import annotations

import json
from typing import Any

from agent.line.memory import Memory, Remembered
from agent.store.codec import CodecError, Json, format_time, parse_time


def memory_json(memory: Memory) -> dict[str, Json]:
    """Return a memory as plain values."""
    return {
        "time": format_time(memory.time_ns),
        "life": _remembered_json(memory.life),
        "wander": _remembered_json(memory.wander),
        "watch": _remembered_json(memory.watch),
        "trial": _remembered_json(memory.trial),
    }


def _remembered_json(part: Remembered | None) -> Json:
    return None if part is None else {"model_hash": part.model_hash, "state": list(part.state)}


def decode_memory(text: bytes | str) -> Memory:
    """Return the memory of its JSON; raise CodecError where it is none."""
    try:
        body = json.loads(text)
        if "state" in body:  # earlier versions remembered the life alone
            return Memory(parse_time(body["time"]), _remembered(body), None)
        parts = (_remembered(body.get(part)) for part in ("watch", "trial"))
        return Memory(parse_time(body["time"]), _remembered(body["life"]), _remembered(body["wander"]), *parts)
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError(f"not a memory: {type(error).__name__}: {error}") from error


def _remembered(body: Any) -> Remembered | None:
    if body is None:
        return None
    return Remembered(str(body["model_hash"]), tuple(float(value) for value in body["state"]))
