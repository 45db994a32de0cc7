"""Faults of the wire as data: schedules, what each fault shows at a time, and the same on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from connectors.frame import (
    BAD_COMMUNICATION_ERROR,
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_OUT_OF_SERVICE,
    BAD_TIMEOUT,
    GOOD,
    Dtype,
    Float32s,
    Frame,
    Int64s,
    ModbusAddress,
    NodeAddress,
    Tag,
    UInt32s,
)


class WireKind(StrEnum):
    """What can go wrong between a PLC and the agent."""

    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    WRONG_UNIT = "wrong_unit"
    STALE = "stale"
    SWAPPED_WORDS = "swapped_words"
    REBOOT = "reboot"
    PARTITION = "partition"
    CLOCK_STEP = "clock_step"


class Symptom(StrEnum):
    """What a faulty wire does at one moment; a reboot is first REFUSED, then ZEROS."""

    TIMEOUT = "timeout"
    """Requests are read and not answered."""
    EXCEPTION = "exception"
    """Every read is refused with the exception code of the argument (OPC UA: with a Bad status)."""
    WRONG_UNIT = "wrong_unit"
    """Replies carry another unit id (Modbus only)."""
    STALE = "stale"
    """All values stand still."""
    SWAPPED_WORDS = "swapped_words"
    """The words of 32-bit values are swapped (Modbus only)."""
    REFUSED = "refused"
    """Connections are dropped and new ones refused."""
    ZEROS = "zeros"
    """The PLC answers before its program has run."""
    PARTITION = "partition"
    """Connections hang; what was sent arrives late."""
    CLOCK_STEP = "clock_step"
    """The PLC's time is off by the argument, in seconds (OPC UA only: Modbus carries no time)."""


_REBOOT_REFUSED = 0.75
"""The part of a reboot in which connections are refused; in the rest the PLC answers with zeros."""

_USUAL: Final[dict[WireKind, tuple[int, int]]] = {
    WireKind.TIMEOUT: (1, 120),
    WireKind.EXCEPTION: (1, 120),
    WireKind.WRONG_UNIT: (1, 30),
    WireKind.STALE: (2, 30),
    WireKind.SWAPPED_WORDS: (1, 30),
    WireKind.REBOOT: (20, 120),
    WireKind.PARTITION: (5, 1200),
    WireKind.CLOCK_STEP: (60, 3600),
}
"""How long each usually lasts, in seconds: least and most."""

EXCEPTION_STATUS: Final[dict[int, int]] = {
    1: BAD_CONFIGURATION_ERROR,
    2: BAD_NODE_ID_UNKNOWN,
    3: BAD_CONFIGURATION_ERROR,
    4: BAD_DEVICE_FAILURE,
    5: BAD_OUT_OF_SERVICE,
    6: BAD_OUT_OF_SERVICE,
    8: BAD_DEVICE_FAILURE,
    10: BAD_NO_COMMUNICATION,
    11: BAD_TIMEOUT,
}
"""The status a reader gives a Modbus exception code (Modbus Application Protocol V1.1b3, 7)."""

_SMALLEST: Final = float(np.finfo(np.float32).smallest_normal)


@dataclass(frozen=True, slots=True)
class WireFault:
    """A fault from `start_ns` (UTC) on for `duration_s`.

    `argument` is the exception code of an exception, and the seconds of a clock step.
    """

    kind: WireKind
    start_ns: int
    duration_s: float
    argument: int = 0

    @property
    def end_ns(self) -> int:
        """Return the UTC time, ns, at which it is over."""
        return self.start_ns + int(self.duration_s * 1e9)

    def symptom(self, time_ns: int) -> Symptom | None:
        """Return what the wire does at a time; None where the fault is not on."""
        if not self.start_ns <= time_ns < self.end_ns:
            return None
        if self.kind is not WireKind.REBOOT:
            return Symptom(self.kind.value)
        refused = time_ns - self.start_ns < _REBOOT_REFUSED * self.duration_s * 1e9
        return Symptom.REFUSED if refused else Symptom.ZEROS


def active(faults: Sequence[WireFault], time_ns: int) -> tuple[Symptom | None, int]:
    """Return symptom and argument of the first fault that is on at a time; (None, 0) where none is."""
    for fault in faults:
        if (symptom := fault.symptom(time_ns)) is not None:
            return symptom, fault.argument
    return None, 0


def schedule(
    seed: int,
    start_ns: int,
    duration_s: float,
    mean_gap_s: float = 3 * 3600.0,
    kinds: Sequence[WireKind] = tuple(WireKind),
) -> tuple[WireFault, ...]:
    """Draw faults that do not overlap, `mean_gap_s` apart on average, in `duration_s` from `start_ns` on."""
    rng = np.random.default_rng([seed, 77])
    faults: list[WireFault] = []
    at_s = float(rng.exponential(mean_gap_s))
    while at_s < duration_s:
        kind = kinds[int(rng.integers(len(kinds)))]
        least_s, most_s = _USUAL[kind]
        lasts_s = min(float(np.exp(rng.uniform(np.log(least_s), np.log(most_s)))), duration_s - at_s)
        argument = {
            WireKind.EXCEPTION: int(rng.choice([4, 6, 10, 11])),
            WireKind.CLOCK_STEP: int(rng.choice([-1, 1]) * rng.integers(2, 3600)),
        }.get(kind, 0)
        faults.append(WireFault(kind, start_ns + int(at_s * 1e9), round(lasts_s, 3), argument))
        at_s += lasts_s + float(rng.exponential(mean_gap_s))
    return tuple(faults)


