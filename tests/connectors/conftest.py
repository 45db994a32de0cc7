"""One OPC UA server for all tests: asyncua's takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.servers import OpcuaPlc


@pytest.fixture(scope="session")
def opcua_plc() -> Iterator[OpcuaPlc]:
    plc = OpcuaPlc()
    yield plc
    plc.stop()
