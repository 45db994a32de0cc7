from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.build import load_detectors
from agent.config.file import Config
from connectors.frame import Frame
from models.bundle import Bundle
from models.learn import learn
from tests.agent.samples import CONFIG, SECOND_NS, START_NS, quiet_rows
from tests.agent.test_replay import live_run
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


@pytest.fixture
def recurring(file: Path) -> Config:
    """The plant of two tags, watched by the agent while a pattern comes four times, and grows the last time."""
    config = Config.parse(file.read_text(), file)
    values = quiet_rows(2400)
    pattern = np.minimum(np.arange(250) / 80, 1.0)
    for begin, size in ((100, 0.8), (600, 0.6), (1100, 0.6), (1600, 0.6), (2050, 2.0)):
        values[begin : begin + 250, 1] += size * pattern
    frames = [Frame.of(START_NS + row * SECOND_NS, each, np.zeros(2)) for row, each in enumerate(values)]
    live_run(config, load_detectors(config), frames)
    return config
