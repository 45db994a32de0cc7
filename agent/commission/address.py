"""One address that a person gives, such as "opc.tcp://192.0.2.11:4840", to the table of a connection. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from agent.config import problems
from agent.config.base import ConfigError
from agent.config.devices import AnyModbusConfig, ModbusTcpConfig
from agent.config.opcua import OpcuaConfig

T = TypeVar("T", bound=BaseModel)
Connection = AnyModbusConfig | OpcuaConfig
FORMS = "opc.tcp://HOST:PORT or modbus-tcp://HOST[:PORT]"


def connection_at(address: str, options: Mapping[str, object] | None = None) -> Connection:
    """Return the connection at an address, with options by their keys in the configuration.

    Raise ConfigError with every problem where there is no such connection.
    """
    parts = urlsplit(address)
    given = {key: value for key, value in (options or {}).items() if value is not None and value is not False}
    try:
        match parts.scheme:
            case "opc.tcp":
                return checked(OpcuaConfig, {"protocol": "opcua", "url": address, **given})
            case "modbus-tcp" | "modbus-rtu-over-tcp" | "modbus-ascii-over-tcp" if not parts.path.strip("/"):
                return checked(ModbusTcpConfig, {"protocol": parts.scheme, **_host(address), **given})
    except ConfigError as error:
        raise ConfigError(tuple(_as_option(problem, options or {}) for problem in error.problems)) from error
    raise ConfigError((f"{address}: not an address that Forewarn knows; write {FORMS}",))


def _as_option(problem: str, options: Mapping[str, object]) -> str:
    """Name a key as the option of the command line that gave it, or may give it."""
    key, colon, said = problem.partition(":")
    return f"--{key.replace('_', '-')}{colon}{said}" if key in options else problem


def _host(address: str) -> dict[str, object]:
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or (port is None and not address.rstrip("/").endswith(parts.hostname)):
        raise ConfigError((f"{address}: no host, or no port of 1 to 65535; write {parts.scheme}://HOST[:PORT]",))
    return {"host": parts.hostname} | ({} if port is None else {"port": port})


def checked(model: type[T], keys: Mapping[str, object]) -> T:
    """Return a table of the configuration with these keys; raise ConfigError with every problem in them."""
    try:
        return model.model_validate(keys, context={"folder": Path.cwd()})
    except ValidationError as error:
        raise ConfigError(tuple(problems.from_validation(error, {}, lambda _: model))) from error
