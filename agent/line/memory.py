"""What a line must not forget of its asset over a restart, beside its alerts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remembered:
    """The state of one part of a model: `model_hash` names the bundle, `state` is the part's own."""

    model_hash: str
    state: tuple[float, ...]

    def of(self, model_hash: str) -> tuple[float, ...]:
        """Return the state, nothing where it is another bundle's."""
        return self.state if self.model_hash == model_hash else ()


UNKNOWN = Remembered("", ())
"""Of no bundle: the asset is not new, and nothing else is known of it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """`time_ns` is that of the newest row (UTC).

    `life` is what a model of remaining life has made of the asset since its first row, None where there is no such
    model; `wander` is how far the asset has drifted since its model was learnt, and how much of that is adapted to.
    `watch` is for how long the model has watched, and how its alarms have come and gone; `trial` the same of a
    challenger beside it. Earlier versions remembered neither.
    """

    time_ns: int
    life: Remembered | None
    wander: Remembered | None
    watch: Remembered | None = None
    trial: Remembered | None = None
