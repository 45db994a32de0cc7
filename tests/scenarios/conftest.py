"""Two OPC UA servers for all scenarios: asyncua's take seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.conftest import opcua_plc
from tests.connectors.servers import OpcuaPlc

__all__ = ["downloaded_plc", "opcua_plc"]


@pytest.fixture(scope="session")
def downloaded_plc() -> Iterator[OpcuaPlc]:
    """The same PLC after a program download: its namespace has another index."""
    plc = OpcuaPlc(spare_namespaces=5)
    yield plc
    plc.stop()
