"""`forewarn acknowledge`, `shelve`, `out-of-service` and the like: what people say to a running agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from agent.api.command_models import (
    AcknowledgeBody,
    GoLiveBody,
    InServiceBody,
    LabelBody,
    NormalBody,
    NothingChangedBody,
    OutcomeBody,
    OutOfServiceBody,
    RebaselineBody,
    ShelveBody,
    UnshelveBody,
)
from agent.api.models import Model
from agent.ask import API_URL
from agent.clock import Clock
from agent.config.file import Config, load
from agent.console import UNUSABLE, complain, explained
from agent.label_link import LabelLinks, Ticket
from agent.line.alert import Answer
from agent.options import names, seconds, time_ns
from agent.shadow.loading import JOURNAL
from agent.store.codec import Json
from agent.store.journal import JournalReader, StoreError
from agent.tell import tell

Understood = TypeVar("Understood")

AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Such as pump-3; see forewarn alerts.")]
Asset = Annotated[str, typer.Argument(metavar="ASSET", help="The asset's name in the configuration.")]
ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="What else is to be kept.")]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="For how long, such as 30m, 4h or 2d.")]
What = Annotated[str, typer.Option("--comment", metavar="TEXT", help="What failed, or what was repaired.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When, such as 2026-12-01T06:00Z. [default: now]")
]
Told = Annotated[str | None, typer.Option("--alert", metavar="ALERT", help="The alert that had told of it.")]
Api = Annotated[str, typer.Option("--api", metavar="URL", help="Tell the agent at this address.")]


def add_say(app: typer.Typer, clock: Clock) -> None:
    """Give `app` the commands by which people say something to an alert or an asset; a link is good from now on."""

    @app.command("acknowledge", epilog='Example: forewarn acknowledge pump-3 --by Ana --comment "looking at the seal"')
    def acknowledge(alert: AlertId, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Take an alert on: it has been seen, and somebody sees to it."""
        _say(api, f"/alerts/{alert}/acknowledge", AcknowledgeBody, {"by": by, "comment": comment})

    @app.command("shelve", epilog='Example: forewarn shelve pump-3 --for 2d --by Ana --reason "spare part ordered"')
    def shelve(alert: AlertId, time: For, by: By, reason: Reason, api: Api = API_URL) -> None:
        """Put an alert aside for a time."""
        _say(api, f"/alerts/{alert}/shelve", ShelveBody, {"by": by, "reason": reason, "duration_s": _seconds(time)})

    @app.command("unshelve", epilog="Example: forewarn unshelve pump-3 --by Ana")
    def unshelve(alert: AlertId, by: By, api: Api = API_URL) -> None:
        """Take a shelved alert back."""
        _say(api, f"/alerts/{alert}/unshelve", UnshelveBody, {"by": by})

    @app.command("label", epilog='Example: forewarn label pump-3 --real "impeller blockage" --by Ana')
    def label(
        alert: AlertId,
        by: By,
        real: Annotated[str | None, typer.Option("--real", metavar="FAULT", help="A fault, and which.")] = None,
        normal: Annotated[bool, typer.Option("--normal", help="Nothing was wrong.")] = False,
        sensor: Annotated[bool, typer.Option("--sensor", help="A sensor or its wiring, not the machine.")] = False,
        not_looked_at: Annotated[bool, typer.Option("--not-looked-at", help="Nobody looked, or will.")] = False,
        comment: Comment = "",
        api: Api = API_URL,
    ) -> None:
        """Say what an alert was, open or over, or correct what was said."""
        said = {
            Answer.REAL: real is not None, Answer.NORMAL: normal, Answer.SENSOR: sensor,
            Answer.NOT_LOOKED_AT: not_looked_at,
        }
        answers = [answer for answer, is_said in said.items() if is_said]
        if len(answers) != 1:
            raise typer.BadParameter("say one of --real FAULT, --normal, --sensor and --not-looked-at")
        body: dict[str, Json] = {"by": by, "answer": answers[0].value, "fault": real, "comment": comment}
        _say(api, f"/alerts/{alert}/label", LabelBody, body)

    @app.command("label-link", epilog="Example: forewarn label-link pump-3 /etc/forewarn/agent.toml")
    def label_link(alert: AlertId, config: ConfigFile) -> None:
        """Print a link by which anyone can say what this alert was, in two taps and without an account."""
        with explained():
            typer.echo(link_to(alert, load(config), clock.time_ns()))

    _add_say_to_assets(app)
    _add_outcomes(app)


