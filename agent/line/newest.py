"""The newest sample of each tag of an asset, as people are shown it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.frame import BAD_NO_DATA, BAD_WAITING_FOR_INITIAL_DATA, Float32s, Frame, Int64s, UInt32s
from models.bundle import TagSchema


@dataclass(frozen=True, slots=True)
class TagReading:
    """The newest sample of a tag: `value` is NaN where `status` is Bad; `time_ns` is its source time."""

    tag: str
    unit: str
    value: float
    status: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest sample of each of C tags: `values` f32[C], `status` u32[C], `time_ns` i64[C]; never changes."""

    tags: tuple[TagSchema, ...]
    values: Float32s
    status: UInt32s
    time_ns: Int64s

    @classmethod
    def none(cls, tags: tuple[TagSchema, ...]) -> Newest:
        """Return what is known before the first frame."""
        waiting = np.full(len(tags), BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        return cls(tags, np.full(len(tags), np.nan, np.float32), waiting, np.zeros(len(tags), np.int64))

    def then(self, frame: Frame) -> Newest:
        """Return what is the newest after a frame; a cell that was not sampled leaves the one before."""
        if not frame.rows:
            return self
        sampled = frame.status != BAD_NO_DATA
        if sampled[-1].all():
            times_ns = np.full(len(self.tags), frame.source_time_ns[-1])
            return Newest(self.tags, frame.values[-1], frame.status[-1], times_ns)
        columns = np.flatnonzero(sampled.any(0))
        rows = frame.rows - 1 - np.argmax(sampled[::-1, columns], 0)
        values, status, times_ns = self.values.copy(), self.status.copy(), self.time_ns.copy()
        values[columns], status[columns] = frame.values[rows, columns], frame.status[rows, columns]
        times_ns[columns] = frame.source_time_ns[rows]
        return Newest(self.tags, values, status, times_ns)

    def readings(self) -> tuple[TagReading, ...]:
        """Return one object for each tag."""
        each = zip(self.tags, self.values.tolist(), self.status.tolist(), self.time_ns.tolist(), strict=True)
        return tuple(TagReading(tag.name, tag.unit, *sample) for tag, *sample in each)
