"""`forewarn acknowledge`, `shelve`, `out-of-service` and the like: what people say to a running agent."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from agent.api.command_models import CommandAccepted
from agent.ask import API_URL, say
from agent.console import explained
from agent.options import duration_s
from agent.store.codec import Json

AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Such as pump-3; see forewarn alerts.")]
Asset = Annotated[str, typer.Argument(metavar="ASSET", help="The asset's name in the configuration.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="What else is to be kept.")]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="For how long, such as 30m, 4h or 2d.")]
Api = Annotated[str, typer.Option("--api", metavar="URL", help="Tell the agent at this address.")]


def add_say(app: typer.Typer) -> None:
    """Give `app` the commands by which people say something to an alert or an asset."""

    @app.command("acknowledge", epilog='Example: forewarn acknowledge pump-3 --by Ana --comment "looking at the seal"')
    def acknowledge(alert: AlertId, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Take an alert on: it has been seen, and somebody sees to it."""
        _say(api, f"/alerts/{alert}/acknowledge", {"by": by, "comment": comment})

    @app.command("shelve", epilog='Example: forewarn shelve pump-3 --for 2d --by Ana --reason "spare part ordered"')
    def shelve(alert: AlertId, time: For, by: By, reason: Reason, api: Api = API_URL) -> None:
        """Put an alert aside for a time."""
        _say(api, f"/alerts/{alert}/shelve", {"by": by, "reason": reason, "duration_s": _seconds(time)})

    @app.command("unshelve", epilog="Example: forewarn unshelve pump-3 --by Ana")
    def unshelve(alert: AlertId, by: By, api: Api = API_URL) -> None:
        """Take a shelved alert back."""
        _say(api, f"/alerts/{alert}/unshelve", {"by": by})

    @app.command(
        "out-of-service",
        epilog='Example: forewarn out-of-service pump --for 4h --from 2026-12-01T06:00Z --by Ana --reason "new seal"',
    )
    def out_of_service(
        asset: Asset,
        time: For,
        by: By,
        reason: Reason,
        start: Annotated[
            str | None,
            typer.Option("--from", metavar="TIME", help="When it begins, such as 2026-12-01T06:00Z. [default: now]"),
        ] = None,
        api: Api = API_URL,
    ) -> None:
        """Take an asset out of service for planned work: no alert of it is raised meanwhile."""
        body: dict[str, Json] = {"by": by, "reason": reason, "duration_s": _seconds(time)}
        _say(api, f"/assets/{asset}/out-of-service", body | ({} if start is None else {"since": _moment(start)}))

    @app.command("go-live", epilog='Example: forewarn go-live pump --by Ana --comment "all of it was real"')
    def go_live(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Let people see the alerts of an asset that was in shadow."""
        _say(api, f"/assets/{asset}/go-live", {"by": by, "comment": comment})

    @app.command("in-service", epilog='Example: forewarn in-service pump --by Ana --comment "seal replaced"')
    def in_service(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Return an asset to service, or call off that it be taken out."""
        _say(api, f"/assets/{asset}/in-service", {"by": by, "comment": comment})


def _say(api: str, path: str, body: dict[str, Json]) -> None:
    with explained():
        accepted = say(CommandAccepted, api, path, json.dumps(body).encode())
    typer.echo(f"{accepted.alert_id or accepted.asset}: {accepted.command} takes effect with the asset's next read")


def _seconds(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint="--for") from error


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no time such as 2026-12-01T06:00Z", param_hint="--from") from error
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text} does not say its time zone; write it as in {text}Z", param_hint="--from")
    return text
