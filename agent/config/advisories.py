"""The files of advisories, those that come with the agent and a site's own: checked, or every problem is told."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, Strict, ValidationError, field_validator

from agent.config import problems
from agent.config.base import ConfigError, Model, Name
from agent.config.file import Config
from agent.line.advisory import Advisory, Check, Rule
from agent.line.verdict import Cause
from models.degradations import FAULTS

SHIPPED: Final = Path(__file__).parents[1] / "advisories"
GENERIC: Final = "generic"
_TEXT_MAX: Final = 300


class CheckTable(Model):
    """One thing to check."""

    do: str = Field(min_length=1, max_length=_TEXT_MAX, description="what to do, in plain words")
    why: str = Field(min_length=1, max_length=_TEXT_MAX, description="why that is worth it")


class AdvisoryTable(Model):
    """One table [[advisories]]: when it fits, what has failed, and what to check first."""

    cause: Annotated[Cause, Strict(False)] = Field(description='"communication", "sensor" or "machine"')
    tags: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), max_length=64, description="words, one of which is in the name of the tag that deviates most"
    )
    faults: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), max_length=64, description="fault types, one of which it looks like most"
    )
    failure_mode: str = Field(
        pattern=r"^[A-Z]{3}, \S", max_length=_TEXT_MAX, description='of ISO 14224, such as "VIB, vibration"'
    )
    mechanism: str = Field(
        pattern=r"^\d\.\d \S", max_length=_TEXT_MAX, description='of ISO 14224, such as "2.4 wear"'
    )
    checks: Annotated[tuple[CheckTable, ...], Strict(False)] = Field(
        min_length=1, max_length=16, description="at least one { do = ..., why = ... }"
    )

    @field_validator("tags")
    @classmethod
    def _are_words(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if "" in tags:
            raise ValueError("an empty word is in every name; leave tags out to fit all")
        return tuple(tag.lower() for tag in tags)

    @field_validator("faults")
    @classmethod
    def _are_known(cls, faults: tuple[str, ...]) -> tuple[str, ...]:
        for fault in faults:
            if fault not in FAULTS[1:]:
                raise ValueError(f'"{fault}" is no fault type{problems.did_you_mean(fault, FAULTS[1:])}')
        return faults


class AdvisoryFile(Model):
    """A file of advisories for one kind of machine."""

    machine_type: Name = Field(description='a kind of machine, such as "pump", or "generic" for any')
    advisories: Annotated[tuple[AdvisoryTable, ...], Strict(False)] = Field(
        min_length=1, description="at least one table [[advisories]]"
    )

    def rules(self) -> Iterator[Rule]:
        """Give the rules in the order of the file."""
        for one in self.advisories:
            checks = tuple(Check(check.do, check.why) for check in one.checks)
            said = Advisory(self.machine_type, one.failure_mode, one.mechanism, checks)
            yield Rule(one.cause, one.tags, one.faults, said)


def rules_of(config: Config) -> dict[str, tuple[Rule, ...]]:
    """Return the rules of each asset, in the order in which they are tried; raise ConfigError with every problem.

    The site's own come before the shipped ones, and of both those for its kind of machine before the generic ones. What
    is about none of its tags is left out.
    """
    found: list[str] = []
    own = [] if config.agent.advisories is None else _read(config.agent.advisories, found)
    files = [*own, *_read(SHIPPED, found)]
    known = {file.machine_type for file in files}
    for name, asset in config.assets.items():
        if asset.machine_type not in known and not found:
            hint = problems.did_you_mean(asset.machine_type, known)
            found.append(f'assets.{name}.machine_type: no advisories are for "{asset.machine_type}"{hint}')
    if found:
        raise ConfigError(tuple(found))
    return {
        name: tuple(
            rule
            for source in (own, files[len(own):])
            for machine_type in dict.fromkeys((asset.machine_type, GENERIC))
            for file in source
            if file.machine_type == machine_type
            for rule in file.rules()
            if any(rule.names(tag.name) for tag in asset.tags)
        )
        for name, asset in config.assets.items()
    }


def _read(folder: Path, found: list[str]) -> Sequence[AdvisoryFile]:
    """Return the files of a folder in the order of their names; append what is wrong with them to `found`."""
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        found.append(f"agent.advisories: {folder} has no *.toml; name a folder with advisories, or remove it")
    files = []
    for path in paths:
        try:
            raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            files.append(AdvisoryFile.model_validate(raw))
        except ValidationError as error:
            found += [f"{path}: {problem}" for problem in problems.from_validation(error, raw, _model_at)]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            found.append(f"{path}: cannot be read: {error}")
    return files


def _model_at(loc: Sequence[int | str]) -> type[BaseModel]:
    match loc:
        case ("advisories", int(), "checks", int(), _, *_):
            return CheckTable
        case ("advisories", int(), _, *_):
            return AdvisoryTable
    return AdvisoryFile
