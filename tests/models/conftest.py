"""Bundles that are learnt once: of a machine with one operating regime, of one with three, and of one that drifts."""

from __future__ import annotations

import pytest

from models.bundle import Bundle
from models.runtime import Detector
from tests.models.plants import coupled, drifting, taught


@pytest.fixture(scope="session")
def plain() -> Bundle:
    return taught(coupled(3000, seed=1))


@pytest.fixture(scope="session")
def three() -> Bundle:
    return taught(coupled(3000, seed=1, regimes=3))


@pytest.fixture(scope="session")
def detector(three: Bundle) -> Detector:
    return Detector(three)


@pytest.fixture(scope="session")
def conditioned() -> Bundle:
    """A machine with one condition, the last of its tags."""
    bundle = taught(drifting(3000, seed=1))
    assert [tag.role for tag in bundle.manifest.tags] == ["scored"] * 5 + ["drifting"]
    assert len(bundle.statistics.experts.low) == 1
    return bundle
