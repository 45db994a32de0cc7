"""Channel typing without labels: which tags have a level that can be learnt, and which only condition the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.modes import is_setpoint

Float64s = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

SCORED, CONSTANT, DRIFTING, SETPOINT = "scored", "constant", "drifting", "setpoint"

PARTS = 8
DRIFT_MAX = 0.45
"""A tag has no level yet when more than this share of its variance lies between the eighths of its history."""


def roles(segments: Sequence[Floats], drift_max: float = DRIFT_MAX) -> list[str]:
    """Return the role of each of C tags from stretches of history f[T, C] (NaN = missing).

    "constant": never moved. "drifting": most of its variance is the drift from one eighth of the history to the next,
    as that of a random walk is, so that the history holds too few independent samples to know its level. "setpoint":
    held exactly, then stepping to any other value. "scored": all others. Where all that move drift there is nothing
    else to score: then they are "scored", too.
    """
    found = [_role([s[:, i] for s in segments], drift_max) for i in range(segments[0].shape[1])]
    return [SCORED if role == DRIFTING and SCORED not in found else role for role in found]


def _role(column: Sequence[Floats], drift_max: float) -> str:
    x = np.concatenate(column).astype(np.float64)
    seen = x[~np.isnan(x)]
    if not len(seen) or seen.std() <= 1e-7 * max(float(np.abs(seen).max()), 1e-6):
        return CONSTANT
    if is_setpoint(column):
        return SETPOINT
    parts = np.array([part.mean() for part in np.array_split(seen, PARTS) if len(part)])
    return DRIFTING if parts.var() > drift_max * seen.var() else SCORED
