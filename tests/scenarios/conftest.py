"""One OPC UA server for all scenarios: asyncua's takes seconds to start."""

from __future__ import annotations

from tests.connectors.conftest import opcua_plc

__all__ = ["opcua_plc"]
