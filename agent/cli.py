"""The command `forewarn`. Exit codes: 0 well, 1 a check or the agent failed, 2 usage or configuration."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from agent import check as checking
from agent import logs
from agent.alerts_command import add_alerts
from agent.api.present import package_version
from agent.backtest.command import add_backtest
from agent.backtest.judge import learn_heart
from agent.build import build, is_owned, layout_of, line_maker, sole_owner
from agent.checktable import as_json as check_json
from agent.checktable import show as show_checks
from agent.clock import SystemClock
from agent.commission.discover import add_discover
from agent.commission.import_command import add_import
from agent.commission.trust import add_trust
from agent.config.advisories import rules_of
from agent.config.base import ConfigError
from agent.config.file import load
from agent.console import FAILED, Commands, complain, explained, share_bar, wide, working
from agent.daemon import LoopFactory, run_until_stopped
from agent.events_command import add_events
from agent.evidence.command import add_evidence, replay_alert, replay_file
from agent.export_command import add_export
from agent.history import History, Reading, read_history
from agent.label_link import LabelLinks
from agent.learning.bundle import learn_bundle
from agent.learning.record import learnable, record_of
from agent.notify import Notifier
from agent.options import names, period_s
from agent.rehearsal.budget_command import add_budget
from agent.rehearsal.drill_command import add_drill
from agent.replay import recorded, replay
from agent.report import add_report
from agent.say_command import add_say
from agent.server import ApiServer, listen
from agent.shadow.command import add_commissioning
from agent.shadow.loading import load_detectors, origins
from agent.shadow.models_command import add_models
from agent.store import codec
from agent.tags_command import add_tags
from agent.trust import KEY, signing_key
from models.bundle import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
SIMULATE = "import sys; from simulators.__main__ import main; sys.exit(main(program='forewarn simulate'))"
ALSO_RUNS = (
    "{}: an agent runs with this state_dir, so each PLC now has a second connection; "
    "where a PLC allows one only, stop the agent while you check"
)

app = typer.Typer(
    name="forewarn",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Warn of machine failures early, from what PLCs already measure. Never writes to a PLC.",
    epilog="Begin with: forewarn discover --help, or with a list of tags: forewarn import --help",
)
ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a TOML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"forewarn {package_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command(epilog="Example: forewarn run /etc/forewarn/agent.toml")
def run(
    config: ConfigFile,
    speed: Annotated[
        float, typer.Option(min=0.01, help="Let time run N times faster: for simulators on this machine only.")
    ] = 1.0,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Watch machines until SIGTERM: read, judge, record, serve the API."""
    if log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise typer.BadParameter(
            f"{log_level} is none of DEBUG, INFO, WARNING, ERROR", param_hint="--log-level"
        )
    from agent.api.app import create_app  # heavy, and of use to no other command

    _share_one_heap()
    with explained():
        read = load(config)
        logs.configure(log_level)
        with sole_owner(read.agent.state_dir), listen(read.api.host, read.api.port) as listener:
            agent = build(read, SystemClock(speed), Notifier(os.environ, os.getpid()), speed=speed)
            links = LabelLinks(read.agent.state_dir)
            server = ApiServer(create_app(agent, allowed_hosts=read.api.hosts, links=links), listener)
            del read  # of thousands of tags it takes tens of megabytes, which the lines can use
            ended_well = run_until_stopped(agent, server, _fast_loop())
    if not ended_well:
        raise typer.Exit(FAILED)


