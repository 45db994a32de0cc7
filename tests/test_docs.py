"""The documents say what the code does: examples parse, keys and states are all there, links are sound."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import cast, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.main import get_command

from agent.api.app import PREFIX, create_app
from agent.cli import app
from agent.config.file import Config
from agent.line.advise import PRIORITIES
from agent.line.alert import AlarmState, Answer, Consequence, Priority, TimeToAct, WithheldKind
from agent.line.event import EventKind
from agent.line.lifecycle import TRANSITIONS, WITHHOLDING
from agent.line.verdict import Cause, Condition, LifeEnd
from agent.view import AgentView
from models.degradations import FAULTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
CODE_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
            for indent, name, body in CODE_BLOCK.findall(text) if name == language]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def sections(text: str, level: str = "##") -> dict[str, str]:
    parts = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_configuration_in_the_readme_is_accepted() -> None:
    (example,) = blocks(read("README.md"), "toml")
    config = Config.parse(example, ROOT / "agent.toml")
    assert {tag.unit for tag in config.assets["pump"].tags} == {"bar", "degC"}
    assert config.assets["pump"].bundle == ROOT / "bundles" / "pump"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_block_parses(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "toml"):
        tomllib.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            lost.append(link)
    assert not lost


def tables(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table that a configuration may hold: its heading in docs/configuration.md, the model behind it."""
    for name, field in model.model_fields.items():
        for kind in models_in(field.annotation):
            key = f"{path}{field.alias or name}"
            many = get_origin(field.annotation)
            key += ".NAME" if many is dict else ""
            heading = f"`[[{key}]]`" if many is tuple else f"`[{key}]`"
            if protocol := kind.model_fields.get("protocol"):
                heading += f' with `protocol = "{get_args(protocol.annotation)[0]}"`'
            yield heading, kind
            yield from tables(kind, f"{key}.")


def models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def documented_keys(section: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))


def test_every_table_of_the_configuration_is_described_and_no_other() -> None:
    headings = [heading for heading in sections(read("docs/configuration.md")) if heading.startswith("`[")]
    assert sorted(headings) == sorted(heading for heading, _ in tables(Config))


@pytest.mark.parametrize(("heading", "model"), list(tables(Config)))
def test_every_key_is_described_with_its_default_and_no_other(heading: str, model: type[BaseModel]) -> None:
    said = documented_keys(sections(read("docs/configuration.md"))[heading])
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert set(said) == set(fields)
    wrong = [f"{key}: {said[key]}" for key, field in fields.items() if not says_default(said[key], field)]
    assert not wrong


def says_default(cell: str, field: FieldInfo) -> bool:
    if field.is_required():
        return cell == "required"
    if cell == "-":
        return field.default is None or (isinstance(field.default, float) and math.isinf(field.default))
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return (tuple(value) if isinstance(value, list) else value) == field.default


@pytest.mark.parametrize(
    "kind",
    [AlarmState, Priority, Consequence, TimeToAct, Condition, Cause, LifeEnd, WithheldKind, EventKind, Answer],
    ids=lambda kind: kind.__name__,
)
def test_every_state_is_explained(kind: type[StrEnum]) -> None:
    text = read("docs/alarms.md")
    assert not [member.value for member in kind if f"`{member.value}`" not in text]


def test_the_table_of_alarm_transitions_is_the_one_in_force() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", read("docs/alarms.md"), re.MULTILINE)
    assert {(state, event): to for state, event, to in rows} == TRANSITIONS


def test_the_table_of_priorities_is_the_one_in_force() -> None:
    section = sections(read("docs/alarms.md"))["Priority"]
    (head, *rows) = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", section, re.MULTILINE)
    said = {(row[0], time): priority for row in rows for time, priority in zip(head[1:], row[1:], strict=True)}
    assert said == PRIORITIES


def test_the_table_of_what_withholds_is_the_one_in_force() -> None:
    section = sections(read("docs/alarms.md"))["Withheld alerts"]
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\| `(\w+)`[^|]*\| `(\w+)`[^|]*\|$", section, re.MULTILINE)
    assert {kind: (begins, ends) for kind, begins, ends in rows} == WITHHOLDING


def test_every_shape_of_deviation_is_named() -> None:
    assert not [fault for fault in FAULTS if fault != "none" and f"`{fault}`" not in read("docs/alarms.md")]


def test_every_request_of_the_api_is_listed_and_no_other() -> None:
    paths = create_app(cast("AgentView", None)).openapi()["paths"]  # nothing is asked, so nobody need answer
    served = {(method.upper(), path.removeprefix(PREFIX)) for path, item in paths.items() for method in item}
    rows = re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", read("docs/operating.md"), re.MULTILINE)
    assert set(rows) == served


def test_the_makefile_has_the_targets_that_the_documents_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    shown = "\n".join(code_of(page) for page in PAGES)
    named = set(re.findall(r"(?<!-)\bmake ([a-z-]+)(?=[` ]|$)", shown, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_documents_name_every_command_and_no_other() -> None:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    shown = "\n".join(code_of(page) for page in PAGES)
    named = set(re.findall(r"(?:^|[`/ ])forewarn ([a-z]+(?:-[a-z]+)*)\b", shown, re.MULTILINE))
    assert named == set(command.commands)


def code_of(page: Path) -> str:
    """What a page shows as code: its blocks and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    return "\n".join([*(body for _, _, body in CODE_BLOCK.findall(text)), *re.findall(r"`[^`\n]+`", text)])


def test_every_file_in_the_tree_of_the_architecture_exists() -> None:
    (tree,) = blocks(sections(read("docs/architecture.md"))["The tree"], "")
    folders = re.split(r"^(\w+)/", tree, flags=re.MULTILINE)
    named = {(folder, name) for folder, text in zip(folders[1::2], folders[2::2], strict=True)
             for name in re.findall(r"\b\w+\.py\b", text)}
    assert len(named) > 30
    assert not [f"{folder}/{name}" for folder, name in sorted(named) if not list((ROOT / folder).rglob(name))]


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.name)
def test_an_adr_has_context_decision_and_consequences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    assert re.search(r"^Status: (proposed|accepted|superseded by \d{4}), \w+ \d{4}$", text, re.MULTILINE)
    assert list(sections(text)) == ["Context", "Decision", "Consequences"]


def test_adrs_are_numbered_without_gaps() -> None:
    assert [page.name[:4] for page in ADRS] == [f"{number:04}" for number in range(1, len(ADRS) + 1)]
