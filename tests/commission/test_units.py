from __future__ import annotations

import pytest

from agent.commission.units import TEXTS, unit_text


@pytest.mark.parametrize(("code", "shown", "text"), [
    ("CEL", "°C", "degC"), ("", "°C", "degC"), ("", "U/min", "1/min"), ("MQH", "m³/h", "m3/h"), ("", "m³/h", "m3/h"),
    ("ZZ9", "widgets", "widgets"), ("", " bar ", "bar"), ("", "", ""),
])
def test_a_unit_is_written_as_the_configuration_has_it(code: str, shown: str, text: str) -> None:
    assert unit_text(code, shown) == text


def test_codes_are_those_of_unece_and_texts_fit_the_configuration() -> None:
    assert all(code.isalnum() and code == code.upper() and 2 <= len(code) <= 3 for code in TEXTS)
    assert all(text.isascii() and 1 <= len(text) <= 32 and text == text.strip() for text in TEXTS.values())
