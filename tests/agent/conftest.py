from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.learn import learn
from tests.agent.plant import Plant
from tests.agent.samples import CONFIG, quiet_rows
from tests.agent.simulation import Simulation, simulated


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "state")
    yield plant
    plant.close()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    values = quiet_rows(800)
    tags = [("pressure", "bar"), ("temperature", "degC")]
    return learn([values], tags, 1000, name="pump")


@pytest.fixture
def file(tmp_path: Path, bundle: Bundle) -> Path:
    """A configuration with its bundle, for PLCs that are not there."""
    bundle.save(tmp_path / "bundles" / "pump")
    file = tmp_path / "agent.toml"
    nowhere = CONFIG.replace("192.0.2.10", "127.0.0.1").replace(
        'host = "127.0.0.1"\n', 'host = "127.0.0.1"\nport = 1\n'
    )
    file.write_text(nowhere.replace("192.0.2.11:4840", "127.0.0.1:1") + "\n[api]\nport = 0\n")
    return file


@pytest.fixture(scope="session")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    with simulated(tmp_path_factory.mktemp("bundle")) as pump:
        yield pump
