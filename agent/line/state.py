"""All that a line knows beside its model, as JSON: a replay may begin in the middle of a recording, and is exact.

What is written is how an object differs from a new one, part by part, so that a part which learns to remember something
more is kept without being told. Only numbers, texts, arrays and the classes of the line and of its model are read back,
and none of their code runs: a state may come from elsewhere.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

_PACKAGES = ("agent.line.", "models.", "connectors.frame")
_KINDS = "biufSU"
"""Kinds of numpy's types that are no objects."""
_PLAIN = (bool, int, float, str)


class StateError(Exception):
    """A text is no state, or one of another model or of another version."""


def dumps(body: Any) -> bytes:
    """Return the JSON of what `changes` and `whole` return."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def loads(text: bytes) -> dict[str, Any]:
    """Return it again; raise StateError where the text is no JSON object."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise StateError(f"it cannot be read ({error})") from error
    if not isinstance(body, dict):
        raise StateError("it is no JSON object")
    return body


def changes(thing: object, new: object, left_out: Collection[str] = ()) -> dict[str, Any]:
    """Return by attribute how `thing` differs from `new`, an object of the same class; `left_out` are not looked at."""
    found = {}
    before = _attributes(new)
    for name, value in _attributes(thing).items():
        if name in left_out or value is before[name]:
            continue
        if _has_parts(value) and type(value) is type(before[name]):
            if inside := changes(value, before[name]):
                found[name] = {"in": inside}
        elif (said := whole(value)) != whole(before[name]):
            found[name] = {"is": said}
    return found


def apply(new: object, changed: dict[str, Any]) -> None:
    """Make of a new object what `changes` was given; raise StateError where that was of another version."""
    there = _attributes(new)
    for name, said in changed.items():
        if name not in there:
            raise StateError(f"{type(new).__name__} has no {name}: another version kept it")
        match said:
            case {"in": dict() as inside}:
                apply(there[name], inside)
            case {"is": content}:
                object.__setattr__(new, name, value_of(content))
            case _:
                raise StateError(f"it says of {name} neither what it is nor how it has changed")


def whole(value: object) -> Any:
    """Return a value as what JSON can hold; assert that it is one of those `value_of` makes."""
    match value:
        case Enum():
            return {"enum": [_name(type(value)), value.value]}
        case np.ndarray():
            assert value.dtype.kind in _KINDS, value.dtype
            # In hexadecimal, so that whoever packs this finds rows that are in several arrays.
            return {"array": [value.dtype.str, list(value.shape), value.tobytes().hex()]}
        case np.generic():
            return {"number": [value.dtype.str, value.tobytes().hex()]}
        case None | bool() | int() | float() | str():
            return value
        case tuple() if hasattr(value, "_fields"):
            return {"named": [_name(type(value)), [whole(one) for one in value]]}
        case tuple():
            return {"tuple": [whole(one) for one in value]}
        case list():
            return {"list": [whole(one) for one in value]}
        case deque():
            return {"deque": [[whole(one) for one in value], value.maxlen]}
        case set() | frozenset():
            return {type(value).__name__: sorted((whole(one) for one in value), key=json.dumps)}
        case dict():
            return {"dict": [[whole(key), whole(one)] for key, one in value.items()]}
    parts = {name: whole(one) for name, one in _attributes(value).items()}
    return {"object": [_name(type(value)), parts]}


def value_of(said: Any) -> Any:
    """Return the value again; raise StateError where it is none."""
    if said is None or isinstance(said, _PLAIN):
        return said
    try:
        ((kind, content),) = said.items()
        return _made(kind, content)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StateError(f"it cannot be read ({error})") from error


def _made(kind: str, content: Any) -> Any:
    match kind:
        case "array":
            dtype, shape, text = content
            return np.frombuffer(bytes.fromhex(text), _dtype(dtype)).reshape(shape).copy()
        case "number":
            return np.frombuffer(bytes.fromhex(content[1]), _dtype(content[0]))[0]
        case "enum":
            return _class(content[0], Enum)(content[1])
        case "named":
            return _class(content[0], tuple)(*map(value_of, content[1]))
        case "tuple" | "list" | "set" | "frozenset":
            makers: dict[str, type[Any]] = {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset}
            return makers[kind](map(value_of, content))
        case "deque":
            return deque(map(value_of, content[0]), content[1])
        case "dict":
            return {value_of(key): value_of(one) for key, one in content}
        case "object":
            return _object(_class(content[0], object), content[1])
    raise StateError(f"it holds a {kind!r}, which no version keeps")


def _object(kind: type[Any], parts: dict[str, Any]) -> Any:
    made = object.__new__(kind)
    if is_dataclass(kind) and {field.name for field in fields(kind)} != parts.keys():
        raise StateError(f"{kind.__name__} has other fields: another version kept it")
    for name, said in parts.items():
        object.__setattr__(made, name, value_of(said))
    return made


def _attributes(thing: object) -> dict[str, Any]:
    if is_dataclass(thing) and not isinstance(thing, type):
        return {field.name: getattr(thing, field.name) for field in fields(thing)}
    return vars(thing) if hasattr(thing, "__dict__") else {}


def _has_parts(value: object) -> bool:
    return type(value).__module__.startswith(_PACKAGES) and not isinstance(value, Enum | tuple)


def _name(kind: type) -> str:
    assert kind.__module__.startswith(_PACKAGES), f"{kind} has no state that could be kept"
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str, base: type) -> type[Any]:
    """Return a class of the line or of its model by its name; nothing is imported for it."""
    module, _, kind = name.partition(":")
    found = vars(sys.modules.get(module, object)).get(kind) if module.startswith(_PACKAGES) else None
    if not isinstance(found, type) or not issubclass(found, base) or found.__module__ != module:
        raise StateError(f"it names {name!r}, which no line consists of: another version kept it")
    return found


def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise StateError(f"it holds an array of {name!r}, which no version keeps")
    return dtype