def _add_say_to_assets(app: typer.Typer) -> None:
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
        body |= {} if start is None else {"since": _moment("--from", start)}
        _say(api, f"/assets/{asset}/out-of-service", OutOfServiceBody, body, {"since": "--from"})

    @app.command("go-live", epilog='Example: forewarn go-live pump --by Ana --comment "all of it was real"')
    def go_live(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Let people see the alerts of an asset that was in shadow."""
        _say(api, f"/assets/{asset}/go-live", GoLiveBody, {"by": by, "comment": comment})

    @app.command("in-service", epilog='Example: forewarn in-service pump --by Ana --comment "seal replaced"')
    def in_service(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Return an asset to service, or call off that it be taken out."""
        _say(api, f"/assets/{asset}/in-service", InServiceBody, {"by": by, "comment": comment})

    @app.command("nothing-changed", epilog='Example: forewarn nothing-changed pump --by Ana --comment "a new recipe"')
    def nothing_changed(asset: Asset, by: By, comment: Comment = "", api: Api = API_URL) -> None:
        """Say that a change that was seen changed nothing of the machine: its alerts are no longer on hold."""
        _say(api, f"/assets/{asset}/nothing-changed", NothingChangedBody, {"by": by, "comment": comment})

    @app.command(
        "rebaseline", epilog='Example: forewarn rebaseline pump --tags temperature --by Ana --comment "new sensor"'
    )
    def rebaseline(
        asset: Asset,
        tags: Annotated[str, typer.Option("--tags", metavar="A,B,...", help="What has changed, and nothing else has.")],
        by: By,
        comment: Comment = "",
        api: Api = API_URL,
    ) -> None:
        """Learn anew where some tags stand, from the rows to come: a sensor was replaced, or its span was changed."""
        changed: list[Json] = [*(names(tags) or ())]
        _say(api, f"/assets/{asset}/rebaseline", RebaselineBody, {"by": by, "tags": changed, "comment": comment})

    @app.command(
        "normal",
        epilog='Example: forewarn normal pump --since 2026-12-01T06:00Z --by Ana --comment "the new product, as it '
        'should be"',
    )
    def normal(
        asset: Asset,
        since: Annotated[str, typer.Option("--since", metavar="TIME", help="From when on, as 2026-12-01T06:00Z.")],
        by: By,
        comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why it is.")],
        until: Annotated[
            str | None, typer.Option("--until", metavar="TIME", help="Until when. [default: now]")
        ] = None,
        api: Api = API_URL,
    ) -> None:
        """Say that what an asset did is normal: it may be learnt from, whatever the agent made of it."""
        body: dict[str, Json] = {"by": by, "since": _moment("--since", since), "comment": comment}
        body |= {} if until is None else {"until": _moment("--until", until)}
        _say(api, f"/assets/{asset}/normal", NormalBody, body)


def link_to(alert_id: str, config: Config, now_ns: int) -> str:
    """Return a link to label an alert; raise StoreError where there is no such, BundleError where it cannot be."""
    with closing(JournalReader.open(config.agent.state_dir / JOURNAL)) as journal:
        journal.known(alert_id)
    ticket = Ticket(alert_id, now_ns + int(config.api.label_links_days * 86_400e9))
    return f"{config.api.url}/l/{LabelLinks(config.agent.state_dir).token(ticket)}"


def _add_outcomes(app: typer.Typer) -> None:
    @app.command(
        "failure",
        epilog='Example: forewarn failure pump --at 2026-12-01T06:00Z --downtime 4h --by Ana --comment "seal burst"',
    )
    def failure(
        asset: Asset,
        by: By,
        comment: What,
        at: At = None,
        alert: Told = None,
        downtime: Annotated[
            str | None, typer.Option("--downtime", metavar="TIME", help="What it cost, as you judge it, such as 4h.")
        ] = None,
        api: Api = API_URL,
    ) -> None:
        """Record that an asset failed: the ledger then knows whether an alert came before, and how long before."""
        _record(api, f"/assets/{asset}/failures", by, comment, at, alert, {"--downtime": downtime})

    @app.command(
        "repair",
        epilog='Example: forewarn repair pump --alert pump-3 --avoided 8h --by Ana --comment "impeller cleaned"',
    )
    def repair(
        asset: Asset,
        by: By,
        comment: What,
        at: At = None,
        alert: Told = None,
        avoided: Annotated[
            str | None, typer.Option("--avoided", metavar="TIME", help="The downtime that it saved, as you judge it.")
        ] = None,
        api: Api = API_URL,
    ) -> None:
        """Record that an asset was repaired before it failed."""
        _record(api, f"/assets/{asset}/repairs", by, comment, at, alert, {"--avoided": avoided})


def _record(
    api: str, path: str, by: str, comment: str, at: str | None, alert: str | None, downtime: Mapping[str, str | None]
) -> None:
    ((option, time),) = downtime.items()
    body: dict[str, Json] = {"by": by, "comment": comment, "alert_id": alert}
    if at is not None:
        body["at"] = _moment("--at", at)
    if time is not None:
        body["downtime_s"] = _seconds(time, option)
    _say(api, path, OutcomeBody, body, {"downtime_s": option})


def _say(api: str, path: str, kind: type[Model], body: dict[str, Json], options: Mapping[str, str] = {}) -> None:
    with explained():
        accepted = tell(api, path, kind, body, options)
    typer.echo(f"{accepted.alert_id or accepted.asset}: {accepted.command} takes effect with the asset's next read")


def _seconds(text: str, option: str = "--for") -> float:
    return _understood(seconds, option, text)


def _moment(option: str, text: str) -> str:
    _understood(lambda option, text: time_ns(option, text, 0), option, text)
    return text


def _understood(parse: Callable[[str, str], Understood], option: str, text: str) -> Understood:
    """Return what an option says; where that is nothing, complain and end."""
    try:
        return parse(option, text)
    except StoreError as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from None
