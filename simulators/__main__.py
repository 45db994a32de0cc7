"""The simulators by hand: machines that fail, as a PLC shows them, on Modbus, OPC UA or both."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from connectors.frame import Dtype
from simulators import config, faults, history, swap, wire
from simulators.clock import FreeClock
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from simulators.plant import MACHINES, Plant
from simulators.recording import Recording
from simulators.serve import PlantSource, Plc, Source, drive
from simulators.swap import SwapSource
from simulators.traits import FRAMERS, Traits
from simulators.wire import WireFault

PROGRAM = "python -m simulators"
_PORT_MAX = 65_535
_MIN_STEP_S = 0.02  # of wall time: no faster than that are rows shown


def _plant(arguments: argparse.Namespace, machine: str) -> Plant:
    """Make the plant of the arguments with its degradations; raise ValueError for one it cannot have."""
    tags = [tag.name for tag in MACHINES[machine].tags if tag.dtype is not Dtype.BIT]
    return Plant(machine, arguments.seed, [faults.parse(machine, text, tags) for text in arguments.fault])


def _run(arguments: argparse.Namespace) -> None:
    """Serve a simulated machine."""
    plant = _plant(arguments, arguments.command)
    swaps = [swap.parse(text, plant.tags) for text in arguments.swap_sensor]
    truth = faults.ground_truth(plant.name, plant.degradations, EPOCH_NS)
    _serve(arguments, SwapSource(PlantSource(plant), swaps), truth)


def _replay(arguments: argparse.Namespace) -> None:
    """Serve a recording."""
    columns = arguments.tags.split(",") if arguments.tags else ()
    _serve(arguments, Recording.read(arguments.file, columns, arguments.time, arguments.period))


def _traits(arguments: argparse.Namespace) -> Traits:
    """Return what kind of Modbus device the arguments describe; raise ValueError for one that cannot be."""
    return Traits(
        arguments.modbus_framing,
        arguments.modbus_serial,
        tuple(arguments.modbus_tls) if arguments.modbus_tls else None,
        tuple(arguments.units),
        tuple(arguments.dead_units),
        arguments.reply_delay_ms,
        arguments.single_master,
        arguments.max_registers,
    )


def _unit_ids(text: str) -> list[int]:
    """Return the unit ids in a list with commas."""
    return [int(part) for part in text.split(",")]


def _serve(
    arguments: argparse.Namespace, source: Source, truth: Sequence[Mapping[str, object]] = ()
) -> None:
    """Serve a source until SIGTERM or SIGINT, once one line of JSON has said where, and what is to happen."""
    for port in (arguments.modbus, arguments.opcua):
        if port is not None and not 0 <= port <= _PORT_MAX:
            raise ValueError(f"{port} is no TCP port; give one up to {_PORT_MAX}, or 0 for a free one.")
    plcs: list[Plc] = []
    if arguments.modbus is not None:
        plcs.append(ModbusPlc(source.tags, arguments.host, arguments.modbus, _traits(arguments)))
    if arguments.opcua is not None:
        plcs.append(OpcuaPlc(source.opcua_tags, arguments.host, arguments.opcua, source.name,
                             history_rows=arguments.opcua_history))
    if not plcs:
        raise ValueError("Nothing to serve: give --modbus PORT, --opcua PORT or both (0 takes a free port).")
    if not arguments.speed > 0:
        raise ValueError(f"The speed must be above 0, not {arguments.speed:g}.")
    if not arguments.start_s >= 0:
        raise ValueError(f"The start must be 0 s or more, not {arguments.start_s:g}.")
    wire_faults = [wire.parse(text, source.epoch_ns) for text in arguments.wire]
    start_ns = source.epoch_ns + int(arguments.start_s * 1e9)
    with contextlib.suppress(asyncio.CancelledError):
        about = {
            "epoch_ns": source.epoch_ns,
            "start_ns": start_ns,
            "speed": arguments.speed,
            "faults": [*truth],
        }
        asyncio.run(_until_stopped(source, plcs, wire_faults, start_ns, arguments.speed, about))


async def _until_stopped(
    source: Source,
    plcs: Sequence[Plc],
    wire_faults: Sequence[WireFault],
    start_ns: int,
    speed: float,
    about: Mapping[str, object],
) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with contextlib.AsyncExitStack() as stack:
        for plc in plcs:
            stack.push_async_callback(plc.stop)
            await _start(plc)
            await plc.show(*source.row(start_ns))
        addresses = {plc.protocol: plc.address for plc in plcs}
        print(json.dumps({"name": source.name, **addresses, **about}), flush=True)
        step_ns = max(source.period_ns, int(_MIN_STEP_S * speed * 1e9))
        await drive(source, plcs, FreeClock(start_ns, speed), wire_faults, step_ns)


async def _start(plc: Plc) -> None:
    """Let a PLC listen; raise OSError that says where it could not."""
    try:
        await plc.start()
    except OSError as error:
        reason = f"Cannot listen on {plc.address}: {error.strerror or error}."
        raise OSError(f"{reason} Choose another port, or 0 for a free one.") from error


def _history(arguments: argparse.Namespace) -> None:
    """Write a machine's past to a Parquet file."""
    from rich.console import Console
    from rich.progress import Progress

    plant = _plant(arguments, arguments.machine)
    rows = int(arguments.days * 86_400 / max(1, arguments.period))
    if rows < 1 or arguments.period < 1 or arguments.start_s < 0:
        raise ValueError(
            "A history needs --days above 0, --period of 1 s or more and --start-s of 0 or more."
        )
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{plant.name}, {arguments.days:g} days", total=rows)
        history.write(
            arguments.out,
            plant,
            int(arguments.start_s),
            rows,
            arguments.period,
            labels=arguments.labels,
            progress=lambda more: bar.advance(task, more),
        )


