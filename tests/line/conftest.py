"""Models for lines, learnt once: of a machine that always runs, and of one that is switched on and off."""

from __future__ import annotations

import pytest

from models.runtime import Detector
from tests.models.plants import TAGS, coupled, settling, taught

SETTLE_ROWS = 20


@pytest.fixture(scope="session")
def running() -> Detector:
    return Detector(taught(coupled(3000, seed=1), name="pump"))


@pytest.fixture(scope="session")
def switched() -> Detector:
    detector = Detector(taught(settling(4000, seed=1, settle_rows=SETTLE_ROWS, dwell=500), (*TAGS, ("on", ""))))
    assert detector.statistics.modes.switches == (6,)
    return detector
