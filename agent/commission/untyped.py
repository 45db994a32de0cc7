"""Tables of other programs' TOML and JSON, whose values may be anything: asked for by type. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Untyped:
    """One table; what it does not hold in the type asked for is a ValueError that names the key."""

    values: Mapping[str, object]

    def get(self, key: str, default: object = None) -> object:
        """Return what is there, of any type."""
        return self.values.get(key, default)

    def text(self, key: str) -> str:
        """Return a text, "" where there is none."""
        value = self.values.get(key)
        return value.strip() if isinstance(value, str) else ""

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a number, the default where the key is missing; raise ValueError where it is none."""
        value = self.values.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} = {value!r} is not a number")  # noqa: TRY004 - it is the file that is wrong
        return float(value)

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a whole number, the default where the key is missing; raise ValueError where there is none."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            what = "is missing" if value is None else f"= {value!r} is not a whole number"
            raise ValueError(f"{key} {what}")  # noqa: TRY004 - it is the file that is wrong
        return value

    def tables(self, key: str) -> list[Untyped]:
        """Return the tables in a list; what else is in it is none."""
        return tables_in(self.values, key)

    def within(self, around: Mapping[str, object]) -> Untyped:
        """Return the table with what holds around it, where it does not say otherwise itself."""
        return Untyped({**around, **self.values})


def tables_in(values: object, key: str) -> list[Untyped]:
    """Return the tables in the list `key` of a table; none where there is no such list."""
    listed = values.get(key) if isinstance(values, Mapping) else None
    return [Untyped(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
