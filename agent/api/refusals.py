"""Why pydantic refused a field, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NOT_BLANK: Final = r"\S"
"""The pattern of a text that says something; the only one that bodies have."""
_REASONS: Final = {
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters at most",
    "string_pattern_mismatch": "must not be blank",
    "too_short": "must name one at least",
    "too_long": "must name {max_length} at most",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} at most",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "finite_number": "must be a number",
}


def reason(error: Mapping[str, Any]) -> str:
    """Return why a field was refused: `error` is one of the `errors` of a ValidationError."""
    words = _REASONS.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return words.format(**error.get("ctx", {}))
