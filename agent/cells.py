"""Text in a terminal as it is: rich would take a unit such as [bar] for markup, and :s: for a picture; the terminal
itself would obey control characters, which come with the name of a device or with what anyone answered by a link.
"""

from __future__ import annotations

import re
from typing import Final

from rich.text import Text

_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0 but tab and line feed, DEL, C1, and what turns the direction of writing (Unicode TR 9)."""


def letters(text: str) -> str:
    """Return a text with a mark in place of each character that a terminal would obey instead of showing it."""
    return _UNSEEN.sub("\ufffd", text)


def json_letters(text: str) -> str:
    """Return a JSON text that says the same without such a character."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_the_letter(text: str, style: str = "") -> Text:
    """Return a text for rich that is shown to the letter."""
    return Text(letters(text), style)


def cells(*texts: str) -> list[Text]:
    """Return the cells of a row, each shown to the letter."""
    return [to_the_letter(text) for text in texts]
