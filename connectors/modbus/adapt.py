"""A reading plan that learns what a device refuses, so that one bad tag never stops the rest. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.frame import BAD_WAITING_FOR_INITIAL_DATA, Tag
from connectors.modbus.decode import Decoder
from connectors.modbus.plan import Block, Cut, PlanLimits, check, plan

RETRY_FIRST_NS: Final = 60_000_000_000
RETRY_LAST_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class _Refusal:
    strikes: int
    due_ns: int


class AdaptivePlan:
    """Blocks for the tags a device gives, and a calendar for asking again for those it refused.

    Tags with different periods share no block; the blocks of the shortest period come first. `refuse`, `accept` and
    `cut` take note; `settle` compiles what was learnt into `blocks` and `decoder`.
    """

    def __init__(self, tags: Sequence[Tag], limits: PlanLimits) -> None:
        check(tags)
        self._tags = tuple(tags)
        self._limits = limits
        self._refused: dict[int, _Refusal] = {}
        self._cuts: set[Cut] = set()
        periods = sorted({tag.period_ms for tag in tags})
        self._groups = [[c for c, tag in enumerate(tags) if tag.period_ms == period] for period in periods]
        self._stale = True
        self.status = np.full(len(tags), BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        """What a refused tag's status is, u32[C]."""
        self.settle()

    def due(self, now_ns: int) -> tuple[Block, ...]:
        """Return blocks of refused tags that are worth another request."""
        if not self._refused:
            return ()
        columns = [column for column, refusal in self._refused.items() if refusal.due_ns <= now_ns]
        return plan(self._tags, self._limits, columns=columns, avoid=set(self._refused) - set(columns),
                    cuts=self._cuts)

    def refuse(self, columns: Collection[int], status: int, now_ns: int) -> None:
        """Leave these tags out of the blocks; ask again after a minute, then ever more rarely, at least
        hourly.
        """
        for column in columns:
            earlier = self._refused.get(column)
            strikes = 0 if earlier is None else earlier.strikes + 1
            wait_ns = min(RETRY_LAST_NS, RETRY_FIRST_NS << min(strikes, 10))
            self._refused[column] = _Refusal(strikes, now_ns + wait_ns)
            self._stale |= earlier is None
        self.status[list(columns)] = status

    def postpone(self, columns: Collection[int], status: int) -> None:
        """Leave these tags out of the blocks but ask again at the next read: it is not known which is
        refused.
        """
        for column in columns:
            self._stale |= column not in self._refused
            self._refused.setdefault(column, _Refusal(-1, 0))
        self.status[list(columns)] = status

    def accept(self, columns: Collection[int]) -> None:
        """Take tags that were answered back into the blocks."""
        for column in columns:
            self._stale |= self._refused.pop(column, None) is not None

    def cut(self, block: Block) -> None:
        """Never again read across the start of `block`: both sides are given, but not together."""
        self._cuts.add((block.unit_id, block.table, block.start))
        self._stale = True

    def settle(self) -> None:
        """Compile anew if anything was learnt."""
        if self._stale:
            self.blocks = tuple(block for group in self._groups for block in self._plan_group(group))
            self.decoder = Decoder(self._tags, self.blocks)
            self._stale = False

    def _plan_group(self, columns: Sequence[int]) -> tuple[Block, ...]:
        wanted = [column for column in columns if column not in self._refused]
        return plan(self._tags, self._limits, columns=wanted, avoid=self._refused, cuts=self._cuts)
