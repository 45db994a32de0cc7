"""The configuration: a TOML file becomes frozen, checked models, or every problem in it is told at once."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from agent import problems
from connectors.frame import Dtype, Table
from models.signature import SignatureError, raw_key

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(day|week|month|year)")
_PERIOD_S = {"day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0, "year": 365 * 86_400.0}
_NODE = re.compile(r"nsu=(?P<uri>[^;]+);(?P<identifier>(?:s=.+|i=\d+|g=[0-9A-Fa-f-]{36}|b=[A-Za-z0-9+/=]+))")
_MODBUS_ONLY = ("unit_id", "table", "register", "dtype", "order", "bit")
_BIT_TABLES = (Table.COIL, Table.DISCRETE_INPUT)


class ConfigError(Exception):
    """A configuration is refused; `problems` holds one sentence for each thing that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse_budget(text: str) -> float:
    """Return alerts per second of a budget such as "1/week" (a month has 30 days); raise ValueError."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None or not float(match[1]) > 0:
        raise ValueError(
            f"got {text!r}; allowed: a number above 0 and "
            '"/day", "/week", "/month" or "/year", such as "1/week"'
        )
    return float(match[1]) / _PERIOD_S[match[2]]


def _path(value: object, info: ValidationInfo) -> object:
    """Take a path as text, relative to the folder of the configuration file."""
    if value is None or isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"got {value!r}; allowed: a path in quotes, relative to the folder of this file")
    folder: Path = info.context["folder"] if info.context else Path()
    return folder / Path(value).expanduser()


def _enum(kind: type[Table | Dtype]) -> BeforeValidator:
    def take(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"got {value!r}; allowed: " + ", ".join(f'"{member.value}"' for member in kind))
        return kind(value)

    return BeforeValidator(take)


FilePath = Annotated[Path, BeforeValidator(_path)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
TimeoutMs = Annotated[int, Field(ge=10, le=60_000)]
PeriodMs = Annotated[int, Field(ge=10, le=3_600_000)]


class Model(BaseModel):
    """What every table of the file shares: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)


class AgentConfig(Model):
    """Where the agent keeps what it must not forget."""

    state_dir: FilePath = Field(description="the folder for the journal and the telemetry log")
    telemetry_max_mb: int = Field(
        default=1024, ge=1, le=1_000_000, description="size in MB above which the oldest telemetry is dropped"
    )
    telemetry_sync_s: float = Field(
        default=5.0, gt=0, le=60, description="seconds between two writes to disk: what a power cut may cost"
    )
    require_signature: bool = Field(
        default=False, description="whether a bundle that nobody trusted has signed is refused"
    )
    trusted_keys: dict[Name, str] = Field(
        default={}, description='names and public keys of those who may sign bundles, "ed25519:..."'
    )

    @field_validator("trusted_keys")
    @classmethod
    def _public_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        for name, key in keys.items():
            try:
                raw_key(key)
            except SignatureError as error:
                raise ValueError(f"{name} = {error}") from error
        return keys


class ApiConfig(Model):
    """Where the REST API listens: this machine only, as long as it has neither TLS nor tokens."""

    host: str = Field(default="127.0.0.1", description='a loopback address, such as "127.0.0.1" or "::1"')
    port: int = Field(default=8470, ge=0, le=65_535, description="a TCP port, 0 for any free one")
    allowed_hosts: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), description="further names that a Host header may carry (a reverse proxy's)"
    )

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(
                f'"{host}" is not this machine, and the API has no TLS and no access control yet; '
                'allowed: "127.0.0.1", "::1" or "localhost" (put a reverse proxy in front)'
            )
        return host


class ConnectionConfig(Model):
    """What every connection has: how long to wait, and how much load the PLC may be given."""

    timeout_ms: TimeoutMs = Field(default=1000, description="milliseconds to wait for a reply")
    max_requests_per_s: float = Field(default=10.0, gt=0, le=1000, description="requests per second, at most")


class ModbusConfig(ConnectionConfig):
    """A Modbus TCP device or gateway."""

    protocol: Literal["modbus-tcp"]
    host: str = Field(min_length=1, description='the address of the device, such as "192.0.2.10"')
    port: int = Field(default=502, ge=1, le=65_535, description="a TCP port")


