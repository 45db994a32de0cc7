"""The command `forewarn discover`: one device, asked or described, becomes a proposed configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent import check as checking
from agent import logs, wiring
from agent.checktable import show as show_checks
from agent.clock import Clock
from agent.commission.address import connection_at
from agent.commission.delivery import (
    STATE_DIR,
    Certificate,
    Insecure,
    Mode,
    Out,
    PasswordFile,
    Policy,
    PrivateKey,
    ServerCertificate,
    StateDir,
    UnitId,
    User,
    deliver,
    folder,
    refuse,
    refuse_to_overwrite,
    security,
)
from agent.commission.nodes import proposal_of
from agent.commission.pattern import SEPARATOR, matches
from agent.commission.proposal import Proposal
from agent.commission.registermap import MapDefaults, read_map
from agent.commission.trust import believe
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.config.opcua import OpcuaConfig
from agent.console import FAILED, complain, explained, wide, working
from connectors.link import LoadGuard
from connectors.opcua.endpoint import OpcuaEndpoint

if TYPE_CHECKING:
    from connectors.opcua.browse import AddressSpace

NO_LIST = (
    "{}: Modbus has no list of what a device holds, and guessing addresses can disturb it; "
    "write the device's register map as a CSV file (docs/connecting.md) and give it with --map"
)
PATHS_SHOWN = 8
Match = Annotated[list[str] | None, typer.Option(
    metavar="PATTERN", help="OPC UA: only these paths; * ? ** {a,b}, repeatable.")]
MapFile = Annotated[Path | None, typer.Option("--map", metavar="MAP.csv", help="Modbus: the register map.")]
First = Annotated[int, typer.Option(
    "--counted-from", min=0, max=1, help="Modbus: what the map's addresses count from, unless in Modicon's notation.")]


def add_discover(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the command `discover`."""

    @app.command(epilog="Example: forewarn discover opc.tcp://192.0.2.11:4840 --insecure --out agent.toml")
    def discover(
        address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The one device to ask.")],
        match: Match = None,
        map_: MapFile = None,
        unit_id: UnitId = 1,
        counted_from: First = 0,
        asset: Annotated[str, typer.Option(help="Modbus: the machine where the map names none.")] = "machine",
        out: Out = None,
        security_policy: Policy = None,
        security_mode: Mode = None,
        insecure: Insecure = False,
        certificate: Certificate = None,
        private_key: PrivateKey = None,
        server_certificate: ServerCertificate = None,
        fingerprint: Annotated[str, typer.Option(
            metavar="SHA256", help="OPC UA: trust the server's certificate if this is its fingerprint.")] = "",
        user: User = None,
        password_file: PasswordFile = None,
        state_dir: StateDir = STATE_DIR,
        max_requests_per_s: Annotated[float | None, typer.Option(help="At most so many requests a second.")] = None,
        machine_level: Annotated[int | None, typer.Option(
            min=1, help="OPC UA: the level of the path that names machines. [default: each tag's object]")] = None,
        max_nodes: Annotated[int, typer.Option(min=1, help="OPC UA: end after so many nodes.")] = 20_000,
        max_depth: Annotated[int, typer.Option(min=1, help="OPC UA: end so many levels down.")] = 12,
    ) -> None:
        """Propose a configuration for one device: browse an OPC UA server, or take a register map for Modbus."""
        logs.configure("CRITICAL")  # what the libraries would say is in the answer
        secured = security(insecure, security_policy, security_mode, certificate, private_key, server_certificate,
                           user, password_file)
        options = {**secured, "max_requests_per_s": max_requests_per_s}
        origin = f"forewarn discover {address}"
        with explained():
            refuse_to_overwrite(out)
            connection = connection_at(address, options)
            if isinstance(connection, OpcuaConfig):
                refuse(map_ is not None, "--map", "a register map is for Modbus; leave it out for OPC UA")
                walk = _Walk(_server(connection, state_dir, fingerprint, clock), max_nodes, max_depth, clock)
                deliver(_browsed(connection, match or ["**"], machine_level, walk), origin, out, state_dir)
                return
            refuse(bool(match), "--match", "patterns are for OPC UA; leave them out for Modbus")
            if map_ is None:
                raise ConfigError((NO_LIST.format(address),))
            proposal = read_map(map_, connection, MapDefaults(unit_id, asset, counted_from))
            _show_read(deliver(proposal, f"{origin} --map {map_}", out, state_dir, table=False), clock)


def _server(connection: OpcuaConfig, state_dir: str, fingerprint: str, clock: Clock) -> OpcuaEndpoint:
    """Return the endpoint to browse, after its certificate was trusted where a fingerprint is given."""
    where = wiring.endpoint_of(connection, 1000, poll=True, pki=folder(state_dir) / wiring.PKI)
    assert isinstance(where, OpcuaEndpoint)
    if fingerprint:
        from connectors.opcua.trust import TrustList  # heavy, and of use to few commands

        believe([where], fingerprint, TrustList(folder(state_dir) / wiring.PKI / "trusted"), clock)
    return replace(where, trust_command="the same command with")


@dataclass(frozen=True, slots=True)
class _Walk:
    """Which server to walk through, how far, and the clock that spaces the requests."""

    where: OpcuaEndpoint
    nodes: int
    depth: int
    clock: Clock


def _browsed(connection: OpcuaConfig, patterns: list[str], level: int | None, walk: _Walk) -> Proposal:
    """Browse a server and return what was found; raise ConfigError where nothing was."""
    seen: list[str] = []

    def wanted(path: tuple[str, ...]) -> bool:
        if len(seen) < PATHS_SHOWN:
            seen.append(SEPARATOR.join(path))
        return any(matches(path, pattern) for pattern in patterns)

    space = _walked(wanted, walk)
    if space.cut:
        complain(f"only a part of the address space was looked at: {space.cut}; see --max-nodes and --max-depth")
    proposal = proposal_of(space, connection, level)
    if not proposal.found:
        examples = "; its first variables: " + ", ".join(seen) if seen else ""
        why = "; ".join(sorted({one.why for one in proposal.left_out}))
        reasons = f" ({why})" if why else ""
        said = f"no number matches {' '.join(patterns)} among {space.nodes} nodes{reasons}{examples}"
        raise ConfigError((f"{connection.url}: {said}",))
    machines = len(proposal.assets)
    typer.echo(f"{space.server or connection.url}: {space.nodes} nodes, {len(proposal.found)} tags of "
               f"{machines} machine{'s' if machines != 1 else ''}", err=True)
    return proposal


def _walked(wanted: Callable[[tuple[str, ...]], bool], walk: _Walk) -> AddressSpace:
    """Walk through a server's address space, with a line on the screen that tells how far."""
    from connectors.opcua.browse import BrowseLimits, browse  # asyncua takes 40 MB

    guard = LoadGuard(walk.clock, walk.where.max_requests_per_s, walk.where.min_gap_ms)
    with working(f"browsing {walk.where.url}") as bar:
        return asyncio.run(browse(
            walk.where, walk.clock, guard, wanted, BrowseLimits(walk.depth, walk.nodes),
            lambda nodes, waiting: bar.update(f"{nodes} nodes seen, {waiting} to ask about")))


def _show_read(config: Config, clock: Clock) -> None:
    """Read the proposed tags once and show what each gave."""
    console = wide(stderr=True)
    with working(checking.DOING):
        found = asyncio.run(checking.check(config, clock))
    console.print()
    show_checks(found, (), {}, console)
    if checking.failures(found):
        raise typer.Exit(FAILED)
