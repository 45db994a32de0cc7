"""What `forewarn discover` and `forewarn import` share: options, and how a proposal is written and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.cells import cells, to_the_letter
from agent.commission.proposal import Proposal, toml
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.console import wide

TAGS_SHOWN, LEFT_OUT_SHOWN = 200, 20
STATE_DIR = "/var/lib/forewarn"
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the configuration there. [default: print it]")]
UnitId = Annotated[int, typer.Option(min=0, max=255, help="Modbus: the unit id where the map names none.")]
StateDir = Annotated[str, typer.Option(metavar="DIR", help="Where the agent keeps what it must not forget.")]
Policy = Annotated[str | None, typer.Option("--security-policy", help="OPC UA: as in the configuration.")]
Mode = Annotated[str | None, typer.Option("--security-mode", help="OPC UA: as in the configuration.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="OPC UA: security policy None.")]
Certificate = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: our certificate.")]
PrivateKey = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: its key.")]
ServerCertificate = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: the server's.")]
User = Annotated[str | None, typer.Option("--user", help="OPC UA: the user to log in as.")]
PasswordFile = Annotated[str | None, typer.Option(metavar="FILE", help="OPC UA: the file with the user's password.")]


def security(insecure: bool, policy: str | None, mode: str | None, certificate: str | None, private_key: str | None,
             server_certificate: str | None, user: str | None, password_file: str | None) -> dict[str, object]:
    """Return the options of a secure channel and of who logs in, by their keys in the configuration."""
    return {"security_policy": policy or ("None" if insecure else None), "security_mode": mode, "insecure": insecure,
            "certificate": certificate, "private_key": private_key, "server_certificate": server_certificate,
            "user": user, "password_file": password_file}


def folder(state_dir: str) -> Path:
    """Return the folder meant by --state-dir; in the file, a relative path would be relative to the file."""
    return Path(state_dir).expanduser().absolute()


def refuse(wrong: bool, option: str, why: str) -> None:
    """End with a message about an option where it is wrong."""
    if wrong:
        raise typer.BadParameter(why, param_hint=option)


def refuse_to_overwrite(out: Path | None) -> None:
    """Raise ConfigError where the file to write exists: somebody has corrected it by hand."""
    if out is not None and out.exists():
        raise ConfigError((f"{out}: exists already; give --out another name, or remove it first",))


def deliver(proposal: Proposal, origin: str, out: Path | None, state_dir: str, *, table: bool = True) -> Config:
    """Write or print the configuration, and show what is in it and what is not; return it as it will be loaded.

    Without `table` the tags are shown by what they gave, later.
    """
    text = toml(proposal, origin=origin, state_dir=str(folder(state_dir)))
    config = Config.parse(text, out or Path("agent.toml"))
    if out is None:
        typer.echo(text, nl=False)
    else:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise ConfigError((f"{out}: cannot be written ({error.strerror}); name another file",)) from error
    console = wide(stderr=True)
    if table and out is not None:  # what was printed is there to be read
        console.print(_table(proposal))
        if (more := len(proposal.found) - TAGS_SHOWN) > 0:
            console.print(f"  and {more} more tags, in the file")
    _show_left_out(proposal, console)
    if out is not None:
        typer.echo(f"{out}: {len(proposal.found)} tags. Look it over, then: forewarn check --tags-only {out}", err=True)
    return config


def _table(proposal: Proposal) -> Table:
    """Return the first tags by machine."""
    table = Table("tag", "unit", "found", box=None, pad_edge=False)
    table.columns[0].overflow = table.columns[2].overflow = "fold"
    for asset, members in replace(proposal, found=proposal.found[:TAGS_SHOWN]).assets.items():
        table.add_row(to_the_letter(asset, "bold"))
        for one in members:
            table.add_row(*cells(f"  {one.tag.name}", one.tag.unit, one.note))
    return table


def _show_left_out(proposal: Proposal, console: Console) -> None:
    """Show what is not proposed, with the reasons."""
    for left in proposal.left_out[:LEFT_OUT_SHOWN]:
        console.print(to_the_letter(f"left out: {left.what}: {left.why}"), soft_wrap=True)
    if (more := len(proposal.left_out) - LEFT_OUT_SHOWN) > 0:
        console.print(f"left out: {more} more, which the file lists with the reasons")
