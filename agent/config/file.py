"""The configuration: a TOML file becomes frozen, checked models, or every problem in it is told at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Discriminator, Field, PrivateAttr, ValidationError

from agent.config import problems
from agent.config.agent import AgentConfig, ApiConfig
from agent.config.assets import AssetConfig, SuppressedWhenConfig, TagConfig
from agent.config.base import ConfigError, Model, Name
from agent.config.devices import ModbusSerialConfig, ModbusTcpConfig, ModbusTlsConfig
from agent.config.opcua import OpcuaConfig


class Config(Model):
    """The whole file."""

    agent: AgentConfig = Field(description="the table [agent]")
    api: ApiConfig = Field(default=ApiConfig(), description="the table [api]")
    connections: dict[
        Name,
        Annotated[
            ModbusTcpConfig | ModbusTlsConfig | ModbusSerialConfig | OpcuaConfig, Discriminator("protocol")
        ],
    ] = Field(min_length=1, description="at least one table [connections.<name>]")
    assets: dict[Name, AssetConfig] = Field(min_length=1, description="at least one table [assets.<name>]")
    _file: Path = PrivateAttr()

    @property
    def file(self) -> Path:
        """Where it was read from, absolute."""
        return self._file

    @classmethod
    def parse(cls, text: str, file: Path) -> Self:
        """Return the configuration in `text` of `file`; raise ConfigError with every problem in it."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError((f"{file}: not TOML: {error}",)) from error
        found = list(problems.across_tables(raw))
        context = {"folder": file.absolute().parent, "protocols": _protocols(raw), "address_bases": _bases(raw)}
        try:
            config = cls.model_validate(raw, context=context)
        except ValidationError as error:
            found = [*problems.from_validation(error, raw, _model_at), *found]
        if found:
            raise ConfigError(tuple(f"{file}: {problem}" for problem in found))
        config._file = file.absolute()
        return config


def load(file: Path) -> Config:
    """Return the configuration in the TOML `file`; raise ConfigError with every problem in it."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            (f"{file}: cannot be read ({error.strerror}); name the configuration file",)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8",)) from error
    return Config.parse(text, file)


def _protocols(raw: Mapping[str, object]) -> dict[str, str | None]:
    connections = raw.get("connections")
    if not isinstance(connections, dict):
        return {}
    said = {name: t.get("protocol") if isinstance(t, dict) else None for name, t in connections.items()}
    return {name: it if it in problems.PROTOCOLS else None for name, it in said.items()}


def _bases(raw: Mapping[str, object]) -> dict[str, int]:
    """Return the address_base of each connection that says one."""
    connections = raw.get("connections")
    tables = connections.items() if isinstance(connections, dict) else ()
    said = {name: table.get("address_base") for name, table in tables if isinstance(table, dict)}
    return {name: base for name, base in said.items() if base in (0, 1)}


def _model_at(loc: problems.Location) -> type[BaseModel]:
    """Return the model that checks what lies at `loc`, a location as pydantic gives it."""
    match loc:
        case ("agent", _, *_):
            return AgentConfig
        case ("api", _, *_):
            return ApiConfig
        case ("connections", _, "modbus-tcp" | "modbus-rtu-over-tcp" | "modbus-ascii-over-tcp", *_):
            return ModbusTcpConfig
        case ("connections", _, "modbus-tls", *_):
            return ModbusTlsConfig
        case ("connections", _, "modbus-rtu" | "modbus-ascii", *_):
            return ModbusSerialConfig
        case ("connections", _, "opcua", *_):
            return OpcuaConfig
        case ("assets", _, "tags", int(), _, *_):
            return TagConfig
        case ("assets", _, "suppressed_when", _, *_):
            return SuppressedWhenConfig
        case ("assets", _, str(), *_):
            return AssetConfig
    return Config
