"""The demonstration by hand: `make demo`, or `python -m agent.demo [--keep] [--speed N]`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agent.clock import SystemClock
from agent.demo.scenario import SCENARIO, SPEED, SPEED_MAX, SPEED_MIN, DemoError
from agent.demo.show import Show

FAILED, INTERRUPTED = 1, 130


class _Console(Console):
    """A console that tells us when nobody reads it any more, instead of ending the process on the spot."""

    def on_broken_pipe(self) -> None:
        """Raise what broke (called by rich)."""
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} does not lie between {SPEED_MIN:g}, below which the story takes over 3 minutes, and "
            f"{SPEED_MAX:g}, above which no PLC keeps up"
        )
    return speed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent.demo", description="Watch a simulated machine degrade until the agent warns."
    )
    parser.add_argument("--keep", action="store_true", help="let everything run on until Ctrl-C")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=SPEED,
        metavar="N",
        help=f"simulated seconds per second (default: {SPEED:g})",
    )
    return parser


async def _play(arguments: argparse.Namespace, console: Console) -> int:
    """Return the exit code: of the story where it was told, else of the signal that ended it. Raise DemoError.

    Signals after the first change nothing: everything is being ended already.
    """
    show = Show(SCENARIO, arguments.speed, console, SystemClock())
    playing = asyncio.create_task(show.run(keep=arguments.keep))
    signals: list[int] = []

    def end(number: int) -> None:
        if not signals:
            playing.cancel()
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    await asyncio.wait([playing])
    if playing.cancelled():
        console.print("Stopped; everything that was started has ended.", soft_wrap=True)
    else:
        playing.result()
    if show.warned is None:
        return INTERRUPTED
    return 0 if show.warned else FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Play; return 0, 1 where no alert came before the failure or it could not be played, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    console = _Console()
    try:
        return asyncio.run(_play(arguments, console))
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except DemoError as error:
        console.print(Text(f"The demonstration failed. {error}", "red"), soft_wrap=True)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
