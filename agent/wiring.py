"""From the configuration to tags, endpoints and routes. Pure.

OPC UA is imported with the first connection that speaks it: most commands speak to no PLC, and asyncua takes 40 MB.
"""

from __future__ import annotations

import math
import os
import urllib.parse
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.clock import Clock
from agent.config.assets import TagConfig
from agent.config.base import ConfigError
from agent.config.devices import (
    AnyModbusConfig,
    ModbusConfig,
    ModbusNetworkConfig,
    ModbusSerialConfig,
    ModbusTcpConfig,
    ModbusTlsConfig,
)
from agent.config.file import Config
from agent.config.opcua import OpcuaConfig, split_node
from agent.loopback import is_loopback
from agent.reader import Route
from connectors import Connector
from connectors.frame import Dtype, ModbusAddress, NodeAddress, PathAddress, Tag
from connectors.link import Link, LoadGuard
from connectors.load import SLOW_BY_MS
from connectors.modbus import connector as modbus
from connectors.modbus.endpoint import Framing, ModbusEndpoint, SerialLine, Tls
from connectors.modbus.plan import BIT_TABLES
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode, Timestamps, User
from connectors.opcua.gaps import NOTHING_RECORDED, Recorded, Recovery

Endpoint = ModbusEndpoint | OpcuaEndpoint
PKI = "pki"
"""The folder in the state directory with our certificate (own) and those of servers that are trusted."""
_FRAMINGS = {
    "modbus-tcp": Framing.TCP,
    "modbus-rtu-over-tcp": Framing.RTU,
    "modbus-ascii-over-tcp": Framing.ASCII,
    "modbus-rtu": Framing.RTU,
    "modbus-ascii": Framing.ASCII,
}
PUBLISHING_MS_MIN, PUBLISHING_MS_MAX = 20, 500
KEEPALIVE_MS_MIN, KEEPALIVE_MS_MAX = 1_000, 5_000
"""A server with nothing to tell says so this often: a connection that is only half open is found in a read or two."""


def tag_of(said: TagConfig, period_ms: int) -> Tag:
    """Return a configured tag; `period_ms` is its asset's, which holds where the tag has none of its own."""
    dtype = said.dtype or Dtype.FLOAT32
    address: ModbusAddress | NodeAddress | PathAddress
    if said.node is not None:
        address = NodeAddress(*split_node(said.node))
    elif said.path is not None:
        address = PathAddress(said.path)
    else:
        assert said.unit_id is not None
        assert said.table is not None
        assert said.register_ is not None, "the configuration was checked"
        address = ModbusAddress(said.unit_id, said.table, said.register_, said.order or "ABCD", said.bit,
                                said.bits or 1, said.length or 0)
        if said.bit is not None or said.table in BIT_TABLES:
            dtype = Dtype.BIT
    return Tag(
        said.name,
        said.unit,
        address,
        dtype,
        said.scale,
        said.offset,
        said.low,
        said.high,
        said.period_ms or period_ms,
        said.clamp,
        said.invalid,
        tuple(said.texts.items()),
        said.deadband or 0.0,
        said.deadband_percent or 0.0,
        said.counter,
        said.rollover or 0.0,
    )


def tags_of(config: Config, connection: str) -> list[tuple[str, Tag]]:
    """Return (asset, tag) of all on a connection, in the order of the file: the columns of its frames."""
    return [
        (name, tag_of(tag, asset.period_ms))
        for name, asset in config.assets.items()
        for tag in asset.tags
        if tag.connection == connection
    ]


def max_rates(config: Config, connection: str) -> list[float]:
    """Return how fast each of these tags can move, in its unit per second, infinite where nobody said."""
    said = [tag for asset in config.assets.values() for tag in asset.tags if tag.connection == connection]
    return [math.inf if tag.max_rate is None else tag.max_rate for tag in said]


