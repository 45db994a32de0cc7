"""The commands `forewarn discover` and `forewarn import`: what they are given, what they write and what they show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from agent import check as checking
from agent import logs, wiring
from agent.cells import cells
from agent.checktable import show as show_checks
from agent.clock import Clock
from agent.commission.address import connection_at
from agent.commission.dtypes import ORDERS
from agent.commission.how import How, checked_template
from agent.commission.nodes import proposal_of
from agent.commission.pattern import SEPARATOR, matches
from agent.commission.proposal import Proposal, toml
from agent.commission.readers import READERS
from agent.commission.registermap import MapDefaults, read_map
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.config.opcua import OpcuaConfig
from agent.console import complain, explained, wide
from connectors.link import LoadGuard
from connectors.modbus.endpoint import ModbusEndpoint

NO_LIST = (
    "{}: Modbus has no list of what a device holds, and guessing addresses can disturb it; "
    "write the device's register map as a CSV file (docs/connecting.md) and give it with --map"
)
PATHS_SHOWN = 8
LEFT_OUT_SHOWN = 20
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the configuration there. [default: print it]")]
Match = Annotated[list[str] | None, typer.Option(
    metavar="PATTERN", help="OPC UA: only these paths; * ? ** {a,b}, repeatable.")]
MapFile = Annotated[Path | None, typer.Option("--map", metavar="MAP.csv", help="Modbus: the register map.")]
UnitId = Annotated[int, typer.Option(min=0, max=255, help="Modbus: the unit id where the map names none.")]
First = Annotated[int, typer.Option(
    "--counted-from", min=0, max=1, help="Modbus: what the map's addresses count from, unless in Modicon's notation.")]


Policy = Annotated[str | None, typer.Option("--security-policy", help="OPC UA: as in the configuration.")]
Mode = Annotated[str | None, typer.Option("--security-mode", help="OPC UA: as in the configuration.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="OPC UA: security policy None.")]
Certificate = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: our certificate.")]
PrivateKey = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: its key.")]
ServerCertificate = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: the server's.")]


def add_commissioning(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the commands that propose a configuration."""

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
        max_requests_per_s: Annotated[float | None, typer.Option(help="At most so many requests.")] = None,
        max_nodes: Annotated[int, typer.Option(min=1, help="OPC UA: end after so many nodes.")] = 20_000,
        max_depth: Annotated[int, typer.Option(min=1, help="OPC UA: end so many levels down.")] = 12,
    ) -> None:
        """Propose a configuration for one device: browse an OPC UA server, or take a register map for Modbus."""
        logs.configure("CRITICAL")  # what the libraries would say is in the answer
        security = _security(insecure, security_policy, security_mode, certificate, private_key, server_certificate)
        options = {**security, "max_requests_per_s": max_requests_per_s}
        origin = f"forewarn discover {address}"
        with explained():
            _refuse_to_overwrite(out)
            connection = connection_at(address, options)
            if isinstance(connection, OpcuaConfig):
                _refuse(map_ is not None, "--map", "a register map is for Modbus; leave it out for OPC UA")
                proposal = _browsed(connection, match or ["**"], (max_nodes, max_depth), clock)
                _deliver(proposal, origin, out)
                return
            _refuse(bool(match), "--match", "patterns are for OPC UA; leave them out for Modbus")
            if map_ is None:
                raise ConfigError((NO_LIST.format(address),))
            proposal = read_map(map_, connection, MapDefaults(unit_id, asset, counted_from))
            _show_read(_deliver(proposal, f"{origin} --map {map_}", out, table=False), clock)


    @app.command("import", epilog="Example: forewarn import telegraf telegraf.conf --out agent.toml")
    def import_(
        kind: Annotated[str, typer.Argument(metavar="KIND", help=f"Whose file it is: {', '.join(READERS)}.")],
        file: Annotated[Path, typer.Argument(metavar="FILE", help="What the other program exported.")],
        at: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The device, as for discover.")] = None,
        unit_id: UnitId = 1,
        order: Annotated[str | None, typer.Option(help="Modbus: the byte order, where the file is silent.")] = None,
        node: Annotated[str | None, typer.Option(
            metavar="NODE", help="OPC UA: the node of a tag, with {tag} for its name.")] = None,
        namespace: Annotated[list[str] | None, typer.Option(
            metavar="INDEX=URI", help="OPC UA: the namespace that an index in the file means; repeatable.")] = None,
        server: Annotated[str | None, typer.Option(help="OPC UA: of several servers in the file.")] = None,
        out: Out = None,
        security_policy: Policy = None,
        security_mode: Mode = None,
        insecure: Insecure = False,
        certificate: Certificate = None,
        private_key: PrivateKey = None,
        server_certificate: ServerCertificate = None,
    ) -> None:
        """Propose a configuration from another program's list of tags; asks no device."""
        _refuse(kind not in READERS, "KIND", f"{kind} is none of {', '.join(READERS)}")
        _refuse(order not in (None, *ORDERS), "--order", f"{order} is none of {', '.join(ORDERS)}")
        security = _security(insecure, security_policy, security_mode, certificate, private_key, server_certificate)
        with explained():
            _refuse_to_overwrite(out)
            how = How(None if at is None else connection_at(at, security), unit_id, order, checked_template(node),
                      _namespaces(namespace or []), server)
            _deliver(_imported(kind, file, how), f"forewarn import {kind} {file}", out)


