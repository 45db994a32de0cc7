"""The other clients and servers: found on this machine or built from the sources beside this file, never shipped.

They live in the folder that FOREWARN_PEERS names (by default build/peers of the checkout): `node_modules` by
`npm install modbus-serial node-opcua`, `open62541` as the prefix of an installed open62541 1.5 where the system has
none; what is compiled goes to `bin`.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.child import ONE_THREAD
from benchmarks.machine import ROOT
from benchmarks.methods import OURS
from benchmarks.result import BenchmarkError

log = logging.getLogger(__name__)

SOURCES: Final = Path(__file__).resolve().parent / "clients"
LIBMODBUS, SERIAL, PYMODBUS, BARE = "libmodbus in C", "modbus-serial on node", "pymodbus", "bare asyncio on uvloop"
OPEN62541, NODE_OPCUA, ASYNCUA = "open62541 in C", "node-opcua", "asyncua"
GET: Final = {
    LIBMODBUS: "apt-get install gcc libmodbus-dev",
    OPEN62541: "build open62541 1.5 and install it below $FOREWARN_PEERS/open62541",
    SERIAL: "npm install modbus-serial in $FOREWARN_PEERS",
    NODE_OPCUA: "npm install node-opcua in $FOREWARN_PEERS",
}
_CLIENT_S_MAX: Final = 600


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client took for what it was asked: processor time in seconds, and how many values came (or their sum)."""

    cpu_s: float
    values: float


@dataclass(frozen=True, slots=True)
class Peers:
    """What is there, in `folder`."""

    folder: Path

    @classmethod
    def find(cls) -> Peers:
        """Return the peers of this machine."""
        return cls(Path(os.environ.get("FOREWARN_PEERS", ROOT / "build" / "peers")).resolve())

    def program(self, name: str) -> Path:
        """Return a program in C, compiled; raise BenchmarkError saying what it needs where it cannot be."""
        source, target = SOURCES / f"{name}.c", self.folder / "bin" / name
        if target.is_file() and target.stat().st_mtime > source.stat().st_mtime:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        prefix = self.folder / "open62541"
        libraries = ["-lmodbus"] if name.startswith("modbus") else [
            f"-I{prefix / 'include'}", f"-L{prefix / 'lib'}", "-lopen62541", "-lm", "-lpthread"]
        compiler = shutil.which("cc")
        said = "no compiler" if compiler is None else subprocess.run(
            [compiler, "-O2", str(source), "-o", str(target), *libraries], capture_output=True, text=True, check=False
        ).stderr
        if not target.is_file():
            peer = LIBMODBUS if name.startswith("modbus") else OPEN62541
            raise BenchmarkError(
                f"{name} cannot be built with {peer}: {GET[peer]}. The compiler said: {said.strip()[:300]}"
            )
        return target

    @contextmanager
    def server(self, name: str, *arguments: object) -> Iterator[int]:
        """Run a server in C; yields its port."""
        command = [str(self.program(name)), *map(str, arguments)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            said = process.stdout.readline()
            if not said.strip().isdigit():
                raise BenchmarkError(f"{name} did not start: {said}")
            try:
                yield int(said)
            finally:
                process.stdin.close()
                process.wait(10)

    def clients(self, protocol: str) -> dict[str, list[str]]:
        """Return the command of each client of a protocol that is here, ours first; name the others in the log."""
        python, node = [sys.executable], [shutil.which("node") or "node"]
        named = {"modbus": (LIBMODBUS, SERIAL, PYMODBUS), "opcua": (OPEN62541, NODE_OPCUA, ASYNCUA)}[protocol]
        found = {OURS: [*python, "-m", "benchmarks.acquisition.reader", protocol]}
        try:
            found[named[0]] = [str(self.program(f"{protocol}_client"))]
        except BenchmarkError as error:
            log.warning("%s", error)
        package = self.folder / "node_modules" / ("modbus-serial" if protocol == "modbus" else "node-opcua")
        if package.is_dir() and shutil.which("node"):
            found[named[1]] = [*node, str(SOURCES / f"{protocol}_client.js")]
        else:
            log.warning("%s is not here: %s", named[1], GET[named[1]])
        found[named[2]] = [*python, str(SOURCES / f"{protocol}_stock.py")]
        return found | ({BARE: [*python, str(SOURCES / "modbus_bare.py")]} if protocol == "modbus" else {})

    def measure(self, command: Sequence[str], *arguments: object) -> Measured:
        """Run a client to its end; raise BenchmarkError with what it said where it fails."""
        environment = os.environ | ONE_THREAD | {"NODE_PATH": str(self.folder / "node_modules")}
        try:
            done = subprocess.run(
                [*command, *map(str, arguments)], capture_output=True, text=True, check=True, env=environment,
                timeout=_CLIENT_S_MAX, cwd=ROOT,
            )
            cpu_s, values = map(float, done.stdout.strip().splitlines()[-1].split())
        except subprocess.CalledProcessError as error:
            raise BenchmarkError(f"{' '.join(command)} failed: {error.stderr.strip()[-500:]}") from error
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            raise BenchmarkError(f"{' '.join(command)} gave no figures: {error}") from error
        return Measured(cpu_s, values)
