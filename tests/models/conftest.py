"""Bundles that are learnt once: of a machine with one operating regime, and of one with three."""

from __future__ import annotations

import pytest

from models.bundle import Bundle
from models.runtime import Detector
from tests.models.plants import coupled, taught


@pytest.fixture(scope="session")
def plain() -> Bundle:
    return taught(coupled(3000, seed=1))


@pytest.fixture(scope="session")
def three() -> Bundle:
    return taught(coupled(3000, seed=1, regimes=3))


@pytest.fixture(scope="session")
def detector(three: Bundle) -> Detector:
    return Detector(three)
