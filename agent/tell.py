"""What a command tells a running agent. What is refused of it is said of the options that people typed, not of the
fields of the API.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from agent.api import PREFIX
from agent.api.command_models import CommandAccepted
from agent.api.models import Model
from agent.api.refusals import reason
from agent.ask import say
from agent.options import UNITS_S
from agent.store.codec import Json
from agent.store.journal import StoreError

_OPTIONS: Final = {"duration_s": "--for", "fault": "--real", "alert_id": "--alert", "version": "--to"}
"""Fields whose option has another name."""
_SHOWN_MAX: Final = 40


def tell(
    url: str, path: str, kind: type[Model], fields: Mapping[str, Json], options: Mapping[str, str] = {}
) -> CommandAccepted:
    """Tell the agent at `url` a body of this kind; raise StoreError where it is refused, or nobody answers.

    `options` names those of this command whose fields are known otherwise, such as {"since": "--from"}.
    """
    options = {**_OPTIONS, **options}
    try:
        kind.model_validate(fields)
    except ValidationError as error:
        told = (_refusal(kind, fields, options, dict(one)) for one in error.errors(include_url=False))
        raise StoreError("; ".join(told)) from error
    try:
        return say(CommandAccepted, url, path, json.dumps(fields).encode())
    except StoreError as error:
        said = re.sub(r"\bbody\.(\w+)(\.\d+)*", lambda match: _option(match[1], options), str(error))
        raise StoreError(said.replace(f"GET {PREFIX}/alerts lists", "forewarn alerts lists")) from error


def _refusal(
    kind: type[Model], fields: Mapping[str, Json], options: Mapping[str, str], error: Mapping[str, Any]
) -> str:
    """Return what is wrong with an option, and what would be right."""
    field = str(error["loc"][0]) if error["loc"] else ""
    if not field:
        return str(error["msg"])
    option, given = _option(field, options), _typed(field, fields.get(field))
    limits = {name: _typed(field, value) if name in ("gt", "ge", "le") else value
              for name, value in error.get("ctx", {}).items()}
    why = reason({**error, "ctx": limits})
    right = _typed(field, _examples(kind).get(field))
    such = f"; such as {option} {right}" if right else ""
    return f"{option}{f' {given}' if 0 < len(given) <= _SHOWN_MAX else ''}: {why}{such}"


def _option(field: str, options: Mapping[str, str]) -> str:
    return options.get(field, f"--{field.replace('_', '-')}")


def _examples(kind: type[Model]) -> Mapping[str, Json]:
    """Return the example of a body that the API's description shows."""
    more = kind.model_config.get("json_schema_extra")
    return more["examples"][0] if isinstance(more, dict) else {}  # type: ignore[index, return-value]


def _typed(field: str, value: object) -> str:
    """Return a field's value as people type it."""
    if value is None:
        return ""
    if isinstance(value, int | float) and field.endswith("_s"):
        unit = max((name for name in ("s", "m", "h", "d") if value % UNITS_S[name] == 0), key=UNITS_S.__getitem__,
                   default="s")
        return f"{value / UNITS_S[unit]:g}{unit if value else 's'}"
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = str(value)
    return text if text and shlex.quote(text) == text else f'"{text}"'
