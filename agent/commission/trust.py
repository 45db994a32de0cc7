"""`forewarn trust`: show the certificate of an OPC UA server to a person, who says whether it is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from agent import logs, wiring
from agent.cells import letters
from agent.clock import Clock
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.console import FAILED, explained
from connectors import ConnectorError
from connectors.opcua.endpoint import OpcuaEndpoint

if TYPE_CHECKING:
    from connectors.opcua.trust import Certificate, TrustList


def add_trust(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the command that trusts servers."""

    @app.command(epilog="Example: forewarn trust agent.toml press_plc")
    def trust(
        config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")],
        connection: Annotated[str, typer.Argument(metavar="CONNECTION", help="Its name in the configuration.")] = "",
        fingerprint: Annotated[str, typer.Option(
            metavar="SHA256", help="Do not ask: trust the certificate if this is its fingerprint.")] = "",
        list_: Annotated[bool, typer.Option("--list", help="Show the certificates that are trusted.")] = False,
        remove: Annotated[str, typer.Option(metavar="SHA256", help="Trust this certificate no longer.")] = "",
    ) -> None:
        """Show the certificate of an OPC UA server, and believe it from then on. The agent need not be restarted."""
        logs.configure("CRITICAL")  # what the libraries would say is in the answer
        with explained():
            from connectors.opcua.trust import TrustList  # heavy, and of use to few commands

            read = load(config)
            trusted = TrustList(read.agent.state_dir / wiring.PKI / "trusted")
            if list_:
                _show_all(trusted)
            elif remove:
                _remove(trusted, remove)
            else:
                believe(_servers(read, connection), fingerprint, trusted, clock)


def _show_all(trusted: TrustList) -> None:
    for certificate in trusted.entries():
        typer.echo(_described(certificate))
    typer.echo(f"{len(trusted.entries())} trusted")


def _described(certificate: Certificate) -> str:
    """Return what a person compares, each line to the letter: what is in it was chosen by whoever made it."""
    return "".join(f"{letters(line)}\n" for line in certificate.describe())


def _remove(trusted: TrustList, fingerprint: str) -> None:
    if not trusted.remove(fingerprint):
        raise ConfigError((f"{fingerprint}: no such certificate is trusted; --list shows those that are",))
    typer.echo("removed; a session that is open stays so until the agent is restarted")


def believe(servers: Sequence[OpcuaEndpoint], fingerprint: str, trusted: TrustList, clock: Clock) -> None:
    """Fetch the certificate of each server, show it and trust it: if it has this fingerprint, else if a person says so.
    """
    from connectors.opcua.trust import plain

    for where in servers:
        certificate, doubts = asyncio.run(_fetch(where, clock))
        typer.echo(f"{where} shows this certificate:\n\n{_described(certificate)}")
        for doubt in doubts:
            typer.echo(f"It will be refused nevertheless: {doubt}.", err=True)
        if certificate in trusted:
            typer.echo("It is trusted already.")
        elif not fingerprint:
            typer.confirm("Is that the fingerprint which the server's engineering tool shows?", abort=True)
            typer.echo(f"Trusted: {trusted.add(certificate)}")
        elif plain(fingerprint) == plain(certificate.fingerprint):
            typer.echo(f"Trusted: {trusted.add(certificate)}")
            return
    if fingerprint:
        typer.echo(f"Not trusted: the fingerprint is not {fingerprint}. Compare it once more.", err=True)
        raise typer.Exit(FAILED)


def _servers(config: Config, connection: str) -> list[OpcuaEndpoint]:
    """Return the endpoints of a secured connection, the redundant one too; raise ConfigError where it is none."""
    names = [name for name, table in config.connections.items()
             if table.protocol == "opcua" and table.security_policy != "None"]
    if connection not in names:
        there = ", ".join(names) or "none"
        raise ConfigError((f'connections.{connection}: no OPC UA connection with security; those that are: {there}',))
    where = wiring.endpoint(config, connection)
    assert isinstance(where, OpcuaEndpoint)
    return [replace(where, url=url) for url in where.urls]


async def _fetch(where: OpcuaEndpoint, clock: Clock) -> tuple[Certificate, list[str]]:
    from connectors.opcua.channel import choose, offers
    from connectors.opcua.trust import Certificate

    offer = choose(await offers(where), where)
    try:
        certificate = Certificate.of(offer.certificate)
    except ValueError as error:
        raise ConnectorError(f"{where} shows a certificate that cannot be read: give it another one") from error
    host = None if where.server_certificate is not None else urlsplit(where.url).hostname or ""
    return certificate, certificate.doubts(clock.time_ns(), offer.application_uri, host)