def _share_one_heap() -> None:
    """Let all threads allocate from one heap, where the C library is glibc.

    Each would have its own, and what one has freed, such as the configuration, would serve no other.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def _fast_loop() -> LoopFactory | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@app.command(epilog="Example: forewarn check agent.toml --json. Exit codes: 0 all is well, 1 something is not, 2 usage "
             "or configuration.")
def check(
    config: ConfigFile,
    as_json: AsJson = False,
    tags_only: Annotated[
        bool, typer.Option("--tags-only", help="Leave the bundles out: before the first is learnt.")
    ] = False,
) -> None:
    """Read every tag once, and say what each gave and what to do about those that gave nothing."""
    logs.configure("CRITICAL")  # what the libraries would say is in the answer
    with explained():
        read = load(config)
        problems: tuple[str, ...] = ()
        vouched = {} if tags_only else origins(read)
        warnings = [ALSO_RUNS.format(read.agent.state_dir)] if is_owned(read.agent.state_dir) else []
        try:
            rules_of(read)
            if not tags_only:
                load_detectors(read)
        except ConfigError as error:
            problems = error.problems
        with working(checking.DOING):
            found = asyncio.run(checking.check(read, SystemClock()))
    if as_json:
        typer.echo(json.dumps(check_json(found, problems, warnings, vouched), indent=1))
    else:
        complain(*warnings)
        show_checks(found, problems, vouched, wide())
    if problems or checking.failures(found):
        raise typer.Exit(FAILED)


@app.command(
    "replay",
    epilog="Example: forewarn replay pump-3 agent.toml. From its evidence alone: forewarn replay pump-3.html. All that "
    "was recorded, as CONFIG would judge it: forewarn replay /var/lib/forewarn agent.toml > alerts.jsonl. Exit codes: "
    "0 done, and an alert is the same as recorded; 1 it is not; 2 usage or configuration.",
)
def replay_command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ALERT_OR_RECORD",
            help="An alert, the FILE.html of its evidence, a state_dir, its telemetry, or a Parquet file.",
        ),
    ],
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The configuration; evidence needs none.")
    ] = Path("agent.toml"),
) -> None:
    """Compute alerts anew from what was recorded; print each revision of one, and each event, as a line of JSON."""
    source = Path(subject)
    with explained():
        if source.suffix == ".html" or not (source.exists() or len(source.parts) > 1 or source.suffix):
            of_file = source.suffix == ".html"
            if not (replay_file(source) if of_file else replay_alert(subject, config)):
                raise typer.Exit(FAILED)
            return
        read = load(config)
        make = line_maker(read)  # first, for it tells of all bundles that cannot be used
        for entry in replay(recorded(source, layout_of(read)), make):
            typer.echo(codec.encode(entry))


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    epilog="Example: forewarn simulate pump --modbus 5020 --fault bearing_wear@3600 --speed 60",
)
def simulate(context: typer.Context) -> None:
    """Run a simulated PLC; takes the arguments of `python -m simulators` (see its --help)."""
    os.execv(sys.executable, [sys.executable, "-c", SIMULATE, *context.args])  # noqa: S606 - no shell is wanted


@app.command(
    "learn",
    epilog="Example: forewarn learn history.parquet --out bundles/pump --config agent.toml --asset pump. From what an "
    "agent recorded: forewarn learn --from-record /var/lib/forewarn agent.toml --asset pump --out bundles/pump-2",
)
def learn_command(
    history: Annotated[
        Path,
        typer.Argument(
            metavar="HISTORY", help="What the healthy machine did, a Parquet file; with --from-record, CONFIG."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder to write.")],
    config: Annotated[
        Path | None, typer.Option(help="Take tags, units and period of --asset from here.")
    ] = None,
    asset: Annotated[str | None, typer.Option(help="An asset of --config.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of time: dates, or seconds.")] = None,
    run_: Annotated[
        str | None, typer.Option("--run", help="Column(s) A,B that tell one recording from another.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column that is above 0 where there is a fault.")] = None,
    rul: Annotated[str | None, typer.Option(help="Column of the seconds that a --run had left to failure.")] = None,
    tags: Annotated[str | None, typer.Option(help="Columns A,B,... to learn. [default: all numeric]")] = None,
    unit: Annotated[
        list[str] | None, typer.Option(metavar="TAG=UNIT", help="A tag's unit; repeatable.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="Time between rows, as 1s. [default: as recorded]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name. [default: the folder's]")] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sign with this key, made where missing. [default: that of --config]"),
    ] = None,
    sign: Annotated[bool, typer.Option(help="Sign the bundle.")] = True,
    from_record: Annotated[
        Path | None, typer.Option(metavar="STATE_DIR", help="Learn from what an agent recorded there, and found well.")
    ] = None,
    thin: Annotated[bool, typer.Option("--thin", help="Learn from a record that is too thin all the same.")] = False,
) -> None:
    """Learn what normal looks like from a healthy history, without labels, and write a model bundle."""
    with explained():
        reading = Reading(
            time=time,
            run=names(run_) or (),
            label=label,
            rul=rul,
            tags=names(tags),
            units=_units(unit or []),
            period_ms=None if period is None else _period_ms(period),
        )
        console = Console(stderr=True)
        if from_record is not None:
            config = config or history
            found = _recorded(from_record, config, asset, reading, thin=thin)
        else:
            found = _read(history, config, asset, reading, console)
        private = _key(key, config) if sign else None
        for note in found.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
        bundle = learn_bundle(found, name or out.name, (from_record or history).name, console)
        if private is not None:
            bundle = bundle.signed(private)
        try:
            bundle.save(out)
        except OSError as error:
            raise BundleError(f"{out}: cannot be written ({error.strerror}); name a folder that can") from error
    regimes = len(bundle.manifest.regimes)
    typer.echo(
        f"{out}: learnt from {found.rows:,} rows of {len(found.tags)} tags; "
        f"{regimes} operating regime{'s' * (regimes > 1)}; "
        + (f"signed by {bundle.signature.key}" if bundle.signature else "not signed")
    )


def _read(history: Path, config: Path | None, asset: str | None, reading: Reading, console: Console) -> History:
    if config is not None:
        reading = _as_configured(config, asset, reading)
    elif asset is not None:
        raise typer.BadParameter("needs --config, the file that describes the asset", param_hint="--asset")
    with console.status(f"reading {history.name}"):
        return read_history(history, reading)


def _recorded(state_dir: Path, config: Path, asset: str | None, reading: Reading, *, thin: bool) -> History:
    if reading != Reading(run=(), units={}):
        raise typer.BadParameter("a record needs none of --time, --run, --label, --rul, --tags, --unit, --period",
                                 param_hint="--from-record")
    record = record_of(state_dir, load(config), asset)
    with share_bar(f"judging {record.asset}") as progress:
        return learnable(record, thin=thin, progress=progress)


def _key(file: Path | None, config: Path | None) -> Ed25519PrivateKey | None:
    """Return what signs: the key in `file`, else that of the agent's state directory, else none."""
    if file is None and config is not None:
        file = load(config).agent.state_dir / KEY
    return None if file is None else signing_key(file)


