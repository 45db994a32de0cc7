"""A simulated pump on the wire, a model of it, and an agent that was started for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.learn import learn
from simulators.config import toml
from simulators.plant import Plant


@dataclass(frozen=True)
class Simulation:
    """Where the pump's PLC is, and the bundle that was learnt of it."""

    modbus: str
    opcua: str
    bundle: Path

    def write(self, file: Path, connection: str, *changes: tuple[str, str]) -> Path:
        """Write a configuration with these changes."""
        text = toml("pump", Plant("pump", 1).tags, connection, bundle=str(self.bundle), port=0, timeout_ms=10_000)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        file.write_text(text)
        return file


@contextmanager
def simulated(folder: Path) -> Iterator[Simulation]:
    """Learn the pump's model into a folder, and run its PLC."""
    plant = Plant("pump", 1)
    values = plant.rows(0, 600)
    tags = [(tag.name, tag.unit or "1") for tag in plant.tags]
    learn([values], tags, 1000, name="pump").save(folder)
    arguments = ["pump", "--modbus", "0", "--opcua", "0", "--seed", "1"]
    child = subprocess.Popen([sys.executable, "-m", "simulators", *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    where = json.loads(child.stdout.readline())
    yield Simulation(where["modbus"], where["opcua"], folder)
    child.terminate()
    child.communicate(timeout=30)


def started(child: subprocess.Popen[str]) -> str:
    """Wait for the log line that tells where the API is."""
    assert child.stderr is not None
    for line in child.stderr:
        if "the API listens" in line:
            return str(json.loads(line)["url"])
    raise AssertionError(f"the agent ended with {child.wait()}")