class OpcuaConfig(ConnectionConfig):
    """An OPC UA server."""

    protocol: Literal["opcua"]
    url: str = Field(
        pattern=r"^opc\.tcp://[^/\s@]+(/[^\s@]*)?$",
        description='an address such as "opc.tcp://192.0.2.11:4840", without user or password',
    )
    mode: Literal["subscribe", "poll"] = "subscribe"
    security_policy: Literal["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = (
        "Basic256Sha256"
    )
    security_mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    insecure: bool = False
    certificate: FilePath | None = Field(default=None, description="our certificate, a file")
    private_key: FilePath | None = Field(default=None, description="the key of our certificate, a file")
    server_certificate: FilePath | None = Field(default=None, description="the server's certificate, a file")

    @field_validator("insecure")
    @classmethod
    def _said_aloud(cls, insecure: bool, info: ValidationInfo) -> bool:
        policy = info.data.get("security_policy")
        if policy == "None" and not insecure:
            raise ValueError(
                'security_policy "None" sends everything in the clear and trusts any server; '
                "say so with insecure = true, or choose another policy"
            )
        if insecure and policy not in (None, "None"):
            raise ValueError(f'insecure = true contradicts security_policy "{policy}"; remove one of them')
        return insecure

    @field_validator("certificate", "private_key", "server_certificate")
    @classmethod
    def _needed_for_security(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        policy = info.data.get("security_policy")
        if policy not in (None, "None") and path is None:
            raise ValueError(f'missing; security_policy "{policy}" needs the path of a file')
        return path


class TagConfig(Model):
    """One measured quantity and where it lives; its connection's protocol says which keys apply."""

    name: str = Field(min_length=1, max_length=128, description="the tag's name")
    unit: str = Field(
        min_length=1, max_length=32, description='the unit, such as "bar"; "1" where there is none'
    )
    connection: str = Field(description="the name of a table under [connections]")
    unit_id: int | None = Field(default=None, ge=0, le=255, description="Modbus: the unit id, 0 to 255")
    table: Annotated[Table | None, _enum(Table)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{table}"' for table in Table)
    )
    register_: int | None = Field(
        default=None,
        alias="register",
        ge=0,
        le=65_535,
        description="Modbus: the address on the wire, counted from 0",
    )
    dtype: Annotated[Dtype | None, _enum(Dtype)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{dtype}"' for dtype in Dtype)
    )
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = Field(
        default=None, description='Modbus: the order of bytes, "ABCD" (default), "CDAB", "BADC" or "DCBA"'
    )
    bit: int | None = Field(
        default=None, ge=0, le=15, description="Modbus: one bit of a register, 0 the least"
    )
    node: str | None = Field(
        default=None, description='OPC UA: the node, "nsu=<namespace URI>;s=<identifier>"'
    )
    scale: float = Field(default=1.0, allow_inf_nan=False, description="value = raw * scale + offset")
    offset: float = Field(default=0.0, allow_inf_nan=False, description="value = raw * scale + offset")
    low: float = Field(default=float("-inf"), description="the lowest possible value, in the tag's unit")
    high: float = Field(default=float("inf"), description="the highest possible value, in the tag's unit")
    period_ms: PeriodMs | None = Field(
        default=None, description="milliseconds between reads; default: the asset's"
    )

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("allowed: printable characters, no space at either end")
        return name

    @field_validator("connection")
    @classmethod
    def _exists(cls, connection: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("protocols", {})
        if connection not in known:
            hint = problems.did_you_mean(connection, known)
            raise ValueError(f"there is no [connections.{connection}]{hint}")
        return connection

    @field_validator("unit_id", "table", "register_", "dtype", "order", "bit", "node")
    @classmethod
    def _fits_the_protocol(cls, value: object, info: ValidationInfo) -> object:
        protocol = (info.context or {}).get("protocols", {}).get(info.data.get("connection"))
        key = str(info.field_name).rstrip("_")
        wanted = "opcua" if key == "node" else "modbus-tcp"
        if protocol is None or (value is None and (protocol != wanted or key in ("order", "bit"))):
            return value
        if protocol != wanted:
            connection = info.data["connection"]
            raise ValueError(f'does not apply: connection "{connection}" speaks {protocol}; remove it')
        bits = info.data.get("table") in _BIT_TABLES
        if value is None and not (key == "dtype" and bits):
            raise ValueError(f"missing; needed: {cls.model_fields[str(info.field_name)].description}")
        return value

    @field_validator("dtype")
    @classmethod
    def _fits_the_table(cls, dtype: Dtype | None, info: ValidationInfo) -> Dtype | None:
        table = info.data.get("table")
        if table in _BIT_TABLES and dtype not in (None, Dtype.BIT):
            raise ValueError(f'a {table} is one bit; allowed: "bit", or leave it out')
        return dtype

    @field_validator("bit")
    @classmethod
    def _of_one_register(cls, bit: int | None, info: ValidationInfo) -> int | None:
        dtype, table = info.data.get("dtype"), info.data.get("table")
        words = (None, Dtype.BIT, Dtype.INT16, Dtype.UINT16)
        if bit is not None and (table in _BIT_TABLES or dtype not in words):
            raise ValueError(
                "a bit is picked from one 16-bit register; allowed with dtype "
                '"bit", "uint16" or "int16" of a holding_register or input_register'
            )
        if bit is None and dtype is Dtype.BIT and table not in (None, *_BIT_TABLES):
            raise ValueError('missing; dtype "bit" of a register needs which one, 0 (the least) to 15')
        return bit

    @field_validator("node")
    @classmethod
    def _node_id(cls, node: str | None) -> str | None:
        if node is not None and _NODE.fullmatch(node) is None:
            raise ValueError(
                'allowed: "nsu=<namespace URI>;s=<text>" (or i=<number>, g=<GUID>, b=<base64>); '
                "the namespace by its URI, because its index may change"
            )
        return node

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("0 would make every value the same; allowed: any other number")
        return scale

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low", high - 1)
        if not low < high:
            raise ValueError(f"must be above low ({low:g})")
        return high


class AssetConfig(Model):
    """One machine: its model, its alarm budget and delays, and its tags in the order of the model."""

    bundle: FilePath = Field(description="the folder of the model bundle")
    period_ms: PeriodMs = Field(description="milliseconds between two reads")
    budget: str = Field(default="1/week", description='the alarm budget, such as "1/week"')
    on_delay_s: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds a deviation lasts before its alert"
    )
    off_delay_s: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds of normal before a return to normal"
    )
    tags: Annotated[tuple[TagConfig, ...], Strict(False)] = Field(
        min_length=1, description="at least one [[assets.<name>.tags]]"
    )

    @field_validator("budget")
    @classmethod
    def _is_a_budget(cls, budget: str) -> str:
        parse_budget(budget)
        return budget

    @property
    def alerts_per_s(self) -> float:
        """The alarm budget as alerts per second."""
        return parse_budget(self.budget)


