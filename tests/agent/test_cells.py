"""Text from devices and people in a terminal: shown, never obeyed."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from rich.console import Console

from agent.cells import json_letters, letters, to_the_letter
from agent.console import complain


def test_what_a_terminal_would_obey_is_marked() -> None:
    asked = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) == "Cc"]
    asked += list("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    for character in asked:
        shown = character if character in "\t\n" else "\ufffd"
        assert letters(f"pump {character}1") == f"pump {shown}1"


def test_what_can_be_read_is_left_as_it_is() -> None:
    for text in ("bearing [bar] :s:", "Grünes Öl, 30 °C, µm", "насос", "ポンプ", "مضخة", "👩‍🔧"):
        assert letters(text) == text
        out = io.StringIO()
        Console(file=out, width=80).print(to_the_letter(text))
        assert out.getvalue() == f"{text}\n"


def test_a_complaint_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    complain('there is no asset "\x1b[2Jpump"')
    assert capsys.readouterr().err == 'forewarn: there is no asset "\ufffd[2Jpump"\n'


def test_json_says_the_same_without_what_a_terminal_would_obey() -> None:
    said = {"fault": "\x9b31m \u202e \x7f \x1b[2J häufig"}
    shown = json_letters(json.dumps(said, ensure_ascii=False))
    assert letters(shown) == shown
    assert json.loads(shown) == said
    assert "häufig" in shown