def _config(arguments: argparse.Namespace) -> None:
    """Print a configuration of the agent."""
    if (arguments.modbus is None) == (arguments.opcua is None):
        raise ValueError("Give one of --modbus HOST:PORT and --opcua opc.tcp://HOST:PORT.")
    plant = Plant(arguments.machine, 0)
    tags = plant.opcua_tags if arguments.modbus is None else plant.tags
    print(
        config.toml(
            plant.name,
            tags,
            arguments.modbus or arguments.opcua,
            bundle=arguments.bundle,
            period_ms=arguments.period_ms,
            on_delay_s=arguments.on_delay_s,
            off_delay_s=arguments.off_delay_s,
            state_dir=arguments.state_dir,
            port=arguments.port,
            append=arguments.append,
            symptoms=plant.machine.symptoms,
            machine_type=plant.name,
        ),
        end="",
    )


def _parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    example = f"Example: {program} pump --modbus 5020 --fault bearing_wear@3600 --speed 60"
    parser = argparse.ArgumentParser(prog=program, description=__doc__, epilog=example)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for machine in MACHINES:
        one = commands.add_parser(machine, help=f"serve a simulated {machine}; its faults: {_faults_of(machine)}")
        _plant_options(one, _faults_of(machine))
        one.add_argument(
            "--swap-sensor",
            action="append",
            default=[],
            metavar="TAG@LOOSE_S:AWAY_S:BACK_S:MORE",
            help="a sensor whose terminal is loose, whose wires are then off, and whose successor reads MORE more",
        )
        _server_options(one)
        one.set_defaults(run=_run)
    replay = commands.add_parser("replay", help="serve a recording, from its first row on")
    replay.add_argument("file", type=Path, metavar="FILE.parquet")
    replay.add_argument(
        "--time", default="time", metavar="COLUMN", help="datetimes or int64 ns (default: time)"
    )
    replay.add_argument(
        "--period", type=float, metavar="S", help="the period of the rows, instead of a time column"
    )
    replay.add_argument("--tags", metavar="A,B,...", help="the columns to serve (default: all numeric ones)")
    _server_options(replay)
    replay.set_defaults(run=_replay)
    past = commands.add_parser("history", help="write a machine's past to a Parquet file")
    past.add_argument("machine", choices=tuple(MACHINES))
    past.add_argument("--days", type=float, default=7.0)
    past.add_argument(
        "--period", type=int, default=1, metavar="S", help="seconds from row to row (default: 1)"
    )
    past.add_argument("--start-s", type=float, default=0.0, help="simulated seconds into the plant's life")
    past.add_argument("--out", type=Path, required=True, metavar="FILE.parquet")
    past.add_argument("--labels", action="store_true", help="add the columns label and remaining_life_s")
    _plant_options(past, "; ".join(f"{machine}: {_faults_of(machine)}" for machine in MACHINES))
    past.set_defaults(run=_history)
    _config_options(commands.add_parser("config", help="print a configuration of the agent for a machine"))
    return parser


