"""What a process of its own costs: CPU time, peak memory and memory now, as Linux counts them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.result import BenchmarkError

ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_POLL_S: Final = 0.002
_MIB: Final = 1024  # kB


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took from its start to its end: user and system time, and its largest resident set."""

    cpu_s: float
    peak_mib: float


def usage(arguments: Sequence[str]) -> Usage:
    """Run a command to its end and return what it took; raise BenchmarkError with what it said where it fails."""
    # ru_maxrss would be that of this process where the child stays smaller: it is inherited across fork and exec.
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
    ) as child:
        peak_mib, ended, said = 0.0, 0, ""
        while not ended:
            peak_mib = max(peak_mib, memory_mib(child.pid, "VmHWM"))
            ended, status, taken = os.wait4(child.pid, os.WNOHANG)
            time.sleep(0 if ended else _POLL_S)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode and child.stderr is not None:
            said = child.stderr.read()
    if child.returncode:
        raise BenchmarkError(f"{' '.join(arguments[:4])} ... failed with {child.returncode}: {said.strip()[-500:]}")
    return Usage(taken.ru_utime + taken.ru_stime, peak_mib)


def memory_mib(process: int, field: str = "VmRSS") -> float:
    """Return the resident set of a process, or its peak `VmHWM`, in MiB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / _MIB for line in lines if line.startswith(field)), 0.0)


def cpu_s(process: int) -> float:
    """Return the CPU time that a running process has taken so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
