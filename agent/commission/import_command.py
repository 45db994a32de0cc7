"""The command `forewarn import`: another program's list of tags becomes a proposed configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commission.address import connection_at
from agent.commission.delivery import (
    LEFT_OUT_SHOWN,
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
    refuse,
    refuse_to_overwrite,
    security,
)
from agent.commission.dtypes import ORDERS
from agent.commission.how import How, checked_template
from agent.commission.proposal import Proposal
from agent.commission.readers import READERS
from agent.config.base import ConfigError
from agent.console import explained


def add_import(app: typer.Typer) -> None:
    """Give `app` the command `import`."""

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
        user: User = None,
        password_file: PasswordFile = None,
        state_dir: StateDir = STATE_DIR,
    ) -> None:
        """Propose a configuration from another program's list of tags; asks no device."""
        refuse(kind not in READERS, "KIND", f"{kind} is none of {', '.join(READERS)}")
        refuse(order not in (None, *ORDERS), "--order", f"{order} is none of {', '.join(ORDERS)}")
        secured = security(insecure, security_policy, security_mode, certificate, private_key, server_certificate,
                           user, password_file)
        with explained():
            refuse_to_overwrite(out)
            how = How(None if at is None else connection_at(at, secured), unit_id, order, checked_template(node),
                      _namespaces(namespace or []), server)
            deliver(_imported(kind, file, how), f"forewarn import {kind} {file}", out, state_dir)


def _namespaces(pairs: list[str]) -> dict[int, str]:
    parts = [pair.partition("=") for pair in pairs]
    wrong = [pair for pair, (index, _, uri) in zip(pairs, parts, strict=True) if not index.isdigit() or not uri]
    refuse(bool(wrong), "--namespace", f"{' '.join(wrong)} is not INDEX=URI")
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
