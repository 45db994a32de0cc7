from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.config.file import Config
from models.bundle import Bundle
from tests.agent.conftest import bundle
from tests.agent.samples import CONFIG, quiet_rows
from tests.rehearsal.recordings import recorded_machine, watched

__all__ = ["bundle"]


@pytest.fixture(scope="session")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two and a half days of a healthy pump."""
    return recorded_machine(tmp_path_factory.mktemp("pump"), seed=1002, hours=60)


@pytest.fixture
def file(tmp_path: Path, bundle: Bundle) -> Path:
    """A configuration for the plant of two tags."""
    bundle.save(tmp_path / "bundles" / "pump")
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def recurring(file: Path) -> Config:
    """The plant of two tags, watched by the agent while a pattern comes four times, and grows the last time."""
    values = quiet_rows(2400)
    pattern = np.minimum(np.arange(250) / 80, 1.0)
    for begin, size in ((100, 0.8), (600, 0.6), (1100, 0.6), (1600, 0.6), (2050, 2.0)):
        values[begin : begin + 250, 1] += size * pattern
    return watched(file, values)