def period_ns(config: Config, connection: str) -> int:
    """Return how often a connection is read: as often as its most wanted tag."""
    return min(tag.period_ms for _, tag in tags_of(config, connection)) * 1_000_000


def longest_silence_ns(config: Config, connection: str, speed: float = 1.0) -> int:
    """Return how far rows may be apart where nothing is missing: two periods, and two keep-alives of a server at rest.
    """
    return int(2 * max(period_ns(config, connection), KEEPALIVE_MS_MIN * 1_000_000 * speed))


def routes(config: Config, connection: str, columns: Mapping[str, Sequence[str]]) -> list[Route]:
    """Return where the connection's columns go; `columns` are each asset's tags in the order of its line."""
    tags = tags_of(config, connection)
    found = []
    for asset in dict.fromkeys(name for name, _ in tags):
        sources = [i for i, (name, _) in enumerate(tags) if name == asset]
        shared = len({tag.connection for tag in config.assets[asset].tags}) > 1
        targets = [columns[asset].index(tags[i][1].name) for i in sources]
        whole = targets == list(range(len(columns[asset])))
        found.append(Route(asset, np.array(sources, np.intp), np.array(targets, np.intp), len(columns[asset]),
                           shared=shared, whole=whole))
    return found


def only_simulators(config: Config, speed: float) -> None:
    """Raise ConfigError where a clock that is not the world's would set the pace of requests to a real device.

    Limits such as max_requests_per_s hold for the clock's seconds; a device off this machine lives in the world's.
    """
    if speed == 1.0:
        return
    real = [(name, host) for name, said in config.connections.items() for host in _hosts(said) if not is_loopback(host)]
    if real:
        raise ConfigError(tuple(
            f"connections.{name}: {host} is no simulator on this machine: with --speed {speed:g} the agent's second "
            "would be another than the device's, and its limits (max_requests_per_s) not what they say; run without "
            "--speed, or name a simulator at 127.0.0.1"
            for name, host in real
        ))


def _hosts(said: AnyModbusConfig | OpcuaConfig) -> list[str]:
    """Return what a connection may talk to: host names, addresses, or the file of a serial line."""
    match said:
        case ModbusSerialConfig():
            return [str(said.device)]
        case OpcuaConfig():
            return [urllib.parse.urlsplit(url).hostname or url for url in (said.url, said.backup_url) if url]
        case _:
            return [host for host in (said.host, said.backup_host) if host]


def endpoint(config: Config, connection: str, *, speed: float = 1.0, poll: bool = False) -> Endpoint:
    """Return a connection's endpoint; `speed` is the clock's, `poll` asks OPC UA instead of subscribing."""
    where = endpoint_of(config.connections[connection], period_ns(config, connection) / 1e6 / speed, poll=poll,
                        pki=config.agent.state_dir / PKI)
    where = replace(where, slow_by_ms=SLOW_BY_MS * max(speed, 1.0))
    if isinstance(where, ModbusEndpoint):
        return where
    return replace(where, trust_command=f"forewarn trust CONFIG {connection}",
                   skew_told_s=where.skew_told_s if speed == 1.0 else math.inf)  # a faster clock differs, of course


