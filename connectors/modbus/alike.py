"""The same mistake in all tags of a table: a map that counts from 1, or a device that swaps words. Pure.

A tag alone proves little: the register beside it may hold a number as plausible as its own. Where a register map is
read one off, or in the wrong order, most of its tags suffer at once and the same change mends them all; each casts its
vote, and none of them may be worse off.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import ModbusAddress, Tag
from connectors.modbus.orders import REGISTERS, SHORT, full_name
from connectors.modbus.readings import ODD_BITS_MAX, SCALES, Judged, Reading

Votes = npt.NDArray[np.int8]

NO_VOTE: Final = -128
"""The vote of a tag that has no such thing to change, or whose register beside it is not known."""
_VOTE_MOST: Final = 100
_LACK_BITS: Final = 16
VOTE_BITS: Final = 4
"""What each sample has to cost less, or more, for a vote for a change, or against it."""
VOTES_MIN: Final = 3
_AGAINST_SHARE, _FOR_SHARE = 1 / 4, 1 / 3
_DIFFERENCE_BITS: Final = 0.5
_PLAIN_BITS: Final = 8
_RIVAL_BITS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed in every tag: its register, its order ("" leaves each its own), its scale."""

    shift: int
    order: str
    factor: float = 1.0


CHANGES: Final = (
    *(Change(shift, order) for shift in (0, -1, 1) for order in ("", *SHORT) if shift or order),
    *(Change(0, "", factor) for factor in SCALES),
)


def vote(tag: Tag, judged: Sequence[Judged]) -> Votes:
    """Return what each of `CHANGES` saves a tag for each sample, in bits i8[H]; the first judged is as configured."""
    own = judged[0]
    others = {one.reading: one for one in judged[1:]}
    votes = np.full(len(CHANGES), NO_VOTE, np.int8)
    for i, change in enumerate(CHANGES):
        order = full_name(change.order, REGISTERS[tag.dtype]) if change.order else own.reading.order
        reading = Reading(change.shift, order, tag.dtype, change.factor)
        if reading == own.reading and REGISTERS[tag.dtype] > 1:
            votes[i] = 0  # it is read so already: not all of the tags need the change
        other = others.get(reading)
        if other is None or (change.factor != 1.0 and not np.isfinite(tag.high - tag.low)):
            continue
        is_there = not change.shift or other.values.any() or not own.values.any()  # where it is 0 there may be nothing
        votes[i] = round(min(max(own.bits - other.bits, -_VOTE_MOST), _VOTE_MOST)) if is_there else 0
        if change.shift and change.order and own.odd_bits + own.range_bits <= ODD_BITS_MAX:
            votes[i] = min(votes[i], 0)  # of so many readings one may be smoother by chance: something has to be wrong
    return votes


def lacks(tags: Sequence[Tag], lacking: Collection[ModbusAddress]) -> npt.NDArray[np.bool_]:
    """Return whether each change would lead each tag to a register that the device lacks, [K, H]."""
    gone = {(address.unit_id, address.table, address.register) for address in lacking}
    found = np.zeros((len(tags), len(CHANGES)), np.bool_)
    for i, tag in enumerate(tags):
        address = tag.address
        assert isinstance(address, ModbusAddress)
        for shift in (-1, 0, 1):
            at = [address.register + shift + word for word in range(REGISTERS[tag.dtype])]
            if any((address.unit_id, address.table, register) in gone for register in at):
                found[i, [change.shift == shift for change in CHANGES]] = True
    return found


def against(votes: Votes, lack: npt.NDArray[np.bool_]) -> Votes:
    """Return the votes i8[K, H] with one against each change that leads a tag to a register that is not there."""
    return np.where(lack, np.int8(-_LACK_BITS), votes)


def verdict(votes: Votes) -> tuple[Change, ...]:
    """Return what mends the tags whose votes i8[K, H] these are, the likeliest first; nothing where nothing does.

    There may be several: between floats that lie side by side nothing tells one register too far from one too few, but
    for the first and the last of them. That another quantity is smoother says nothing, so that these count as equals.
    """
    able, for_it, against = _count(votes)
    fit = (for_it >= VOTES_MIN) & (against <= for_it * _AGAINST_SHARE) & (for_it >= able.sum(axis=0) * _FOR_SHARE)
    if not fit.any():
        return ()
    given = np.where(able, votes, 0).astype(np.int64)
    saved = given.sum(axis=0) - _DIFFERENCE_BITS * for_it * np.array(
        [(change.shift != 0) + (change.order != "") + abs(np.log10(change.factor)) for change in CHANGES])
    plain = np.clip(given, -_PLAIN_BITS, _PLAIN_BITS)  # beyond that, one is as sure as another
    in_order = sorted(np.flatnonzero(fit).tolist(), key=lambda i: (-int(plain[:, i].sum()), -float(saved[i])))
    first = in_order[0]
    best: dict[tuple[int, bool], Change] = {}
    for i in in_order:
        both = able[:, first] & able[:, i]
        mirrored = CHANGES[i].shift == -CHANGES[first].shift and CHANGES[i].order == CHANGES[first].order
        as_sure = (plain[both, first] - plain[both, i]).sum() < _PLAIN_BITS
        if as_sure and (mirrored or (given[both, first] - given[both, i]).mean() < _RIVAL_BITS):
            best.setdefault((CHANGES[i].shift, CHANGES[i].factor == 1.0), CHANGES[i])
    return tuple(best.values())


def voters(votes: Votes) -> int:
    """Return how many tags have votes."""
    return int((votes != NO_VOTE).any(axis=1).sum())


def mends(votes: Votes, change: Change) -> bool:
    """Return whether a tag with these votes i8[H] is for a change."""
    return bool(votes[CHANGES.index(change)] >= VOTE_BITS)


def abstains(votes: Votes, change: Change) -> bool:
    """Return whether a tag with these votes i8[H] was judged, and a change has nothing to change in it."""
    return bool(votes[CHANGES.index(change)] == NO_VOTE and voters(votes[None, :]))


def settled(votes: Votes) -> bool:
    """Return whether the tags would plainly be worse off one register lower, and one higher."""
    _, for_it, against = _count(votes)
    shifts = [i for i, change in enumerate(CHANGES) if change.shift and not change.order]
    return bool((against[shifts] >= VOTES_MIN).all() and not for_it[shifts].any())


def _count(votes: Votes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """Return who may vote [K, H], and how many are for each change and against it [H]."""
    able = votes != NO_VOTE
    return able, (able & (votes >= VOTE_BITS)).sum(axis=0), (able & (votes <= -VOTE_BITS)).sum(axis=0)


def told(changes: Sequence[Change]) -> str:
    """Say "the tags fit far better one register lower: ..."."""
    where = " or ".join(_where(change) for change in changes)
    return f"the tags fit far better {where}: {', or '.join(_remedy(change) for change in changes)}"


def _where(change: Change) -> str:
    shift = {0: "", -1: "one register lower", 1: "one register higher"}[change.shift]
    order = f"as {change.order}" if change.order else ""
    return " ".join(filter(None, (order, shift))) or f"with {change.factor:g} times the scale"


def _remedy(change: Change) -> str:
    first, step = {-1: (1, "take 1 from"), 0: (0, ""), 1: (0, "add 1 to")}[change.shift]
    shift = (f"where the manual counts from {first}, set address_base = {first} (discover: --counted-from {first}), "
             f"else {step} every register" if change.shift else "")
    order = f'set order = "{change.order}" for all of them' if change.order else ""
    return " and ".join(filter(None, (shift, order))) or f"multiply every scale by {change.factor:g}"