class Config(Model):
    """The whole file."""

    agent: AgentConfig = Field(description="the table [agent]")
    api: ApiConfig = Field(default=ApiConfig(), description="the table [api]")
    connections: dict[Name, Annotated[ModbusConfig | OpcuaConfig, Discriminator("protocol")]] = Field(
        min_length=1, description="at least one table [connections.<name>]"
    )
    assets: dict[Name, AssetConfig] = Field(min_length=1, description="at least one table [assets.<name>]")

    @classmethod
    def parse(cls, text: str, file: Path) -> Self:
        """Return the configuration in `text` of `file`; raise ConfigError with every problem in it."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError((f"{file}: not TOML: {error}",)) from error
        found = list(problems.across_tables(raw))
        context = {"folder": file.absolute().parent, "protocols": _protocols(raw)}
        try:
            config = cls.model_validate(raw, context=context)
        except ValidationError as error:
            found = [*problems.from_validation(error, raw, _model_at), *found]
        if found:
            raise ConfigError(tuple(f"{file}: {problem}" for problem in found))
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


def split_node(node: str) -> tuple[str, str]:
    """Return namespace URI and identifier of a checked `node`."""
    match = _NODE.fullmatch(node)
    assert match is not None, "the configuration was checked"
    return match["uri"], match["identifier"]


def _protocols(raw: Mapping[str, object]) -> dict[str, str | None]:
    connections = raw.get("connections")
    if not isinstance(connections, dict):
        return {}
    said = {name: t.get("protocol") if isinstance(t, dict) else None for name, t in connections.items()}
    return {name: it if it in ("modbus-tcp", "opcua") else None for name, it in said.items()}


def _model_at(loc: problems.Location) -> type[BaseModel]:
    """Return the model that checks what lies at `loc`, a location as pydantic gives it."""
    match loc:
        case ("agent", _, *_):
            return AgentConfig
        case ("api", _, *_):
            return ApiConfig
        case ("connections", _, "modbus-tcp", *_):
            return ModbusConfig
        case ("connections", _, "opcua", *_):
            return OpcuaConfig
        case ("assets", _, "tags", int(), _, *_):
            return TagConfig
        case ("assets", _, str(), *_):
            return AssetConfig
    return Config