def endpoint_of(said: AnyModbusConfig | OpcuaConfig, period_ms: float, *, poll: bool = False,
                pki: Path | None = None) -> Endpoint:
    """Return the endpoint that a connection's table describes, to be read every `period_ms`; `pki` holds trust."""
    publishing_ms = int(min(max(period_ms, PUBLISHING_MS_MIN), PUBLISHING_MS_MAX))
    match said:
        case ModbusTcpConfig():
            framing = _FRAMINGS[said.protocol]
            return replace(_device(said), host=said.host, port=said.port, framing=framing, backup=_backup(said))
        case ModbusTlsConfig():
            tls = Tls(said.ca, said.server_name, said.certificate, said.private_key)
            return replace(_device(said), host=said.host, port=said.port, tls=tls, backup=_backup(said))
        case ModbusSerialConfig():
            parity = said.parity[0].upper()
            line = SerialLine(said.device, said.baudrate, parity, said.stop_bits, said.data_bits)
            return replace(_device(said), line=line, framing=_FRAMINGS[said.protocol])
        case OpcuaConfig():
            return OpcuaEndpoint(
                said.url,
                OpcuaMode.POLL if poll else OpcuaMode(said.mode),
                said.timeout_ms,
                publishing_interval_ms=publishing_ms,
                keepalive_count=round(min(max(period_ms, KEEPALIVE_MS_MIN), KEEPALIVE_MS_MAX) / publishing_ms),
                max_requests_per_s=said.max_requests_per_s,
                security_policy=said.security_policy,
                security_mode=said.security_mode,
                insecure=said.insecure,
                certificate=said.certificate,
                private_key=said.private_key,
                server_certificate=said.server_certificate,
                pki=pki,
                user=User(said.user, _credential(said.password_file), said.user_certificate, said.user_private_key),
                timestamps=Timestamps(said.timestamps),
                backup_url=said.backup_url,
                history=None if said.history == "off" else Recovery(said.history),
                history_max_h=said.history_max_h,
            )


def _credential(path: Path | None) -> Path | None:
    """Return where a secret is: among the credentials that systemd hands over (LoadCredential=), else at its path."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    handed = Path(folder) / path.name if folder and path is not None else None
    return handed if handed is not None and handed.is_file() else path


def _device(said: ModbusConfig) -> ModbusEndpoint:
    """Return what every Modbus connection says of its devices."""
    return ModbusEndpoint(
        timeout_ms=said.timeout_ms,
        max_requests_per_s=said.max_requests_per_s,
        min_gap_ms=said.min_gap_ms,
        max_registers=said.max_registers,
        max_bits=said.max_bits,
        max_gap_registers=said.max_gap_registers,
        retries=said.retries,
        pause_after_connect_ms=said.pause_after_connect_ms,
        close_after_poll=said.close_after_poll,
        one_request_per_tag=said.one_request_per_tag,
    )


def _backup(said: ModbusNetworkConfig) -> tuple[str, int] | None:
    return None if said.backup_host is None else (said.backup_host, said.backup_port or said.port)


def link(
    where: Endpoint, tags: Sequence[Tag], clock: Clock, name: str, recorded: Recorded = NOTHING_RECORDED
) -> Link:
    """Return the supervised link to an endpoint; `name` (of machine and connection) decides its jitter.

    `recorded` is what there is of its tags from before.
    """
    seed = zlib.crc32(name.encode())
    if isinstance(where, ModbusEndpoint):
        return modbus.supervise(where, tags, clock, seed=seed)
    from connectors.opcua import connector as opcua

    return opcua.supervise(where, tags, clock, seed=seed, recorded=recorded)


def notes(where: Endpoint, connector: Connector) -> tuple[str, ...]:
    """Return what a person should know of a connection although it works."""
    if not isinstance(connector, modbus.ModbusConnector) or not isinstance(where, ModbusEndpoint):
        return ()
    return connector.notes + ((where.advice,) if where.advice else ())


def import_protocols(config: Config) -> None:
    """Import what the connections need. That of OPC UA takes so long that a request which waits meanwhile times out."""
    if any(isinstance(said, OpcuaConfig) for said in config.connections.values()):
        import connectors.opcua.connector  # noqa: F401


def connector(where: Endpoint, tags: Sequence[Tag], clock: Clock) -> Connector:
    """Return a bare connector to an endpoint, for single reads of every tag, whatever its period."""
    guard = LoadGuard(clock, where.max_requests_per_s, where.min_gap_ms)
    if isinstance(where, ModbusEndpoint):
        together = [replace(tag, period_ms=1000) for tag in tags]
        return modbus.ModbusConnector(where, together, clock, guard)
    from connectors.opcua.connector import OpcuaConnector

    return OpcuaConnector(where, tags, clock, guard)
