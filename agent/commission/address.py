"""One address that a person gives, such as "opc.tcp://192.0.2.11:4840", to the table of a connection. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from agent.config import problems
from agent.config.base import ConfigError
from agent.config.devices import AnyModbusConfig, ModbusSerialConfig, ModbusTcpConfig, ModbusTlsConfig
from agent.config.opcua import OpcuaConfig

PARITIES = {"N": "none", "E": "even", "O": "odd"}
"""What other programs call the parities."""
T = TypeVar("T", bound=BaseModel)
Connection = AnyModbusConfig | OpcuaConfig
FORMS = (
    "opc.tcp://HOST:PORT, modbus-tcp://HOST[:PORT] (or modbus-tls, modbus-rtu-over-tcp, modbus-ascii-over-tcp), "
    "modbus-rtu:///dev/DEVICE (or modbus-ascii); Modbus takes keys of its table behind a ?, as ?baudrate=9600"
)


def connection_at(address: str, options: Mapping[str, object] | None = None) -> Connection:
    """Return the connection at an address, with options by their keys in the configuration.

    Raise ConfigError with every problem where there is no such connection.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ConfigError((f"{address}: {error}; write {FORMS}",)) from error
    given = {key: value for key, value in (options or {}).items() if value is not None and value is not False}
    said = {key: _typed(value) for key, value in parse_qsl(parts.query)}
    try:
        match parts.scheme:
            case "opc.tcp":
                return checked(OpcuaConfig, {"protocol": "opcua", "url": address, **given})
            case "modbus-tcp" | "modbus-rtu-over-tcp" | "modbus-ascii-over-tcp" if not parts.path.strip("/"):
                return checked(ModbusTcpConfig, {"protocol": parts.scheme, **_host(address), **said, **given})
            case "modbus-tls" if not parts.path.strip("/"):
                return checked(ModbusTlsConfig, {"protocol": parts.scheme, **_host(address), **said, **given})
            case "modbus-rtu" | "modbus-ascii" if not parts.netloc:
                return checked(ModbusSerialConfig, {"protocol": parts.scheme, "device": parts.path, **said, **given})
    except ConfigError as error:
        raise ConfigError(tuple(_as_option(problem, options or {}) for problem in error.problems)) from error
    raise ConfigError((f"{address}: not an address that Forewarn knows; write {FORMS}",))


def _typed(text: str) -> bool | int | float | str:
    """Return what a value in an address means in the configuration."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _as_option(problem: str, options: Mapping[str, object]) -> str:
    """Name a key as the option of the command line that gave it, or may give it."""
    key, colon, said = problem.partition(":")
    return f"--{key.replace('_', '-')}{colon}{said}" if key in options else problem


def _host(address: str) -> dict[str, object]:
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ConfigError((f"{address}: no host, or no port of 1 to 65535; write {parts.scheme}://HOST[:PORT]",))
    return {"host": host} | ({} if port is None else {"port": port})


def checked(model: type[T], keys: Mapping[str, object]) -> T:
    """Return a table of the configuration with these keys; raise ConfigError with every problem in them."""
    try:
        return model.model_validate(keys, context={"folder": Path.cwd()})
    except ValidationError as error:
        raise ConfigError(tuple(problems.from_validation(error, {}, lambda _: model))) from error
