"""What a plant's machines are watched with: a bundle of each make, learnt from six healthy weeks at a row a minute."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from benchmarks.simulated_case import HISTORY_SEED
from models.learn import learn
from models.runtime import Detector
from simulators.faults import DAY_S, HOUR_S
from simulators.plant import Plant

PERIOD_S: Final = 60
"""A plant's machines fail over days: once a minute is how often historians keep them, and a year is soon played."""
HISTORY_S: Final = 42 * DAY_S


@lru_cache(maxsize=4)
def detector(machine: str) -> Detector:
    """Return the model of a make, as `forewarn learn` learns it; it stays in this process."""
    plant = Plant(machine, HISTORY_SEED)
    count = HOUR_S // PERIOD_S
    hours = [plant.rows(start_s, count, PERIOD_S) for start_s in range(0, HISTORY_S, HOUR_S)]
    tags = [(tag.name, tag.unit) for tag in plant.tags]
    return Detector(learn([np.concatenate(hours)], tags, 1000 * PERIOD_S, name=machine, source="simulated"))
