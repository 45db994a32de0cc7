"""Text in a terminal's tables as it is: rich would take a unit such as [bar] for markup, and :s: for a picture."""

from __future__ import annotations

from rich.text import Text


def cells(*texts: str) -> list[Text]:
    """Return the cells of a row, each shown to the letter."""
    return [Text(text) for text in texts]
