from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.file import Config
from models.bundle import Bundle
from models.learn import learn
from tests.agent.samples import CONFIG, quiet_rows
from tests.rehearsal.recordings import recorded_machine


@pytest.fixture(scope="session")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two and a half days of a healthy pump."""
    return recorded_machine(tmp_path_factory.mktemp("pump"), seed=1002, hours=60)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """Of the plant of two tags."""
    return learn([quiet_rows(800)], [("pressure", "bar"), ("temperature", "degC")], 1000, name="pump")


@pytest.fixture
def file(tmp_path: Path, bundle: Bundle) -> Path:
    """A configuration for the plant of two tags."""
    bundle.save(tmp_path / "bundles" / "pump")
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG)
    return file
