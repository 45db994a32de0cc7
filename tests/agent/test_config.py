from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.assets import parse_budget
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.config.opcua import split_node
from agent.wiring import tag_of
from connectors.frame import Dtype, ModbusAddress, Table
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


@pytest.mark.parametrize(
    ("address", "table", "register"),
    [("40001", "holding_register", 0), ("400001", "holding_register", 0), ("49999", "holding_register", 9998),
     ("465536", "holding_register", 65_535), ("30013", "input_register", 12), ("10001", "discrete_input", 0),
     ("00001", "coil", 0), ("000001", "coil", 0)],
)
@pytest.mark.parametrize("base", [0, 1])
def test_a_manual_s_address_says_table_and_register(address: str, table: str, register: int, base: int) -> None:
    told = f'address = "{address}"' + ("\nregister = 12" if address == "30013" and base == 0 else "")
    text = CONFIG.replace('host = "192.0.2.10"', f'host = "192.0.2.10"\naddress_base = {base}')
    text = text.replace('table = "input_register"\nregister = 12', told)
    if table in ("coil", "discrete_input"):
        text = text.replace('dtype = "float32"\n', "")
    pressure = Config.parse(text, FILE).assets["pump"].tags[0]
    assert (pressure.table, pressure.register_) == (Table(table), register)


def test_registers_counted_from_one() -> None:
    text = CONFIG.replace('host = "192.0.2.10"', 'host = "192.0.2.10"\naddress_base = 1')
    assert Config.parse(text, FILE).assets["pump"].tags[0].register_ == 11
    (problem,) = problems(text.replace("register = 12", "register = 0"))
    assert problem == ("assets.pump.tags[0].register (pressure): got 0; allowed: 1 to 65536 "
                       "(its connection has address_base = 1)")


def test_the_keys_of_a_text_reach_the_tag() -> None:
    keys = '''dtype = "string"
order = "BA"
length = 4
texts = { RUN = 1, STOP = 0 }
invalid = [0x8000, 1e38]
clamp = true'''
    said = Config.parse(CONFIG.replace('dtype = "float32"', keys), FILE).assets["pump"].tags[0]
    tag = tag_of(said, 1000)
    assert tag.address == ModbusAddress(1, Table.INPUT_REGISTER, 12, "BA", length=4)
    assert (tag.dtype, tag.texts) == (Dtype.STRING, (("RUN", 1.0), ("STOP", 0.0)))
    assert (tag.invalid, tag.clamp) == ((32_768.0, 1e38), True)


def test_the_keys_of_a_bit_field_reach_the_tag() -> None:
    said = Config.parse(CONFIG.replace('dtype = "float32"', 'dtype = "bit"\nbit = 4\nbits = 3'), FILE)
    tag = tag_of(said.assets["pump"].tags[0], 1000)
    assert (tag.dtype, str(tag.address)) == (Dtype.BIT, "unit 1 input_register 12 bits 4 to 6")