def parse(text: str, epoch_ns: int) -> WireFault:
    """Read "kind@start_s:duration_s", `start_s` counted from `epoch_ns`; raise ValueError with the remedy.

    Exceptions and clock steps may have an argument: "exception=6@600:30".
    """
    name, _, when = text.partition("@")
    kind, _, argument = name.partition("=")
    start, _, duration = when.partition(":")
    if kind not in set(WireKind):
        raise ValueError(f"There is no wire fault {kind!r}; there are: {', '.join(WireKind)}.")
    try:
        start_s, duration_s, number = float(start), float(duration), int(argument) if argument else 0
    except ValueError:
        raise ValueError(
            f"Cannot read the wire fault {text!r}; write it as kind@start_s:duration_s, for example "
            f"timeout@600:30, exception=4@600:30 or clock_step=-3600@600:30."
        ) from None
    if not (0 <= start_s < np.inf and 0 < duration_s < np.inf):
        raise ValueError(f"The wire fault {text!r} needs a start of 0 s or more and a duration above 0 s.")
    return made(WireKind(kind), epoch_ns + int(start_s * 1e9), duration_s, number)


def made(kind: WireKind, start_ns: int, duration_s: float, argument: int = 0) -> WireFault:
    """Make a fault; an exception has code 4 if none is given. Raise ValueError for an impossible argument."""
    if kind is WireKind.EXCEPTION:
        argument = argument or 4
        if argument not in EXCEPTION_STATUS:
            codes = ", ".join(map(str, EXCEPTION_STATUS))
            raise ValueError(f"Modbus has no exception code {argument}; it has: {codes}.")
    elif kind is WireKind.CLOCK_STEP:
        argument = argument or 3600
    elif argument:
        raise ValueError(f"The wire fault {kind.value!r} takes no argument.")
    return WireFault(kind, start_ns, duration_s, argument)


def swap_words(values: Float32s, tags: Sequence[Tag]) -> Float32s:
    """Return the values [..., C] as they read when the words of each Modbus float32 are swapped."""
    swapped = values.copy()
    columns = [
        c for c, t in enumerate(tags) if isinstance(t.address, ModbusAddress) and t.dtype is Dtype.FLOAT32
    ]
    scale = np.array([tags[column].scale for column in columns])
    offset = np.array([tags[column].offset for column in columns])
    raw = ((values[..., columns] - offset) / scale).astype(np.float32)
    bits = np.ascontiguousarray(raw).view(np.uint32)
    other = ((bits << np.uint32(16)) | (bits >> np.uint32(16))).view(np.float32)
    subnormal = (np.abs(other) < _SMALLEST) & (other != 0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (other.astype(np.float64) * scale + offset).astype(np.float32)
    # A subnormal is never a measurement: made infinite, so that no limit of a tag lets it pass.
    scaled = np.where(np.isfinite(other), scaled, np.float32(np.nan))
    swapped[..., columns] = np.where(subnormal, np.float32(np.inf), scaled)
    return swapped


def apply(faults: Sequence[WireFault], times_ns: Int64s, values: Float32s, tags: Sequence[Tag]) -> Frame:
    """Return the frame a reader would report for rows [T], [T, C] of a plant behind a wire with these faults.

    Nothing is lost: a row that could not be read is a row of Bad. Where faults overlap, the first counts.
    """
    values = values.copy()
    status = np.full(values.shape, GOOD, np.uint32)
    shown_ns = times_ns.copy()
    free = np.ones(len(times_ns), np.bool_)
    for fault in faults:
        rows = np.flatnonzero((times_ns >= fault.start_ns) & (times_ns < fault.end_ns) & free)
        free[rows] = False
        for symptom in (
            (Symptom.REFUSED, Symptom.ZEROS) if fault.kind is WireKind.REBOOT else (Symptom(fault.kind),)
        ):
            at = np.array([row for row in rows if fault.symptom(int(times_ns[row])) is symptom], np.intp)
            if len(at):
                _distort(symptom, fault.argument, at, shown_ns, values, status, tags)
    return Frame.clean(shown_ns, values, _out_of_range(values, status, tags))


def _distort(
    symptom: Symptom,
    argument: int,
    at: np.ndarray,
    times_ns: Int64s,
    values: Float32s,
    status: UInt32s,
    tags: Sequence[Tag],
) -> None:
    """Do to the rows `at` what a symptom does, in place."""
    modbus = np.array([isinstance(tag.address, ModbusAddress) for tag in tags])
    match symptom:
        case Symptom.TIMEOUT | Symptom.PARTITION | Symptom.REFUSED:
            status[at] = BAD_NO_COMMUNICATION
        case Symptom.EXCEPTION:
            status[at] = EXCEPTION_STATUS.get(argument, BAD_COMMUNICATION_ERROR)
        case Symptom.WRONG_UNIT:
            status[np.ix_(at, modbus)] = BAD_NO_COMMUNICATION  # foreign replies end the connection
        case Symptom.STALE:
            values[at] = values[max(at[0] - 1, 0)]
        case Symptom.SWAPPED_WORDS:
            values[at] = swap_words(values[at], tags)
        case Symptom.ZEROS:
            values[at] = [tag.offset for tag in tags]
        case Symptom.CLOCK_STEP:
            if any(isinstance(tag.address, NodeAddress) for tag in tags):
                times_ns[at] += argument * 1_000_000_000


def _out_of_range(values: Float32s, status: UInt32s, tags: Sequence[Tag]) -> UInt32s:
    low, high = np.array([tag.low for tag in tags]), np.array([tag.high for tag in tags])
    impossible = (values < low) | (values > high) | np.isinf(values)
    return np.where(impossible & (status == GOOD), np.uint32(BAD_OUT_OF_RANGE), status)