def _security(insecure: bool, policy: str | None, mode: str | None, certificate: str | None, private_key: str | None,
              server_certificate: str | None) -> dict[str, object]:
    """Return the options of a secure channel by their keys in the configuration."""
    return {"security_policy": policy or ("None" if insecure else None), "security_mode": mode, "insecure": insecure,
            "certificate": certificate, "private_key": private_key, "server_certificate": server_certificate}


def _namespaces(pairs: list[str]) -> dict[int, str]:
    parts = [pair.partition("=") for pair in pairs]
    wrong = [pair for pair, (index, _, uri) in zip(pairs, parts, strict=True) if not index.isdigit() or not uri]
    _refuse(bool(wrong), "--namespace", f"{' '.join(wrong)} is not INDEX=URI")
    return {int(index): uri for index, _, uri in parts}


def _imported(kind: str, file: Path, how: How) -> Proposal:
    """Return what a file proposes; raise ConfigError where it is none of its kind, or holds nothing to read."""
    try:
        proposal = READERS[kind](file, how)
    except ConfigError as error:
        raise ConfigError(tuple(problem if problem.startswith((str(file), "--")) else f"{file}: {problem}"
                                for problem in error.problems)) from error
    if not proposal.found:
        reasons = sorted({f"{one.what}: {one.why}" for one in proposal.left_out})[:LEFT_OUT_SHOWN]
        raise ConfigError((f"{file}: nothing in it can be read by Forewarn", *reasons))
    return proposal


def _refuse(wrong: bool, option: str, why: str) -> None:
    if wrong:
        raise typer.BadParameter(why, param_hint=option)


def _refuse_to_overwrite(out: Path | None) -> None:
    if out is not None and out.exists():
        raise ConfigError((f"{out}: exists already; give --out another name, or remove it first",))


def _browsed(connection: OpcuaConfig, patterns: list[str], bounds: tuple[int, int], clock: Clock) -> Proposal:
    """Browse a server and return what was found; raise ConfigError where nothing was."""
    from connectors.opcua.browse import BrowseLimits, browse  # asyncua takes 40 MB

    where = wiring.endpoint_of(connection, 1000, poll=True)
    assert not isinstance(where, ModbusEndpoint)
    guard = LoadGuard(clock, where.max_requests_per_s, where.min_gap_ms)
    seen: list[str] = []

    def wanted(path: tuple[str, ...]) -> bool:
        if len(seen) < PATHS_SHOWN:
            seen.append(SEPARATOR.join(path))
        return any(matches(path, pattern) for pattern in patterns)

    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"browsing {connection.url}")
        space = asyncio.run(browse(
            where, clock, guard, wanted, BrowseLimits(bounds[1], bounds[0]),
            lambda nodes, waiting: bar.update(task, description=f"{nodes} nodes seen, {waiting} to ask about")))
    if space.cut:
        complain(f"only a part of the address space was looked at: {space.cut}; "
                 "see --max-nodes and --max-depth")
    proposal = proposal_of(space.variables, connection)
    if not proposal.found:
        examples = "; its first variables: " + ", ".join(seen) if seen else ""
        why = "; ".join(sorted({one.why for one in proposal.left_out}))
        reasons = f" ({why})" if why else ""
        said = f"no number matches {' '.join(patterns)} among {space.nodes} nodes{reasons}{examples}"
        raise ConfigError((f"{connection.url}: {said}",))
    typer.echo(f"{space.server or connection.url}: {space.nodes} nodes, {len(proposal.found)} tags of "
               f"{len(proposal.assets)} machines", err=True)
    return proposal


def _deliver(proposal: Proposal, origin: str, out: Path | None, *, table: bool = True) -> Config:
    """Write or print the configuration, and show what is in it and what is not; return it as it will be loaded.

    Without `table` the tags are shown by what they gave, later.
    """
    text = toml(proposal, origin=origin)
    config = Config.parse(text, out or Path("agent.toml"))
    if out is None:
        typer.echo(text, nl=False)
    else:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError((f"{out}: cannot be written ({error.strerror}); name another file",)) from error
    console = wide(stderr=True)
    if table:
        console.print(_table(proposal))
    _show_left_out(proposal, console)
    if out is not None:
        typer.echo(f"{out}: {len(proposal.found)} tags. Look it over, then: forewarn check --tags-only {out}", err=True)
    return config


def _table(proposal: Proposal) -> Table:
    """Return the tags by machine."""
    table = Table("tag", "unit", "found", box=None, pad_edge=False)
    table.columns[0].overflow = table.columns[2].overflow = "fold"
    for asset, members in proposal.assets.items():
        table.add_row(Text(asset, "bold"))
        for one in members:
            table.add_row(*cells(f"  {one.tag.name}", one.tag.unit, one.note))
    return table


def _show_left_out(proposal: Proposal, console: Console) -> None:
    """Show what is not proposed, with the reasons."""
    for left in proposal.left_out[:LEFT_OUT_SHOWN]:
        console.print(Text(f"left out: {left.what}: {left.why}"), soft_wrap=True)
    if (more := len(proposal.left_out) - LEFT_OUT_SHOWN) > 0:
        console.print(f"left out: {more} more, which the file lists with the reasons")


def _show_read(config: Config, clock: Clock) -> None:
    """Read the proposed tags once and show what each gave."""
    console = wide(stderr=True)
    found = asyncio.run(checking.check(config, clock))
    console.print()
    show_checks(found, (), {}, console)
    if checking.failures(found):
        raise typer.Exit(1)
