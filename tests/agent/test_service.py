from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from agent.server import SHUTDOWN_S_MAX
from agent.store.journal import Journal
from agent.worker import LAST_TRIES, RETRY_NS

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "forewarn.service"


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


def test_the_drill_is_held_monthly_behind_the_agent_as_the_account_that_owns_the_record() -> None:
    unit, timer, agent = Sections(strict=False), Sections(strict=False), Sections(strict=False)
    unit.read(FOLDER / "forewarn-drill.service")
    timer.read(FOLDER / "forewarn-drill.timer")
    agent.read(UNIT)
    service = unit["Service"]
    command, *_ = agent["Service"]["ExecStart"].split()
    assert service["ExecStart"].split() == [command, "drill", "/etc/forewarn/agent.toml"]
    assert (service["Nice"], service["CPUSchedulingPolicy"], service["IOSchedulingClass"]) == ("19", "idle", "idle")
    assert "User" not in agent["Service"], "so that it is the unit's name"
    assert service["User"] == UNIT.stem
    for key in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "UMask", "ProtectSystem"):
        assert service[key] == agent["Service"][key]
    assert timer["Timer"]["OnCalendar"] == "*-*-01 02:00"


def test_the_command_sends_nothing_and_takes_one_thread_per_product() -> None:
    script = (
        "import os, sys; sys.argv = ['forewarn', '--version']; from agent.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    environment["ORT_DISABLE_TELEMETRY"] = "0"
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.splitlines()[-1] == "1 1"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    copy = tmp_path / "forewarn.service"
    for unit in FOLDER.glob("forewarn*.*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/forewarn/bin/forewarn", "/bin/true"))
    copies = [str(path) for path in tmp_path.glob("forewarn*.*")]
    assert len(copies) == 3
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies], capture_output=True, text=True, check=False
    )
    complaints = [line for line in (verified.stdout + verified.stderr).splitlines() if "forewarn" in line]
    assert not complaints
    assert verified.returncode == 0, verified.stderr
    copy.write_text(copy.read_text().replace("WatchdogSec=60", "WatchdogSec=often"))
    broken = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert "forewarn.service:" in broken.stderr