def _faults_of(machine: str) -> str:
    return ", ".join(faults.EFFECTS[machine])


def _plant_options(parser: argparse.ArgumentParser, kinds: str) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND@ONSET_S[:DURATION_S]",
        help=f"a degradation; for sensors KIND/TAG@...; may be given more than once. KIND is one of: {kinds}",
    )


def _server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--modbus", type=int, metavar="PORT", help="serve Modbus TCP, 0 on a free port")
    _device_options(parser)
    parser.add_argument("--opcua", type=int, metavar="PORT", help="serve OPC UA, 0 on a free port")
    parser.add_argument(
        "--opcua-history", type=int, default=0, metavar="ROWS", help="rows that the OPC UA server keeps as its history"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--wire",
        action="append",
        default=[],
        metavar="KIND[=ARGUMENT]@START_S:DURATION_S",
        help="a fault of the wire; may be given more than once",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second (default: 1)")
    parser.add_argument("--start-s", type=float, default=0.0, help="begin so many simulated seconds in")


def _device_options(parser: argparse.ArgumentParser) -> None:
    """Let the Modbus PLC be of another kind."""
    plain = Traits()
    parser.add_argument(
        "--modbus-framing", choices=tuple(FRAMERS), default=plain.framing, help="rtu or ascii over TCP (default: tcp)"
    )
    parser.add_argument(
        "--modbus-serial", type=Path, metavar="PATH", help="also make a serial line at PATH; needs rtu or ascii"
    )
    parser.add_argument(
        "--modbus-tls", type=Path, nargs=2, metavar=("CERT.pem", "KEY.pem"), help="serve Modbus by TLS"
    )
    parser.add_argument("--units", type=_unit_ids, default=plain.units, metavar="1,2", help="unit ids that answer")
    parser.add_argument(
        "--dead-units", type=_unit_ids, default=plain.dead_units, metavar="3,4", help="unit ids that never answer"
    )
    parser.add_argument("--reply-delay-ms", type=int, default=0, help="how long each Modbus reply takes")
    parser.add_argument("--single-master", action="store_true", help="refuse a second Modbus connection")
    parser.add_argument(
        "--max-registers", type=int, default=plain.max_registers, help="registers one request may ask for"
    )


def _config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", choices=tuple(MACHINES))
    parser.add_argument("--modbus", metavar="HOST:PORT")
    parser.add_argument("--opcua", metavar="URL")
    parser.add_argument("--bundle", required=True, metavar="PATH")
    parser.add_argument("--period-ms", type=int, default=1000)
    parser.add_argument("--on-delay-s", type=float, default=30.0, help="how long a deviation lasts first (default: 30)")
    parser.add_argument(
        "--off-delay-s", type=float, default=300.0, help="how long normal lasts first (default: 300)"
    )
    parser.add_argument("--state-dir", default="state")
    parser.add_argument("--port", type=int, default=8470, help="of the REST API, 0 for any free one")
    parser.add_argument(
        "--append", action="store_true", help="leave [agent] and [api] out, to append to a configuration"
    )
    parser.set_defaults(run=_config)


def main(argv: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run one command; return 0, or 2 after a message to standard error that says what to do.

    `program` is what it was started as.
    """
    arguments = _parser(program).parse_args(argv)
    for library in ("asyncua", "pymodbus"):  # what a client does wrong is not news here
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"simulators: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
