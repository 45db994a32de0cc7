from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.assets import parse_budget
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.config.opcua import split_node
from connectors.frame import Dtype, Table
from tests.agent.samples import CONFIG

FILE = Path("/etc/forewarn/agent.toml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Config.parse(text, FILE)
    assert all(problem.startswith(f"{FILE}: ") for problem in caught.value.problems)
    return tuple(problem.removeprefix(f"{FILE}: ") for problem in caught.value.problems)


def test_a_good_file_becomes_typed_and_frozen() -> None:
    config = Config.parse(CONFIG, FILE)
    pump = config.assets["pump"]
    assert config.agent.state_dir == Path("/etc/forewarn/state")
    assert pump.bundle == Path("/etc/forewarn/bundles/pump")
    assert pump.tags[0].table is Table.INPUT_REGISTER
    assert pump.tags[0].dtype is Dtype.FLOAT32
    assert pump.tags[0].low == 0.0
    assert pump.alerts_per_s == pytest.approx(1 / 604_800)
    assert config.api.host == "127.0.0.1"
    assert split_node(pump.tags[1].node or "") == ("urn:example:press", "s=press.oil_temperature")
    with pytest.raises(ValueError, match="frozen"):
        pump.period_ms = 3  # type: ignore[misc]


def refused() -> Iterator[tuple[str, str, list[str]]]:
    for case in (Path(__file__).parent / "refused.txt").read_text(encoding="utf-8").split("\n\n")[1:]:
        good, bad, *said = (line[2:].replace("\\n", "\n") for line in case.strip().splitlines())
        yield good, bad, said


@pytest.mark.parametrize(("good", "bad", "said"), list(refused()))
def test_what_is_wrong_is_said_with_its_key_and_what_is_allowed(good: str, bad: str, said: list[str]) -> None:
    assert good in CONFIG
    assert sorted(problems(CONFIG.replace(good, bad, 1))) == said


def test_all_problems_are_told_at_once() -> None:
    text = CONFIG
    for good, bad in [
        ("low = 0", "low = 30"),
        ('unit = "degC"', 'unti = "degC"'),
        ("insecure = true", ""),
        ('budget = "1/week"', 'budget = "often"'),
        ("period_ms = 1000", "period_ms = 0"),
    ]:
        text = text.replace(good, bad, 1)
    keys = {problem.partition(": ")[0] for problem in problems(text + '[api]\nhost = "0.0.0.0"\n')}
    assert keys == {
        "assets.pump.tags[0].high (pressure)",
        "assets.pump.tags[1].unit (temperature)",
        "assets.pump.tags[1].unti (temperature)",
        "connections.press_plc.insecure",
        "assets.pump.budget",
        "assets.pump.period_ms",
        "api.host",
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.local", ""])
def test_the_api_stays_on_this_machine(host: str) -> None:
    (problem,) = problems(CONFIG + f'[api]\nhost = "{host}"\n')
    assert problem.startswith(f'api.host: "{host}" is not this machine, and the API has no TLS')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert Config.parse(CONFIG + f'[api]\nhost = "{host}"\n', FILE).api.host == host


def test_an_empty_file_says_what_is_needed() -> None:
    assert problems("") == (
        "agent: missing; needed: the table [agent]",
        "connections: missing; needed: at least one table [connections.<name>]",
        "assets: missing; needed: at least one table [assets.<name>]",
    )


def test_an_asset_without_tags_is_refused() -> None:
    text = CONFIG[: CONFIG.index("[[assets.pump.tags]]")] + "tags = []\n"
    assert "assets.pump.tags: missing; needed: at least one [[assets.<name>.tags]]" in problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "assets = 3",
        "[assets]\npump = 3",
        "[[assets.pump.tags]]\nname = 3",
        "[assets.pump]\ntags = [3]",
        "[connections]\nx = 3",
        "[connections.x]\nprotocol = 3",
        "agent = []",
        '[api]\nallowed_hosts = "x"',
        "[connections.x]\nprotocol = []",
    ],
)
def test_tables_of_the_wrong_shape_are_problems_not_crashes(text: str) -> None:
    assert problems(text)


def test_text_that_is_not_toml_tells_where() -> None:
    (problem,) = problems("[agent\n")
    assert problem.startswith("not TOML: ")
    assert "line 1" in problem


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# \xe9\n")
    for file, said in [
        (tmp_path / "none.toml", "cannot be read (No such file or directory)"),
        (latin, "not UTF-8 at byte 2"),
        (tmp_path, "cannot be read (Is a directory)"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert caught.value.problems[0].startswith(f"{file}: {said}")


@pytest.mark.parametrize(
    ("text", "per_day"), [("1/day", 1), ("2/week", 2 / 7), ("1 / month", 1 / 30), ("0.5/year", 0.5 / 365)]
)
def test_budgets(text: str, per_day: float) -> None:
    assert parse_budget(text) * 86_400 == pytest.approx(per_day)


@pytest.mark.parametrize("text", ["0/week", "-1/week", "1/hour", "week", "1", "", "1e9/week", "nan/day"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: a number above 0"):
        parse_budget(text)
