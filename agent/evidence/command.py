"""`forewarn evidence`, and `forewarn replay` of one alert: what was recorded of it, computed anew, and in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.clock import Clock
from agent.config.file import load
from agent.console import FAILED, complain, explained, working
from agent.evidence import contents, pack
from agent.evidence.case import agreement, investigate
from agent.evidence.making import Evidence, make
from agent.evidence.pack import Pack, PackError
from agent.options import check_place
from agent.store.journal import StoreError
from agent.trust import Trust


def write(alert_id: str, file: Path, out: Path | None, key: Path | None, now_ns: int) -> tuple[Path, Evidence]:
    """Write the evidence of an alert; return where to, and what was written."""
    out = out or Path(f"{alert_id}.html")
    check_place(out)
    with working("reading the journal") as status:
        made = make(alert_id, file, key, now_ns, status.update)
    try:
        out.write_bytes(made.content)
    except OSError as error:
        raise StoreError(f"--out {out}: cannot be written: {error.strerror}; name another file with --out") from error
    return out, made


def opened(file: Path) -> Pack:
    """Return a pack of which all is verified; raise PackError, StoreError."""
    try:
        return pack.unseal(file.read_bytes())
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}; name the file of an evidence pack") from error


def _verify(file: Path, config: Path | None) -> bool:
    """Say whether a file is whole and who signed it; return whether that is well."""
    try:
        found = opened(file)
    except PackError as error:
        complain(*(f"{file}: {problem}" for problem in error.problems))
        return False
    typer.echo(f"{file}: whole, {len(found.files)} files; alert {found.alert}, made {found.created[:19]}Z")
    if config is None:
        typer.echo(f"signed by {found.signed_by}; compare it with the gateway's signing.pub, or name its configuration")
        return True
    whose = Trust.of(load(config).agent).keys.get(found.signed_by)
    typer.echo(f"signed by {found.signed_by}, {whose or f'an unknown key: {config} trusts no such'}")
    return whose is not None


def replay_alert(alert_id: str, file: Path) -> bool:
    """Print the revisions of an alert as its record gives them again; return whether they are the same."""
    with working("reading the journal") as status:
        case = investigate(alert_id, load(file), status.update)
    for body in () if case.again is None else case.again.revisions:
        typer.echo(body)
    typer.echo(case.sentence(), err=True)
    return case.same


def replay_file(file: Path) -> bool:
    """Print the revisions of a pack's alert as its steps give them again; return whether they are the same."""
    try:
        with working("verifying") as status:
            found = opened(file)
            status.update("replaying")
            recorded, again, rows = contents.replay_pack(found)
    except PackError as error:
        complain(*(f"{file}: {problem}" for problem in error.problems))
        return False
    for body in again.revisions:
        typer.echo(body)
    typer.echo(f"{found.alert}, signed by {found.signed_by}: {agreement(again, recorded)}", err=True)
    count = len(again.course.evidence)
    told = f"{rows:,} of {count:,} rows differ" if rows else f"all {count:,} rows the same to the bit"
    typer.echo(f"evidence over time: {told}", err=True)
    return again.revisions == recorded and not rows


def add_evidence(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the command `evidence`."""

    @app.command(
        epilog="Example: forewarn evidence pump-3 agent.toml, and where it was sent to: forewarn evidence --verify "
        "pump-3.html. Exit codes: 0 written, or whole and of a known key; 1 not; 2 usage or configuration."
    )
    def evidence(
        subject: Annotated[str, typer.Argument(metavar="ALERT_OR_FILE", help="An alert; with --verify, a file.")],
        config: Annotated[
            Path | None, typer.Argument(metavar="CONFIG", help="The configuration.  [default: agent.toml]")
        ] = None,
        out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to.  [default: ALERT.html]")] = None,
        key: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Sign with this key.  [default: the agent's own]")
        ] = None,
        verify: Annotated[bool, typer.Option("--verify", help="Check such a file and say who signed it.")] = False,
    ) -> None:
        """Write what was recorded of an alert, and its replay, as one signed file that opens without a network."""
        with explained():
            if verify:
                if not _verify(Path(subject), config):
                    raise typer.Exit(FAILED)
                return
            path, made = write(subject, config or Path("agent.toml"), out, key, clock.time_ns())
        typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, signed by {made.signer}")
        typer.echo(made.case.sentence())
