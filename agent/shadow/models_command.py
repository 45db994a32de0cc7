"""`forewarn models`: the models of an asset, their trial, and who decided what of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.api.command_models import ModelBody, RollbackBody
from agent.api.version_models import RateModel, VersionList, VersionModel
from agent.ask import API_URL, ask_for
from agent.cells import cells
from agent.config.base import ConfigError
from agent.config.file import Config, load
from agent.console import Commands, explained, wide
from agent.line.event import EventKind
from agent.say_command import Asset, By, Comment
from agent.shadow import versions
from agent.shadow.loading import fitting, is_known
from agent.shadow.versions import version
from agent.store.codec import Json
from agent.store.journal import StoreError
from agent.tell import tell
from models import bundle as bundles

Api = Annotated[str, typer.Option("--api", metavar="URL", help="Ask the agent at this address.")]


def add_models(app: typer.Typer) -> None:
    """Give `app` the commands `models list`, `show`, `add`, `promote` and `rollback`."""
    told = "The models of an asset: list, show, add, promote, rollback."
    models = typer.Typer(cls=Commands, no_args_is_help=True, help=told)
    app.add_typer(models, name="models")

    @models.command("list", epilog="Example: forewarn models list pump")
    def list_models(
        asset: Asset, api: Api = API_URL, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    ) -> None:
        """List the models of an asset, and how a challenger does beside the champion."""
        with explained():
            found = ask_for(VersionList, api, f"/assets/{asset}/models")
        if as_json:
            typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
        else:
            show(found, wide())

    @models.command("show", epilog="Example: forewarn models show pump 1f2e3d4c5b6a")
    def show_model(
        asset: Asset, name: Annotated[str, typer.Argument(metavar="VERSION", help="As listed.")], api: Api = API_URL
    ) -> None:
        """Show where a model comes from, and who decided what of it, when and why."""
        with explained():
            items = ask_for(VersionList, api, f"/assets/{asset}/models").items
            found = next((one for one in items if one.version == name), None)
            if found is None:
                raise StoreError(f"{asset} has no model {name}; it has: {', '.join(one.version for one in items)}")
        show_one(found, wide())

    @models.command("add", epilog="Example: forewarn models add agent.toml pump bundles/pump-2027")
    def add(
        config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")],
        asset: Asset,
        bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder of the model bundle.")],
    ) -> None:
        """Put a model beside the others of an asset: the agent lets it judge in shadow, as the challenger."""
        with explained():
            read = load(config)
            if asset not in read.assets:
                raise ConfigError((f"ASSET {asset}: is not configured; name one of: {', '.join(read.assets)}",))
            model = _put(read, asset, bundle)
            known = is_known(read, asset, model)
        if known:
            typer.echo(
                f"{asset}: {version(model)} is there again, and no challenger: it was decided of before, see forewarn "
                f"models show {asset} {version(model)}; where it has judged {asset}, forewarn models rollback {asset} "
                f"--to {version(model)} gives it the place back"
            )
        else:
            typer.echo(f"{asset}: {version(model)} is the challenger within a minute, if the agent runs")

    @models.command("promote", epilog='Example: forewarn models promote pump --by Ana --comment "found the leak first"')
    def promote(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Let the challenger take the champion's place."""
        _choose(api, asset, "promote", ModelBody, {"by": by, "comment": comment})

    @models.command("rollback", epilog="Example: forewarn models rollback pump --by Ana")
    def rollback(
        asset: Asset,
        by: By,
        comment: Comment = "",
        to: Annotated[
            str | None, typer.Option(metavar="VERSION", help="As listed. [default: the model before the promoted one]")
        ] = None,
        api: Api = API_URL,
    ) -> None:
        """Give the place back to a model that has judged the asset before."""
        body: dict[str, Json] = {"by": by, "comment": comment, "version": to}
        _choose(api, asset, "rollback", RollbackBody, body)


def _put(config: Config, asset: str, bundle: Path) -> str:
    """Copy a bundle beside the others of an asset; return its hash, or raise BundleError, StoreError."""
    fitting(config, asset, bundle)
    model = bundles.load(bundle).hash
    place = versions.folder(config, asset)
    if (place / version(model)).exists():
        raise StoreError(f"{bundle}: {asset} has this model already, {version(model)}")
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copytree(bundle, place / f".{version(model)}")
        (place / f".{version(model)}").rename(place / version(model))
    except OSError as error:
        raise StoreError(f"{place}: cannot be written ({error.strerror}); work as the agent's user") from error
    return model


def _choose(api: str, asset: str, command: str, kind: type[ModelBody], body: dict[str, Json]) -> None:
    with explained():
        accepted = tell(api, f"/assets/{asset}/{command}", kind, body)
    typer.echo(f"{accepted.asset}: {accepted.command} takes effect within a minute")


def show(found: VersionList, console: Console) -> None:
    """Print the models of an asset in a table, and below it how a challenger or a promoted model does."""
    table = Table("model", "role", "rows", "learnt from", "origin", "last decided", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for one in found.items:
        last = f"{_words(one.decided[-1].kind)} {one.decided[-1].time[:19]}Z" if one.decided else "-"
        table.add_row(*cells(one.version, one.role, f"{one.learnt_rows:,}", one.learnt_from, one.origin, last))
    console.print(table)
    lines = []
    if (trial := found.trial) is not None:
        agreed = "neither raised anything" if trial.agreement is None else f"they agree in {trial.agreement:.0%}"
        lines += [
            f"the trial, {trial.days:.3g} days: {agreed}",
            f"champion: {_rate(trial.champion)}",
            f"challenger: {_rate(trial.challenger)}",
        ]
        lines += [f"not raised by the challenger: {', '.join(trial.missed)}"] if trial.missed else []
        lines += [f"raised by the challenger alone: {', '.join(trial.alone)}"] if trial.alone else []
    if found.since_promotion is not None:
        lines.append(f"since it was promoted: {_rate(found.since_promotion)}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_one(found: VersionModel, console: Console) -> None:
    """Print one model and what was decided of it."""
    lines = [
        f"{found.version}: {found.name}, {found.role}",
        f"learnt from {found.learnt_rows:,} rows of {found.learnt_from or 'what nobody said'}; {found.origin}",
        f"SHA-256 {found.model_hash}",
        *(f"{one.time[:19]}Z {_words(one.kind)} by {one.by or 'the agent'}: {one.comment}" for one in found.decided),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _words(kind: EventKind) -> str:
    return kind.replace("_", " ")


def _rate(rate: RateModel) -> str:
    told = "" if rate.per_week is None else f", {rate.per_week:.2g} a week"
    return f"{rate.alerts} alert{'s' * (rate.alerts != 1)}{told} ({rate.standing.replace('_', ' ')})"
