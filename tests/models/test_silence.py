"""Nothing is sent anywhere: the model's engine leaves no trace of a report to its maker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["models.runtime"])
def test_loading_the_engine_prepares_no_report(module: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
