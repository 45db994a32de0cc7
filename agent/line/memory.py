"""What a line must not forget of its asset over a restart, beside its alerts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """What a model of remaining life has made of an asset since its first row.

    `model_hash` names the bundle, `time_ns` is that of the newest row (UTC), `state` is the model's own.
    """

    model_hash: str
    time_ns: int
    state: tuple[float, ...]
