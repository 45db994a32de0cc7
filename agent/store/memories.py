"""What lines remember of their assets, one small file each: written now and then, replaced as a whole, never torn."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path

from agent.line.memory import UNKNOWN, Memory
from agent.store import codec, memory_codec, segments
from agent.store.codec import CodecError
from agent.store.journal import StoreError

log = logging.getLogger(__name__)

INTERVAL_NS = 600_000_000_000
SUFFIX = ".json"
FORGOTTEN = Memory(0, UNKNOWN, None)
"""What is known of an asset whose file is damaged is only that it is not new."""


class Memories:
    """The files of one directory, each to be written once an interval and at the end; one writing thread."""

    def __init__(self, directory: Path, interval_ns: int = INTERVAL_NS) -> None:
        self._directory, self._interval_ns = directory, interval_ns
        self._kept_ns: dict[str, int] = {}
        self.errors: dict[str, str] = {}

    def load(self, asset: str) -> Memory | None:
        """Return what was kept of an asset, None for a new one; raise StoreError where the file cannot be read."""
        path = self._path(asset)
        try:
            return _memory(path.read_bytes())
        except FileNotFoundError:
            return None
        except CodecError as error:
            log.warning(
                "what was remembered of an asset is lost: its drift begins anew, and there is no estimate of its "
                "remaining life until the file is removed, which says that the machine is as new",
                extra={"asset": asset, "file": str(path), "error": str(error)},
            )
            return FORGOTTEN
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; mend its rights, or remove it") from error

    def is_due(self, asset: str, monotonic_ns: int) -> bool:
        """Say whether an interval has passed since the asset was first asked for, or since this was last so."""
        due = monotonic_ns - self._kept_ns.setdefault(asset, monotonic_ns) >= self._interval_ns
        if due:
            self._kept_ns[asset] = monotonic_ns
        return due

    def keep(self, asset: str, memory: Memory) -> None:
        """Write a memory. A disk that refuses costs what is newer than the file, never the agent."""
        try:
            self._write(asset, memory)
        except OSError as error:
            if asset not in self.errors:
                said = {"asset": asset, "error": str(error)}
                log.warning("what is remembered of an asset cannot be kept", extra=said)
            self.errors[asset] = str(error)
            return
        self.errors.pop(asset, None)

    def _write(self, asset: str, memory: Memory) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = codec.dumps(memory_codec.memory_json(memory))
        whole = codec.dumps({"crc": zlib.crc32(body), "memory": body.decode()})
        segments.replace_synced(self._path(asset), whole)

    def _path(self, asset: str) -> Path:
        return self._directory / f"{asset}{SUFFIX}"


def _memory(content: bytes) -> Memory:
    try:
        whole = json.loads(content)
        body, crc = whole["memory"].encode(), whole["crc"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CodecError(f"not a memory: {type(error).__name__}: {error}") from error
    if zlib.crc32(body) != crc:
        raise CodecError("its checksum is wrong")
    return memory_codec.decode_memory(body)
