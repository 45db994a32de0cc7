from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from agent.server import SHUTDOWN_S_MAX
from agent.store.journal import Journal
from agent.worker import LAST_TRIES, RETRY_NS

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "forewarn.service"


class Sections(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr  # systemd minds the case


def test_the_unit_says_what_the_daemon_does() -> None:
    unit = Sections(strict=False)
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["StateDirectory"] == "forewarn"
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["ExecStart"].split()[1:] == ["run", "/etc/forewarn/agent.toml"]
    assert int(service["WatchdogSec"]) == 60
    # A job that waits for the journal's lock, then the last tries: systemd must not kill us before we log what is lost.
    busy_s = float(signature(Journal).parameters["busy_timeout_s"].default)
    longest_s = busy_s + LAST_TRIES * (RETRY_NS / 1e9 + busy_s) + SHUTDOWN_S_MAX
    assert longest_s + 5 <= int(service["TimeoutStopSec"])
    assert "PYTHONOPTIMIZE" not in UNIT.read_text()  # assertions guard invariants in production too


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "forewarn.service"
    copy.write_text(UNIT.read_text().replace("/opt/forewarn/bin/forewarn", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in (verified.stdout + verified.stderr).splitlines() if "forewarn" in line]
    assert not complaints
    assert verified.returncode == 0, verified.stderr
    copy.write_text(copy.read_text().replace("WatchdogSec=60", "WatchdogSec=often"))
    broken = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert "forewarn.service:" in broken.stderr
