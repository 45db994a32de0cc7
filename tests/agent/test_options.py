from __future__ import annotations

import pytest

from agent.options import duration_s, names, period_s


def test_names() -> None:
    assert names(None) is None
    assert names(" a, b,,c ") == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("1s", 1), ("1.5 min", 90), ("10m", 600), ("2h", 7200), ("1w", 604_800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "often", "3 moons", "-1s", "1s 2m", "nan s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a number with a unit \(ms, s, m, min, h, d, w\), such as 10m"):
        duration_s(text)


def test_a_period_is_no_shorter_than_a_millisecond() -> None:
    assert period_s("1ms") == 0.001
    with pytest.raises(ValueError, match="must be 1ms or more"):
        period_s("0.5ms")
