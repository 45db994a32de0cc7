"""The measurement of acquisition: what is missing is named, and nonsense is no value."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import acquisition
from benchmarks.acquisition import plant
from benchmarks.acquisition.peers import GET, Peers
from benchmarks.result import BenchmarkError


def test_a_peer_that_is_missing_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    peers = Peers(tmp_path)
    with pytest.raises(BenchmarkError, match="libmodbus-dev"):
        peers.program("modbus_server")
    assert list(peers.clients("opcua")) == ["forewarn", "asyncua"]
    for name in ("open62541 in C", "node-opcua"):
        assert GET[name] in caplog.text


def test_a_client_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="nothing to read"):
        Peers(tmp_path).measure(["/bin/sh", "-c", "echo nothing to read >&2; exit 1"])
    with pytest.raises(BenchmarkError, match="no figures"):
        Peers(tmp_path).measure(["/bin/sh", "-c", "echo well"])


def test_each_target_is_of_a_part_that_is_measured() -> None:
    assert set(acquisition.PARTS) == {"modbus", "opcua", "plant", "dead", "cuts", "fuzz", "hostile"}
    assert len(acquisition.TARGETS) == 23


def test_a_plant_s_configuration_is_one_that_the_agent_takes(tmp_path: Path) -> None:
    from agent.config.file import load

    path = tmp_path / "agent.toml"
    path.write_text(plant._configuration([5020, 5021], tmp_path), encoding="utf-8")
    config = load(path)
    assert sum(len(asset.tags) for asset in config.assets.values()) == 1000
