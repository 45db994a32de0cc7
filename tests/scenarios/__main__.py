"""`python -m tests.scenarios` writes docs/field-proven.md."""

from __future__ import annotations

from tests.scenarios.page import PAGE, render

if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
