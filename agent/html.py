"""Pages that open without a network and run nothing; what people or devices wrote is text in them, never markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, css: str, body: str) -> str:
    """Return a whole page; its policy forbids any script and any request."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def quoted(written: str) -> str:
    """Return a text that may come from anyone, kept to itself where it would change the direction of writing."""
    return f"<bdi>{escape(written)}</bdi>"


def listed(named: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a list."""
    return f"<dl>{''.join(f'<dt>{quoted(name)}</dt><dd>{quoted(value)}</dd>' for name, value in named)}</dl>"


def legend(color: str, kind: str, name: str) -> str:
    """Return what a colour of a plot means; `kind` is "line" or "dashed", or nothing for a patch."""
    style = f"background:var(--{color})" if not kind else f"color:var(--{color})"
    return f'<span class="key"><i class="{"line " + kind if kind else ""}" style="{style}"></i>{escape(name)}</span>'
