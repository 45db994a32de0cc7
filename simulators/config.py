"""A configuration of the agent for a simulated machine: every tag with its address, ready to run."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

from connectors.frame import Dtype, ModbusAddress, NodeAddress, Tag

_REQUESTS_PER_S = 50


def toml(
    asset: str,
    tags: Sequence[Tag],
    connection: str,
    *,
    bundle: str,
    period_ms: int = 1000,
    on_delay_s: float = 0.0,
    off_delay_s: float = 0.0,
    state_dir: str = "state",
    port: int = 8470,
    append: bool = False,
    timeout_ms: int = 1000,
    symptoms: Collection[str] = (),
    machine_type: str = "generic",
) -> str:
    """Return the TOML of an agent with one asset on one connection.

    `connection` is "host:port" for tags on Modbus, "opc.tcp://host:port" for tags on OPC UA. Raise ValueError
    where it is neither, or not where such tags live. With `append` the tables that a configuration has once are
    left out. `symptoms` are the tags that are measured to see faults, `machine_type` says for what to check first.
    """
    _check_tags(tags, connection)
    lines = [] if append else _head(state_dir, port)
    lines += [f"[connections.{asset}_plc]", *_connection(connection), f"timeout_ms = {timeout_ms}", ""]
    lines += [
        f"[assets.{asset}]",
        f"bundle = {_text(bundle)}",
        f"period_ms = {period_ms}",
        'budget = "1/week"',
        f"machine_type = {_text(machine_type)}",
        f"on_delay_s = {float(on_delay_s)!r}",
        f"off_delay_s = {float(off_delay_s)!r}",
    ]
    for tag in tags:
        lines += ["", f"[[assets.{asset}.tags]]", *_tag(tag, f"{asset}_plc")]
        lines += ["symptom = true"] * (tag.name in symptoms)
    return "\n".join(lines) + "\n"


def _head(state_dir: str, port: int) -> list[str]:
    return [
        "[agent]",
        f"state_dir = {_text(state_dir)}",
        "",
        "[api]",
        'host = "127.0.0.1"',
        f"port = {port}",
        "",
    ]


def _check_tags(tags: Sequence[Tag], connection: str) -> None:
    """Raise ValueError where a connection speaks another protocol than the tags' addresses are of."""
    speaks_opcua = connection.startswith("opc.tcp://")
    are_nodes = any(isinstance(tag.address, NodeAddress) for tag in tags)
    if are_nodes and not speaks_opcua:
        raise ValueError(f"{connection!r} is no address for OPC UA; write opc.tcp://HOST:PORT.")
    if speaks_opcua and not are_nodes:
        raise ValueError(f"{connection!r} is no address for Modbus; write HOST:PORT.")


def _connection(where: str) -> Iterator[str]:
    parts = urlsplit(where if "://" in where else f"modbus://{where}")
    if parts.scheme not in ("modbus", "opc.tcp") or not parts.hostname or parts.port is None:
        raise ValueError(
            f"Cannot read {where!r}; write HOST:PORT for Modbus, opc.tcp://HOST:PORT for OPC UA."
        )
    if parts.scheme == "opc.tcp":
        yield from (
            'protocol = "opcua"',
            f"url = {_text(where)}",
            'security_policy = "None"',
            "insecure = true",
        )
    else:
        yield from ('protocol = "modbus-tcp"', f"host = {_text(parts.hostname)}", f"port = {parts.port}")
        yield f"max_requests_per_s = {_REQUESTS_PER_S}"


def _tag(tag: Tag, connection: str) -> Iterator[str]:
    yield from (
        f"name = {_text(tag.name)}",
        f"unit = {_text(tag.unit or '1')}",
        f"connection = {_text(connection)}",
    )
    match tag.address:
        case ModbusAddress() as address:
            yield from (f"unit_id = {address.unit_id}", f"table = {_text(address.table.value)}")
            yield from (f"register = {address.register}", f"dtype = {_text(tag.dtype.value)}")
            if tag.dtype not in (Dtype.BIT, Dtype.INT16, Dtype.UINT16):
                yield f"order = {_text(address.order)}"
            if (tag.scale, tag.offset) != (1.0, 0.0):
                yield from (f"scale = {tag.scale!r}", f"offset = {tag.offset!r}")
        case NodeAddress() as node:
            yield f"node = {_text(str(node))}"
        case None:
            raise ValueError(f"The tag {tag.name!r} has no address.")
    if math.isfinite(tag.low) and math.isfinite(tag.high):
        yield from (f"low = {float(tag.low)!r}", f"high = {float(tag.high)!r}")


def _text(value: str) -> str:
    """Return a TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)
