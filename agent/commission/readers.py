"""Whose files can be imported. Each reader takes a file and what a person adds to it, and returns a proposal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from agent.commission import ignition, kepware, l5x, telegraf, thingsboard, tia
from agent.commission.how import How
from agent.commission.proposal import Proposal

READERS: Final[Mapping[str, Callable[[Path, How], Proposal]]] = {
    "telegraf": telegraf.read,
    "thingsboard": thingsboard.read,
    "kepware": kepware.read,
    "ignition": ignition.read,
    "tia": tia.read,
    "l5x": l5x.read,
}