def _as_configured(file: Path, asset: str | None, reading: Reading) -> Reading:
    told = {"--tags": reading.tags, "--period": reading.period_ms, "--unit": reading.units}
    for option, value in told.items():
        if value:
            raise typer.BadParameter("the configuration says it: leave out this option, or --config", param_hint=option)
    config = load(file)
    if asset is None and len(config.assets) == 1:
        asset = next(iter(config.assets))
    if asset not in config.assets:
        raise typer.BadParameter(f"name one of: {', '.join(config.assets)}", param_hint="--asset")
    said = config.assets[asset]
    learnt = [tag for tag in said.tags if tag.use == "model"]
    return Reading(
        time=reading.time,
        run=reading.run,
        label=reading.label,
        rul=reading.rul,
        tags=tuple(tag.name for tag in learnt),
        period_ms=said.period_ms,
        units={tag.name: tag.unit for tag in learnt},
        tags_option=f"{file}: assets.{asset}.tags",
        period_option=f"{file}: assets.{asset}.period_ms",
        periods_ms={tag.name: tag.period_ms or said.period_ms for tag in learnt},
        max_rates={tag.name: tag.max_rate for tag in learnt if tag.max_rate is not None},
    )


def _period_ms(text: str) -> int:
    try:
        return round(period_s(text) * 1000)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint="--period") from error


def _units(pairs: list[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if not all(pair.partition("="))]:
        raise typer.BadParameter(f"{wrong[0]} is not TAG=UNIT", param_hint="--unit")
    return {tag: unit for tag, _, unit in (pair.partition("=") for pair in pairs)}


add_backtest(app, learn_heart, SystemClock())
add_discover(app, SystemClock())
add_import(app)
add_report(app, SystemClock())
add_budget(app)
add_drill(app, SystemClock())
add_say(app, SystemClock())
add_commissioning(app)
add_models(app)
add_alerts(app)
add_events(app)
add_tags(app)
add_export(app)
add_evidence(app, SystemClock())
add_trust(app, SystemClock())

if __name__ == "__main__":
    main()
