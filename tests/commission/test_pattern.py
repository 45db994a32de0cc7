from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commission.pattern import alternatives, matches

PATH = ("Line1", "Press", "Hydraulics", "oil_temperature")


@pytest.mark.parametrize("pattern", [
    "**", "**/oil_temperature", "Line1/**", "Line?/Press/*/oil_*", "*temperature", "**/{oil,water}_temperature",
    "Line[12]/**/Hydraulics/*", "/Line1/Press/Hydraulics/oil_temperature", "{Line1/Press,Line2}/**", "**/**/oil*",
    "Line1/Press/Hydraulics/**/oil_temperature", "{a,{b,**}}",
])
def test_a_path_matches(pattern: str) -> None:
    assert matches(PATH, pattern)


@pytest.mark.parametrize("pattern", [
    "Press", "Line1/*", "Line1/*/oil_temperature", "**/Hydraulics", "LINE1/**", "*pressure", "{a,b}/**", "",
    "**/oil_temperature/*", "{oil_temperature",
])
def test_a_path_does_not_match(pattern: str) -> None:
    assert not matches(PATH, pattern)


def test_a_pattern_without_a_slash_is_tried_on_the_name() -> None:
    assert matches(PATH, "*")
    assert not matches(PATH, "Line*")


def test_braces_nest_and_unbalanced_ones_stand_for_themselves() -> None:
    assert alternatives("a{b,c{d,e}}f") == ["abf", "acdf", "acef"]
    assert alternatives("{a,b}{c,d}") == ["ac", "ad", "bc", "bd"]
    assert alternatives("a{b") == ["a{b"]
    assert alternatives("a}b{c}") == ["a}bc"]


@given(st.lists(st.text("ab*?", min_size=1, max_size=4), min_size=2, max_size=5),
       st.lists(st.text("ab", min_size=1, max_size=4), min_size=2, max_size=5))
def test_without_double_stars_each_name_matches_its_step(steps: list[str], path: list[str]) -> None:
    steps = [step.replace("**", "*") for step in steps]
    steps = ["a" if "**" in step else step for step in steps]
    expected = len(steps) == len(path) and all(map(fnmatchcase, path, steps))
    assert matches(path, "/".join(steps)) == expected


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=6), st.data())
def test_a_double_star_stands_for_any_names_between(path: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(path)))
    end = data.draw(st.integers(start, len(path)))
    pattern = "/".join([*path[:start], "**", *path[end:]])
    assert matches(path, pattern)
    assert not matches([*path, "other"], "/".join(["**", *path[end:], path[-1]]))
