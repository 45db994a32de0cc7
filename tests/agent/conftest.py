from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.plant import Plant


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "state")
    yield plant
    plant.close()
